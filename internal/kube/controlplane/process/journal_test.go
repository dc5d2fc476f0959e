package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func entry(event Event, part string, pid int) Entry {
	return Entry{
		Time: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Event: event, Part: part, Version: "v1.36.3",
		ID: ID{PID: pid, Ticks: 7, Boot: "boot"}, Reason: "start",
	}
}

func open(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func TestJournalRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "starts.jsonl")
	j := open(t, path)
	if _, ok := j.LastStart("etcd"); ok {
		t.Error("an empty journal knows a start")
	}
	for _, e := range []Entry{entry(Started, "etcd", 1), entry(Started, "kwok", 2), entry(Ended, "etcd", 1), entry(Started, "etcd", 3)} {
		if err := j.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	for name, j := range map[string]*Journal{"as written": j, "read again": open(t, path)} {
		t.Run(name, func(t *testing.T) {
			last, ok := j.LastStart("etcd")
			if diff := cmp.Diff(entry(Started, "etcd", 3), last); !ok || diff != "" {
				t.Errorf("LastStart (-want +got):\n%s", diff)
			}
			if _, ok := j.End(last.ID); ok {
				t.Error("the end of a running process is known")
			}
			ended, ok := j.LastEnd("etcd")
			if diff := cmp.Diff(entry(Ended, "etcd", 1), ended); !ok || diff != "" {
				t.Errorf("LastEnd (-want +got):\n%s", diff)
			}
			if _, ok := j.End(ended.ID); !ok {
				t.Error("the end of the first process is not known")
			}
			started, ok := j.Start(ended.ID)
			if diff := cmp.Diff(entry(Started, "etcd", 1), started); !ok || diff != "" {
				t.Errorf("Start (-want +got):\n%s", diff)
			}
			if _, ok := j.LastEnd("kwok"); ok {
				t.Error("the end of a part that never ended is known")
			}
		})
	}
}

// A crash in the middle of a line costs that line and no other.
func TestJournalWithACutLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "starts.jsonl")
	j := open(t, path)
	if err := j.Add(entry(Started, "etcd", 1)); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"time":"2026-11`); err != nil {
		t.Fatal(err)
	}
	file.Close()
	if err := open(t, path).Add(entry(Started, "kwok", 2)); err != nil {
		t.Fatal(err)
	}
	again := open(t, path)
	for _, part := range []string{"etcd", "kwok"} {
		if _, ok := again.LastStart(part); !ok {
			t.Errorf("the start of %s is lost", part)
		}
	}
}

func TestJournalIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "starts.jsonl")
	line := `{"event":"started","part":"etcd","pid":1,"reason":"` + strings.Repeat("x", 400) + "\"}\n"
	if err := os.WriteFile(path, bytes.Repeat([]byte(line), journalLimit/len(line)+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Add(entry(Started, "kwok", 2)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > journalLimit*3/4 {
		t.Errorf("size = %d, %v; want it shortened", info.Size(), err)
	}
	if _, ok := open(t, path).LastStart("kwok"); !ok {
		t.Error("the newest line is lost")
	}
}

func TestBoundLogKeepsTheNewest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etcd.log")
	writer, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	write := func(text string) {
		if _, err := writer.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Repeat("a", 50) + strings.Repeat("b", 50))
	if err := BoundLog(path, 100); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); len(text) != 100 {
		t.Errorf("a log within its limit has %d bytes, want 100", len(text))
	}
	write("c")
	if err := BoundLog(path, 51); err != nil {
		t.Fatal(err)
	}
	write("d") // the process writes on, to the file it opened
	now, _ := os.ReadFile(path)
	before, _ := os.ReadFile(path + ".1")
	if string(now) != "d" || string(before) != strings.Repeat("b", 50)+"c" {
		t.Errorf("log = %q, before = %q", now, before)
	}
	if err := BoundLog(filepath.Join(t.TempDir(), "none"), 1); err != nil {
		t.Errorf("of no log: %v", err)
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	tests := map[string]struct {
		text, want string
	}{
		"fewer lines":    {"a\n", "a"},
		"more lines":     {"a\nb\nc\n", "b\nc"},
		"no end of line": {"a\nb\nc", "b\nc"},
		"empty":          {"", ""},
		"very long":      {strings.Repeat("x", 2*tailBytes) + "\nb\nc\n", "b\nc"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := Tail(path, 2); got != test.want {
				t.Errorf("Tail = %q, want %q", got, test.want)
			}
		})
	}
	if got := Tail(path+".none", 2); got != "" {
		t.Errorf("Tail of no file = %q", got)
	}
}
