// Package hold decides what keeps a whole hub from acting.
//
// A hub whose data came from a backup is another hub than the one they were
// backed up from, which may be alive and at work: it only watches, until a
// person says that it takes the other's place.
package hold

import (
	"fmt"
	"slices"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
)

// Input is everything a decision needs.
type Input struct {
	// Hub is this hub's UID.
	Hub string
	// Lives are the UIDs of the hubs that made the upgrades it holds.
	Lives []string
	// TakeOvers that people have said yes to.
	TakeOvers []fleet.TakeOver
}

// Why is why nothing of the hub may act; zero where it may. Of several other
// hubs the first by name is told.
func Why(in Input) fleet.Reason {
	for _, life := range slices.Sorted(slices.Values(in.Lives)) {
		if life == in.Hub || slices.ContainsFunc(in.TakeOvers, func(t fleet.TakeOver) bool { return t.From == life }) {
			continue
		}
		return fleet.Reason{
			Code: fleet.RestoredHub, Object: "hub " + life,
			Message: fmt.Sprintf("this hub only watches: it was restored from what hub %s held, and is hub %s", life, in.Hub),
			Fix:     fmt.Sprintf("see that hub %s is gone for good, then let this one act: refit takeover %s --reason …", life, life),
		}
	}
	return fleet.Reason{}
}

// Starts is a decision as it is while a hub is held: nothing starts, and what
// was to start, or waits for a slot, is told why.
func Starts(decision rollout.Decision, why fleet.Reason) rollout.Decision {
	if why.IsZero() {
		return decision
	}
	held := rollout.Decision{Waiting: map[string]fleet.Reason{}, Recheck: decision.Recheck}
	for name, reason := range decision.Waiting {
		if reason.Code == fleet.WaveFull {
			reason = why
		}
		held.Waiting[name] = reason
	}
	for _, start := range decision.Start {
		held.Waiting[start.Member] = why
	}
	for _, state := range decision.Fleets {
		if state.Halt.IsZero() {
			state.Halt = why
		}
		held.Fleets = append(held.Fleets, state)
	}
	return held
}
