package upgrade

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
)

// What is in flight, when the world changes:
//
//	                before ControlPlane   Bake          AddOns, AddOnsAfter   Nodes
//	withdrawn       Superseded            holds         holds                 finishes the nodes in hand, holds
//	frozen          waits                 bake runs on  waits                 finishes the nodes in hand, waits
//	fleet halted    waits                 goes on       goes on               goes on
//	superseded      at the next safe point: no operation of ours runs, no add-on is half changed, no node is in hand
//	aborted         the same; nodes that only a person could finish are given back

// hold is what becomes of a step that is to change the cluster and must not. It
// goes by the step that is due, and does not enter it.
func hold(in Input, p pass, name StepName, step Step) (Step, bool) {
	switch name {
	case AddOnsBefore, AddOns, AddOnsAfter:
		return holdAddOns(in, p, name, step)
	case ControlPlane:
		return holdControlPlane(in, p, step)
	case Nodes:
		return holdNodes(in, p)
	case Settle, Preflight, Bake, WriteBack: // the last is not of a pass: see finish
	}
	return Step{}, false
}

// holdAddOns keeps an add-on from being changed. One that was, is waited for, and
// taken back where it must be.
func holdAddOns(in Input, p pass, name StepName, step Step) (Step, bool) {
	asks := slices.ContainsFunc(step.Actions, func(a plan.Action) bool { _, ok := a.(plan.UpgradeAddOn); return ok })
	why := cmp.Or(in.Withdrawn, in.Frozen)
	if name == AddOnsBefore {
		why = cmp.Or(why, in.Halted)
	}
	if !asks || why.IsZero() {
		return Step{}, false
	}
	if name == AddOnsBefore && !in.Withdrawn.IsZero() {
		return endEarly(in, Superseded, in.Withdrawn), true
	}
	return Step{Name: name, Hop: p.to, Why: why, Memory: in.Memory, Recheck: in.Now.Add(pollWaiting)}, true
}

// holdControlPlane keeps a control plane from being asked for. One that was asked
// for is observed to its end.
func holdControlPlane(in Input, p pass, step Step) (Step, bool) {
	asks := slices.ContainsFunc(step.Actions, func(a plan.Action) bool { _, ok := a.(plan.UpgradeControlPlane); return ok })
	why := cmp.Or(in.Withdrawn, in.Frozen, in.Halted)
	if !asks || why.IsZero() {
		return Step{}, false
	}
	if !in.Withdrawn.IsZero() && !in.Memory.started(p, ControlPlane) {
		return endEarly(in, Superseded, in.Withdrawn), true
	}
	return Step{Name: ControlPlane, Hop: p.to, Why: why, Memory: in.Memory, Recheck: in.Now.Add(pollWaiting)}, true
}

// holdNodes brings the nodes in hand to their end, and begins no other.
func holdNodes(in Input, p pass) (Step, bool) {
	why := cmp.Or(in.Withdrawn, in.Frozen)
	if why.IsZero() {
		return Step{}, false
	}
	step, done := windDown(in, p)
	step.Name, step.Hop, step.Memory = Nodes, p.to, in.Memory
	switch {
	case done:
		step.Why, step.Recheck = why, in.Now.Add(pollWaiting)
		step.Memory = in.Memory.leave(p, Nodes, in.Now)
	case in.Memory.started(p, Nodes): // a provider may show late what it was asked for
		step.Memory = in.Memory.enter(p, Nodes, in.Now, step)
	}
	return step, true
}

// endEarly ends an upgrade that is not to go on, at a safe point: no operation of
// ours runs, and the nodes in hand are brought to their end. It goes by what was
// begun, for the release may be gone.
func endEarly(in Input, outcome Outcome, why fleet.Reason) Step {
	if unsettled := unsettledChange(in); unsettled != "" {
		why.Message += "; " + unsettled
		return Step{Name: ControlPlane, Why: why, Memory: in.Memory, Recheck: in.Now.Add(pollRunning)}
	}
	if step, open := halfChanged(in); open {
		last := in.Memory.newest()
		step.Name, step.Hop, step.Memory = last.Step, last.Hop, in.Memory
		return step
	}
	// Twice as long, so that the last look is one as well.
	if record, lately := in.Memory.lately(Nodes, in.Now, 2*showsWithin); lately {
		p := pass{to: record.Hop}
		step, done := windDown(in, p)
		if !done {
			return bringToEnd(in, p, step, outcome, why)
		}
		in.Memory = in.Memory.leave(p, Nodes, in.Now)
	}
	if last, lately := in.Memory.lately(Nodes, in.Now, showsWithin); lately {
		return Step{Name: Nodes, Hop: last.Hop, Why: why, Memory: in.Memory, Recheck: last.Finished.Add(showsWithin)}
	}
	return Step{Outcome: outcome, Why: why, Memory: in.Memory}
}

// bringToEnd goes on with the nodes in hand. Who aborts an upgrade gets them back
// where their pods cannot move.
func bringToEnd(in Input, p pass, step Step, outcome Outcome, why fleet.Reason) Step {
	step.Name, step.Hop = Nodes, p.to
	step.Memory = in.Memory.enter(p, Nodes, in.Now, step)
	if outcome == Aborted && hopeless(in, step.Why) {
		ours := giveBack(in)
		// It is left since when nothing moved any more: what was given back is not
		// taken in hand once more.
		step.Actions, step.Recheck, step.Memory = ours, in.Now.Add(pollRunning), in.Memory.leave(p, Nodes, step.Why.Since)
		step.Why = why
		step.Why.Message += fmt.Sprintf("; giving back %d node(s) in hand, for their pods cannot move", len(ours))
	}
	return step
}

// showsWithin is how late a provider may be to show a node that it was asked for:
// for so long an upgrade that is not to go on looks for what it has in hand.
const showsWithin = 30 * time.Second

// abortPatience is how long an upgrade that is aborted waits for pods that cannot
// move: a budget's exhaustion for a moment is over in less.
const abortPatience = 10 * time.Minute

// hopeless tells whether a node in hand will not be drained unless a person helps.
// What others cordoned is no reason to give up a node whose pods move.
func hopeless(in Input, why fleet.Reason) bool {
	stuck := []fleet.Code{fleet.PodWithoutOwner, fleet.SeveralBudgets, fleet.BudgetExhausted, fleet.PodTerminating}
	return slices.Contains(stuck, why.Code) && !why.Since.IsZero() && in.Now.Sub(why.Since) >= abortPatience
}

// unsettledChange says how a change of the control plane is still on its way;
// empty where none is. One that was asked for may not have shown yet.
func unsettledChange(in Input) string {
	op := operation(in.Cluster)
	if op.Phase == fleet.Running && !op.Foreign {
		return "waiting for the control plane's operation to end"
	}
	for _, record := range in.Memory.open(ControlPlane) {
		ended := op.Token == token(in, pass{to: record.Hop}, "control-plane")
		if !ended && !in.Cluster.Reaches(in.Cluster.ControlPlane.Oldest, record.Hop) {
			return "waiting to see what became of the control plane's change"
		}
	}
	return ""
}
