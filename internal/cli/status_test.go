package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/view"
)

// waiting is a picture of a fleet whose members all wait for one thing.
func waiting(why string, names ...string) view.Status {
	wave := view.Wave{Name: "all", MaxConcurrent: 2}
	for _, name := range names {
		wave.Members = append(wave.Members, view.Member{
			Name: name, Version: "v1.36.3", State: view.Waiting, Why: view.Reason{Message: why},
		})
	}
	return view.Status{Fleets: []view.Fleet{{Name: "main", Release: "2026.11", Kubernetes: "v1.37.2", Waves: []view.Wave{wave}}}}
}

// Every picture takes the place of the one before, to the byte.
func TestScreenOnTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	for _, test := range []struct {
		name          string
		noColor       string
		width, height uint16
		pictures      []view.Status
		want          []string
	}{
		{
			name: "in place", noColor: "1", width: 80, height: 24,
			pictures: []view.Status{waiting("no slot", "one", "two"), waiting("no sight", "one"), waiting("no sight", "one")},
			want: []string{
				"\x1b[Kfleet main → release 2026.11 (v1.37.2): 0 of 2 done, 2 waiting\n" +
					"\x1b[K└─ wave all, 2 at once\n" +
					"\x1b[K   ├─ · one  v1.36.3  waiting: no slot\n" +
					"\x1b[K   └─ · two  v1.36.3  waiting: no slot\n\x1b[J",
				"\x1b[4A\r\x1b[Kfleet main → release 2026.11 (v1.37.2): 0 of 1 done, 1 waiting\n" +
					"\x1b[K└─ wave all, 2 at once\n" +
					"\x1b[K   └─ · one  v1.36.3  waiting: no sight\n\x1b[J",
				"\x1b[3A\r\x1b[Kfleet main → release 2026.11 (v1.37.2): 0 of 1 done, 1 waiting\n" +
					"\x1b[K└─ wave all, 2 at once\n" +
					"\x1b[K   └─ · one  v1.36.3  waiting: no sight\n\x1b[J",
			},
		},
		{
			name: "in colour", width: 80, height: 24,
			pictures: []view.Status{waiting("no slot", "one")},
			want: []string{
				"\x1b[K\x1b[1mfleet main → release 2026.11 (v1.37.2): 0 of 1 done, 1 waiting\x1b[0m\n" +
					"\x1b[K└─ wave all, 2 at once\n" +
					"\x1b[K   └─ · one  v1.36.3  waiting: no slot\n\x1b[J",
			},
		},
		{
			name: "narrow", noColor: "1", width: 24, height: 24,
			pictures: []view.Status{waiting("no slot", "one")},
			want: []string{
				"\x1b[Kfleet main → release\n" +
					"\x1b[K   2026.11 (v1.37.2): 0\n" +
					"\x1b[K   of 1 done, 1 waiting\n" +
					"\x1b[K└─ wave all, 2 at once\n" +
					"\x1b[K   └─ · one  v1.36.3\n" +
					"\x1b[K        waiting: no slot\n\x1b[J",
			},
		},
		{
			name: "too low", noColor: "1", width: 80, height: 5,
			pictures: []view.Status{waiting("no slot", "a", "b", "c"), waiting("no slot", "a", "b")},
			want: []string{
				"\x1b[Kfleet main → release 2026.11 (v1.37.2): 0 of 3 done, 3 waiting\n" +
					"\x1b[K└─ wave all, 2 at once\n" +
					"\x1b[K   ├─ · a  v1.36.3  waiting: no slot\n" +
					"\x1b[K… 2 more lines\n\x1b[J",
				// Four lines fit: the fifth is where the cursor waits.
				"\x1b[4A\r\x1b[Kfleet main → release 2026.11 (v1.37.2): 0 of 2 done, 2 waiting\n" +
					"\x1b[K└─ wave all, 2 at once\n" +
					"\x1b[K   ├─ · a  v1.36.3  waiting: no slot\n" +
					"\x1b[K   └─ · b  v1.36.3  waiting: no slot\n\x1b[J",
			},
		},
		{
			name: "of unknown size", noColor: "1",
			pictures: []view.Status{waiting("no slot", "one")},
			want: []string{
				"\x1b[Kfleet main → release 2026.11 (v1.37.2): 0 of 1 done, 1 waiting\n" +
					"\x1b[K└─ wave all, 2 at once\n" +
					"\x1b[K   └─ · one  v1.36.3  waiting: no slot\n\x1b[J",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", test.noColor)
			p := openPty(t, test.width, test.height)
			screen := NewScreen(p.tty)
			for i, picture := range test.pictures {
				screen.Draw(picture)
				if diff := cmp.Diff(test.want[i], p.written()); diff != "" {
					t.Errorf("picture %d (-want +got):\n%s", i+1, diff)
				}
			}
		})
	}
}

// A glass is what a terminal makes of bytes, as far as Screen needs it. As in a
// VT100, a full line leaves the cursor on its last column.
type glass struct {
	width    int
	lines    []string
	row, col int
}

func (g *glass) show(text string) {
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' })
			g.control(rest[:end], rest[end])
			text = rest[end+1:]
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		switch r {
		case '\r':
			g.col = 0
		case '\n': // a terminal's own setting makes it "\r\n"
			g.row, g.col = g.row+1, 0
		default:
			g.put(r)
		}
	}
}

func (g *glass) put(r rune) {
	if g.col == g.width {
		g.row, g.col = g.row+1, 0
	}
	line := []rune(g.line(g.row))
	g.lines[g.row] = string(append(append(line[:g.col:g.col], r), line[min(len(line), g.col+1):]...))
	g.col++
}

// line is a row of the glass, which is as high as it needs to be.
func (g *glass) line(row int) string {
	for len(g.lines) <= row {
		g.lines = append(g.lines, "")
	}
	return g.lines[row]
}

func (g *glass) control(number string, kind byte) {
	switch kind {
	case 'A':
		up := 0
		_, _ = fmt.Sscan(number, &up)
		g.row = max(0, g.row-up)
	case 'K', 'J':
		line := []rune(g.line(g.row))
		g.lines[g.row] = string(line[:min(g.col, g.width-1, len(line))])
		if kind == 'J' {
			g.lines = g.lines[:g.row+1]
		}
	}
}

// What people see is the last picture and nothing of the ones before, however
// large they were, and whatever size the terminal was made meanwhile.
func TestScreenShowsOnePicture(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	p := openPty(t, 80, 24)
	screen, seen := NewScreen(p.tty), &glass{}
	for i, frame := range []struct {
		members int
		why     string
		width   uint16
		height  uint16
	}{
		{6, "a long reason that takes a good part of the line", 80, 24},
		{2, "short", 80, 24},
		{12, "short", 80, 24},
		{40, "a long reason that does not fit into the width that there is for it", 60, 24},
		{40, "a long reason that does not fit into the width that there is for it", 60, 10},
		{1, "", 100, 40},
		{0, "", 100, 40},
		{33, "as wide as the terminal", 44, 40},
	} {
		var names []string
		for n := range frame.members {
			names = append(names, fmt.Sprintf("eu-%02d", n))
		}
		picture := waiting(frame.why, names...)
		p.resize(frame.width, frame.height)
		screen.Draw(picture)
		seen.width = int(frame.width)
		seen.show(p.written())

		want := strings.Split(picture.Text(view.Style{Width: int(frame.width)}), "\n")
		if rows := int(frame.height); len(want) > rows {
			want = append(want[:rows-2:rows-2], fmt.Sprintf("… %d more lines", len(want)-1-(rows-2)), "")
		}
		if diff := cmp.Diff(want, seen.lines); diff != "" {
			t.Fatalf("after picture %d (-want +got):\n%s", i+1, diff)
		}
	}
}

// Where there is no terminal, or a dumb one, only what is new is printed.
func TestScreenOnLog(t *testing.T) {
	fleet := "fleet main → release 2026.11 (v1.37.2): 0 of 2 done, 2 waiting\n└─ wave all, 2 at once\n"
	one, two := "   ├─ · one  v1.36.3  waiting: no slot\n", "   └─ · two  v1.36.3  waiting: no slot\n"
	second := waiting("no slot", "one", "two")
	second.Fleets[0].Waves[0].Members[1].Why.Message = "no sight"

	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	dumb := openPty(t, 20, 3)
	var buffer bytes.Buffer
	for name, out := range map[string]struct {
		term string
		out  io.Writer
		read func() string
	}{
		"a pipe": {"xterm", writer, func() string {
			writer.Close()
			text, _ := io.ReadAll(reader)
			return string(text)
		}},
		"a dumb terminal": {"dumb", dumb.tty, dumb.written},
		"memory":          {"xterm", &buffer, buffer.String},
	} {
		t.Setenv("TERM", out.term)
		t.Setenv("NO_COLOR", "")
		screen := NewScreen(out.out)
		for _, picture := range []view.Status{waiting("no slot", "one", "two"), second, second, waiting("no slot", "one", "two")} {
			screen.Draw(picture)
		}
		want := fleet + one + two + "   └─ · two  v1.36.3  waiting: no sight\n" + two
		if diff := cmp.Diff(want, out.read()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// That time passes is nothing new, though what is printed tells it.
func TestScreenOnLogIgnoresTime(t *testing.T) {
	picture := waiting("moving pods", "one")
	member := &picture.Fleets[0].Waves[0].Members[0]
	member.State = view.Running
	var out bytes.Buffer
	screen := NewScreen(&out)
	for _, age := range []time.Duration{0, 20 * time.Second, time.Hour} {
		member.Why.Since = time.Now().Add(-age)
		screen.Draw(picture)
	}
	member.Why = view.Reason{Message: "no budget", Since: time.Now().Add(-time.Hour)}
	screen.Draw(picture)
	want := "fleet main → release 2026.11 (v1.37.2): 0 of 1 done, 1 running\n└─ wave all, 2 at once\n" +
		"   └─ ▶ one  v1.36.3  moving pods\n" +
		"   └─ ▶ one  v1.36.3  no budget (for 1h0m0s)\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// emptyThenFleet is a hub that holds nothing when it is first read, and a fleet
// from then on; the name of a kubeconfig for it.
func emptyThenFleet(t *testing.T) string {
	var reads atomic.Int32
	return serveHub(t, func(resource string) any {
		if resource == "fleets" && reads.Add(1) > 1 {
			return v1.FleetList{Items: []v1.Fleet{{ObjectMeta: metav1.ObjectMeta{Name: "main"}, Spec: v1.FleetSpec{Release: "2026.11"}}}}
		}
		return metav1.PartialObjectMetadataList{}
	})
}

// An interrupter ends a command once it has printed something.
type interrupter struct {
	printed   bytes.Buffer
	when      string
	interrupt func()
}

func (i *interrupter) Write(p []byte) (int, error) {
	i.printed.Write(p)
	if strings.Contains(i.printed.String(), i.when) {
		i.interrupt()
	}
	return len(p), nil
}

// Watching goes on until it is interrupted, which is no error; without it there
// is one picture.
func TestStatusWatches(t *testing.T) {
	empty := "no fleets and no members: create a member with \"refit local create\", then apply a Release and a Fleet\n"
	there := "fleet main → release 2026.11 (no such release): 0 of 0 done\n!  halted: release \"2026.11\" does not exist\n"
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"status"}, empty},
		{[]string{"status", "--watch"}, empty + there},
		{[]string{"status", "-w"}, empty + there},
	} {
		ctx, interrupt := context.WithTimeout(t.Context(), time.Minute) // one second is enough
		defer interrupt()
		out := &interrupter{when: there, interrupt: interrupt}
		root := New(unreached(t))
		root.SetOut(out)
		root.SetArgs(append(test.args, "--kubeconfig", emptyThenFleet(t)))
		if err := root.ExecuteContext(ctx); err != nil {
			t.Errorf("%v: %v", test.args, err)
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("%v does not print\n%s", test.args, there)
		}
		if diff := cmp.Diff(test.want, out.printed.String()); diff != "" {
			t.Errorf("%v printed (-want +got):\n%s", test.args, diff)
		}
	}
}

// Who interrupts while the hub is being read is not told of an error either.
func TestWatchIsInterruptedWhileReading(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	kubeconfig := serveHub(t, func(string) any {
		interrupt()
		return metav1.PartialObjectMetadataList{}
	})
	var out bytes.Buffer
	if code := Run(ctx, unreached(t), []string{"status", "--watch", "--kubeconfig", kubeconfig}, &out, &out); code != 0 || out.String() != "" {
		t.Errorf("exits with %d and says %q", code, out.String())
	}
}
