package observe

import (
	"time"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
)

// Sources looks at where members' versions are declared as code. It does not wait: what
// was read longer ago than within is not known, and being read.
type Sources interface {
	Seen(what fleet.SourceRef, within time.Duration) fleet.Source
}

// SourceOf is what a member's source says. What cannot be looked at is not known.
func (c *Clusters) SourceOf(mc *v1.MemberCluster, within time.Duration) fleet.Source {
	of := mc.Spec.Source
	if of == nil {
		return fleet.Source{}
	}
	seen := fleet.Source{Why: fleet.Reason{Code: fleet.SourceRefused, Message: "sources are not looked at here"}}
	if c.Sources != nil {
		seen = c.Sources.Seen(sourceRef(of), within)
	}
	seen.SourceRef, seen.Mode = sourceRef(of), fleet.SourceMode(of.Mode)
	return seen
}

func sourceRef(of *v1.MemberSource) fleet.SourceRef {
	return fleet.SourceRef{URL: of.Git.URL, Branch: of.Git.Branch, File: of.Terraform.File, Attribute: of.Terraform.Attribute}
}
