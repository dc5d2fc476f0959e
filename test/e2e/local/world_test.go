//go:build e2e

package local_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/kube"
	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/local"
)

// The three minors that members run in these tests.
const (
	v135 = "v1.35.4"
	v136 = "v1.36.3"
	v137 = "v1.37.2"
)

// A localWorld is a data directory of its own, with its members, and what a
// person and Refit use to reach them.
type localWorld struct {
	local.Members
	provider *local.Provider
	auditLog bool
}

// newLocalWorld makes one, and deletes all its members when the test ends.
func newLocalWorld(t *testing.T) *localWorld {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &localWorld{
		Members: local.Members{
			Dir: dir, Get: binaries(dir),
			Supervisor: []string{self, "-test.run=^TestSuperviseHelper$", "-test.timeout=0", "-test.v"},
		},
		provider: &local.Provider{Dir: dir},
	}
	t.Cleanup(func() {
		names, err := w.Names()
		if err != nil {
			t.Error(err)
		}
		for _, name := range names {
			if t.Failed() {
				w.keepLogs(t, name)
			}
			if err := w.Delete(context.Background(), name); err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

// TestSuperviseHelper is no test: it is the process that supervises a member,
// where the other tests start this binary with a folder as its argument.
func TestSuperviseHelper(t *testing.T) {
	if flag.NArg() != 1 {
		return
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	// Whoever forgot to end it: the processes of a test that was killed are nobody's.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	err := local.Supervise(ctx, flag.Arg(0), binaries(flag.Arg(0)), log)
	if held := (*process.HeldError)(nil); errors.As(err, &held) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
}

// binaries gets real ones. A patch version of v1.36 that was never released is
// v1.36.3 by another name, so that there are enough versions to go to; two
// others name API servers that fail.
func binaries(dir string) controlplane.Get {
	return func(ctx context.Context, artefact, version string, _ func(string)) (string, error) {
		switch version {
		case exitsAtOnce:
			return brokenBinaries(filepath.Join(dir, "exits"), "#!/bin/sh\necho no such flag >&2\nexit 3\n")
		case missing:
			return "", errors.New("there is no " + missing)
		case neverReady:
			return brokenBinaries(filepath.Join(dir, "sleeps"), "#!/bin/sh\nexec sleep 600\n")
		case v135, v136, v137, kube.EtcdVersion, kube.KwokVersion:
		default:
			version = v136
		}
		store, err := kube.UserStore(os.Stderr)
		if err != nil {
			return "", err
		}
		return store.Get(ctx, kube.Artefact{Name: artefact, Version: version})
	}
}

const (
	missing     = "v1.36.97"
	exitsAtOnce = "v1.36.98"
	neverReady  = "v1.36.99"
)

func brokenBinaries(dir, script string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "kube-apiserver"), []byte(script), 0o700)
}

// keepLogs copies a member's logs to where the run keeps them.
func (w *localWorld) keepLogs(t *testing.T, name string) {
	t.Helper()
	to := os.Getenv("REFIT_E2E_LOGS")
	if to == "" {
		to = os.TempDir()
	}
	files, _ := filepath.Glob(filepath.Join(w.Folder(name), "logs", "*.log"))
	for _, file := range append(files, controlplane.Journal(w.Folder(name))) {
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, strings.ReplaceAll(t.Name(), "/", "-")+"-"+name+"-"+filepath.Base(file)), text, 0o600)
		}
		if err != nil {
			t.Log(err)
		}
	}
}

// create makes a member, and tells how long that took.
func (w *localWorld) create(t *testing.T, name, version string, pools ...local.PoolSpec) kubernetes.Interface {
	t.Helper()
	begun := time.Now()
	spec := local.Spec{Name: name, Version: parse(t, version), Pools: pools, AuditLog: w.auditLog}
	if err := w.Create(t.Context(), spec, func(text string) { t.Log(text) }); err != nil {
		t.Fatal(err)
	}
	t.Logf("created %s with %s in %s", name, version, time.Since(begun).Round(time.Millisecond))
	return w.client(t, name)
}

func (w *localWorld) client(t *testing.T, name string) kubernetes.Interface {
	t.Helper()
	config, err := w.provider.Connect(t.Context(), provider.Ref{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = -1, -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (w *localWorld) observe(t *testing.T, name string) provider.Observation {
	t.Helper()
	o, err := w.provider.Observe(t.Context(), provider.Ref{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// upgrade asks for a control-plane upgrade and does not wait for it.
func (w *localWorld) upgrade(t *testing.T, name, from, to string) provider.Operation {
	t.Helper()
	operation, err := w.provider.Ensure(t.Context(), provider.Ref{Name: name}, change(t, from, to))
	if err != nil {
		t.Fatal(err)
	}
	return operation
}

func change(t *testing.T, from, to string) provider.Change {
	t.Helper()
	return provider.Change{
		Part: provider.Part{Kind: provider.PartControlPlane},
		From: provider.State{Version: parse(t, from)}, To: provider.State{Version: parse(t, to)},
		Token: fleet.Token(t.Name(), from, to),
	}
}

// ended waits for the end of the control plane's last operation.
func (w *localWorld) ended(t *testing.T, name string) provider.Operation {
	t.Helper()
	var last provider.Operation
	eventually(t, 3*time.Minute, "the operation ends", func() error {
		o, err := w.provider.Observe(t.Context(), provider.Ref{Name: name})
		if err != nil {
			return err
		}
		for _, operation := range o.Operations { // the newest of a part first
			if operation.Part.Kind == provider.PartControlPlane {
				last = operation
				break
			}
		}
		if last.Phase == provider.Running {
			return errors.New(last.Message)
		}
		return nil
	})
	return last
}

// starts reads the member's journal.
func (w *localWorld) starts(t *testing.T, name string) []process.Entry {
	t.Helper()
	file, err := os.Open(controlplane.Journal(w.Folder(name)))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var entries []process.Entry
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var entry process.Entry
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		entries = append(entries, entry)
	}
	return entries
}

// started counts the starts of a part of a version.
func started(entries []process.Entry, part controlplane.Part, version string) int {
	n := 0
	for _, entry := range entries {
		if entry.Event == process.Started && entry.Part == string(part) && entry.Version == version {
			n++
		}
	}
	return n
}

// supervisor is the process that holds the member's lock.
func (w *localWorld) supervisor(t *testing.T, name string) process.ID {
	t.Helper()
	id, alive := process.Holder(filepath.Join(w.Folder(name), "lock"))
	if !alive {
		t.Fatalf("%s has no supervisor", name)
	}
	return id
}

func parse(t *testing.T, text string) fleet.Version {
	t.Helper()
	v, ok := fleet.ParseVersion(text)
	if !ok {
		t.Fatalf("%q is no version", text)
	}
	return v
}

// eventually tries until there is no error, or fails with the last one.
func eventually(t *testing.T, limit time.Duration, what string, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
	}
}
