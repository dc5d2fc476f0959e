package control_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/provider/fake"
)

// addOffered makes a member at v1.36.3 with one node, to which some versions are
// offered.
func (l *loops) addOffered(name, offers string) *cluster {
	l.t.Helper()
	c := l.addMember(name, shape{version: "v1.36.3", offers: strings.Fields(offers), pools: map[string]int{"a": 1}, floor: -1})
	c.surge = 1
	return c
}

// allAtOnce is a fleet of which all start together.
func allAtOnce(spec *v1.FleetSpec) { spec.Waves[0].MaxConcurrent = intstr.FromInt32(9) }

func (l *loops) checkPins(want ...v1.Pin) {
	l.t.Helper()
	if diff := cmp.Diff(want, l.fleet("main").Status.Pins); diff != "" {
		l.t.Errorf("pins (-want +got):\n%s", diff)
	}
}

// TestFleetsPinWhatTheFirstNeeds: what the canary went to is what those after it
// get, though a lower version is offered by now; and to whom it is not offered
// waits, and says for what.
func TestFleetsPinWhatTheFirstNeeds(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.0")
	l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) {
		waves(spec)
		spec.Waves[0].Soak.Duration = 0
	})
	l.addOffered("eu-1", "v1.37.2 v1.37.3")
	other, without := l.addOffered("eu-2", "v1.37.1 v1.37.2"), l.addOffered("eu-3", "v1.37.1 v1.37.4")
	l.turn()
	if got := l.upgrade("eu-1.1").Status.Path; !slices.Equal(got, []string{"v1.37.2"}) {
		t.Errorf("eu-1 tells that %v is ahead, want v1.37.2", got)
	}
	l.checkPins()
	l.turn()
	pin := v1.Pin{Provider: "local", Minor: "1.37", Version: "v1.37.2", Member: "eu-1"}
	l.checkPins(pin)
	l.until("the canary is done", l.ended("eu-1.1", "Done"))
	l.until("the next is done", l.ended("eu-2.1", "Done"))

	if got := other.Look().Version.String(); got != "v1.37.2" || other.count("v1.37.2") != 1 {
		t.Errorf("eu-2 went to %s, its nodes to %v; want v1.37.2", got, other.versions())
	}
	if calls := without.changes(); len(calls) > 0 {
		t.Errorf("eu-3 was changed: %v", calls)
	}
	why := l.upgrade("eu-3.1").Status.Why
	want := "v1.37.2 is pinned for 1.37, as member eu-1 needed it first; the provider does not offer it to this one; it offers [v1.37.1 v1.37.4]"
	if why.Code != "NotOffered" || why.Message != want || !strings.Contains(why.Fix, "create a release that names a version that is offered to all") {
		t.Errorf("eu-3 waits for %+v", why)
	}
	l.checkPins(pin)

	// A new revision begins without pins, and who waited goes on.
	l.addRelease("2026.12", "v1.37.4")
	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) {
		f.Spec.Release = "2026.12"
		f.Spec.Waves[0].Selector.MatchLabels["name"] = "eu-3"
	})
	l.decide()
	l.checkPins()
	l.until("the last is done", l.ended("eu-3.2", "Done"))
	l.checkPins(v1.Pin{Provider: "local", Minor: "1.37", Version: "v1.37.4", Member: "eu-3"})
	if got := without.Look().Version.String(); got != "v1.37.4" {
		t.Errorf("eu-3 went to %s, want v1.37.4", got)
	}
}

// TestFleetsPinOneOfTwo: of two that ask at once for different versions, both get
// the lower one, or one of them waits to whom it is not offered.
func TestFleetsPinOneOfTwo(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.0")
	l.addFleet("main", "2026.11", allAtOnce)
	clusters := []*cluster{l.addOffered("eu-1", "v1.37.2 v1.37.3"), l.addOffered("eu-2", "v1.37.1 v1.37.2"), l.addOffered("eu-3", "v1.37.1 v1.37.4 v1.37.2")}
	l.turn()
	l.turn()
	l.checkPins(v1.Pin{Provider: "local", Minor: "1.37", Version: "v1.37.1", Member: "eu-2"})
	l.until("two are done", func() bool { return l.ended("eu-2.1", "Done")() && l.ended("eu-3.1", "Done")() })
	var versions []string
	for _, c := range clusters {
		versions = append(versions, c.Look().Version.String())
	}
	if diff := cmp.Diff([]string{"v1.36.3", "v1.37.1", "v1.37.1"}, versions); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	if why := l.upgrade("eu-1.1").Status.Why; why.Code != "NotOffered" {
		t.Errorf("eu-1 waits for %+v, want NotOffered", why)
	}
}

// TestUpgradesWaitForTheirPins: nothing is changed before the version is pinned,
// and as soon as it is, it goes on.
func TestUpgradesWaitForTheirPins(t *testing.T) {
	l := newLoops(t)
	l.unpinned = true
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	c := l.addOffered("eu-1", "v1.37.2")
	l.see("eu-1")
	l.decide()
	l.ride("eu-1.1", "pinning", func(up *v1.ClusterUpgrade) bool { return up.Status.Why != nil && up.Status.Why.Code == "Pinning" })
	for range 5 {
		l.clock.Step(l.move("eu-1.1"))
	}
	if calls := c.changes(); len(calls) > 0 {
		t.Errorf("called before the version was pinned: %v", calls)
	}
	l.see("eu-1")
	l.decide()
	l.move("eu-1.1")
	if len(c.Calls(fake.UpgradeControlPlane)) != 1 {
		t.Errorf("calls are %v, want the control plane's", c.changes())
	}
}

// TestProvidersThatPickNeedNoPins.
func TestProvidersThatPickNeedNoPins(t *testing.T) {
	l := newLoops(t)
	l.unpinned = true
	l.cloud.Mode.PicksPatch = true
	l.addRelease("2026.11", "v1.37.0")
	l.addFleet("main", "2026.11", nil)
	l.addOffered("eu-1", "v1.37.2 v1.37.3")
	l.until("done", l.ended("eu-1.1", "Done"))
	l.checkPins()
	for _, position := range l.timeline {
		if strings.Contains(position, "Pinning") {
			t.Errorf("it was in %s", position)
		}
	}
}

// TestUpgradesOfAPastRevision end: the fleet's pins are not theirs any more, and
// its waves open anew.
func TestUpgradesOfAPastRevision(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addRelease("2026.12", "v1.37.3")
	l.addFleet("main", "2026.11", nil)
	c := l.addOffered("eu-1", "v1.37.2")
	l.turn()
	for _, release := range []string{"2026.12", "2026.11"} {
		edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.Release = release })
		l.decide()
	}
	l.move("eu-1.1")
	if up := l.upgrade("eu-1.1"); ended(up) != "Superseded" || up.Status.Why.Message != "fleet main rolls revision 3 by now" {
		t.Errorf("ended %q: %+v; want Superseded", ended(up), up.Status.Why)
	}
	l.until("its successor is done", l.ended("eu-1.2", "Done"))
	if got := c.Look().Version.String(); got != "v1.37.2" {
		t.Errorf("it went to %s, want v1.37.2", got)
	}
}
