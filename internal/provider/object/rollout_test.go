package object_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/contract"
)

func change(w contract.World, token string) provider.Change {
	return provider.Change{
		Part: provider.Part{Kind: provider.PartControlPlane}, Token: token,
		From: provider.State{Version: w.Versions.Old}, To: provider.State{Version: w.Versions.Next},
	}
}

func observe(t *testing.T, w contract.World, ref provider.Ref) provider.Observation {
	t.Helper()
	seen, err := w.Provider.Observe(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// TestTopology: one field carries control plane and workers, and its operation has
// not ended before the workers are there, however green the control plane is.
func TestTopology(t *testing.T) {
	w, m := newWorldOf(t, true)
	ref := w.Cluster("one")
	for _, pool := range observe(t, w, ref).Pools {
		if pool.RolledBy != fleet.WithControlPlane {
			t.Errorf("pool %s is rolled by %s, want that it goes along with the control plane", pool.Name, pool.RolledBy)
		}
	}
	if op, err := w.Provider.Ensure(t.Context(), ref, change(w, "t")); err != nil || op.Phase != provider.Running || op.Token != "t" {
		t.Fatalf("operation = %+v, %v, want that it runs", op, err)
	}
	green := false
	for range 100 {
		w.Pass()
		seen := observe(t, w, ref)
		behind := slices.ContainsFunc(seen.Pools, func(p provider.Pool) bool {
			return slices.ContainsFunc(p.Instances, func(i provider.Instance) bool { return i.State.Version != w.Versions.Next })
		})
		green = green || behind && seen.ControlPlane.Oldest == w.Versions.Next && seen.ControlPlane.Ready
		if len(seen.Operations) != 1 || seen.Operations[0].Token != "t" || seen.Operations[0].To.Version != w.Versions.Next {
			t.Fatalf("operations = %+v, want one of ours", seen.Operations)
		}
		if seen.Operations[0].Phase == provider.Succeeded {
			if behind || !green {
				t.Errorf("it has succeeded with pools %+v; control plane alone there before: %t", seen.Pools, green)
			}
			break
		}
	}
	if want := []string{at(clusters, "one", "one")}; !slices.Equal(m.writes, want) {
		t.Errorf("written: %v, want %v", m.writes, want)
	}
	pool := change(w, "pool")
	pool.Part = provider.Part{Kind: provider.PartPool, Pool: "a"}
	if _, err := w.Provider.Ensure(t.Context(), ref, pool); codeOf(err) != provider.CodeInvalid {
		t.Errorf("change of a pool: %v, want %s", err, provider.CodeInvalid)
	}
}

// TestProfileThatIsAnother: a version that follows from a topology is not written
// where Cluster API would take it back.
func TestProfileThatIsAnother(t *testing.T) {
	for _, c := range []struct {
		topology      bool
		profile, want string
	}{
		{true, "ClusterAPI", "name it with the profile ClusterAPITopology"},
		{false, "ClusterAPITopology", "name it with the profile ClusterAPI"},
	} {
		w, m := newWorldOf(t, c.topology)
		ref := w.Cluster("one")
		ref.Object.Profile = c.profile
		_, err := w.Provider.Ensure(t.Context(), ref, change(w, "t"))
		if codeOf(err) != provider.CodeInvalid || !strings.Contains(err.Error(), c.want) || len(m.writes) > 0 {
			t.Errorf("error = %v, written %v; want %q", err, m.writes, c.want)
		}
	}
}

// TestNote: version and note are one write, and say whose it is to everybody.
func TestNote(t *testing.T) {
	w, m := newWorldOf(t, false)
	ref := w.Cluster("one")
	if _, err := w.Provider.Ensure(t.Context(), ref, change(w, "t")); err != nil {
		t.Fatal(err)
	}
	path := at(controlPlanes, "one", "one-control")
	if !slices.Equal(m.writes, []string{path}) {
		t.Errorf("written: %v, want %s once", m.writes, path)
	}
	if !strings.HasPrefix(m.writer, "object.test/") {
		t.Errorf("written by %q, want the name of the program", m.writer)
	}
	var note struct{ Token, From, To string }
	if err := json.Unmarshal([]byte(m.objects[path].GetAnnotations()["refit.dev/operation"]), &note); err != nil {
		t.Fatal(err)
	}
	if note.Token != "t" || note.From != w.Versions.Old.String() || note.To != w.Versions.Next.String() {
		t.Errorf("note = %+v", note)
	}
}

// TestWrittenMeanwhile: what somebody has written since it was read is not written
// over.
func TestWrittenMeanwhile(t *testing.T) {
	w, m := newWorldOf(t, false)
	ref := w.Cluster("one")
	m.meanwhile = func() { m.touch(at(controlPlanes, "one", "one-control")) }
	_, err := w.Provider.Ensure(t.Context(), ref, change(w, "t"))
	if fault := provider.AsFault(err); err == nil || fault.Class != provider.Retry || fault.Code != provider.CodeInProgress || len(m.writes) > 0 {
		t.Errorf("error = %v, written %v, want that it is tried again", err, m.writes)
	}
}

// TestPaused: nothing is asked of managers that do not listen.
func TestPaused(t *testing.T) {
	w, m := newWorldOf(t, false)
	ref := w.Cluster("one")
	m.do(func() { m.objects[at(clusters, "one", "one")].Object["spec"].(map[string]any)["paused"] = true })
	_, err := w.Provider.Ensure(t.Context(), ref, change(w, "t"))
	if fault := provider.AsFault(err); err == nil || fault.Class != provider.Wait || !strings.Contains(err.Error(), "paused") || len(m.writes) > 0 {
		t.Errorf("error = %v, written %v, want that it waits", err, m.writes)
	}
}

// TestBusyElsewhere: a rollout that is no change of version is somebody's too, and
// waited for.
func TestBusyElsewhere(t *testing.T) {
	w, m := newWorldOf(t, false)
	ref := w.Cluster("one")
	m.do(func() {
		m.objects[at(controlPlanes, "one", "one-control")].Object["status"].(map[string]any)["upToDateReplicas"] = int64(0)
	})
	seen := observe(t, w, ref)
	if len(seen.Operations) != 1 || !seen.Operations[0].Foreign || !seen.Operations[0].To.Version.IsZero() {
		t.Errorf("operations = %+v, want a foreign one to no version", seen.Operations)
	}
	if _, err := w.Provider.Ensure(t.Context(), ref, change(w, "t")); provider.AsFault(err).Class != provider.Wait || len(m.writes) > 0 {
		t.Errorf("error = %v, want that it waits", err)
	}
}

// TestRefused: what a webhook says no to is no question of rights.
func TestRefused(t *testing.T) {
	for reason, want := range map[string]struct {
		code  int
		class provider.Class
		port  string
	}{
		"Invalid":   {422, provider.Stop, provider.CodeInvalid},
		"Forbidden": {403, provider.Retry, provider.CodeUnauthorized},
		`Forbidden by admission webhook "validation.kubeadmcontrolplane"`: {403, provider.Stop, provider.CodeInvalid},
	} {
		w, m := newWorldOf(t, false)
		ref := w.Cluster("one")
		m.refusal, m.refusedWith = reason, want.code
		_, err := w.Provider.Ensure(t.Context(), ref, change(w, "t"))
		if fault := provider.AsFault(err); err == nil || fault.Class != want.class || fault.Code != want.port {
			t.Errorf("%s is %v, want %s %s", reason, err, want.class, want.port)
		}
	}
}

// TestReady: a control plane that lacks a machine is not ready.
func TestReady(t *testing.T) {
	w, m := newWorldOf(t, false)
	ref := w.Cluster("one")
	status := m.objects[at(controlPlanes, "one", "one-control")].Object["status"].(map[string]any)
	m.do(func() { status["readyReplicas"] = int64(0) })
	if cp := observe(t, w, ref).ControlPlane; cp.Ready || cp.Message == "" {
		t.Errorf("control plane = %+v, want that it is not ready, and why", cp)
	}
	m.do(func() {
		status["readyReplicas"] = int64(1)
		status["conditions"] = []any{map[string]any{"type": "Available", "status": "False", "message": "etcd is gone"}}
	})
	if cp := observe(t, w, ref).ControlPlane; cp.Ready || !strings.Contains(cp.Message, "etcd is gone") {
		t.Errorf("control plane = %+v, want that it is not ready, and why", cp)
	}
}

// TestEmptyPool: a group of no machines is where it is asked to be.
func TestEmptyPool(t *testing.T) {
	w, m := newWorldOf(t, false)
	ref := w.Cluster("one")
	m.do(func() {
		o := m.objects[at(machineDeployments, "one", "b")]
		o.Object["spec"].(map[string]any)["replicas"] = int64(0)
		o.Object["status"] = map[string]any{"observedGeneration": o.GetGeneration()}
	})
	if seen := observe(t, w, ref); len(seen.Operations) != 0 {
		t.Errorf("operations = %+v, want none", seen.Operations)
	}
}
