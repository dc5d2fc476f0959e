package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"refit.dev/refit/internal/kube/controlplane/fakepart"
	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/provider"
)

const (
	older = "v1.36.3"
	newer = "v1.37.2"
	// missing is the one version that getFake does not have.
	missing = "v1.36.97"
)

// TestMain makes this binary the supervisors and the parts of the tests' members.
func TestMain(m *testing.M) {
	if code, played := fakepart.Play(); played {
		os.Exit(code)
	}
	if len(os.Args) == 3 && os.Args[1] == "supervise" {
		ctx, cancel := context.WithTimeout(context.Background(), fakepart.Life)
		defer cancel()
		err := Supervise(ctx, os.Args[2], getFake, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		if held := (*process.HeldError)(nil); err != nil && !errors.As(err, &held) {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(run(m))
}

// binariesVariable tells the supervisors where the parts are to be installed.
const binariesVariable = "REFIT_TEST_BINARIES"

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "refit-fake-binaries")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Setenv(binariesVariable, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// getFake has every version but one.
func getFake(_ context.Context, artefact, version string, report func(string)) (string, error) {
	report("installing " + artefact + " " + version)
	if version == missing {
		return "", errors.New("there is no " + missing + "; the newest is v1.36.3")
	}
	return fakepart.Install(os.Getenv(binariesVariable), artefact, version)
}

// world is a data directory with its members.
type world struct {
	Members
	provider *Provider
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{
		Members:  Members{Dir: dir, Supervisor: []string{os.Args[0], "supervise"}, Get: getFake},
		provider: &Provider{Dir: dir},
	}
	t.Cleanup(func() {
		names, err := w.Names()
		if err != nil {
			t.Error(err)
		}
		for _, name := range names {
			if t.Failed() {
				_ = w.CopyLog(name, SupervisorLog, os.Stderr)
			}
			if err := w.Delete(context.Background(), name); err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

func spec(t *testing.T, name string, pools ...PoolSpec) Spec {
	t.Helper()
	return Spec{Name: name, Version: parse(t, older), Pools: pools, Labels: map[string]string{"env": "dev"}}
}

func (w *world) create(t *testing.T, name string, pools ...PoolSpec) provider.Ref {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.Create(ctx, spec(t, name, pools...), func(string) {}); err != nil {
		t.Fatal(err)
	}
	return provider.Ref{Name: name}
}

func (w *world) observe(t *testing.T, ref provider.Ref) provider.Observation {
	t.Helper()
	o, err := w.provider.Observe(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// until waits for something to be observed.
func (w *world) until(t *testing.T, ref provider.Ref, what string, so func(provider.Observation) bool) provider.Observation {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		o, err := w.provider.Observe(t.Context(), ref)
		if err == nil && so(o) {
			return o
		}
		if time.Now().After(deadline) {
			t.Fatalf("not so within a minute: %s; %+v, %v", what, o, err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func controlPlaneChange(t *testing.T, from, to, token string) provider.Change {
	t.Helper()
	return provider.Change{
		Part: provider.Part{Kind: provider.PartControlPlane}, Token: token,
		From: provider.State{Version: parse(t, from)}, To: provider.State{Version: parse(t, to)},
	}
}

func poolChange(t *testing.T, pool, from, to, token string) provider.Change {
	t.Helper()
	c := controlPlaneChange(t, from, to, token)
	c.Part = provider.Part{Kind: provider.PartPool, Pool: pool}
	return c
}

func ids(pool provider.Pool) []string {
	var all []string
	for _, instance := range pool.Instances {
		all = append(all, instance.ID)
	}
	return all
}
