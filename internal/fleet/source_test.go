package fleet_test

import (
	"testing"

	"refit.dev/refit/internal/fleet"
)

// TestDeclared: what is written keeps its form, and is compared as precisely as that.
func TestDeclared(t *testing.T) {
	for _, test := range []struct {
		says, runs, like  string
		compared, byMinor int
	}{
		{"1.36", "v1.37.2", "1.37", -1, -1},
		{"1.37", "v1.37.2", "1.37", 0, 0},
		{"1.38", "v1.37.2", "1.37", 1, 1},
		{"v1.36", "v1.37.2", "v1.37", -1, -1},
		{"1.37.1", "v1.37.2", "1.37.2", -1, 0},
		{"v1.37.3", "v1.37.2", "v1.37.2", 1, 0},
		{"1.37.2", "v1.37.2-gke.900", "1.37.2", 0, 0},
		{"1.37.2-gke.800", "v1.37.2-gke.900", "1.37.2-gke.900", -1, 0},
		{"1.36.3-gke.1.2", "v1.37.2-gke.900", "1.37.2-gke.900", -1, -1},
		{"1.9", "v1.10.0", "1.10", -1, -1},
	} {
		t.Run(test.says+" of "+test.runs, func(t *testing.T) {
			says, runs := fleet.Declared(test.says), version(t, test.runs)
			if got := says.Like(runs); got != fleet.Declared(test.like) {
				t.Errorf("would be written as %q, want %q", got, test.like)
			}
			if got := (fleet.Cluster{}).Declares(says, runs); got != test.compared {
				t.Errorf("compares as %d, want %d", got, test.compared)
			}
			if got := (fleet.Cluster{PicksPatch: true}).Declares(says, runs); got != test.byMinor {
				t.Errorf("compares as %d where the provider picks the patch, want %d", got, test.byMinor)
			}
		})
	}
}

// TestSourceDrift says file, line and both versions.
func TestSourceDrift(t *testing.T) {
	c := fleet.Cluster{Source: fleet.Source{SourceRef: fleet.SourceRef{File: "infra/eks.tf"}, Line: 12, Says: "1.36"}}
	if got := c.Drift(version(t, "v1.37.2")); got.Message != `infra/eks.tf:12 says "1.36", the cluster runs v1.37.2` || got.Code != fleet.SourceDrift {
		t.Errorf("drift is %+v", got)
	}
	for _, runs := range []fleet.Version{version(t, "v1.36.9"), {}} {
		if got := c.Drift(runs); !got.IsZero() {
			t.Errorf("of %s, drift is %+v", runs, got)
		}
	}
	c.Source.Says = ""
	if got := c.Drift(version(t, "v1.37.2")); !got.IsZero() {
		t.Errorf("of what is not known, drift is %+v", got)
	}
}

// TestBareNumbers: what Terraform reads as another number is not written as one.
func TestBareNumbers(t *testing.T) {
	s := fleet.Source{SourceRef: fleet.SourceRef{File: "a.tf", Attribute: "locals.v"}, Line: 3, Says: "1.39", Bare: true}
	if to, why := s.Wants(version(t, "v1.41.0")); to != "1.41" || !why.IsZero() {
		t.Errorf("wants %q, %+v", to, why)
	}
	if to, why := s.Wants(version(t, "v1.40.0")); to != "" || why.Code != fleet.SourceRefused || why.Fix != "put the value of locals.v in quotes" {
		t.Errorf("wants %q, %+v", to, why)
	}
	s.Bare = false
	if to, _ := s.Wants(version(t, "v1.40.0")); to != "1.40" {
		t.Errorf("wants %q", to)
	}
}
