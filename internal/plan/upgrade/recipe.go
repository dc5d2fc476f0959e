package upgrade

import (
	"fmt"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/noderoll"
	"refit.dev/refit/internal/plan/preflight"
)

// settle waits until the cluster was seen healthy for a while.
func settle(in Input, p pass) (Step, bool) {
	if sick := in.Cluster.Sick(); !sick.IsZero() {
		return Step{Why: sick, Recheck: in.Now.Add(pollWaiting)}, false
	}
	since := in.Memory.record(p, Settle).Entered
	if since.IsZero() {
		since = in.Now
	}
	until := since.Add(in.Policy.Settle)
	if in.Now.Before(until) {
		return Step{
			Recheck: until,
			Why: fleet.Reason{
				Code: fleet.Settling, Since: since,
				Message: fmt.Sprintf("seen healthy for less than %s", in.Policy.Settle),
			},
		}, false
	}
	return Step{}, true
}

// checkFirst asks the preflight checks, and waits for the pin: what one member
// is the first to go to is what all others get, so it is known before it begins.
func checkFirst(in Input, p pass) (Step, bool) {
	findings := preflight.Findings(preflight.Input{
		Cluster: in.Cluster, To: p.to, AddOns: in.AddOns, Upgrade: in.UID, OwnToken: token(in, p, "control-plane"),
	})
	if len(findings) == 0 && unpinned(in, p) {
		return Step{Why: pinning(p), Recheck: in.Now.Add(pollWaiting)}, false
	}
	if len(findings) == 0 {
		return Step{}, true
	}
	worst := findings[0]
	message := worst.Message
	if more := len(findings) - 1; more > 0 {
		message += fmt.Sprintf(" (and %d more)", more)
	}
	return Step{
		Findings: findings, Recheck: in.Now.Add(pollWaiting),
		Why: fleet.Reason{Code: fleet.PreflightBlocked, Message: message, Object: "check " + worst.Check, Fix: worst.Fix},
	}, false
}

// controlPlane asks for the pass's version until every API server is seen at it.
func controlPlane(in Input, p pass) (Step, bool) {
	cp := in.Cluster.ControlPlane
	own := token(in, p, "control-plane")
	soon := in.Now.Add(pollRunning)
	if op := operation(in.Cluster); op.Phase == fleet.Running {
		return Step{Why: underWay(in, op, own), Recheck: soon}, false
	} else if op.Phase == fleet.Failed && op.Token == own {
		return failed(in, op), false
	}
	switch {
	case !cp.Ready && in.Memory.reached(p):
		return Step{}, true // it was seen there; the steps after it have guards of their own
	case cp.Oldest.IsZero():
		return Step{Why: unreachable(cp), Recheck: soon}, false
	case !in.Cluster.Reaches(cp.Oldest, p.to):
		return ask(in, p, own), false
	case !cp.Ready && in.Memory.started(p, ControlPlane):
		return Step{Why: unreachable(cp), Recheck: soon}, false
	default:
		return Step{}, true
	}
}

// ask asks for the pass's version, unless a node is in somebody's hand.
func ask(in Input, p pass, token string) Step {
	from, soon := in.Cluster.ControlPlane.Oldest, in.Now.Add(pollRunning)
	if cordoned, held := cordonedByOther(in); held {
		return Step{Why: noderoll.Taken(cordoned, "another upgrade"), Recheck: in.Now.Add(pollWaiting)}
	}
	if ours := giveBack(in); len(ours) > 0 { // it was there, and somebody took it back
		return Step{Actions: ours, Recheck: soon, Why: fleet.Reason{
			Code:    fleet.NodeReplacing,
			Message: fmt.Sprintf("giving back %d node(s) in hand: the control plane is at %s again", len(ours), from),
		}}
	}
	return Step{
		Actions: []plan.Action{plan.UpgradeControlPlane{From: from, To: p.to, Token: token}}, Recheck: soon,
		Why: fleet.Reason{Code: fleet.OperationRunning, Message: fmt.Sprintf("control plane goes from %s to %s", from, p.to)},
	}
}

// giveBack undoes what the nodes in hand carry.
func giveBack(in Input) []plan.Action {
	var actions []plan.Action
	for _, node := range in.Cluster.Nodes() {
		if node.CordonedBy == in.UID {
			actions = append(actions, plan.Restore{Node: node.Name, UID: node.UID, Upgrade: in.UID})
		}
	}
	return actions
}

// cordonedByOther finds a node that another upgrade has in hand: it came between
// Preflight and the change.
func cordonedByOther(in Input) (fleet.Node, bool) {
	for _, node := range in.Cluster.Nodes() {
		if node.CordonedBy != "" && node.CordonedBy != in.UID {
			return node, true
		}
	}
	return fleet.Node{}, false
}

// bake lets time pass between a control plane that was changed and the nodes.
// The cluster must be healthy at its end; where it is not, that is told before.
func bake(in Input, p pass) (Step, bool) {
	changed := in.Memory.record(p, ControlPlane)
	if changed.Entered.IsZero() || in.Memory.past(p, Bake) {
		return Step{}, true
	}
	since := in.Memory.record(p, Bake).Entered
	if since.IsZero() {
		since = in.Now
	}
	if sick := in.Cluster.Sick(); !sick.IsZero() {
		return Step{Why: sick, Recheck: in.Now.Add(pollRunning)}, false
	}
	if until := since.Add(in.Policy.Bake); in.Now.Before(until) {
		soon := in.Now.Add(pollWaiting) // no watch tells of an API server that dies
		if until.Before(soon) {
			soon = until
		}
		return Step{
			Recheck: soon,
			Why: fleet.Reason{
				Code: fleet.Baking, Since: since,
				Message: fmt.Sprintf("control plane is at %s; nodes follow at %s", p.to, until.UTC().Format(time.TimeOnly+" MST")),
			},
		}, false
	}
	return Step{}, true
}

// nodes replaces the nodes of one pool after the other.
func nodes(in Input, p pass) (Step, bool) {
	if !in.Cluster.ControlPlane.Ready && in.Memory.past(p, Nodes) {
		return Step{}, true // they were seen there; the step after them waits
	}
	for _, pool := range p.rolled(in) {
		if step, done := roll(in, p, pool, false); !done {
			return step, false
		}
	}
	return Step{}, true
}

// windDown brings the nodes in hand to their end, and begins no other.
func windDown(in Input, p pass) (Step, bool) {
	for _, pool := range in.Cluster.Pools {
		if step, done := roll(in, p, pool, true); !done {
			return step, false
		}
	}
	return Step{}, true
}

// roll takes a pool to the pass's version.
func roll(in Input, p pass, pool fleet.Pool, windDown bool) (Step, bool) {
	soon := in.Now.Add(pollRunning)
	switch {
	case !in.Cluster.ControlPlane.Ready:
		return Step{Why: unreachable(in.Cluster.ControlPlane), Recheck: soon}, false
	case pool.RolledBy == fleet.ByProvider:
		return rollByProvider(in, p, pool, windDown)
	case pool.RolledBy != fleet.ByRefit:
		step := Step{Why: rolledByOther(pool, p.to), Recheck: in.Now.Add(pollWaiting)}
		return step, windDown || there(pool, p.enough(in.Cluster))
	}
	decision := noderoll.Decide(noderoll.Input{
		Upgrade: in.UID, Pool: pool, Budgets: in.Cluster.Budgets, WindDown: windDown,
		Want: p.to, Enough: p.enough(in.Cluster),
		Policy: in.Policy.Nodes(pool.Size),
		Token:  func(what string) string { return token(in, p, "pool/"+pool.Name+"/"+what) },
	})
	return Step{Actions: decision.Actions, Why: decision.Why, Recheck: soon}, decision.Done
}

// rollByProvider has the provider take a pool to the pass's version. What it has
// begun is observed to its end.
func rollByProvider(in Input, p pass, pool fleet.Pool, windDown bool) (Step, bool) {
	soon := in.Now.Add(pollRunning)
	own := token(in, p, "pool/"+pool.Name)
	op := operationOf(in.Cluster, pool.Name)
	switch {
	case op.Phase == fleet.Running:
		return Step{Why: underWay(in, op, own), Recheck: soon}, false
	case windDown:
		return Step{}, true
	case op.Phase == fleet.Failed && op.Token == own && !in.Cluster.Reaches(pool.Template, p.to):
		return failed(in, op), false
	case !in.Cluster.Reaches(pool.Template, p.to):
		return Step{
			Actions: []plan.Action{plan.UpgradePool{Pool: pool.Name, From: pool.Template, To: p.to, Token: own}}, Recheck: soon,
			Why: fleet.Reason{Code: fleet.OperationRunning, Message: fmt.Sprintf("pool %s goes from %s to %s", pool.Name, pool.Template, p.to)},
		}, false
	case !there(pool, p.enough(in.Cluster)):
		return Step{Why: rolledByOther(pool, p.to), Recheck: in.Now.Add(pollWaiting)}, false
	}
	return Step{}, true
}

// operation is the control plane's that runs, else the one that ended last; zero
// where there is none.
func operation(c fleet.Cluster) fleet.Operation { return operationOf(c, "") }

// operationOf is that of a pool, or of the control plane, which is "".
func operationOf(c fleet.Cluster, pool string) fleet.Operation {
	var last fleet.Operation
	for _, op := range c.Operations {
		if op.Pool == pool && (last.Phase == "" || op.Phase == fleet.Running) {
			last = op
		}
	}
	return last
}

func rolledByOther(pool fleet.Pool, to fleet.Version) fleet.Reason {
	return fleet.Reason{
		Code: fleet.PoolRolledByOther, Object: "pool " + pool.Name,
		Message: fmt.Sprintf("pool %s is not at %s, and rolled by %s", pool.Name, to, pool.RolledBy),
		Fix:     "have its nodes replaced, or remove them; the upgrade goes on by itself",
	}
}

func pinning(p pass) fleet.Reason {
	return fleet.Reason{
		Code:    fleet.Pinning,
		Message: fmt.Sprintf("%s is to be pinned for %s, so that those who come after get the same", p.to, p.floor.MinorName()),
	}
}

func underWay(in Input, op fleet.Operation, own string) fleet.Reason {
	if op.Token == own {
		message := fmt.Sprintf("%s goes to %s", partOf(op), op.To)
		if op.Message != "" {
			message += ": " + op.Message
		}
		return fleet.Reason{Code: fleet.OperationRunning, Message: message, Object: "operation " + op.ID, Since: op.Started, Fix: in.Cluster.ControlPlane.Fix}
	}
	return fleet.Reason{
		Code: fleet.ForeignOperation, Object: "operation " + op.ID, Since: op.Started,
		Message: foreign(op),
	}
}

// partOf is the part of the cluster that an operation changes.
func partOf(op fleet.Operation) string {
	if op.Pool != "" {
		return "pool " + op.Pool
	}
	return "control plane"
}

// foreign says what somebody else does; it may be no change of version.
func foreign(op fleet.Operation) string {
	if op.To.IsZero() {
		return fmt.Sprintf("the %s is being changed by somebody else: %s", partOf(op), op.Message)
	}
	return fmt.Sprintf("the %s is being taken to %s by somebody else", partOf(op), op.To)
}

func failed(in Input, op fleet.Operation) Step {
	return Step{
		Outcome: Failed,
		Why: fleet.Reason{
			Code: fleet.OperationFailed, Object: "operation " + op.ID, Since: op.Started,
			Message: fmt.Sprintf("%s to %s: %s: %s", partOf(op), op.To, op.Code, op.Message),
			Fix: fmt.Sprintf("repair the cause, then let it start again: refit retry %s --reason …; or release another version: create a Release of another name, and set the fleet's spec.release to it",
				in.Cluster.Name),
		},
	}
}

func unreachable(cp fleet.ControlPlane) fleet.Reason {
	return fleet.Reason{Code: fleet.Unreachable, Message: "control plane: " + cp.Message, Fix: cp.Fix}
}

// token names one change of this upgrade's pass.
func token(in Input, p pass, part string) string {
	return fleet.Token(in.Cluster.UID, in.UID, p.to.String(), part)
}
