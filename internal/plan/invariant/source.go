package invariant

import (
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
)

// writeSource: only what the cluster is seen to run by then, over what was there
// before, and never less than that.
func (j *judge) writeSource(a plan.WriteSource) {
	seen := j.Cluster.Source
	if !j.Superseded.IsZero() || !j.Aborted.IsZero() || !j.Frozen.IsZero() { // of a withdrawn release the file tells the truth
		j.breaks("%s is begun against the will of a person", a)
	}
	if seen.Mode != fleet.WriteBack || a.Source != seen.SourceRef {
		j.breaks("%s: the member's source is another, or not to be written: %q", a, seen.Mode)
	}
	if seen.Says == "" || a.From != seen.Says {
		j.breaks("%s: it says %q", a, seen.Says)
	}
	if before := j.Memory.Declared; before != "" && before != a.From {
		j.breaks("%s: it said %q in the beginning", a, before)
	}
	for _, node := range j.Cluster.Nodes() {
		if node.CordonedBy == j.UID {
			j.breaks("%s: node %s is in hand", a, node.Name)
		}
	}
	j.declared(a)
}

// declared looks at the version that is written.
func (j *judge) declared(a plan.WriteSource) {
	cp := j.Cluster.ControlPlane
	if !cp.Ready || cp.Oldest.IsZero() || !j.Cluster.Reaches(cp.Oldest, j.Target) {
		j.breaks("%s: the control plane is seen at %s, ready %t", a, cp.Oldest, cp.Ready)
	}
	to, from := a.To.Version(), a.From.Version()
	if to.Major != cp.Oldest.Major || to.Minor != cp.Oldest.Minor || cp.Oldest.Less(to) {
		j.breaks("%s: the control plane is at %s", a, cp.Oldest)
	}
	if !from.Less(to) {
		j.breaks("%s: it would go back, or nowhere", a)
	}
}

// sourceDone: a source that is to be written says no less than the release.
func (j *judge) sourceDone() {
	seen := j.Cluster.Source
	least := fleet.Version{Major: j.Target.Major, Minor: j.Target.Minor} // as precise as a file may be
	if seen.Mode == fleet.WriteBack && !seen.Says.Version().Reaches(least) {
		j.breaks("done is claimed with a source that says %q, wanted %s", seen.Says, j.Target)
	}
}
