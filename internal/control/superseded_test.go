package control_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/fake"
)

// turns are the ways in which a fleet no longer wants an upgrade, and what it
// then wants instead; no release means that there is no fleet left.
var turns = []struct {
	name    string
	happens func(*loops)
	why     string
	release v1.ReleaseRef
	// aborted is set where a person ended it.
	aborted bool
}{
	{
		name: "a person aborts it",
		happens: func(l *loops) {
			edit(l, "eu-1.1", &v1.ClusterUpgrade{}, func(up *v1.ClusterUpgrade) {
				up.Annotations = map[string]string{v1.ByAnnotation: "ann"}
				up.Spec.End, up.Spec.EndReason = v1.EndAbort, "wrong night"
			})
		},
		why: "aborted by ann: wrong night", aborted: true,
	},
	{
		name: "the member leaves the fleet",
		happens: func(l *loops) {
			edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.Selector.MatchLabels = map[string]string{"name": "eu-2"} })
		},
		why: "fleet main does not select it any more",
	},
	{
		name: "the fleet wants another release",
		happens: func(l *loops) {
			edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.Release = "2026.12" })
		},
		why:     "fleet main wants release 2026.12 now",
		release: v1.ReleaseRef{Name: "2026.12", Hash: hash3},
	},
	{
		name:    "the fleet is deleted",
		happens: func(l *loops) { l.remove("main", &v1.Fleet{}) },
		why:     "fleet main is gone",
	},
	{
		name: "the fleet is another of its name",
		happens: func(l *loops) { // whoever takes the finalizer away
			l.remove("main", &v1.Fleet{})
			edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Finalizers = nil })
			l.addFleet("main", "2026.11", nil)
		},
		why:     "fleet main is gone",
		release: v1.ReleaseRef{Name: "2026.11", Hash: hash2},
	},
	{
		name: "the release is another of its name",
		happens: func(l *loops) {
			l.remove("2026.11", &v1.Release{})
			l.addRelease("2026.11", "v1.37.3")
		},
		why:     "release 2026.11 is gone, or another by now",
		release: v1.ReleaseRef{Name: "2026.11", Hash: hash3},
	},
}

// moments are where it happens.
var moments = []struct {
	name string
	is   func(*cluster, v1.ClusterUpgradeStatus) bool
}{
	{"settling", func(_ *cluster, s v1.ClusterUpgradeStatus) bool { return s.Step == "Settle" }},
	{"the control plane is being changed", func(c *cluster, s v1.ClusterUpgradeStatus) bool {
		return s.Step == "ControlPlane" && c.running()
	}},
	{"baking", func(_ *cluster, s v1.ClusterUpgradeStatus) bool { return s.Step == "Bake" }},
	{"a node is added", func(c *cluster, s v1.ClusterUpgradeStatus) bool {
		return len(c.versions()) > 3 && len(c.cordoned()) == 0
	}},
	{"a node is being drained", func(c *cluster, _ v1.ClusterUpgradeStatus) bool { return len(c.cordoned()) > 0 }},
	{"settling at the end", func(_ *cluster, s v1.ClusterUpgradeStatus) bool {
		return s.Step == "Settle" && s.Nodes.Done == 3
	}},
}

func TestUpgradesSuperseded(t *testing.T) {
	for _, turn := range turns {
		for _, moment := range moments {
			t.Run(turn.name+", "+moment.name, func(t *testing.T) {
				l := newLoops(t)
				c := l.addMember("eu-1", shape{version: "v1.36.3", offers: offers, pools: map[string]int{"a": 3}, pods: 4, floor: 3})
				c.surge = 1
				l.addRelease("2026.11", "v1.37.2")
				l.addRelease("2026.12", "v1.37.3")
				l.addFleet("main", "2026.11", nil)
				l.turn()
				l.ride("eu-1.1", moment.name, func(up *v1.ClusterUpgrade) bool { return moment.is(c, up.Status) })

				turn.happens(l)
				operations, templates := len(c.operations()), len(c.Calls(fake.SetPoolTemplate))
				l.ride("eu-1.1", "ended", isEnded)

				up := l.upgrade("eu-1.1")
				outcome, code, object := "Superseded", "FleetMovedOn", "fleet main"
				if turn.aborted {
					outcome, code, object = "Aborted", "Aborted", "clusterupgrade eu-1.1"
				}
				if ended(up) != outcome || up.Status.Why.Message != turn.why || up.Status.Why.Code != code || up.Status.Why.Object != object {
					t.Errorf("ended %s: %+v; want %s: %s", ended(up), up.Status.Why, outcome, turn.why)
				}
				if up.Status.To != "v1.37.2" || up.Status.From != "v1.36.3" || up.Status.Nodes.Total != 3 || int(up.Status.Nodes.Done) != c.count("v1.37.2") {
					t.Errorf("from %s to %s, nodes %+v; want v1.36.3, v1.37.2, %d of 3",
						up.Status.From, up.Status.To, up.Status.Nodes, c.count("v1.37.2"))
				}
				checkSafePoint(t, c)
				if len(c.operations()) != operations || len(c.Calls(fake.SetPoolTemplate)) != templates {
					t.Errorf("%d operations and %d templates more", len(c.operations())-operations, len(c.Calls(fake.SetPoolTemplate))-templates)
				}
				checkSuccessor(t, l, turn.release)
			})
		}
	}
}

// checkSafePoint: no operation runs, nothing is left cordoned, the pool is whole.
func checkSafePoint(t *testing.T, c *cluster) {
	t.Helper()
	if c.running() {
		t.Errorf("of operations %v one still runs", c.operations())
	}
	if names := c.cordoned(); len(names) > 0 {
		t.Errorf("nodes %v are left cordoned", names)
	}
	if len(c.versions()) != 3 || len(c.TakesPods("a")) != 3 {
		t.Errorf("pool has machines %v, want 3 that are Ready", c.versions())
	}
	if slices.ContainsFunc(c.operations(), func(op fake.Operation) bool { return op.Phase == provider.Failed }) {
		t.Error("an operation failed")
	}
}

// checkSuccessor: what the fleet wants now goes its own way to the end.
func checkSuccessor(t *testing.T, l *loops, want v1.ReleaseRef) {
	t.Helper()
	l.see("eu-1")
	l.decide()
	if want.Name == "" {
		if diff := cmp.Diff([]string{"eu-1.1"}, l.started()); diff != "" {
			t.Errorf("upgrades (-want +got):\n%s", diff)
		}
		return
	}
	if got, _ := l.seen("eu-1"); want.Hash == hash2 && got.ControlPlane.Version == "v1.37.2" && got.Nodes.Oldest == "v1.37.2" {
		return // it is there
	}
	spec := l.upgrade("eu-1.2").Spec
	if spec.Release != want || spec.FleetUID != string(l.fleet("main").UID) {
		t.Errorf("successor is %+v, want %v for the fleet with UID %s", spec, want, l.fleet("main").UID)
	}
	l.ride("eu-1.2", "ended", isEnded)
	if got := ended(l.upgrade("eu-1.2")); got != "Done" {
		t.Errorf("successor ended %s, want Done", got)
	}
}
