package control_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/provider/fake"
)

// seen is what the hub holds of a member, without its conditions, which are
// compared by themselves.
func (l *loops) seen(name string) (v1.MemberClusterStatus, []string) {
	l.t.Helper()
	status := get(l, name, &v1.MemberCluster{}).Status
	lines := conditions(status.Conditions)
	status.Conditions = nil
	return status, lines
}

func TestMembersRecordsWhatItSees(t *testing.T) {
	l := newLoops(t)
	l.cloud.Mode.PicksPatch = true
	c := l.addMember("eu-1", shape{version: "v1.36.4", pools: map[string]int{"a": 2, "b": 1}, floor: -1})
	c.Change(func(s *fake.State) {
		s.Newest, s.Machines[1].Sick, s.Machines[2].Version = version(t, "v1.36.5"), true, version(t, "v1.35.9")
	})
	edit(l, "eu-1", &v1.MemberCluster{}, func(mc *v1.MemberCluster) { mc.Labels["env"] = "prod" })

	want := v1.MemberClusterStatus{
		ObservedGeneration: 2, UID: "uid-of-eu-1", ObservedAt: metav1.NewTime(l.clock.Now()),
		ControlPlane: v1.ControlPlaneStatus{Version: "v1.36.4", Newest: "v1.36.5", PicksPatch: true},
		Nodes:        v1.NodesStatus{Total: 3, Ready: 2, Oldest: "v1.35.9"},
		Pools:        []v1.PoolStatus{{Name: "a", Version: "v1.36.4", Nodes: 2}, {Name: "b", Version: "v1.35.9", Nodes: 1}},
	}
	check := func(so, ready string) {
		t.Helper()
		l.see("eu-1")
		got, lines := l.seen("eu-1")
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: status (-want +got):\n%s", so, diff)
		}
		if diff := cmp.Diff([]string{ready}, lines); diff != "" {
			t.Errorf("%s: conditions (-want +got):\n%s", so, diff)
		}
	}
	check("a node is sick", "Ready False since 22:00:00: Unhealthy: node a-2 is not Ready: kubelet is starting (generation 2)")

	// A change is written with the time it was seen.
	l.clock.Step(time.Minute)
	c.Change(func(s *fake.State) { s.Machines[1].Sick, s.Newest = false, version(t, "v1.36.4") })
	want.ControlPlane.Newest, want.Nodes.Ready, want.ObservedAt = "", 3, metav1.NewTime(l.clock.Now())
	healthy := "Ready True since 22:01:00: Healthy: healthy (generation 2)"
	check("all is well", healthy)

	// Without a change the time alone is written, every 10 minutes.
	written := l.writes
	l.clock.Step(10*time.Minute - time.Second)
	check("all is well, 9:59 later", healthy)
	if l.writes != written {
		t.Errorf("%d writes of what has not changed", l.writes-written)
	}
	l.clock.Step(time.Second)
	want.ObservedAt = metav1.NewTime(l.clock.Now())
	check("all is well, 10 minutes later", healthy)

	// Who cannot be seen keeps what was last known, and is not Ready.
	l.clock.Step(time.Minute)
	c.silence(true)
	want.ObservedAt = metav1.NewTime(l.clock.Now()) // its provider was seen
	silent := "control plane is not ready: ask /readyz: Get \"https://eu-1.fake/readyz?timeout=10s\": connection refused"
	check("its API server is silent", "Ready False since 22:12:00: Unhealthy: "+silent+" (generation 2)")
	l.clock.Step(time.Minute)
	c.takeDown(true)
	down := "observe eu-1 through its provider: Unreachable: no route to host"
	check("its provider is down", "Ready Unknown since 22:13:00: Unreachable: "+down+" (generation 2)")

	l.clock.Step(time.Minute)
	c.silence(false)
	c.takeDown(false)
	want.ObservedAt = metav1.NewTime(l.clock.Now())
	check("it is back", "Ready True since 22:14:00: Healthy: healthy (generation 2)")
}

// A member that is not Ready is looked at sooner in its first minutes so: a new
// one is not to wait for half a minute once it is up.
func TestMembersLooksSooner(t *testing.T) {
	l := newLoops(t)
	c := l.addMember("eu-1", shape{version: "v1.36.4", pools: map[string]int{"a": 1}, floor: -1})
	l.add(&v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "nobodys"}})
	const soon, idle = 5 * time.Second, 30 * time.Second
	wait := func(member, so string, want time.Duration) {
		t.Helper()
		if after := l.see(member).RequeueAfter; after < want*9/10 || after > want*11/10 {
			t.Errorf("%s: looks again after %s, want %s, give or take a tenth", so, after, want)
		}
	}
	c.silence(true)
	wait("eu-1", "new, and starting", soon)
	wait("nobodys", "new, and never observed", soon)
	l.clock.Step(2*time.Minute - time.Second)
	wait("eu-1", "silent for 1:59", soon)
	wait("nobodys", "never observed for 1:59", soon)
	l.clock.Step(time.Second)
	wait("eu-1", "silent for two minutes", idle)
	wait("nobodys", "never observed for two minutes", idle)
	c.silence(false)
	wait("eu-1", "up", idle)
	l.clock.Step(time.Hour)
	c.Change(func(s *fake.State) { s.Machines[0].Sick = true })
	wait("eu-1", "a node is sick", soon)
}

func TestMembersNeverObserved(t *testing.T) {
	l := newLoops(t)
	l.add(&v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "eu-1"}})
	l.see("eu-1")
	got, lines := l.seen("eu-1")
	if diff := cmp.Diff(v1.MemberClusterStatus{ObservedGeneration: 1}, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	want := []string{`Ready Unknown since 22:00:00: Unreachable: member eu-1: provider "" is not served here; served: local (generation 1)`}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

// Whoever changed the member meanwhile is no reason to complain.
func TestMembersTakeAConflictAsNews(t *testing.T) {
	l := newLoops(t)
	l.addMember("eu-1", shape{version: "v1.36.4", pools: map[string]int{"a": 1}, floor: -1})
	l.writing = l.conflict
	if after := l.see("eu-1").RequeueAfter; after > time.Second {
		t.Errorf("looks again after %s, want at once", after)
	}
	if got, _ := l.seen("eu-1"); got.UID != "" {
		t.Errorf("wrote %v over a change it had not seen", got)
	}
	l.writing = nil
	l.see("eu-1")
	if got, _ := l.seen("eu-1"); got.UID != "uid-of-eu-1" {
		t.Errorf("uid %q after the conflict was over", got.UID)
	}

	l.remove("eu-1", &v1.MemberCluster{})
	if after := l.see("eu-1").RequeueAfter; after != 0 {
		t.Errorf("looks again after %s at a member that is gone", after)
	}
}

// A member that goes while it is looked at is no error either.
func TestMembersGoneMeanwhile(t *testing.T) {
	l := newLoops(t)
	l.addMember("eu-1", shape{version: "v1.36.4", pools: map[string]int{"a": 1}, floor: -1})
	l.writing = func(object client.Object) error {
		return l.hub.Delete(t.Context(), object.DeepCopyObject().(client.Object))
	}
	l.see("eu-1")
}
