package control_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/provider/fake"
)

// twoHubs are two hubs that each have the same cluster for a member, and want
// the same of it.
func twoHubs(t *testing.T) (one, two *loops, c *cluster) {
	t.Helper()
	one = newLoops(t)
	two = newLoopsOf(t, "uid-of-second", one.clock, one.cloud)
	c = one.addMember("eu-1", shape{version: "v1.36.3", offers: offers, pools: map[string]int{"a": 3}, pods: 4, floor: 3})
	c.surge = 1
	two.clusters["eu-1"] = c
	two.add(&v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "eu-1"},
		Spec:       v1.MemberClusterSpec{Provider: v1.MemberProvider{Local: &v1.LocalProvider{Name: "eu-1"}}},
	})
	for _, l := range []*loops{one, two} {
		l.addRelease("2026.11", "v1.37.2")
		l.addFleet("main", "2026.11", nil)
		l.see("eu-1")
		l.decide()
	}
	return one, two, c
}

// TestTwoHubs: of two hubs that want to change one member, whoever claims it
// first does, and the other nothing, until it finds everything done.
func TestTwoHubs(t *testing.T) {
	for _, first := range []int{0, 1} {
		one, two, c := twoHubs(t)
		hubs := []*loops{one, two}
		if first == 1 {
			hubs = []*loops{two, one}
		}
		acting, acted := "", map[string]int{}
		c.arriving = func(fake.Call) { acted[acting]++ }
		waited := map[string]bool{} // reasons of the one that waits
		for range 1000 {
			wait := 5 * time.Second
			for _, l := range hubs {
				acting = l.upgrades.Hub
				if up := l.upgrade("eu-1.1"); !observe.Ended(up) {
					wait = min(wait, max(time.Millisecond, l.move("eu-1.1")))
				}
			}
			if up := hubs[1].upgrade("eu-1.1"); len(c.changes()) > 0 {
				waited[up.Status.Why.Code] = true
			}
			if isEnded(one.upgrade("eu-1.1")) && isEnded(two.upgrade("eu-1.1")) {
				break
			}
			one.clock.Step(wait)
		}
		for _, l := range hubs {
			if got := ended(l.upgrade("eu-1.1")); got != "Done" {
				t.Errorf("upgrade of %s ended %q, want Done", l.upgrades.Hub, got)
			}
		}
		if n := acted[hubs[0].upgrades.Hub]; n == 0 || len(acted) != 1 {
			t.Errorf("calls by hub are %v, want all by %s", acted, hubs[0].upgrades.Hub)
		}
		if len(c.operations()) != 1 || c.count("v1.37.2") != 3 || c.made() != 3+4+3+c.Look().Accepted {
			t.Errorf("%d operations, machines %v, %d things made; want 1, 3 at v1.37.2", len(c.operations()), c.versions(), c.made())
		}
		if !waited["ClaimedElsewhere"] {
			t.Errorf("the other waited for %v, want ClaimedElsewhere", waited)
		}
		if holder := c.holder(); holder != "" {
			t.Errorf("at the end the member is claimed by %s", holder)
		}
	}
}

// TestTwoHubsAtOnce: both look while the member is free, and then both claim it:
// one of them does.
func TestTwoHubsAtOnce(t *testing.T) {
	one, two, c := twoHubs(t)
	settle := func(l *loops) {
		l.ride("eu-1.1", "settled", func(up *v1.ClusterUpgrade) bool {
			return l.clock.Since(up.CreationTimestamp.Time) > 15*time.Second
		})
	}
	settle(one)
	two.look("eu-1.1")
	one.clock.Step(20 * time.Second)
	raced := false
	c.claiming = func() {
		if !raced {
			raced = true // the first was about to write: the second is faster
			two.move("eu-1.1")
		}
	}
	one.move("eu-1.1")
	if !raced || !strings.HasPrefix(c.holder(), "uid-of-second/") || len(c.Calls(fake.UpgradeControlPlane)) != 1 {
		t.Fatalf("raced: %t; claimed by %q, calls %v; want the second hub, and one", raced, c.holder(), c.changes())
	}
	one.move("eu-1.1")
	if why := one.upgrade("eu-1.1").Status.Why; why.Code != "ClaimedElsewhere" || why.Object != "hub uid-of-second" || len(c.changes()) != 1 {
		t.Errorf("the first waits for %+v, calls %v; want ClaimedElsewhere, and one", why, c.changes())
	}
}

// TestUpgradesStopWithoutTheClaim: it is lost between the record and the call.
func TestUpgradesStopWithoutTheClaim(t *testing.T) {
	for _, moment := range []string{"upgrade control plane", "add node", "remove node"} {
		t.Run(moment, func(t *testing.T) {
			l, c := begin(t)
			var calls int
			lost := false
			l.writing = func(object client.Object) error {
				for _, intent := range object.(*v1.ClusterUpgrade).Status.Intents {
					if strings.HasPrefix(intent.Change, moment) && !lost {
						lost, calls = true, len(c.changes())
						c.takeClaim("uid-of-other/theirs")
					}
				}
				return nil
			}
			l.ride("eu-1.1", "lost", func(*v1.ClusterUpgrade) bool { return lost })
			for range 3 {
				l.clock.Step(min(l.move("eu-1.1"), time.Minute))
			}
			if why := l.upgrade("eu-1.1").Status.Why; len(c.changes()) != calls || why.Code != "ClaimedElsewhere" {
				t.Errorf("waits for %+v, and %v was called", why, c.changes()[calls:])
			}
		})
	}
}

// TestTakeOver: the hub that has claimed a member is gone. The other one waits,
// also when the claim has expired, until a person says that it takes its place.
func TestTakeOver(t *testing.T) {
	one, two, c := twoHubs(t)
	one.ride("eu-1.1", "baking", func(up *v1.ClusterUpgrade) bool { return up.Status.Step == "Bake" })
	wait := func(code, fix string) {
		t.Helper()
		two.move("eu-1.1")
		up := two.upgrade("eu-1.1")
		if why := up.Status.Why; why.Code != code || why.Fix != fix {
			t.Errorf("waits for %+v, want %s with fix %q", why, code, fix)
		}
		if stalled := conditionsOf(up)["Stalled"]; (stalled == "True") != (fix != "") {
			t.Errorf("stalled is %s", stalled)
		}
	}
	calls := len(c.changes())
	wait("ClaimedElsewhere", "")
	yes := func(hub, from string) {
		two.add(&v1.Approval{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "takeover-"},
			Spec:       v1.ApprovalSpec{Subject: v1.SubjectTakeOver, Hub: hub, Name: from, Reason: "x"},
		})
	}
	two.clock.Step(6 * time.Minute)
	const fix = "if it is gone for good, let this hub take its place: refit takeover uid-of-hub --reason …"
	wait("ClaimedElsewhere", fix)
	yes("uid-of-third", hubUID) // as one that was restored with the hub it was for
	yes("uid-of-second", "uid-of-third")
	two.clock.Step(time.Second)
	wait("ClaimedElsewhere", fix)
	if len(c.changes()) != calls {
		t.Errorf("called without anybody's word: %v", c.changes()[calls:])
	}
	yes("uid-of-second", hubUID)
	two.ride("eu-1.1", "done", isEnded)
	if got := ended(two.upgrade("eu-1.1")); got != "Done" || c.count("v1.37.2") != 3 || len(c.operations()) != 1 {
		t.Errorf("ended %s, machines %v, %d operations", got, c.versions(), len(c.operations()))
	}
}

// TestRestoredHub: a hub that holds what another one made only watches, until a
// person says that it takes the other's place.
func TestRestoredHub(t *testing.T) {
	l := newLoops(t)
	c := l.addMember("eu-1", shape{version: "v1.36.3", offers: offers, pools: map[string]int{"a": 3}, pods: 4, floor: 3})
	l.addMember("eu-2", shape{version: "v1.36.3", offers: offers, pools: map[string]int{"a": 1}, floor: -1}).surge = 1
	c.surge = 1
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) { spec.Waves[0].MaxConcurrent.IntVal = 2 })
	l.see("eu-1")
	l.decide()
	l.ride("eu-1.1", "draining", func(*v1.ClusterUpgrade) bool { return len(c.cordoned()) > 0 })
	for n := 2; n < 9; n++ {
		l.addUpgrade(l.fleet("main"), "eu-0", n, "Done")
	}

	// The same objects, in a hub of another UID; the first is gone.
	l.fleets.Hub, l.upgrades.Hub = "uid-of-restored", "uid-of-restored"
	calls := len(c.changes())
	clear(l.timeline)
	for range 200 {
		l.turn()
	}
	if len(c.changes()) != calls || len(c.cordoned()) != 1 || !slices.Equal(l.claimed(), []string{"eu-1"}) {
		t.Errorf("a restored hub called %v; nodes %v cordoned, claims %v", c.changes()[calls:], c.cordoned(), l.claimed())
	}
	want := v1.Why{
		Code: "RestoredHub", Object: "hub uid-of-hub",
		Message: "this hub only watches: it was restored from what hub uid-of-hub held, and is hub uid-of-restored",
		Fix:     "see that hub uid-of-hub is gone for good, then let this one act: refit takeover uid-of-hub --reason …",
	}
	got := *l.upgrade("eu-1.1").Status.Why
	got.Since = metav1.Time{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the upgrade waits for (-want +got):\n%s", diff)
	}
	if lines := conditions(l.fleet("main").Status.Conditions); !strings.Contains(lines[2], "Stalled True") || !strings.Contains(lines[2], "RestoredHub: "+want.Message+"; "+want.Fix) {
		t.Errorf("the fleet says %v", lines)
	}
	var upgrades v1.ClusterUpgradeList
	if err := l.hub.List(t.Context(), &upgrades); err != nil || len(upgrades.Items) != 1+7 {
		t.Errorf("%d upgrades, %v; want those that there were", len(upgrades.Items), err)
	}

	// Not even what is gone is ended, nor called silent.
	l.remove("eu-1", &v1.MemberCluster{})
	edit(l, "eu-1", &v1.MemberCluster{}, func(mc *v1.MemberCluster) { mc.Finalizers = nil })
	l.move("eu-1.1")
	if up := l.upgrade("eu-1.1"); isEnded(up) || up.Status.Why.Code != "RestoredHub" {
		t.Errorf("without its MemberCluster the upgrade ended %q, waits for %+v", ended(up), up.Status.Why)
	}
	l.add(&v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "eu-1"},
		Spec:       v1.MemberClusterSpec{Provider: v1.MemberProvider{Local: &v1.LocalProvider{Name: "eu-1"}}},
	})

	l.add(&v1.Approval{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "takeover"},
		Spec:       v1.ApprovalSpec{Subject: v1.SubjectTakeOver, Hub: "uid-of-restored", Name: hubUID, Reason: "x"},
	})
	l.until("both are done", func() bool { return l.ended("eu-1.1", "Done")() && l.ended("eu-2.1", "Done")() })
	if by := l.upgrade("eu-2.1").Spec.Hub; by != "uid-of-restored" || c.count("v1.37.2") != 3 {
		t.Errorf("the next upgrade is by %s, machines %v", by, c.versions())
	}
}

// TestUpgradesKeepTheClaim alive as long as they are under way, however long
// they wait.
func TestUpgradesKeepTheClaim(t *testing.T) {
	l, c := begin(t)
	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.Bake.Duration = 20 * time.Minute })
	begun := false
	l.ride("eu-1.1", "through the bake", func(up *v1.ClusterUpgrade) bool {
		lease := c.claim()
		if begun = begun || lease != nil; begun && !isEnded(up) && len(c.Calls(fake.RemoveNode)) < 3 {
			checkLease(t, lease, l.clock.Now(), "uid-of-hub/"+string(up.UID))
		}
		return len(c.Calls(fake.RemoveNode)) == 3
	})
}

func checkLease(t *testing.T, lease *coordinationv1.Lease, now time.Time, holder string) {
	t.Helper()
	if lease == nil || lease.Name != "refit" || *lease.Spec.HolderIdentity != holder {
		t.Fatalf("the member is claimed by %v, want %s", lease, holder)
	}
	lasts := time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
	if age := now.Sub(lease.Spec.RenewTime.Time); age > lasts/2 {
		t.Errorf("the claim was renewed %s ago; it lasts %s", age, lasts)
	}
}
