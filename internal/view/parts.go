package view

import (
	"cmp"
	"slices"
	"time"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
)

// Part is one of the parts of a cluster that a release brings to a version.
type Part struct {
	// Kind is ControlPlane, Pool or AddOn.
	Kind string `json:"kind"`
	Name string `json:"name,omitempty"`
	// Version that it was last seen at; of a pool that of the oldest node. Idle
	// members are not asked for their add-ons.
	Version string `json:"version,omitempty"`
	// Wanted is what the fleet's release has for it.
	Wanted string `json:"wanted,omitempty"`
	// Nodes of a pool.
	Nodes int32 `json:"nodes,omitempty"`
}

// The kinds of parts.
const (
	controlPlanePart = "ControlPlane"
	poolPart         = "Pool"
	addOnPart        = "AddOn"
)

// parts of a member, as it was last seen, and what a release has for them.
func (p painter) parts(member, release string) []Part {
	i := slices.IndexFunc(p.hub.Members, func(mc v1.MemberCluster) bool { return mc.Name == member })
	if i < 0 {
		return nil
	}
	seen, wanted, target := p.hub.Members[i].Status, "", fleet.Version{}
	if r, found := p.hub.Release(release); found {
		wanted, target = r.Target.String(), r.Target
	}
	parts := []Part{{Kind: controlPlanePart, Version: seen.ControlPlane.Version, Wanted: wanted}}
	for _, pool := range seen.Pools {
		parts = append(parts, Part{Kind: poolPart, Name: pool.Name, Version: pool.Version, Wanted: wanted, Nodes: pool.Nodes})
	}
	for _, addOn := range p.hub.AddOns(release) {
		parts = append(parts, Part{Kind: addOnPart, Name: addOn.Name, Wanted: addOn.Versions[target.MinorName()].Text})
	}
	return parts
}

// Past is an upgrade that a member went through, or goes through.
type Past struct {
	Name    string `json:"name"`
	Release string `json:"release"`
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	// Outcome is how it ended; empty where it goes on.
	Outcome string    `json:"outcome,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
}

// told is how many upgrades of a member are told of: a year's, of most.
const told = 10

// past are the last upgrades of a member, the newest first.
func (p painter) past(member string) []Past {
	var own []*v1.ClusterUpgrade
	for i := range p.hub.Upgrades {
		if up := &p.hub.Upgrades[i]; up.Spec.Member == member {
			own = append(own, up)
		}
	}
	slices.SortFunc(own, func(a, b *v1.ClusterUpgrade) int { return cmp.Compare(observe.Number(b), observe.Number(a)) })
	var all []Past
	for _, up := range own[:min(told, len(own))] {
		one := Past{
			Name: up.Name, Release: up.Spec.Release.Name, From: up.Status.From, To: up.Status.To, Started: up.CreationTimestamp.UTC(),
		}
		if ended := endOf(up); ended != nil {
			one.Outcome, one.Ended = ended.Reason, ended.LastTransitionTime.UTC()
		}
		all = append(all, one)
	}
	return all
}
