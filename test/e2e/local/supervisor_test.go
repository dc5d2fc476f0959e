//go:build e2e

package local_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/local"
)

// kill kills a process that this test's member has, by its ID.
func kill(t *testing.T, id process.ID) {
	t.Helper()
	p, err := process.Adopt(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Ended()
}

// running are the IDs of the member's parts, by the marks they were started with.
func running(t *testing.T, w *localWorld, name string) map[string]process.ID {
	t.Helper()
	found, err := process.Find(w.Folder(name) + " ")
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]process.ID{}
	for id, mark := range found {
		if mark == "supervisor" {
			continue
		}
		if other, twice := parts[mark]; twice {
			t.Fatalf("two processes are %s: %d and %d", mark, id.PID, other.PID)
		}
		parts[mark] = id
	}
	return parts
}

// The parts outlive a supervisor that is killed; the next one adopts them. A
// part that is killed is started again.
func TestLocalSupervisorAdopts(t *testing.T) {
	w := newLocalWorld(t)
	client := w.create(t, "adopt", v136, local.PoolSpec{Name: "a", Size: 1})
	before := running(t, w, "adopt")
	if len(before) != len(controlplane.Parts()) {
		t.Fatalf("running = %v, want every part", before)
	}
	lines := len(w.starts(t, "adopt"))

	first := w.supervisor(t, "adopt")
	kill(t, first)
	if _, err := client.Discovery().ServerVersion(); err != nil {
		t.Errorf("the API server does not answer without a supervisor: %v", err)
	}
	if _, err := w.provider.Observe(t.Context(), provider.Ref{Name: "adopt"}); provider.AsFault(err).Code != provider.CodeUnreachable {
		t.Errorf("observing without a supervisor = %v, want %s", err, provider.CodeUnreachable)
	}
	w.keepUntilSupervised(t, "adopt")
	for mark, id := range running(t, w, "adopt") {
		if before[mark] != id {
			t.Errorf("%s is process %d, want %d: it should have been adopted", mark, id.PID, before[mark].PID)
		}
	}
	if n := len(w.starts(t, "adopt")); n != lines {
		t.Errorf("the journal has %d lines, want %d: nothing was started", n, lines)
	}

	server := before[string(controlplane.APIServer)+" "+v136]
	kill(t, server)
	eventually(t, time.Minute, "the API server is started again", func() error {
		if now := running(t, w, "adopt")[string(controlplane.APIServer)+" "+v136]; now == server || now.PID == 0 {
			return errors.New("not yet")
		}
		_, err := client.Discovery().ServerVersion()
		return err
	})
	if n := started(w.starts(t, "adopt"), controlplane.APIServer, v136); n != 2 {
		t.Errorf("the API server was started %d times, want twice", n)
	}
}

// keepUntilSupervised does what a running "refit up" does.
func (w *localWorld) keepUntilSupervised(t *testing.T, name string) {
	t.Helper()
	eventually(t, time.Minute, "the member is supervised", func() error {
		if err := w.Keep(t.Context()); err != nil {
			return err
		}
		_, err := w.provider.Observe(t.Context(), provider.Ref{Name: name})
		return err
	})
}

// An upgrade whose supervisor is killed at any point goes on where it was, and
// starts each version of each part once.
func TestLocalUpgradeSurvivesKills(t *testing.T) {
	w := newLocalWorld(t)
	client := w.create(t, "kills", v136)
	points := []struct {
		name    string
		reached func(o provider.Operation, marks map[string]process.ID, to string) bool
	}{
		{"accepted", func(provider.Operation, map[string]process.ID, string) bool { return true }},
		{"old API server ending", func(o provider.Operation, _ map[string]process.ID, _ string) bool {
			return strings.Contains(o.Message, "to end")
		}},
		{"new API server started", func(_ provider.Operation, marks map[string]process.ID, to string) bool {
			return marks[string(controlplane.APIServer)+" "+to].PID != 0
		}},
		{"controller-manager next", func(o provider.Operation, _ map[string]process.ID, _ string) bool {
			return strings.Contains(o.Message, string(controlplane.ControllerManager))
		}},
		{"scheduler next", func(o provider.Operation, _ map[string]process.ID, _ string) bool {
			return strings.Contains(o.Message, string(controlplane.Scheduler)) || o.Phase != provider.Running
		}},
	}
	from := v136
	for i, point := range points {
		to := fmt.Sprintf("v1.36.%d", 10+i)
		t.Run(strings.ReplaceAll(point.name, " ", "-"), func(t *testing.T) {
			w.upgrade(t, "kills", from, to)
			eventually(t, time.Minute, "reach: "+point.name, func() error {
				for _, o := range w.observe(t, "kills").Operations {
					if o.To.Version.String() == to && point.reached(o, running(t, w, "kills"), to) {
						return nil
					}
				}
				return errors.New("not yet")
			})
			kill(t, w.supervisor(t, "kills"))
			w.keepUntilSupervised(t, "kills")
			if o := w.ended(t, "kills"); o.Phase != provider.Succeeded || o.To.Version.String() != to {
				t.Fatalf("operation = %+v, want success at %s", o, to)
			}
			entries := w.starts(t, "kills")
			for _, part := range []controlplane.Part{controlplane.APIServer, controlplane.ControllerManager, controlplane.Scheduler} {
				if n := started(entries, part, to); n != 1 {
					t.Errorf("%s %s was started %d times, want once", part, to, n)
				}
			}
			if marks := running(t, w, "kills"); len(marks) != len(controlplane.Parts()) {
				t.Errorf("running = %v, want each part once", marks)
			}
		})
		from = to
	}
	if _, err := client.Discovery().ServerVersion(); err != nil {
		t.Error(err)
	}
}

// A new API server that fails before it was Ready is taken back, with its last
// words as the reason.
func TestLocalUpgradeGoesBack(t *testing.T) {
	w := newLocalWorld(t)
	client := w.create(t, "back", v136)
	w.upgrade(t, "back", v136, exitsAtOnce)
	failed := w.ended(t, "back")
	if failed.Phase != provider.Failed || failed.Code != controlplane.ExitedAtOnce || !strings.Contains(failed.Message, "no such flag") {
		t.Errorf("operation = %+v, want %s with what it printed", failed, controlplane.ExitedAtOnce)
	}
	if _, err := client.Discovery().ServerVersion(); err != nil {
		t.Errorf("the old API server is not back: %v", err)
	}
	if n := started(w.starts(t, "back"), controlplane.APIServer, exitsAtOnce); n != 1 {
		t.Errorf("the broken API server was started %d times, want once", n)
	}
	again, err := w.provider.Ensure(t.Context(), provider.Ref{Name: "back"}, change(t, v136, exitsAtOnce))
	if err != nil || again.ID != failed.ID {
		t.Errorf("the same token again = %+v, %v; want operation %s", again, err, failed.ID)
	}
	for _, wrong := range []struct{ from, to, code string }{
		{v136, "v1.38.0", provider.CodeInvalid},
		{v136, "v1.35.4", provider.CodeInvalid},
		{"v1.36.1", "v1.36.2", provider.CodeChanged},
	} {
		_, err := w.provider.Ensure(t.Context(), provider.Ref{Name: "back"}, change(t, wrong.from, wrong.to))
		if fault := provider.AsFault(err); err == nil || fault.Class != provider.Stop || fault.Code != wrong.code {
			t.Errorf("%s → %s = %v, want a stop with %s", wrong.from, wrong.to, err, wrong.code)
		}
	}
	w.neverReady(t, client)
}

// neverReady goes to an API server that starts and does not serve.
func (w *localWorld) neverReady(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	w.provider.ReadyLimit = 5 * time.Second
	w.upgrade(t, "back", v136, neverReady)
	if o := w.ended(t, "back"); o.Phase != provider.Failed || o.Code != controlplane.NeverReady {
		t.Errorf("operation = %+v, want %s", o, controlplane.NeverReady)
	}
	if _, err := client.Discovery().ServerVersion(); err != nil {
		t.Errorf("the old API server is not back: %v", err)
	}
}

// Deleting a member leaves nothing: no process, port or file. That holds for
// one whose supervisor is dead, and for one that was never made in full.
func TestLocalDeleteLeavesNothing(t *testing.T) {
	w := newLocalWorld(t)
	w.create(t, "gone", v136, local.PoolSpec{Name: "a", Size: 20})
	config, err := w.provider.Connect(t.Context(), provider.Ref{Name: "gone"})
	if err != nil {
		t.Fatal(err)
	}
	kill(t, w.supervisor(t, "gone"))
	begun := time.Now()
	if err := w.Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	t.Logf("deleted in %s", time.Since(begun).Round(time.Millisecond))
	w.isGone(t, "gone", strings.TrimPrefix(config.Host, "https://"))

	ctx, cancel := context.WithCancel(t.Context())
	err = w.Create(ctx, local.Spec{Name: "cut", Version: parse(t, v136), Pools: []local.PoolSpec{{Name: "a", Size: 5}}}, func(text string) {
		if strings.Contains(text, "nodes are Ready") {
			cancel() // as Ctrl-C does
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted creation = %v, want %v", err, context.Canceled)
	}
	w.isGone(t, "cut", "")
}

func (w *localWorld) isGone(t *testing.T, name, address string) {
	t.Helper()
	found, err := process.Find(w.Folder(name) + " ")
	if err != nil || len(found) != 0 {
		t.Errorf("processes left = %v, %v; want none", found, err)
	}
	if _, err := os.Stat(w.Folder(name)); !os.IsNotExist(err) {
		t.Errorf("%s is still there", w.Folder(name))
	}
	if conn, err := net.Dial("tcp", address); address != "" && err == nil {
		t.Errorf("something still listens on %s", address)
		conn.Close()
	}
	left, _ := filepath.Glob(filepath.Join(w.Dir, "local", "[^.]*"))
	if len(left) != 0 {
		t.Errorf("left in the data directory: %v", left)
	}
}

// A stopped member keeps its data and stays stopped, and starts again.
func TestLocalStopAndStart(t *testing.T) {
	w := newLocalWorld(t)
	client := w.create(t, "rest", v136, local.PoolSpec{Name: "a", Size: 3})
	uids := nodeUIDs(t, client)
	if err := w.StopAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := running(t, w, "rest"); len(left) != 0 {
		t.Errorf("running while stopped: %v", left)
	}
	begun := time.Now()
	if err := w.StartAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "every node is Ready", func() error {
		ready, err := readyNodes(t.Context(), client)
		if err == nil && ready != len(uids) {
			err = fmt.Errorf("%d of %d are Ready", ready, len(uids))
		}
		return err
	})
	t.Logf("started again, with every node Ready, in %s", time.Since(begun).Round(time.Millisecond))
	for name, uid := range nodeUIDs(t, client) {
		if uids[name] != uid {
			t.Errorf("node %s has another UID", name)
		}
	}
}
