package control_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/provider/fake"
)

// TestUpgradesFollowTheFleet runs whole upgrades, by the loops alone, and looks
// at what they write and what reaches the cluster.
func TestUpgradesFollowTheFleet(t *testing.T) {
	t.Run("over two minors", followOverTwoMinors)
	t.Run("by its node policy", followByNodePolicy)
	t.Run("in its own time", followInItsTime)
}

// offers are what the provider of most tests has.
var offers = []string{"v1.35.4", "v1.36.3", "v1.36.6", "v1.37.0", "v1.37.2", "v1.37.3"}

func followOverTwoMinors(t *testing.T) {
	l := newLoops(t)
	c := l.addMember("eu-1", shape{version: "v1.35.4", offers: offers, pools: map[string]int{"a": 3, "b": 2}, pods: 4, floor: 3})
	c.surge = 1
	l.add(&v1.Release{ObjectMeta: metav1.ObjectMeta{Name: "2026.11"}, Spec: v1.ReleaseSpec{Bundle: v1.Bundle{
		Kubernetes: "v1.37.2", Hops: map[string]v1.HopVersion{"1.36": "v1.36.6"},
	}}})
	l.addFleet("main", "2026.11", nil)
	l.turn()

	// What the status said when a step was first seen, and how nodes were counted.
	first, done := map[string]v1.ClusterUpgradeStatus{}, []int32{}
	l.until("done", func() bool {
		status := l.upgrade("eu-1.1").Status
		if at := status.Hop + " " + status.Step; first[at].Step == "" {
			first[at] = status
		}
		if status.Nodes.Total != 5 {
			t.Errorf("%d nodes in all in step %s, want 5", status.Nodes.Total, status.Step)
		}
		done = append(done, status.Nodes.Done)
		return l.ended("eu-1.1", "Done")()
	})

	up := l.upgrade("eu-1.1")
	if got := up.Status; got.From != "v1.35.4" || got.To != "v1.37.2" || got.ObservedGeneration != 1 {
		t.Errorf("from %s to %s, observed generation %d; want v1.35.4, v1.37.2, 1", got.From, got.To, got.ObservedGeneration)
	}
	want := []string{
		"v1.36.6 Settle", "v1.36.6 ControlPlane", "v1.36.6 Bake",
		"v1.37.2 Settle", "v1.37.2 ControlPlane", "v1.37.2 Bake", "v1.37.2 Nodes", "v1.37.2 Settle",
	}
	if diff := cmp.Diff(want, l.places()); diff != "" {
		t.Errorf("hops and steps (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int32{0, 1, 2, 3, 4, 5}, slices.Compact(done)); diff != "" {
		t.Errorf("nodes done (-want +got):\n%s", diff)
	}
	checkSteps(t, up)
	checkWhys(t, first)
	checkEnd(t, up, first["v1.36.6 Settle"])
	checkCluster(t, c)
	if got, ready := l.seen("eu-1"); got.ControlPlane.Version != "v1.37.2" || got.Nodes.Oldest != "v1.37.2" || !strings.HasPrefix(ready[0], "Ready True") {
		t.Errorf("member is seen at %v, nodes at %v, %v", got.ControlPlane, got.Nodes, ready)
	}
	l.decide()
	if got := l.fleet("main").Status.Members; got != (v1.MemberCounts{Total: 1, Done: 1}) {
		t.Errorf("fleet counts %+v, want its one member done", got)
	}
}

// places are the hops and steps of the timeline, each once in a row.
func (l *loops) places() []string {
	var places []string
	for _, position := range l.timeline {
		place, _, _ := strings.Cut(position, ":")
		places = append(places, place)
	}
	return slices.Compact(places)
}

// checkSteps: settled for 20 s, changed in the 20 s that it takes, baked for a
// minute, each hop; then nodes, and settled once more.
func checkSteps(t *testing.T, up *v1.ClusterUpgrade) {
	t.Helper()
	var got []string
	for _, s := range up.Status.Steps {
		got = append(got, fmt.Sprintf("%s %s %s–%s", s.Hop, s.Name, s.Started.UTC().Format(time.TimeOnly), s.Finished.UTC().Format(time.TimeOnly)))
	}
	want := []string{
		"v1.36.6 Settle 22:00:00–22:00:20", "v1.36.6 ControlPlane 22:00:20–22:00:40", "v1.36.6 Bake 22:00:40–22:01:40",
		"v1.37.2 Settle 22:01:40–22:02:00", "v1.37.2 ControlPlane 22:02:00–22:02:20", "v1.37.2 Bake 22:02:20–22:03:20",
	}
	if len(got) != len(want)+2 {
		t.Fatalf("steps are %q, want %q and two more", got, want)
	}
	if diff := cmp.Diff(want, got[:len(want)]); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	nodes, settle := up.Status.Steps[6], up.Status.Steps[7]
	if nodes.Name != "Nodes" || nodes.Hop != "v1.37.2" || nodes.Started.UTC().Format(time.TimeOnly) != "22:03:20" {
		t.Errorf("step of nodes is %+v", nodes)
	}
	if settle.Name != "Settle" || settle.Hop != "" || settle.Started.Before(&nodes.Finished) || settle.Finished.Sub(settle.Started.Time) != 20*time.Second {
		t.Errorf("last step is %+v, nodes ended %s", settle, nodes.Finished)
	}
}

// checkWhys looks at the reasons given when steps began.
func checkWhys(t *testing.T, first map[string]v1.ClusterUpgradeStatus) {
	t.Helper()
	got := map[string]string{}
	for at, status := range first {
		why := status.Why
		got[at] = fmt.Sprintf("%s: %s; %s since %s", why.Code, why.Message, why.Object, why.Since.UTC().Format(time.TimeOnly))
	}
	want := map[string]string{
		"v1.36.6 Settle":       "Settling: seen healthy for less than 20s;  since 22:00:00",
		"v1.36.6 ControlPlane": "OperationRunning: control plane goes from v1.35.4 to v1.36.6;  since 22:00:20",
		"v1.36.6 Bake":         "Baking: control plane is at v1.36.6; nodes follow at 22:01:40 UTC;  since 22:00:40",
		"v1.37.2 Settle":       "Settling: seen healthy for less than 20s;  since 22:01:40",
		"v1.37.2 ControlPlane": "OperationRunning: control plane goes from v1.36.6 to v1.37.2;  since 22:02:00",
		"v1.37.2 Bake":         "Baking: control plane is at v1.37.2; nodes follow at 22:03:20 UTC;  since 22:02:20",
		"v1.37.2 Nodes":        "NodeReplacing: replacing nodes of pool a: 3 of 3 left;  since 22:03:20",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

// checkEnd looks at the conditions, at first and at last.
func checkEnd(t *testing.T, up *v1.ClusterUpgrade, first v1.ClusterUpgradeStatus) {
	t.Helper()
	since := up.Status.Steps[7].Finished.UTC().Format(time.TimeOnly)
	going := ": Settling: seen healthy for less than 20s (generation 1)"
	want := []string{
		"Ready False since 22:00:00" + going, "Progressing True since 22:00:00" + going,
		"Stalled False since 22:00:00" + going, "Ended False since 22:00:00" + going,
	}
	if diff := cmp.Diff(want, conditions(first.Conditions)); diff != "" {
		t.Errorf("conditions at first (-want +got):\n%s", diff)
	}
	done := ": Done: every part is observed at v1.37.2 or ahead, and healthy (generation 1)"
	want = []string{
		"Ready True since " + since + done, "Progressing False since " + since + done,
		"Stalled False since 22:00:00" + done, "Ended True since " + since + done,
	}
	if diff := cmp.Diff(want, conditions(up.Status.Conditions)); diff != "" {
		t.Errorf("conditions at last (-want +got):\n%s", diff)
	}
}

// checkCluster looks at what reached the cluster: the version that the release
// names was passed through, and every node was replaced once, at the end.
func checkCluster(t *testing.T, c *cluster) {
	t.Helper()
	var changes []string
	for _, call := range c.changes() {
		if call.Verb == fake.UpgradeControlPlane || call.Verb == fake.SetPoolTemplate {
			changes = append(changes, at(call)+" "+call.What)
		}
	}
	changes = append(changes[:3], strings.SplitN(changes[3], " ", 2)[1])
	want := []string{
		"22:00:20 control plane v1.35.4 → v1.36.6", "22:02:00 control plane v1.36.6 → v1.37.2",
		"22:03:20 pool a v1.35.4 → v1.37.2", "pool b v1.35.4 → v1.37.2",
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	at1372 := slices.Collect(maps.Values(c.versions()))
	if diff := cmp.Diff(slices.Repeat([]string{"v1.37.2"}, 5), at1372); diff != "" {
		t.Errorf("kubelets (-want +got):\n%s", diff)
	}
	if added, removed := len(c.Calls(fake.AddNode)), len(c.Calls(fake.RemoveNode)); added != 5 || removed != 5 {
		t.Errorf("%d nodes added and %d removed, want 5 and 5", added, removed)
	}
	if diff := cmp.Diff(map[string]int{"a": 4, "b": 3}, c.most); diff != "" {
		t.Errorf("most machines, at maxSurge 1 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"a": 3, "b": 2}, c.fewest); diff != "" {
		t.Errorf("fewest nodes that take pods, at maxUnavailable 0 (-want +got):\n%s", diff)
	}
	if names := c.cordoned(); len(names) > 0 {
		t.Errorf("nodes %v are left cordoned", names)
	}
}

// followByNodePolicy: the cluster itself judges every write by the bounds; here
// it is seen that they are also made use of.
func followByNodePolicy(t *testing.T) {
	number, percent := intstr.FromInt32, intstr.FromString
	for _, c := range []struct {
		surge, unavailable intstr.IntOrString
		most, fewest       int // of a pool of 5
	}{
		{number(1), number(0), 6, 5},
		{number(2), number(0), 7, 5},
		{number(0), number(1), 5, 4},
		{number(0), number(2), 5, 3},
		{number(2), number(1), 7, 4},
		{percent("30%"), percent("0%"), 7, 5}, // 1.5 rounded up
		{percent("0%"), percent("50%"), 5, 3}, // 2.5 rounded down
	} {
		t.Run(fmt.Sprintf("surge %s, unavailable %s", c.surge.String(), c.unavailable.String()), func(t *testing.T) {
			l := newLoops(t)
			eu1 := l.addMember("eu-1", shape{version: "v1.36.3", offers: offers, pools: map[string]int{"a": 5}, pods: 5, floor: 3})
			eu1.surge, eu1.unavailable = c.most-5, 5-c.fewest
			l.addRelease("2026.11", "v1.37.2")
			l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) {
				spec.Nodes = v1.NodePolicy{MaxSurge: c.surge, MaxUnavailable: c.unavailable}
			})
			l.until("done", l.ended("eu-1.1", "Done"))
			if eu1.most["a"] != c.most || eu1.fewest["a"] != c.fewest {
				t.Errorf("at most %d machines, at least %d that took pods; want %d and %d", eu1.most["a"], eu1.fewest["a"], c.most, c.fewest)
			}
		})
	}
}

// followInItsTime: however often it is looked at, nothing changes before settle
// is over, and no node before bake is.
func followInItsTime(t *testing.T) {
	for _, c := range []struct{ settle, bake time.Duration }{
		{0, 0},
		{90 * time.Second, 0},
		{0, 3 * time.Minute},
		{45 * time.Second, 75 * time.Second},
	} {
		t.Run(fmt.Sprintf("settle %s, bake %s", c.settle, c.bake), func(t *testing.T) {
			l := newLoops(t)
			eu1 := l.addMember("eu-1", shape{version: "v1.36.3", offers: offers, pools: map[string]int{"a": 1}, floor: -1})
			eu1.surge = 1
			l.addRelease("2026.11", "v1.37.2")
			l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) {
				spec.Settle.Duration, spec.Bake.Duration = c.settle, c.bake
			})
			start := l.clock.Now()
			l.turn()
			for range 1000 {
				if l.ended("eu-1.1", "Done")() {
					break
				}
				l.move("eu-1.1")
				l.clock.Step(time.Second)
			}
			changed, nodes := eu1.Calls(fake.UpgradeControlPlane)[0].At, eu1.Calls(fake.SetPoolTemplate)[0].At
			if got := changed.Sub(start); got != c.settle {
				t.Errorf("control plane changed after %s, want %s", got, c.settle)
			}
			if got := nodes.Sub(changed.Add(operationTakes)); got != c.bake {
				t.Errorf("nodes changed %s after the control plane, want %s", got, c.bake)
			}
			gone := eu1.Calls(fake.RemoveNode)[0].At
			if end := l.upgrade("eu-1.1").Status.Conditions[3].LastTransitionTime; end.Sub(gone) < c.settle {
				t.Errorf("done at %s, settled for less than %s since %s", end.UTC(), c.settle, gone)
			}
		})
	}
}

// Nodes that are not seen for a while are not thereby undone.
func TestUpgradesCountNodesAsLongAsTheyAreSeen(t *testing.T) {
	l := newLoops(t)
	c := l.addMember("eu-1", shape{version: "v1.36.3", offers: offers, pools: map[string]int{"a": 3}, floor: -1})
	c.surge = 1
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.turn()
	l.ride("eu-1.1", "one node done", func(up *v1.ClusterUpgrade) bool { return up.Status.Nodes.Done == 1 })
	c.silence(true)
	l.move("eu-1.1")
	up := l.upgrade("eu-1.1")
	if up.Status.Nodes != (v1.UpgradeNodes{Total: 3, Done: 1, Old: 3}) {
		t.Errorf("nodes are %+v while the API server is silent, want 1 of 3 as before", up.Status.Nodes)
	}
	if up.Status.Why.Code != "Unreachable" {
		t.Errorf("waits for %s, want Unreachable", up.Status.Why.Code)
	}
}

// The times of a status have seconds; what a provider says has more. That is no
// change to write at every look.
func TestUpgradesWriteChangesOnly(t *testing.T) {
	l := newLoops(t)
	l.clock.Step(400 * time.Millisecond)
	c := l.addMember("eu-1", shape{version: "v1.36.3", offers: offers, pools: map[string]int{"a": 1}, pods: 1, floor: 1})
	c.surge = 1
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.turn()
	for _, code := range []string{"Settling", "OperationRunning", "Baking", "BudgetExhausted"} {
		l.ride("eu-1.1", code, func(up *v1.ClusterUpgrade) bool { return up.Status.Why != nil && up.Status.Why.Code == code })
		l.move("eu-1.1")
		l.clock.Step(time.Second)
		l.move("eu-1.1")
		written := l.writes
		for range 3 {
			l.clock.Step(time.Second)
			l.move("eu-1.1")
		}
		if l.writes != written {
			t.Errorf("%d writes while it waits for %s", l.writes-written, code)
		}
	}
}
