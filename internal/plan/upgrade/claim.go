package upgrade

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
)

// claimLasts is how long a claim is believed without hearing of its holder: an
// API server may be away for a minute or two while it is changed, intents are
// acted on for a minute, and clocks may differ by half of one.
const claimLasts = 5 * time.Minute

// renewAfter leaves room for several tries before a claim expires.
const renewAfter = time.Minute

// pollClaimed is when to look again after a claim was made: at once, for it is
// acted on only when it was seen.
const pollClaimed = 20 * time.Millisecond

// claimed lets a step change the member only while the claim on it is seen to
// be this upgrade's: first it is made, then it is kept alive, and at the end it
// is released. What another hub has claimed is left alone.
func claimed(in Input, step Step) Step {
	claim, changes := in.Cluster.Claim, len(step.Actions) > 0
	switch {
	case !in.Held.IsZero():
		step.Path = nil // a hub that only watches asks for nothing
		return stand(in, step, in.Held)
	case ours(in) && step.Outcome != Going:
		step.Actions = []plan.Action{plan.Release{Holder: claim.Holder, UID: claim.UID, ResourceVersion: claim.ResourceVersion}}
		step.Outcome, step.Recheck = Going, in.Now.Add(pollClaimed)
		step.Name = cmp.Or(step.Name, Settle)
	case mayHold(in, step):
		return stand(in, step, unreachable(in.Cluster.ControlPlane))
	case step.Outcome != Going:
		// There is nothing to change, whoever is at work.
	case elsewhere(in):
		return stand(in, step, claimedElsewhere(in))
	case changes && !claim.Seen:
		return stand(in, step, unreachable(in.Cluster.ControlPlane))
	case changes && (!ours(in) || due(in)):
		why := step.Why
		step = stand(in, step, why)
		step.Recheck = in.Now.Add(pollClaimed)
		step.Actions = []plan.Action{makeClaim(in)}
	case ours(in):
		return renew(in, step)
	}
	return step
}

// mayHold tells whether an upgrade that is to end early may leave its claim behind,
// since the member does not tell. One that failed ends all the same: others must
// know, and its claim expires.
func mayHold(in Input, step Step) bool {
	early := step.Outcome == Superseded || step.Outcome == Aborted
	return early && !in.Cluster.Claim.Seen && slices.ContainsFunc(in.Memory.Records, func(r Record) bool { return r.Step.changes() })
}

// stand keeps a step where it is: nothing is done, nothing ends, and that
// something was about to be done is not remembered.
func stand(in Input, step Step, why fleet.Reason) Step {
	if len(step.Actions) > 0 || step.Outcome != Going {
		step.Memory = in.Memory
	}
	step.Name = cmp.Or(step.Name, Settle)
	step.Actions, step.Outcome, step.Why, step.Recheck = nil, Going, why, in.Now.Add(pollWaiting)
	return step
}

// renew keeps a claim alive while nothing else is to be done.
func renew(in Input, step Step) Step {
	next := in.Cluster.Claim.Renewed.Add(renewAfter)
	if due(in) {
		step.Actions, next = []plan.Action{makeClaim(in)}, in.Now.Add(renewAfter)
	}
	if next.Before(step.Recheck) {
		step.Recheck = next
	}
	return step
}

func makeClaim(in Input) plan.Claim {
	return plan.Claim{
		Holder: fleet.Holder{Hub: in.Hub, Upgrade: in.UID}, Lasts: claimLasts,
		UID: in.Cluster.Claim.UID, ResourceVersion: in.Cluster.Claim.ResourceVersion,
	}
}

// ours tells whether the claim is seen to be this upgrade's: one that was not seen
// has no holder.
func ours(in Input) bool {
	return in.Cluster.Claim.Holder == fleet.Holder{Hub: in.Hub, Upgrade: in.UID}
}

// due tells whether the claim is to be renewed before anything else.
func due(in Input) bool { return !in.Now.Before(in.Cluster.Claim.Renewed.Add(renewAfter)) }

// elsewhere tells whether another hub has claimed the member. A hub's own claim
// is never elsewhere: it has one upgrade of a member at a time. A claim that has
// expired is another's still, until a person has said that this hub takes its
// place, and it was not heard of since.
func elsewhere(in Input) bool {
	claim := in.Cluster.Claim
	if claim.IsZero() || claim.Hub == in.Hub {
		return false
	}
	agreed := slices.ContainsFunc(in.TakeOvers, func(t fleet.TakeOver) bool {
		return t.From == claim.Hub && claim.Renewed.Before(t.At)
	})
	return claim.Live(in.Now) || !agreed
}

func claimedElsewhere(in Input) fleet.Reason {
	claim := in.Cluster.Claim
	reason := fleet.Reason{
		Code: fleet.ClaimedElsewhere, Object: "hub " + claim.Hub,
		Message: fmt.Sprintf("hub %s is at work in the member: nothing is done here until it has ended", claim.Hub),
	}
	if !claim.Live(in.Now) {
		reason.Message = fmt.Sprintf("hub %s has claimed the member, and was not heard of since %s", claim.Hub, claim.Renewed.UTC().Format(time.DateTime+" UTC"))
		reason.Fix = fmt.Sprintf("if it is gone for good, let this hub take its place: refit takeover %s --reason …", claim.Hub)
	}
	return reason
}
