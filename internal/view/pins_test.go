package view_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "refit.dev/refit/api/v1alpha1"
	core "refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/view"
)

// TestPlanHasPins: the way of who starts has the versions that are pinned for its
// provider, and minors where there are none.
func TestPlanHasPins(t *testing.T) {
	pin := func(provider, minor, version string) v1.Pin {
		return v1.Pin{Provider: provider, Minor: minor, Version: version, Member: "eu-0"}
	}
	for _, test := range []struct {
		name string
		pins []v1.Pin
		want []string
	}{
		{"none", nil, []string{"v1.34.1", "1.35", "1.36", "v1.37.2"}},
		{"on the way", []v1.Pin{pin("local", "1.36", "v1.36.6")}, []string{"v1.34.1", "1.35", "v1.36.6", "v1.37.2"}},
		{"of the release's minor", []v1.Pin{pin("local", "1.37", "v1.37.4")}, []string{"v1.34.1", "1.35", "1.36", "v1.37.4"}},
		{"of another provider", []v1.Pin{pin("fake", "1.36", "v1.36.6")}, []string{"v1.34.1", "1.35", "1.36", "v1.37.2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, f := release(), fleet("main", "2026.11")
			f.Status = v1.FleetStatus{Revision: 1, Release: &v1.ReleaseRef{Name: r.Name, Hash: r.Spec.Bundle.Hash()}, Pins: test.pins}
			hub := observe.Hub{
				Fleets: []v1.Fleet{f}, Releases: []v1.Release{r}, Members: []v1.MemberCluster{member("eu-1", "main", "v1.34.1", "", "")},
			}
			plan := view.PlanOf(hub, core.Reason{}, now)
			if len(plan.Start) != 1 {
				t.Fatalf("%d start, want eu-1", len(plan.Start))
			}
			if diff := cmp.Diff(test.want, plan.Start[0].Path); diff != "" {
				t.Errorf("path (-want +got):\n%s", diff)
			}
		})
	}
}
