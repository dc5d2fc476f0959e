package cli

import (
	"bytes"
	testflag "flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tty "github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/term"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
)

var update = testflag.Bool("update", false, "write the golden files")

// golden compares text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; go test -update writes it):\n%s", path, diff)
	}
}

// A pty is a terminal that a test looks at: what is written to tty comes out of
// the other end.
type pty struct {
	t     *testing.T
	tty   *os.File
	other *os.File
}

func openPty(t *testing.T, width, height uint16) *pty {
	t.Helper()
	other, inner, err := tty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	t.Cleanup(func() { inner.Close() })
	if _, err := term.MakeRaw(int(inner.Fd())); err != nil { // so that "\n" comes out as "\n"
		t.Fatal(err)
	}
	p := &pty{t: t, tty: inner, other: other}
	p.resize(width, height)
	return p
}

func (p *pty) resize(width, height uint16) {
	p.t.Helper()
	if err := tty.Setsize(p.tty, &tty.Winsize{Cols: width, Rows: height}); err != nil {
		p.t.Fatal(err)
	}
}

// written is what was written since it was last asked for.
func (p *pty) written() string {
	p.t.Helper()
	return p.during(func() {})
}

// during is what is written while something is done; a terminal holds a few
// thousand bytes that nobody reads, and no more.
func (p *pty) during(do func()) string {
	p.t.Helper()
	const end = "\x00" // no picture has it
	go func() {
		do()
		_, _ = io.WriteString(p.tty, end)
	}()
	var all []byte
	for !bytes.HasSuffix(all, []byte(end)) {
		part := make([]byte, 4096)
		n, err := p.other.Read(part)
		if err != nil {
			p.t.Fatal(err)
		}
		all = append(all, part[:n]...)
	}
	return strings.TrimSuffix(string(all), end)
}

// shown is a hub of which there is much to say: somebody's node drains, somebody
// waits for a person, one is there.
func shown() observe.Hub {
	hub := heldHub(func(h *observe.Hub) {
		long := &h.Members[0]
		long.Name = "payments-eu-central-1-production"
		for i := range h.Members {
			h.Members[i].Status.Conditions = []metav1.Condition{{Type: v1.ConditionReady, Status: metav1.ConditionTrue}}
		}
		there := *h.Members[1].DeepCopy()
		there.Name, there.Status.ControlPlane.Version = "three", "v1.37.2"
		behind := *h.Members[1].DeepCopy()
		behind.Name, behind.Status.ControlPlane.Version = "far-behind", "v1.34.1"
		h.Members = append(h.Members, there, behind)
		h.Upgrades = []v1.ClusterUpgrade{{
			ObjectMeta: metav1.ObjectMeta{Name: long.Name + ".1", CreationTimestamp: metav1.NewTime(ten.Add(-time.Hour))},
			Spec:       v1.ClusterUpgradeSpec{Member: long.Name, Fleet: "main", FleetUID: "uid-main", Wave: "all"},
			Status: v1.ClusterUpgradeStatus{
				Hop: "v1.37.2", Step: "Nodes", Nodes: v1.UpgradeNodes{Total: 20, Done: 3},
				Why: &v1.Why{
					Code: "BudgetExhausted", Object: "poddisruptionbudget shop/web", Since: metav1.NewTime(ten.Add(-4 * time.Minute)),
					Message: "pod shop/web-1 on node a-4 may not be evicted: PodDisruptionBudget shop/web allows no disruption (3 healthy, 3 wanted)",
					Fix:     "bring more of its pods to Ready, or let it allow a disruption: kubectl edit poddisruptionbudget -n shop web",
				},
				Steps: []v1.StepStatus{
					{Hop: "v1.37.2", Name: "ControlPlane", Started: metav1.NewTime(ten.Add(-time.Hour)), Finished: metav1.NewTime(ten.Add(-50 * time.Minute))},
					{Hop: "v1.37.2", Name: "Nodes", Started: metav1.NewTime(ten.Add(-40 * time.Minute))},
				},
			},
		}}
	})
	hub.Fleets[0].Spec.Waves[0].MaxConcurrent.IntVal = 3
	frozen(v1.FreezeSpec{Member: "two", Stops: v1.StopsStarts, Reason: "audit"})(&hub)
	return hub
}

// What people see of a terminal that is narrow or wide, with colours and without,
// and of a pipe.
func TestTerminals(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	app := unreached(t)
	app.Now = func() time.Time { return ten }
	kubeconfig := serve(t, shown())
	for _, command := range []string{"status", "plan", "why payments-eu-central-1-production"} {
		args := append(strings.Fields(command), "--kubeconfig", kubeconfig)
		name := strings.Fields(command)[0]
		for _, noColor := range []string{"", "1"} {
			t.Setenv("NO_COLOR", noColor)
			for _, width := range []uint16{60, 160} {
				file := fmt.Sprintf("%s-%d.golden", name, width)
				if noColor == "" {
					file = fmt.Sprintf("%s-%d-color.golden", name, width)
				}
				p := openPty(t, width, 5) // lower than what is shown: one picture is shown whole
				code := -1
				golden(t, file, p.during(func() { code = Run(t.Context(), app, args, p.tty, p.tty) }))
				if code != 0 {
					t.Errorf("%s exits with %d", command, code)
				}
			}
			var out bytes.Buffer
			if code := Run(t.Context(), app, args, &out, &out); code != 0 {
				t.Errorf("%s exits with %d: %s", command, code, out.String())
			}
			golden(t, name+"-pipe.golden", out.String())
		}
	}
}

// A pipe, too, is a file; it has no width and gets no colours.
func TestPipe(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	t.Setenv("NO_COLOR", "")
	t.Setenv("COLUMNS", "40")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	app := unreached(t)
	app.Now = func() time.Time { return ten }
	code := Run(t.Context(), app, []string{"status", "--kubeconfig", serve(t, shown())}, writer, writer)
	writer.Close()
	text, err := io.ReadAll(reader)
	if code != 0 || err != nil {
		t.Fatal(code, err)
	}
	golden(t, "status-pipe.golden", string(text))
}
