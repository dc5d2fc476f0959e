package observe_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/rollout"
)

// TestPins: those count for an upgrade that are of its revision and provider.
func TestPins(t *testing.T) {
	f := &v1.Fleet{Status: v1.FleetStatus{Revision: 3, Pins: []v1.Pin{
		{Provider: "fake", Minor: "1.37", Version: "v1.37.1", Member: "eu-9"},
		{Provider: "local", Minor: "1.37", Version: "v1.37.2", Member: "eu-1"},
	}}}
	local := v1.MemberProvider{Local: &v1.LocalProvider{Name: "eu-2"}}
	for _, test := range []struct {
		name     string
		revision int64
		provider v1.MemberProvider
		want     string
	}{
		{"its own", 3, local, "v1.37.2"},
		{"of another provider", 3, v1.MemberProvider{Fake: &v1.FakeProvider{}}, "v1.37.1"},
		{"of a past revision", 2, local, ""},
		{"of one to come", 4, local, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			up := &v1.ClusterUpgrade{Spec: v1.ClusterUpgradeSpec{Revision: test.revision}}
			got := observe.Pins(f, up, &v1.MemberCluster{Spec: v1.MemberClusterSpec{Provider: test.provider}})
			if len(got) > 1 || len(got) == 1 && got[0].Version.String() != test.want || len(got) == 0 && test.want != "" {
				t.Errorf("pins are %v, want %q", got, test.want)
			}
		})
	}
}

// TestAsks: upgrades under way ask, those that have ended or whose member is gone
// do not; and what is asked for is known with its provider.
func TestAsks(t *testing.T) {
	up := func(member string, ended bool, path ...string) v1.ClusterUpgrade {
		u := v1.ClusterUpgrade{ObjectMeta: metav1.ObjectMeta{Name: member + ".1"}}
		u.Spec = v1.ClusterUpgradeSpec{Member: member, FleetUID: "uid-of-main", Revision: 3}
		u.Status.Path = path
		if ended {
			u.Status.Conditions = []metav1.Condition{{Type: v1.ConditionEnded, Status: metav1.ConditionTrue, Reason: "Done"}}
		}
		return u
	}
	member := func(name string) v1.MemberCluster {
		return v1.MemberCluster{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       v1.MemberClusterSpec{Provider: v1.MemberProvider{Local: &v1.LocalProvider{Name: name}}},
		}
	}
	hub := observe.Hub{
		Members:  []v1.MemberCluster{member("eu-1"), member("eu-2")},
		Upgrades: []v1.ClusterUpgrade{up("eu-1", false, "v1.36.6", "v1.37.2", "latest"), up("eu-2", true, "v1.37.4"), up("gone", false, "v1.37.5")},
	}
	var got []string
	for _, ask := range observe.Rollout(hub, metav1.Now().Time).Asks {
		if ask.FleetUID != "uid-of-main" || ask.Revision != 3 {
			t.Errorf("asked of fleet %s, revision %d", ask.FleetUID, ask.Revision)
		}
		got = append(got, ask.Member+" "+ask.Provider+" "+ask.Version.String())
	}
	if diff := cmp.Diff([]string{"eu-1 local v1.36.6", "eu-1 local v1.37.2"}, got); diff != "" {
		t.Errorf("asks (-want +got):\n%s", diff)
	}
}

// TestRememberPins: what is pinned is read back as it was, by the next look at
// the same revision, and not by that of another.
func TestRememberPins(t *testing.T) {
	pins := []fleet.Pin{{Provider: "local", Version: fleet.Version{Major: 1, Minor: 37, Patch: 2, Suffix: "-gke.1200"}, Member: "eu-1"}}
	release := v1.Release{ObjectMeta: metav1.ObjectMeta{Name: "2026.11"}, Spec: v1.ReleaseSpec{Bundle: v1.Bundle{Kubernetes: "v1.37.2"}}}
	f := v1.Fleet{Spec: v1.FleetSpec{Release: "2026.11"}}
	f.Status.Revision, f.Status.Release = 3, &v1.ReleaseRef{Name: "2026.11", Hash: release.Spec.Bundle.Hash()}
	observe.Remember(&f.Status, rollout.FleetState{Pins: pins})
	look := func() []fleet.Pin {
		hub := observe.Hub{Fleets: []v1.Fleet{f}, Releases: []v1.Release{release}}
		return observe.Rollout(hub, metav1.Now().Time).Fleets[0].Pins
	}
	if diff := cmp.Diff(pins, look()); diff != "" {
		t.Errorf("pins (-want +got):\n%s", diff)
	}
	f.Status.Release.Hash = "another"
	if got := look(); len(got) > 0 {
		t.Errorf("a new revision begins with pins %v", got)
	}
}
