package fake_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	clocktesting "k8s.io/utils/clock/testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/member"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/fake"
)

// world is a cloud with the cluster eu-1: two nodes, and three pods of which the
// budget wants two.
type world struct {
	t       *testing.T
	clock   *clocktesting.FakeClock
	cloud   *fake.Cloud
	cluster *fake.Cluster
	ref     provider.Ref
}

func newCloud(t *testing.T, mode fake.Mode, script fake.Script) *world {
	t.Helper()
	clock := clocktesting.NewFakeClock(start())
	w := &world{t: t, clock: clock, cloud: &fake.Cloud{Clock: clock, Mode: mode, Script: script}, ref: provider.Ref{Name: "eu-1"}}
	w.cluster = w.cloud.Add("eu-1", w.shape())
	return w
}

func (w *world) shape() fake.Shape {
	old, next := parse(w.t, "v1.36.3"), parse(w.t, "v1.37.2")
	return fake.Shape{Version: old, Offers: []fleet.Version{old, next}, Pools: []fake.PoolShape{{Name: "a", Size: 2}}, Pods: 3, Floor: 2}
}

func (w *world) client() kubernetes.Interface {
	w.t.Helper()
	config, err := w.cloud.Connect(w.t.Context(), w.ref)
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

func (w *world) member() *member.Client {
	w.t.Helper()
	config, err := w.cloud.Connect(w.t.Context(), w.ref)
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := member.Dial(config)
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

func (w *world) ensure(token string) (provider.Operation, error) {
	return w.cloud.Ensure(w.t.Context(), w.ref, provider.Change{
		Part: provider.Part{Kind: provider.PartControlPlane}, Token: token,
		From: provider.State{Version: parse(w.t, "v1.36.3")}, To: provider.State{Version: parse(w.t, "v1.37.2")},
	})
}

func (w *world) observe() provider.Observation {
	w.t.Helper()
	seen, err := w.cloud.Observe(w.t.Context(), w.ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return seen
}

// The same script makes the same history, whatever else is called in between,
// and another seed another one.
func TestScriptIsRepeatable(t *testing.T) {
	history := func(seed uint64, observing bool) []bool {
		w := newCloud(t, fake.Mode{}, fake.Script{Seed: seed, Faults: []fake.Fault{
			{Verb: fake.AddNode, Mishap: fake.Refused, Times: fake.Always, Share: 0.5},
			{Verb: fake.Observe, Mishap: fake.Refused, Times: fake.Always, Share: 0.5},
		}})
		var refused []bool
		for i := range 64 {
			if observing {
				_, _ = w.cloud.Observe(t.Context(), w.ref)
			}
			err := w.cloud.AddNode(t.Context(), w.ref, provider.NodeAddition{Pool: "a", Token: fmt.Sprint(i)})
			refused = append(refused, err != nil)
		}
		return refused
	}
	first := history(1, false)
	if again := history(1, true); !slices.Equal(first, again) {
		t.Errorf("one seed made two histories:\n%v\n%v", first, again)
	}
	if other := history(2, false); slices.Equal(first, other) {
		t.Errorf("two seeds made one history: %v", first)
	}
	share := len(slices.DeleteFunc(slices.Clone(first), func(refused bool) bool { return !refused }))
	if share < 16 || share > 48 {
		t.Errorf("%d of 64 calls were refused, want about half", share)
	}
}

func TestFaults(t *testing.T) {
	reason := errors.New("no")
	for _, c := range []struct {
		name  string
		fault fake.Fault
		// want are class and code of three answers in a row; operations are begun.
		want       []string
		operations int
	}{
		{"once", fake.Fault{Verb: fake.UpgradeControlPlane, Mishap: fake.Refused, Err: reason}, []string{"Retry Unreachable", "", ""}, 1},
		{"twice", fake.Fault{Verb: fake.UpgradeControlPlane, Mishap: fake.Refused, Times: 2}, []string{"Retry Unreachable", "Retry Unreachable", ""}, 1},
		{"always", fake.Fault{Verb: fake.UpgradeControlPlane, Mishap: fake.Expired, Times: fake.Always}, []string{"Retry Unauthorized", "Retry Unauthorized", "Retry Unauthorized"}, 0},
		{"lost", fake.Fault{Verb: fake.UpgradeControlPlane, Mishap: fake.Lost, Times: 3}, []string{"Retry Unreachable", "Retry Unreachable", "Retry Unreachable"}, 1},
		{"throttled", fake.Fault{Verb: fake.UpgradeControlPlane, Mishap: fake.Throttled, After: time.Minute}, []string{"Retry Throttled", "", ""}, 1},
		{"of another verb", fake.Fault{Verb: fake.SetPoolTemplate, Mishap: fake.Refused}, []string{"", "", ""}, 1},
		{"of another cluster", fake.Fault{Cluster: "eu-2", Verb: fake.UpgradeControlPlane, Mishap: fake.Refused}, []string{"", "", ""}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newCloud(t, fake.Mode{}, fake.Script{Faults: []fake.Fault{c.fault}})
			var got []string
			for range 3 {
				answer := ""
				if _, err := w.ensure("t"); err != nil {
					fault := provider.AsFault(err)
					answer = fmt.Sprint(fault.Class, " ", fault.Code)
				}
				got = append(got, answer)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			if n := len(w.cluster.Look().Operations); n != c.operations {
				t.Errorf("%d operations, want %d", n, c.operations)
			}
		})
	}
}

// What was accepted shows after the lag, and in the order it was accepted.
func TestReadsLag(t *testing.T) {
	w := newCloud(t, fake.Mode{Lag: 5 * time.Second}, fake.Script{})
	add := func(token string) {
		t.Helper()
		if err := w.cloud.AddNode(t.Context(), w.ref, provider.NodeAddition{Pool: "a", Token: token}); err != nil {
			t.Fatal(err)
		}
	}
	var seen []int
	look := func() { seen = append(seen, len(w.observe().Pools[0].Instances)) }
	add("first")
	look()
	w.clock.Step(3 * time.Second)
	add("second")
	look()
	w.clock.Step(2 * time.Second)
	look()
	w.clock.Step(3 * time.Second)
	look()
	if diff := cmp.Diff([]int{2, 2, 3, 4}, seen); diff != "" {
		t.Errorf("instances at 0 s, 3 s, 5 s and 8 s (-want +got):\n%s", diff)
	}
	if at := w.observe().At; !at.Equal(w.clock.Now()) {
		t.Errorf("looked at %s, want now: the look is new, what it shows is not", at)
	}
}

// A cloud that was told what its clusters look like makes them when asked for.
func TestFound(t *testing.T) {
	w := newCloud(t, fake.Mode{}, fake.Script{})
	w.cloud.Found = func(name string) (fake.Shape, bool) { return w.shape(), name == "eu-2" }
	for range 2 {
		if seen, err := w.cloud.Observe(t.Context(), provider.Ref{Name: "eu-2"}); err != nil || seen.UID != "uid-of-eu-2" {
			t.Errorf("observed %+v, %v", seen, err)
		}
	}
	if _, err := w.cloud.Observe(t.Context(), provider.Ref{Name: "eu-3"}); provider.AsFault(err).Code != provider.CodeUnknownCluster {
		t.Errorf("of a cluster that is not there: %v", err)
	}
}

// Credentials end at their time, and new ones serve.
func TestCredentialsExpire(t *testing.T) {
	w := newCloud(t, fake.Mode{Credentials: time.Minute}, fake.Script{})
	client := w.client()
	w.clock.Step(time.Minute - time.Second)
	if _, err := client.Discovery().ServerVersion(); err != nil {
		t.Error(err)
	}
	w.clock.Step(time.Second)
	if _, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("a minute later: %v, want Unauthorized", err)
	}
	if _, err := w.client().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

// Refit's own client sees all there is, by what Connect gives alone.
func TestMemberObserves(t *testing.T) {
	w := newCloud(t, fake.Mode{}, fake.Script{})
	facts, err := w.member().Observe(t.Context(), member.PodsToo)
	if err != nil {
		t.Fatal(err)
	}
	want := []fleet.Budget{{Namespace: "shop", Name: "web", Allowed: 1, Desired: 2, Healthy: 3, Expected: 3}}
	if diff := cmp.Diff(want, facts.Budgets); diff != "" || facts.Version != parse(t, "v1.36.3") {
		t.Errorf("version %s; budgets (-want +got):\n%s", facts.Version, diff)
	}
	var pods int
	for _, node := range facts.Nodes {
		pods += len(node.Pods)
		if !node.Ready || !node.ReadySince.Equal(start()) || node.Version != facts.Version || node.UID == "" {
			t.Errorf("node = %+v", node)
		}
	}
	if len(facts.Nodes) != 2 || pods != 3 {
		t.Errorf("%d nodes with %d pods, want 2 with 3", len(facts.Nodes), pods)
	}

	w.cluster.Change(func(s *fake.State) { s.OpenChecks = []string{"etcd", "poststarthook/rbac"} })
	if _, err := w.member().Observe(t.Context(), member.NodesOnly); err == nil || err.Error() != "not ready yet: etcd, poststarthook/rbac" {
		t.Errorf("of an API server that is not ready: %v", err)
	}
	w.cluster.Change(func(s *fake.State) { s.Silent = true })
	if _, err := w.member().Observe(t.Context(), member.NodesOnly); err == nil || err.Error() != `ask /readyz: Get "https://eu-1.fake/readyz?timeout=10s": connection refused` {
		t.Errorf("of a silent API server: %v", err)
	}
}

// A write that was lost on its way back has taken effect; one that was guarded
// by an old resource version has not.
func TestCordon(t *testing.T) {
	w := newCloud(t, fake.Mode{}, fake.Script{Faults: []fake.Fault{{Verb: fake.PatchNode, Mishap: fake.Lost}}})
	client := w.member()
	facts, err := client.Observe(t.Context(), member.NodesOnly)
	if err != nil {
		t.Fatal(err)
	}
	seen := facts.Nodes[0]
	ref := member.NodeRef{Name: seen.Name, UID: seen.UID, ResourceVersion: seen.ResourceVersion}
	undo := member.Undo{Upgrade: "up-1", At: start()}
	if err := client.Cordon(t.Context(), ref, undo); err == nil || errors.Is(err, member.ErrChanged) {
		t.Errorf("the reply was lost, and the answer is %v", err)
	}
	if m := w.cluster.Look().Machines[0]; !m.Cordoned || m.Annotations[member.UndoAnnotation] == "" {
		t.Errorf("machine = %+v, want it cordoned, with its undo", m)
	}
	if err := client.Cordon(t.Context(), ref, undo); !errors.Is(err, member.ErrChanged) {
		t.Errorf("by the old resource version: %v, want that it changed", err)
	}
	if err := client.Restore(t.Context(), seen.Name, "up-1"); err != nil {
		t.Error(err)
	}
	if m := w.cluster.Look().Machines[0]; m.Cordoned || len(m.Annotations) > 0 {
		t.Errorf("machine = %+v, want it as it was", m)
	}
}

// The budget is honoured, the UID guards, and what was evicted comes back
// elsewhere in its time.
func TestEvictions(t *testing.T) {
	w := newCloud(t, fake.Mode{}, fake.Script{})
	client := w.member()
	evict := func(name, uid string) error { return client.Evict(t.Context(), "shop", name, uid) }
	pods := w.cluster.Look().Pods
	first, second := pods[0].Name, pods[1].Name
	if err := evict(first, "uid-other"); !errors.Is(err, member.ErrChanged) {
		t.Errorf("of another UID: %v", err)
	}
	if err := evict(first, "uid-"+first); err != nil {
		t.Error(err)
	}
	if err := evict(second, "uid-"+second); !errors.Is(err, member.ErrRefusedByBudget) {
		t.Errorf("of the second while the first is away: %v", err)
	}
	w.clock.Step(fake.DefaultLatency().PodGrace)
	if err := evict(first, "uid-"+first); !errors.Is(err, member.ErrChanged) {
		t.Errorf("of a pod that is gone: %v", err)
	}
	if err := evict(second, "uid-"+second); err != nil {
		t.Errorf("of the second when another runs: %v", err)
	}
	if s := w.cluster.Look(); s.Accepted != 2 || s.Refused != 1 {
		t.Errorf("%d accepted, %d refused; want 2 and 1", s.Accepted, s.Refused)
	}
}

// Two who hold the same lease: the second write of what was read once loses.
func TestLeases(t *testing.T) {
	w := newCloud(t, fake.Mode{}, fake.Script{})
	leases := w.client().CoordinationV1().Leases("kube-system")
	made, err := leases.Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "refit"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: new("hub-1")},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leases.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "refit"}}, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("created twice: %v", err)
	}
	made.Spec.HolderIdentity = new("hub-2")
	if _, err := leases.Update(t.Context(), made, metav1.UpdateOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := leases.Update(t.Context(), made, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("written over what was not read: %v", err)
	}
	read, err := leases.Get(t.Context(), "refit", metav1.GetOptions{})
	if err != nil || *read.Spec.HolderIdentity != "hub-2" || read.UID != made.UID || read.ResourceVersion == made.ResourceVersion {
		t.Errorf("lease = %+v, %v", read, err)
	}
	for _, only := range []metav1.Preconditions{{UID: new(types.UID("another"))}, {UID: &read.UID, ResourceVersion: &made.ResourceVersion}} {
		if err := leases.Delete(t.Context(), "refit", metav1.DeleteOptions{Preconditions: &only}); !apierrors.IsConflict(err) {
			t.Errorf("deleted in spite of %v: %v", only, err)
		}
	}
	seen := metav1.Preconditions{UID: &read.UID, ResourceVersion: &read.ResourceVersion}
	if err := leases.Delete(t.Context(), "refit", metav1.DeleteOptions{Preconditions: &seen}); err != nil {
		t.Error(err)
	}
	if _, err := leases.Get(t.Context(), "refit", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after it was deleted: %v", err)
	}
	if written, deleted := len(w.cluster.Calls(fake.WriteLease)), len(w.cluster.Calls(fake.DeleteLease)); written != 4 || deleted != 3 {
		t.Errorf("%d calls wrote a lease and %d deleted one, want 4 and 3", written, deleted)
	}
}

// A lease that somebody else changes is another to who has read it.
func TestLeasesChangedByOthers(t *testing.T) {
	w := newCloud(t, fake.Mode{}, fake.Script{})
	leases := w.client().CoordinationV1().Leases("kube-system")
	made, err := leases.Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "refit"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: new("hub-1")},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.cluster.Change(func(s *fake.State) {
		lease := s.Leases["kube-system/refit"]
		lease.Spec.HolderIdentity = new("hub-2")
		s.Leases["kube-system/refit"] = lease
	})
	if _, err := leases.Update(t.Context(), made, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("written over what another wrote: %v", err)
	}
	read, err := leases.Get(t.Context(), "refit", metav1.GetOptions{})
	if err != nil || *read.Spec.HolderIdentity != "hub-2" || read.UID != made.UID {
		t.Errorf("lease = %+v, %v", read, err)
	}
}

// What the API does not have it says, as API servers do.
func TestNoSuchResource(t *testing.T) {
	w := newCloud(t, fake.Mode{}, fake.Script{})
	client := w.client()
	if _, err := client.AppsV1().Deployments("shop").List(t.Context(), metav1.ListOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("deployments: %v", err)
	}
	if _, err := client.CoreV1().Nodes().Get(t.Context(), "a-9", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a node that is not there: %v", err)
	}
	err := client.PolicyV1().Evictions("shop").Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-9"}})
	if !apierrors.IsNotFound(err) {
		t.Errorf("a pod that is not there: %v", err)
	}
	if _, err := client.CoreV1().Nodes().Patch(t.Context(), "a-1", types.JSONPatchType, []byte("[]"), metav1.PatchOptions{}); !apierrors.IsBadRequest(err) {
		t.Errorf("a patch that it does not know: %v", err)
	}
}

// A watch tells what was written at once, and what time brought within a second;
// it ends when the API server falls silent.
func TestWatch(t *testing.T) {
	w := newCloud(t, fake.Mode{}, fake.Script{})
	client := w.client()
	list, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	events, err := client.CoreV1().Nodes().Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(kind watch.EventType, name string) {
		t.Helper()
		select {
		case event := <-events.ResultChan():
			o, ok := event.Object.(metav1.Object)
			if event.Type != kind || !ok || o.GetName() != name {
				t.Errorf("event = %+v, want %s %s", event, kind, name)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no event; want %s %s", kind, name)
		}
	}
	facts, err := w.member().Observe(t.Context(), member.NodesOnly)
	if err != nil {
		t.Fatal(err)
	}
	seen := facts.Nodes[1]
	ref := member.NodeRef{Name: seen.Name, UID: seen.UID, ResourceVersion: seen.ResourceVersion}
	if err := w.member().Cordon(t.Context(), ref, member.Undo{Upgrade: "up-1"}); err != nil {
		t.Fatal(err)
	}
	expect(watch.Modified, "a-2")
	if err := w.cloud.AddNode(t.Context(), w.ref, provider.NodeAddition{Pool: "a", Token: "t"}); err != nil {
		t.Fatal(err)
	}
	added := w.cluster.Look().Machines[2].ID
	w.clock.Step(fake.DefaultLatency().Joining)
	expect(watch.Added, added)
	w.clock.Step(fake.DefaultLatency().Ready)
	expect(watch.Modified, added)
	if err := w.cloud.RemoveNode(t.Context(), w.ref, provider.NodeRemoval{Pool: "a", Instance: "a-1"}); err != nil {
		t.Fatal(err)
	}
	expect(watch.Deleted, "a-1")
	if _, err := client.CoreV1().Nodes().Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion}); !apierrors.IsResourceExpired(err) {
		t.Errorf("a watch from before a deletion: %v, want that it is too old", err)
	}

	w.cluster.Change(func(s *fake.State) { s.Silent = true })
	w.clock.Step(time.Second)
	select {
	case event, open := <-events.ResultChan():
		if open {
			t.Errorf("event = %+v, want the end", event)
		}
	case <-time.After(10 * time.Second):
		t.Error("the watch goes on")
	}
	w.untilWatched(0)
}

// untilWatched waits for watches to open or to close, which they do by themselves.
func (w *world) untilWatched(want int) {
	w.t.Helper()
	for begun := time.Now(); w.cluster.Watches() != want; <-time.After(time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			w.t.Fatalf("%d watches are open, want %d", w.cluster.Watches(), want)
		}
	}
}

// Refit's watches, of metadata alone, are woken and end with their context.
func TestMemberWatches(t *testing.T) {
	w := newCloud(t, fake.Mode{}, fake.Script{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changes := make(chan struct{}, 100)
	if err := w.member().Watch(ctx, func() { changes <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	await := func(count int, what string) {
		t.Helper()
		for range count {
			select {
			case <-changes:
			case <-time.After(10 * time.Second):
				t.Fatalf("nobody was woken: %s", what)
			}
		}
	}
	await(2+3+1, "nodes, pods and the budget are there")
	w.untilWatched(3)
	if err := w.member().Evict(t.Context(), "shop", "web-3", "uid-web-3"); err != nil {
		t.Fatal(err)
	}
	await(3, "the pod goes, another comes, the budget has changed")
	cancel()
	w.untilWatched(0)
}
