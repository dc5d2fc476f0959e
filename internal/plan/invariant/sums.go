package invariant

import (
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/upgrade"
)

// most is how many machines a pool may have.
func (j *judge) most(n *census) int { return n.Size + j.Policy.Nodes(n.Size).MaxSurge }

// least is how many nodes of a pool must take pods. Where the policy lets
// nothing be missing and nothing be too much, one node may be missing: else
// nothing could ever move.
func (j *judge) least(n *census) int {
	policy := j.Policy.Nodes(n.Size)
	if policy.MaxSurge == 0 && policy.MaxUnavailable == 0 {
		return n.Size - 1
	}
	return n.Size - policy.MaxUnavailable
}

// sums compares the pools with the policy. A pool that was outside its bounds
// before is not blamed on the actions, as long as they do not make it worse.
func (j *judge) sums() {
	for _, pool := range j.Cluster.Pools {
		n := j.pools[pool.Name]
		if n.machines > j.most(n) && n.machines > len(pool.Nodes) {
			j.breaks("pool %s would have %d nodes; its size and surge allow %d", pool.Name, n.machines, j.most(n))
		}
		if len(n.taking) < j.least(n) && len(n.taking) < n.before.taking {
			j.breaks("pool %s would have %d nodes that take pods; its size and maxUnavailable demand %d", pool.Name, len(n.taking), j.least(n))
		} else if len(n.open) < j.least(n) && len(n.open) < n.before.open {
			j.breaks("pool %s would have all but %d nodes cordoned; its size and maxUnavailable demand %d", pool.Name, len(n.open), j.least(n))
		}
	}
}

// mixture looks at actions that must not go together.
func (j *judge) mixture(actions []plan.Action) {
	controlPlane, others := 0, 0
	for _, action := range actions {
		if _, ok := action.(plan.UpgradeControlPlane); ok {
			controlPlane++
		} else {
			others++
		}
	}
	if controlPlane > 1 || (controlPlane == 1 && others > 0) {
		j.breaks("control plane would change together with %d other actions", controlPlane+others-1)
	}
}

// end looks at the claim that nothing is left to do.
func (j *judge) end(step upgrade.Step) {
	if len(step.Actions) > 0 {
		j.breaks("%s is claimed with %d actions left", step.Outcome, len(step.Actions))
	}
	for _, node := range j.Cluster.Nodes() {
		if node.CordonedBy == j.UID {
			j.breaks("%s is claimed with node %s still cordoned by this upgrade", step.Outcome, node.Name)
		}
	}
	switch {
	case step.Outcome == upgrade.Failed:
		return
	case step.Outcome == upgrade.Aborted && j.Aborted.IsZero():
		j.breaks("Aborted is claimed, and nobody wants it")
	case step.Outcome == upgrade.Superseded && j.Superseded.IsZero() && j.Withdrawn.IsZero():
		j.breaks("Superseded is claimed, and the fleet still wants it")
	}
	for _, op := range j.Cluster.Operations {
		if op.Phase == fleet.Running && !op.Foreign {
			j.breaks("%s is claimed while operation %s runs", step.Outcome, op.ID)
		}
	}
	if step.Outcome == upgrade.Done {
		j.done()
	}
}

func (j *judge) done() {
	j.addOnsDone()
	j.sourceDone()
	if cp := j.Cluster.ControlPlane; !j.Cluster.Reaches(cp.Oldest, j.Target) || !cp.Ready {
		j.breaks("done is claimed with a control plane at %s, not ready at %s", cp.Oldest, j.Target)
	}
	for _, node := range j.Cluster.Nodes() {
		if !node.Ready || !j.Cluster.Reaches(node.Version, j.Target) {
			j.breaks("done is claimed with node %s at %s, ready %t", node.Name, node.Version, node.Ready)
		}
	}
}
