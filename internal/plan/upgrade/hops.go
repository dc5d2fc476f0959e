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
		p.to = hopVersion(in, p.floor)
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
	if slices.ContainsFunc(in.Memory.Records, func(r Record) bool { return r.Step == Nodes && r.Hop.Minor == minor }) {
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
	begun := in.Memory.started(p, Nodes) && pool.Template.Reaches(p.to)
	return p.last() || begun || inHand(in, pool) || tooOldFor(in.Cluster, pool, p.next)
}

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
// to, else the lowest that is offered.
func hopVersion(in Input, floor fleet.Version) fleet.Version {
	for _, record := range in.Memory.Records {
		if record.Hop.SameMinor(floor) && record.Step.changes() {
			return record.Hop
		}
	}
	return lowestOffered(in.Cluster, floor)
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
