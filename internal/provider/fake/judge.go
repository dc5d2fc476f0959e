package fake

import (
	"slices"

	"refit.dev/refit/internal/provider"
)

// Judge says, from a cluster's own side, what was done to it that must never be.
// Its methods are for Cluster.Arriving and Cluster.Answered.
type Judge struct {
	Cluster *Cluster
	// Surge is how many machines a pool may have too many, and Unavailable how many
	// of its nodes may take no pods.
	Surge, Unavailable int
	// Breaks is told of each.
	Breaks func(format string, args ...any)
}

// Before judges what only shows before a call takes effect.
func (j Judge) Before(call Call) {
	if call.Verb != RemoveNode {
		return
	}
	if slices.ContainsFunc(j.Cluster.Look().Pods, func(p Pod) bool { return p.Node == call.What }) {
		j.Breaks("%s: node %s is removed with pods on it", j.Cluster.name, call.What)
	}
}

// After judges what a call led to. What a call cannot have done is not blamed on it.
func (j Judge) After(call Call) {
	if call.Verb == UpgradeControlPlane && call.Err != nil && provider.AsFault(call.Err).Code == provider.CodeInvalid {
		j.Breaks("%s was asked for what must never be: %s: %v", j.Cluster.name, call.What, call.Err)
	}
	s := j.Cluster.Look()
	for _, p := range s.Pools {
		if machines := s.Count(p.Name); call.Verb == AddNode && machines > p.Size+j.Surge {
			j.Breaks("%s: after %s pool %s has %d machines; its size is %d, surge %d", j.Cluster.name, call.Verb, p.Name, machines, p.Size, j.Surge)
		}
		taking := len(j.Cluster.TakesPods(p.Name))
		if takes := call.Verb == PatchNode || call.Verb == RemoveNode; takes && taking < p.Size-j.Unavailable {
			j.Breaks("%s: after %s %s %d nodes of pool %s take pods; its size is %d, %d may be missing",
				j.Cluster.name, call.Verb, call.What, taking, p.Name, p.Size, j.Unavailable)
		}
	}
}
