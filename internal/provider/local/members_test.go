package local

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/discovery"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/fakepart"
	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/provider"
)

// A member is created, upgraded, its pool rolled by one node, and deleted.
func TestLifeOfAMember(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.create(t, "dev", PoolSpec{"a", 3}, PoolSpec{"b", 2})
	o := w.observe(t, ref)
	if !o.ControlPlane.Ready || o.ControlPlane.Oldest.String() != older || len(o.Pools) != 2 || len(o.Pools[0].Instances) != 3 || o.Pools[0].RolledBy != fleet.ByRefit || o.UID == "" {
		t.Fatalf("observed = %+v", o)
	}
	config, err := w.provider.Connect(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if served, err := discovery.NewDiscoveryClientForConfigOrDie(config).ServerVersion(); err != nil || served.GitVersion != older {
		t.Errorf("the member's own API server answers %v, %v; want %s", served, err, older)
	}
	listed, err := w.List(t.Context())
	if err != nil || len(listed) != 1 {
		t.Fatalf("List = %+v, %v", listed, err)
	}
	if got := listed[0]; got.Name != "dev" || got.Version != older || got.Nodes != 5 || got.Status != "running" || got.PID == 0 || got.Labels["env"] != "dev" {
		t.Errorf("listed = %+v", got)
	}

	for range 2 { // asking twice is asking once
		if _, err := w.provider.Ensure(t.Context(), ref, controlPlaneChange(t, older, newer, "up")); err != nil {
			t.Fatal(err)
		}
	}
	o = w.until(t, ref, "the upgrade ends", func(o provider.Observation) bool { return o.Operations[0].Phase != provider.Running })
	if o.Operations[0].Phase != provider.Succeeded || o.ControlPlane.Newest.String() != newer {
		t.Fatalf("after the upgrade: %+v", o)
	}
	done, err := w.provider.Ensure(t.Context(), ref, controlPlaneChange(t, older, newer, "up"))
	if err != nil || done.ID != o.Operations[0].ID || done.Phase != provider.Succeeded {
		t.Errorf("the same token again = %+v, %v", done, err)
	}

	if o, err := w.provider.Ensure(t.Context(), ref, poolChange(t, "a", older, newer, "pool")); err != nil || o.Phase != provider.Succeeded {
		t.Fatalf("the template = %+v, %v", o, err)
	}
	replaced := o.Pools[0].Instances[0]
	if err := w.provider.AddNode(t.Context(), ref, provider.NodeAddition{Pool: "a", Replaces: replaced.ID, Token: "add"}); err != nil {
		t.Fatal(err)
	}
	o = w.until(t, ref, "one more instance", func(o provider.Observation) bool { return len(o.Pools[0].Instances) == 4 })
	if added := o.Pools[0].Instances[3]; added.State.Version.String() != newer || added.Replaces != replaced.ID {
		t.Errorf("added = %+v", added)
	}
	if err := w.provider.RemoveNode(t.Context(), ref, provider.NodeRemoval{Pool: "a", Instance: replaced.ID}); err != nil {
		t.Fatal(err)
	}
	w.until(t, ref, "the old instance is gone", func(o provider.Observation) bool { return len(o.Pools[0].Instances) == 3 })

	if err := w.Delete(t.Context(), "dev"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.provider.Observe(t.Context(), ref); code(err) != "Stop UnknownCluster" {
		t.Errorf("observing a deleted member = %v", err)
	}
	w.isGone(t, "dev")
}

func (w *world) isGone(t *testing.T, name string) {
	t.Helper()
	found, err := process.Find(folder(w.Folder(name)).mark())
	if err != nil || len(found) != 0 || exists(w.Folder(name)) {
		t.Errorf("left behind: processes %v, %v; folder %t", found, err, exists(w.Folder(name)))
	}
}

func TestEnsureRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.create(t, "dev", PoolSpec{"a", 1})
	tests := map[string]struct {
		ref    provider.Ref
		change provider.Change
		want   string
	}{
		"two minors":                  {ref, controlPlaneChange(t, older, "v1.38.0", "t"), "Stop Invalid"},
		"a minor back":                {ref, controlPlaneChange(t, older, "v1.35.4", "t"), "Stop Invalid"},
		"from elsewhere":              {ref, controlPlaneChange(t, "v1.36.1", "v1.36.2", "t"), "Stop Changed"},
		"nodes before control plane":  {ref, poolChange(t, "a", older, newer, "t"), "Stop Invalid"},
		"no such pool":                {ref, poolChange(t, "z", older, older, "t"), "Stop Invalid"},
		"a pool that is elsewhere":    {ref, poolChange(t, "a", "v1.36.1", "v1.36.2", "t"), "Stop Changed"},
		"no such member":              {provider.Ref{Name: "none"}, controlPlaneChange(t, older, newer, "t"), "Stop UnknownCluster"},
		"a name that leads elsewhere": {provider.Ref{Name: "../../etc"}, controlPlaneChange(t, older, newer, "t"), "Stop UnknownCluster"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := w.provider.Ensure(t.Context(), test.ref, test.change); code(err) != test.want {
				t.Errorf("Ensure = %v, want %s", err, test.want)
			}
		})
	}
	if o := w.observe(t, ref); len(o.Operations) != 0 {
		t.Errorf("operations = %+v, want none of what was refused", o.Operations)
	}
}

// An operation that cannot have its binaries says so, and one that runs keeps
// others out.
func TestOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.create(t, "dev")
	w.provider.ReadyLimit = time.Minute
	slow := controlPlaneChange(t, older, fakepart.NeverReady, "slow")
	if _, err := w.provider.Ensure(t.Context(), ref, slow); err != nil {
		t.Fatal(err)
	}
	w.until(t, ref, "the new API server is waited for", func(o provider.Observation) bool {
		return strings.Contains(o.Operations[0].Message, "to be Ready")
	})
	o := w.observe(t, ref)
	if !o.ControlPlane.Oldest.IsZero() || o.ControlPlane.Ready || o.ControlPlane.Message == "" {
		t.Errorf("control plane = %+v, want an unknown version, not ready, and why", o.ControlPlane)
	}
	if _, err := w.provider.Ensure(t.Context(), ref, controlPlaneChange(t, older, newer, "other")); code(err) != "Wait InProgress" {
		t.Errorf("another operation = %v, want Wait InProgress", err)
	}
	slow.Token = "another token"
	if same, err := w.provider.Ensure(t.Context(), ref, slow); err != nil || same.Token != "slow" || same.Phase != provider.Running {
		t.Errorf("the same way with another token = %+v, %v; want the one under way", same, err)
	}
	if err := w.Delete(t.Context(), "dev"); err != nil {
		t.Errorf("delete while an operation runs: %v", err)
	}

	ref = w.create(t, "other")
	if _, err := w.provider.Ensure(t.Context(), ref, controlPlaneChange(t, older, "v1.36.97", "none")); err != nil {
		t.Fatal(err)
	}
	o = w.until(t, ref, "the operation ends", func(o provider.Observation) bool { return o.Operations[0].Phase != provider.Running })
	if got := o.Operations[0]; got.Phase != provider.Failed || got.Code != controlplane.NoBinaries || !strings.Contains(got.Message, "the newest is v1.36.3") {
		t.Errorf("operation = %+v", got)
	}
	if !o.ControlPlane.Ready || o.ControlPlane.Oldest.String() != older {
		t.Errorf("control plane = %+v, want it untouched", o.ControlPlane)
	}
}

// A killed supervisor is missed, and replaced by Keep; what ran is adopted.
func TestKeep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.create(t, "dev", PoolSpec{"a", 2})
	before := w.observe(t, ref)
	f := folder(w.Folder("dev"))
	holder, _ := process.Holder(f.lock())
	if err := killOne(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	if _, err := w.provider.Observe(t.Context(), ref); code(err) != "Retry Unreachable" {
		t.Errorf("observing without a supervisor = %v", err)
	}
	if listed, _ := w.List(t.Context()); listed[0].Status != "not supervised" {
		t.Errorf("listed = %+v", listed)
	}
	keep := func(started time.Time) {
		if err := os.Chtimes(f.lock(), started, started); err != nil {
			t.Fatal(err)
		}
		if err := w.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	keep(time.Now())
	if _, alive := process.Holder(f.lock()); alive {
		t.Error("a supervisor that was started a moment ago is started again at once")
	}
	keep(time.Now().Add(-restBetweenStarts))
	keep(time.Now().Add(-restBetweenStarts)) // changes nothing
	after := w.observe(t, ref)
	if diff := cmp.Diff(ids(before.Pools[0]), ids(after.Pools[0])); diff != "" || before.UID != after.UID {
		t.Errorf("the member is another one: %s", diff)
	}
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.create(t, "one", PoolSpec{"a", 1}), w.create(t, "two")
	before := w.observe(t, one)
	if err := w.StopAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []provider.Ref{one, two} {
		if _, err := w.provider.Observe(t.Context(), ref); code(err) != "Wait Unreachable" {
			t.Errorf("observing stopped %s = %v", ref.Name, err)
		}
		if found, _ := process.Find(folder(w.Folder(ref.Name)).mark()); len(found) != 0 {
			t.Errorf("running while stopped: %v", found)
		}
	}
	if listed, _ := w.List(t.Context()); listed[0].Status != "stopped" || listed[0].PID != 0 || listed[0].Version != older {
		t.Errorf("listed = %+v", listed[0])
	}
	if err := w.StartAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := w.until(t, one, "it is ready", func(o provider.Observation) bool { return o.ControlPlane.Ready })
	if diff := cmp.Diff(ids(before.Pools[0]), ids(after.Pools[0])); diff != "" {
		t.Errorf("machines (-before +after):\n%s", diff)
	}
}

func TestCreateFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(t, "there")
	badVersion := spec(t, "dev")
	badVersion.Version = parse(t, "v1.36.97")
	tests := map[string]struct {
		spec Spec
		want string
	}{
		"exists":           {spec(t, "there"), `there is a local member "there" already; choose another name, or delete it with: refit local delete there`},
		"no such version":  {badVersion, "there is no v1.36.97; the newest is v1.36.3"},
		"bad name":         {spec(t, "Dev"), "no DNS label"},
		"starts, but ends": {Spec{Name: "dev", Version: parse(t, fakepart.ExitsAtOnce)}, "create dev: "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err := w.Create(ctx, test.spec, func(string) {})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Create = %v, want %q", err, test.want)
			}
			if names, _ := w.Names(); len(names) != 1 {
				t.Errorf("members = %v, want only the first", names)
			}
			w.isGone(t, "dev")
		})
	}
}

// A creation that was killed is seen as such, is not started, and makes way.
func TestHalfMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(t, "dev", PoolSpec{"a", 1})
	f := folder(w.Folder("dev"))
	if err := os.WriteFile(f.creating(), []byte(`{"pid":1,"ticks":1,"boot":"before"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if listed, _ := w.List(t.Context()); listed[0].Status != "half made" {
		t.Errorf("listed = %+v", listed)
	}
	if err := w.Start(t.Context(), "dev"); err == nil || !strings.Contains(err.Error(), "refit local delete dev") {
		t.Errorf("Start = %v, want one that says to delete it", err)
	}
	if err := w.StartAll(t.Context()); err != nil {
		t.Errorf("StartAll = %v", err)
	}
	w.create(t, "dev", PoolSpec{"b", 2})
	if o := w.observe(t, provider.Ref{Name: "dev"}); len(o.Pools) != 1 || o.Pools[0].Name != "b" {
		t.Errorf("pools = %+v, want those of the second creation", o.Pools)
	}
}

// Two that are created at once get ports of their own; of two with one name one
// is made.
func TestCreateAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	results := make(chan error)
	for _, name := range []string{"one", "two", "three", "three"} {
		go func() { results <- w.Create(t.Context(), spec(t, name), func(string) {}) }()
	}
	failed := 0
	for range 4 {
		if err := <-results; err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d creations failed, want that of the second with one name", failed)
	}
	taken, err := w.takenPorts()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]string{}
	for i, ports := range taken { // declared and recorded, of each member
		for _, port := range []int{ports.APIServer, ports.ControllerManager, ports.Scheduler} {
			owner := fmt.Sprint(i / 2)
			if other, ok := seen[port]; ok && other != owner {
				t.Errorf("port %d is used by two members", port)
			}
			seen[port] = owner
		}
	}
}

// A member whose folder is deleted by hand ends by itself.
func TestFolderIsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(t, "dev")
	f := folder(w.Folder("dev"))
	holder, alive := process.Holder(f.lock())
	if !alive {
		t.Fatal("no supervisor")
	}
	supervisor, err := process.Adopt(holder)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(string(f)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-supervisor.Ended():
	case <-time.After(time.Minute):
		t.Error("the supervisor lives on without its folder")
		_ = supervisor.Signal(syscall.SIGKILL)
	}
	if found, _ := process.Find(f.mark()); len(found) != 0 {
		t.Errorf("left running: %v", found)
	}
}

func TestCopyLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(t, "dev")
	var text strings.Builder
	if err := w.CopyLog("dev", SupervisorLog, &text); err != nil || !strings.Contains(text.String(), "part=kube-apiserver") {
		t.Errorf("the supervisor's log = %q, %v", text.String(), err)
	}
	for _, wrong := range []struct{ name, part, want string }{
		{"none", SupervisorLog, `there is no local member "none"`},
		{"dev", "kubelet", "name one of: supervisor, etcd, kube-apiserver"},
		{"dev", "../pki/ca.key", `there is no part "../pki/ca.key"`},
	} {
		if err := w.CopyLog(wrong.name, wrong.part, io.Discard); err == nil || !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("CopyLog(%s, %s) = %v, want %q", wrong.name, wrong.part, err, wrong.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	followed := make(chan error)
	go func() { followed <- w.FollowLog(ctx, "dev", SupervisorLog, writer) }()
	log, err := os.OpenFile(folder(w.Folder("dev")).log(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if _, err := log.WriteString("one more line\n"); err != nil {
		t.Fatal(err)
	}
	seen := ""
	for buffer := make([]byte, 4096); !strings.Contains(seen, "one more line\n"); {
		n, err := reader.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		seen += string(buffer[:n])
	}
	cancel()
	if err := <-followed; err != nil {
		t.Errorf("following = %v", err)
	}
}
