package upgrade

import (
	"slices"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/preflight"
)

// pass is one way through the recipe: at most one minor of the control plane.
type pass struct {
	// floor is the least that the release asks of this pass.
	floor fleet.Version
	// pin is the fleet's for this minor; zero where there is none, or needs to be
	// none.
	pin fleet.Pin
	// to is the version of this pass; zero where none that suffices is offered.
	to fleet.Version
	// next is the minor of the pass after this one; 0 in the last.
	next int
}

func (p pass) last() bool { return p.next == 0 }

// passes are the hops from where the upgrade began to its target, oldest
// first. There is always one: a release may move nodes alone.
func passes(in Input) []pass {
	from := in.Memory.From.Minor
	first := from + 1
	if first > in.Target.Minor || nodesFirst(in, from) {
		first = min(from, in.Target.Minor)
	}
	var list []pass
	for minor := first; minor <= in.Target.Minor; minor++ {
		p := pass{floor: floor(in, minor)}
		if !in.Cluster.PicksPatch {
			p.pin = fleet.Pinned(in.Pins, p.floor)
		}
		p.to = hopVersion(in, p)
		if minor < in.Target.Minor {
			p.next = minor + 1
		}
		list = append(list, p)
	}
	return list
}

// nodesFirst tells whether nodes are to be replaced before the control plane
// takes its first minor: they could not follow it, or are in hand already.
func nodesFirst(in Input, minor int) bool {
	if slices.ContainsFunc(in.Memory.Records, func(r Record) bool { return r.Step.commits() && r.Hop.Minor == minor }) {
		return true
	}
	return slices.ContainsFunc(in.Cluster.Pools, func(pool fleet.Pool) bool {
		return tooOldFor(in.Cluster, pool, minor+1) || inHand(in, pool)
	})
}

// enough is the version from which on nodes may stay as they are: the release
// in the last pass, and before that what the next control plane can bear, so
// that a catch-up of three minors moves a workload once.
func (p pass) enough(c fleet.Cluster) fleet.Version {
	if p.last() {
		return p.to
	}
	return oldestFor(c, p.next)
}

// rolls tells whether a pool's nodes are replaced in this pass. A roll that has
// begun is carried to its end: its pool is to be whole again.
func (p pass) rolls(in Input, pool fleet.Pool) bool {
	rolling := pool.Template.Reaches(p.to) || operationOf(in.Cluster, pool.Name).Phase == fleet.Running
	begun := in.Memory.started(p, Nodes) && rolling
	return p.last() || begun || inHand(in, pool) || tooOldFor(in.Cluster, pool, p.next)
}

// rolled are the pools whose nodes are replaced in this pass. First come those that
// lack nodes, be it that a provider gave none for one that was removed: pods of the
// others may have nowhere else to go. So one that has no node at all is filled before
// any other is rolled.
func (p pass) rolled(in Input) []fleet.Pool {
	pools := slices.DeleteFunc(slices.Clone(in.Cluster.Pools), func(pool fleet.Pool) bool { return !p.rolls(in, pool) })
	for _, pool := range in.Cluster.Pools {
		if len(pools) > 0 && lacks(pool) == pool.Size && lacks(pool) > 0 && !p.rolls(in, pool) {
			pools = append(pools, pool)
		}
	}
	slices.SortStableFunc(pools, func(a, b fleet.Pool) int { return min(lacks(b), 1) - min(lacks(a), 1) })
	return pools
}

// lacks is how many nodes a pool has less than it is to have.
func lacks(pool fleet.Pool) int { return max(0, pool.Size-len(pool.Nodes)) }

// tooOldFor tells whether a kubelet of the pool is further behind than a
// control plane of that minor allows.
func tooOldFor(c fleet.Cluster, pool fleet.Pool, minor int) bool {
	return slices.ContainsFunc(pool.Nodes, func(n fleet.Node) bool {
		return n.UID != "" && !n.Version.Reaches(oldestFor(c, minor))
	})
}

// there tells whether every node of the pool is observed at a version.
func there(pool fleet.Pool, version fleet.Version) bool {
	return !slices.ContainsFunc(pool.Nodes, func(n fleet.Node) bool { return !n.Version.Reaches(version) })
}

// oldestFor is the oldest kubelet that a control plane of that minor allows.
func oldestFor(c fleet.Cluster, minor int) fleet.Version {
	oldest := fleet.Version{Major: c.ControlPlane.Oldest.Major, Minor: minor}
	for older := oldest; minor-older.Minor <= preflight.MaxNodeSkew(c, older); older.Minor-- {
		oldest = older
	}
	return oldest
}

// inHand tells whether a node of the pool carries this upgrade's cordon.
func inHand(in Input, pool fleet.Pool) bool {
	return slices.ContainsFunc(pool.Nodes, func(n fleet.Node) bool { return n.CordonedBy == in.UID })
}

// floor is the release's own word on a minor.
func floor(in Input, minor int) fleet.Version {
	lowest := fleet.Version{Major: in.Target.Major, Minor: minor}
	if minor == in.Target.Minor {
		return in.Target
	}
	if named, ok := in.Hops[lowest.MinorName()]; ok {
		return named
	}
	return lowest
}

// hopVersion is the version to pass through: the one this upgrade began to go
// to, else the fleet's pin, else the lowest that is offered.
func hopVersion(in Input, p pass) fleet.Version {
	for _, record := range in.Memory.Records {
		if record.Hop.SameMinor(p.floor) && record.Step.changes() {
			return record.Hop
		}
	}
	if p.pin == (fleet.Pin{}) {
		return lowestOffered(in.Cluster, p.floor)
	}
	return pinned(in.Cluster, p)
}

// lowestOffered is the lowest version of the floor's minor that is not below
// it. What runs counts as offered: a provider may have withdrawn it since.
func lowestOffered(c fleet.Cluster, floor fleet.Version) fleet.Version {
	var lowest fleet.Version
	for _, v := range append([]fleet.Version{c.ControlPlane.Oldest}, c.Offers...) {
		if v.SameMinor(floor) && c.Reaches(v, floor) && (lowest.IsZero() || v.Less(lowest)) {
			lowest = v
		}
	}
	return lowest
}

// pinned is the pin, as far as the provider offers it. A control plane that
// suffices without it stays where it is, and its nodes go there: the release is
// a floor, and nothing new comes into the cluster.
func pinned(c fleet.Cluster, p pass) fleet.Version {
	runs, pin := c.ControlPlane.Oldest, p.pin.Version
	suffices := runs.SameMinor(p.floor) && runs.Reaches(p.floor)
	switch {
	case slices.Contains(c.Offers, pin) && pin.Reaches(p.floor) && (!suffices || runs.Reaches(pin)):
		return pin
	case suffices:
		return runs
	default:
		return fleet.Version{}
	}
}

// needs tells whether a part of the cluster is to go to the pass's version.
func needs(in Input, p pass) bool {
	return !in.Cluster.Reaches(in.Cluster.ControlPlane.Oldest, p.to) || addOnsDue(in, p) || slices.ContainsFunc(in.Cluster.Pools, func(pool fleet.Pool) bool {
		return p.rolls(in, pool) && !(pool.Template.Reaches(p.to) && there(pool, p.enough(in.Cluster)))
	})
}

// unpinned tells whether the pass's version is to be pinned first. One that only
// runs here and is offered no more is for this member alone: pinned, it would be
// waited for by all others.
func unpinned(in Input, p pass) bool {
	return p.pin == (fleet.Pin{}) && !in.Cluster.PicksPatch && slices.Contains(in.Cluster.Offers, p.to) && needs(in, p)
}

// path are the versions of some passes that are the fleet's to pin, up to the
// first that has none.
func path(in Input, list []pass) []fleet.Version {
	var versions []fleet.Version
	for _, p := range list {
		if p.to.IsZero() && !overtaken(in, p) {
			break
		}
		if !p.to.IsZero() && (p.to == p.pin.Version && needs(in, p) || unpinned(in, p)) {
			versions = append(versions, p.to)
		}
	}
	return versions
}
