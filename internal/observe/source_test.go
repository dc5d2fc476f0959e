package observe_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
)

// saying answers with what it was asked.
type saying struct {
	asked  fleet.SourceRef
	within time.Duration
}

func (s *saying) Seen(what fleet.SourceRef, within time.Duration) fleet.Source {
	s.asked, s.within = what, within
	return fleet.Source{Says: "1.36", Line: 3}
}

// TestSourceOfAMember: a member's source is looked at as its spec says.
func TestSourceOfAMember(t *testing.T) {
	mc := &v1.MemberCluster{}
	asked := &saying{}
	clusters := &observe.Clusters{Sources: asked}
	if diff := cmp.Diff(fleet.Source{}, clusters.SourceOf(mc, time.Minute)); diff != "" || asked.within != 0 {
		t.Errorf("of none (-want +got):\n%s", diff)
	}
	mc.Spec.Source = &v1.MemberSource{
		Mode: "WriteBack", Git: v1.GitSource{URL: "https://git.example/infra", Branch: "main"},
		Terraform: v1.TerraformSource{File: "eks.tf", Attribute: "module.a.version"},
	}
	ref := fleet.SourceRef{URL: "https://git.example/infra", Branch: "main", File: "eks.tf", Attribute: "module.a.version"}
	want := fleet.Source{SourceRef: ref, Mode: fleet.WriteBack, Says: "1.36", Line: 3}
	if diff := cmp.Diff(want, clusters.SourceOf(mc, time.Minute)); diff != "" || asked.asked != ref || asked.within != time.Minute {
		t.Errorf("asked for %+v within %s (-want +got):\n%s", asked.asked, asked.within, diff)
	}
	if got := (&observe.Clusters{}).SourceOf(mc, time.Minute); got.Mode != fleet.WriteBack || got.Says != "" || got.Why.IsZero() {
		t.Errorf("where nobody looks: %+v", got)
	}
}
