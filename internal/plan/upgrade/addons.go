package upgrade

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
)

// pendingPatience is how long a change of an add-on may be seen pending that this
// upgrade began. Whoever makes the call looks again only when it has returned, so the
// process that made it is another one: it died, or has lost its lease, which lasts 15
// s, and ends with it.
const pendingPatience = time.Minute

// addOns takes the add-ons of one place to the versions of the pass, one after the
// other, each until it is healthy.
func addOns(name StepName, when fleet.When) func(Input, pass) (Step, bool) {
	return func(in Input, p pass) (Step, bool) {
		for _, want := range in.AddOns {
			to, named := want.Versions[p.floor.MinorName()]
			if want.When != when || !named {
				continue
			}
			seen := in.Cluster.AddOn(want.Name)
			if in.Memory.past(p, name) { // pods that move are no reason to stop moving them
				if seen.Sick = ""; seen.Phase == fleet.Unseen {
					continue
				}
			}
			if step, done := addOn(in, want, seen, to); !done {
				return step, false
			}
		}
		return Step{}, true
	}
}

// addOnsDue tells whether an add-on is not as the pass wants it.
func addOnsDue(in Input, p pass) bool {
	return slices.ContainsFunc(in.AddOns, func(want fleet.WantedAddOn) bool {
		to, named := want.Versions[p.floor.MinorName()]
		return named && !asWanted(in.Cluster.AddOn(want.Name), want, to)
	})
}

// asWanted tells whether nothing of an add-on is to be changed: it is ahead, or at
// the version with the values that it is to have.
func asWanted(seen fleet.AddOn, want fleet.WantedAddOn, to fleet.ChartVersion) bool {
	return seen.Phase == fleet.Deployed && (to.Less(seen.Version) || seen.Version == to.Version && seen.Values == want.Helm.Values)
}

// addOn takes one add-on to a version. What this upgrade changed and does not become
// healthy is taken back, and the upgrade has failed.
func addOn(in Input, want fleet.WantedAddOn, seen fleet.AddOn, to fleet.ChartVersion) (Step, bool) {
	if step, open := openChange(in, want, seen); open {
		return step, false
	}
	there := asWanted(seen, want, to)
	switch {
	case seen.Phase == fleet.Unseen:
		return waitFor(in, seen, fleet.Unreachable, "is not known: "+seen.Message, ""), false
	case seen.Phase == fleet.Pending:
		return waitFor(in, seen, fleet.AddOnPending, "is being changed by somebody else: "+seen.Message,
			"let that end; where nobody does it any more: helm rollback "+want.Helm.Release+" -n "+want.Helm.Namespace), false
	case there && seen.Sick == "":
		return Step{}, true
	case there:
		return waitFor(in, seen, fleet.AddOnUnhealthy, fmt.Sprintf("is at %s, and not healthy: %s", seen.Version, seen.Sick),
			"make it healthy; the upgrade goes on by itself"), false
	case seen.By == in.UID && seen.TakenBack, seen.By != in.UID && slices.Contains(seen.Tried, in.UID):
		return addOnFailed(in, want, fmt.Sprintf("did not come to %s: it was taken back to %s", to, seen.Version)), false
	}
	message := fmt.Sprintf("goes from %s to %s", seen.Version, to)
	if seen.Version.IsZero() {
		message = fmt.Sprintf("is installed at %s", to)
	}
	step := waitFor(in, seen, fleet.AddOnChanging, message, "")
	step.Why.Since = time.Time{} // it begins now
	step.Actions = []plan.Action{plan.UpgradeAddOn{
		AddOn: want.Name, Helm: want.Helm, Version: to.Text, From: seen.Version, To: to.Version, Upgrade: in.UID, After: seen.Revision,
	}}
	return step, false
}

// openChange brings a change that this upgrade began to its end: one that was left
// half done is ended, one that came to nothing is taken back.
func openChange(in Input, want fleet.WantedAddOn, seen fleet.AddOn) (Step, bool) {
	age := in.Now.Sub(seen.Since)
	switch {
	case seen.By != in.UID:
		return Step{}, false
	case seen.Phase == fleet.Pending:
		return pendingChange(in, want, seen), true
	case seen.Phase == fleet.Broken && strings.HasPrefix(seen.Message, fleet.LeftPending) && !seen.TakenBack:
		return Step{}, false // nothing is wrong with it: it is begun anew
	case seen.Phase == fleet.Deployed && !seen.TakenBack && seen.Sick != "" && age < want.Patience:
		return waitFor(in, seen, fleet.AddOnUnhealthy, fmt.Sprintf("is at %s, and not healthy yet: %s", seen.Version, seen.Sick), ""), true
	case seen.Phase == fleet.Deployed && (seen.TakenBack || seen.Sick == ""):
		return Step{}, false
	case seen.Back.IsZero():
		return addOnFailed(in, want, fmt.Sprintf("did not come to %s, and there is nothing to take it back to: %s", seen.Version, ailment(seen))), true
	}
	step := waitFor(in, seen, fleet.AddOnChanging, fmt.Sprintf("goes back from %s to %s: %s", seen.Version, seen.Back, ailment(seen)), "")
	step.Actions = []plan.Action{plan.TakeBackAddOn{AddOn: want.Name, Helm: want.Helm, To: seen.Back, Upgrade: in.UID, After: seen.Revision}}
	return step, true
}

// pendingChange is of one that this upgrade began and that has not ended.
func pendingChange(in Input, want fleet.WantedAddOn, seen fleet.AddOn) Step {
	if in.Now.Sub(seen.Since) < pendingPatience {
		return waitFor(in, seen, fleet.AddOnChanging, "is being changed", "")
	}
	step := waitFor(in, seen, fleet.AddOnChanging, "was left half changed, and is recovered", "")
	step.Actions = []plan.Action{plan.UnlockAddOn{AddOn: want.Name, Helm: want.Helm, Revision: seen.Revision}}
	return step
}

// halfChanged brings what this upgrade began to its end, before it ends early.
func halfChanged(in Input) (Step, bool) {
	for _, want := range in.AddOns {
		seen := in.Cluster.AddOn(want.Name)
		if step, open := openChange(in, want, seen); open && step.Outcome == Going && (len(step.Actions) > 0 || seen.Phase == fleet.Pending) {
			return step, true
		}
	}
	return Step{}, false
}

// ailment is what is wrong with an add-on.
func ailment(seen fleet.AddOn) string {
	if seen.Phase == fleet.Broken {
		return seen.Message
	}
	return seen.Sick
}

func waitFor(in Input, seen fleet.AddOn, code fleet.Code, message, fix string) Step {
	return Step{Recheck: in.Now.Add(pollRunning), Why: fleet.Reason{
		Code: code, Object: "add-on " + seen.Name, Since: seen.Since, Message: "add-on " + seen.Name + " " + message, Fix: fix,
	}}
}

func addOnFailed(in Input, want fleet.WantedAddOn, message string) Step {
	return Step{Outcome: Failed, Why: fleet.Reason{
		Code: fleet.AddOnFailed, Object: "add-on " + want.Name, Message: "add-on " + want.Name + " " + message,
		Fix: fmt.Sprintf("see why: helm history %s -n %s; then let it start again: refit retry %s --reason …; or release another version: create a Release of another name, and set the fleet's spec.release to it",
			want.Helm.Release, want.Helm.Namespace, in.Cluster.Name),
	}}
}
