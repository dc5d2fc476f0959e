package control

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	v1 "refit.dev/refit/api/v1alpha1"
)

// TestWhatWakesWhom: a line per change, and the loops that look because of it.
func TestWhatWakesWhom(t *testing.T) {
	meta := func(generation int64, env string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: "eu-1", Generation: generation, Labels: map[string]string{"env": env}}
	}
	fleet := func(generation int64, status v1.FleetStatus) client.Object {
		return &v1.Fleet{ObjectMeta: meta(generation, ""), Status: status}
	}
	release := func(generation int64) client.Object { return &v1.Release{ObjectMeta: meta(generation, "")} }
	member := func(generation int64, env string) client.Object {
		return &v1.MemberCluster{ObjectMeta: meta(generation, env)}
	}
	upgrade := func(generation int64, step string) client.Object {
		return &v1.ClusterUpgrade{ObjectMeta: meta(generation, ""), Status: v1.ClusterUpgradeStatus{Step: step}}
	}
	pins := v1.FleetStatus{Revision: 1, Pins: []v1.Pin{{Provider: "local", Minor: "1.37", Version: "v1.37.2"}}}
	for _, test := range []struct {
		name          string
		before, after client.Object
		// Who looks: the fleets loop, the upgrades that depend on the object, the
		// loop of the object itself, and of an upgrade the loop of its member.
		fleets, upgrades, itself, moved bool
	}{
		{name: "a fleet is new", after: fleet(1, v1.FleetStatus{}), fleets: true, upgrades: true, itself: true},
		{name: "a fleet is gone", before: fleet(1, v1.FleetStatus{}), fleets: true, upgrades: true, itself: true},
		{name: "a fleet wants something else", before: fleet(1, pins), after: fleet(2, pins), fleets: true, upgrades: true, itself: true},
		{name: "a fleet counts", before: fleet(1, pins), after: fleet(1, v1.FleetStatus{Revision: 1, Pins: pins.Pins, Members: v1.MemberCounts{Done: 1}})},
		{name: "a fleet pins", before: fleet(1, v1.FleetStatus{Revision: 1}), after: fleet(1, pins), upgrades: true},
		{name: "a fleet begins a revision", before: fleet(1, pins), after: fleet(1, v1.FleetStatus{Revision: 2, Pins: pins.Pins}), upgrades: true},
		{name: "a release is withdrawn", before: release(1), after: release(2), fleets: true, upgrades: true, itself: true},
		{name: "a release has a hash", before: release(1), after: release(1)},
		{name: "a member is new", after: member(1, "dev"), fleets: true, upgrades: true, itself: true},
		{name: "a member was seen", before: member(1, "dev"), after: member(1, "dev"), fleets: true},
		{name: "a member has other labels", before: member(1, "dev"), after: member(1, "prod"), fleets: true, upgrades: true},
		{name: "a member is deleted", before: member(1, "dev"), after: member(2, "dev"), fleets: true, upgrades: true, itself: true},
		{name: "an upgrade is new", after: upgrade(1, ""), fleets: true, itself: true, moved: true},
		{name: "an upgrade waits", before: upgrade(1, "Bake"), after: upgrade(1, "Bake"), fleets: true},
		{name: "an upgrade enters a step", before: upgrade(1, "Bake"), after: upgrade(1, "Nodes"), fleets: true, moved: true},
		{name: "an upgrade is to end", before: upgrade(1, "Bake"), after: upgrade(2, "Bake"), fleets: true, itself: true},
		{name: "a freeze is new", after: &v1.Freeze{}, fleets: true, upgrades: true, itself: true},
		{name: "an approval is new", after: &v1.Approval{}, fleets: true, itself: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := WakesFleets(test.before, test.after); got != test.fleets {
				t.Errorf("the fleets loop looks: %t, want %t", got, test.fleets)
			}
			if got := WakesUpgrades(test.before, test.after); got != test.upgrades {
				t.Errorf("upgrades look: %t, want %t", got, test.upgrades)
			}
			if got := Respecified(test.before, test.after); got != test.itself {
				t.Errorf("its own loop looks: %t, want %t", got, test.itself)
			}
			_, ofUpgrade := either(test.before, test.after).(*v1.ClusterUpgrade)
			if got := ofUpgrade && Moved(test.before, test.after); got != test.moved {
				t.Errorf("the member's loop looks: %t, want %t", got, test.moved)
			}
		})
	}
}

// TestWhenIsAskedOfEveryEvent: what is new has no before, what is gone no after.
func TestWhenIsAskedOfEveryEvent(t *testing.T) {
	var before, after client.Object
	p := when(func(b, a client.Object) bool {
		before, after = b, a
		return true
	})
	one, two := &v1.Fleet{}, &v1.Fleet{}
	if p.Create(event.CreateEvent{Object: one}); before != nil || after != one {
		t.Errorf("created: %v → %v", before, after)
	}
	if p.Delete(event.DeleteEvent{Object: one}); before != one || after != nil {
		t.Errorf("deleted: %v → %v", before, after)
	}
	if p.Update(event.UpdateEvent{ObjectOld: one, ObjectNew: two}); before != one || after != two {
		t.Errorf("updated: %v → %v", before, after)
	}
}
