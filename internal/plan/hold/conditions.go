package hold

import (
	"slices"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
)

// Conditions are those of a member, and that the hub acts at all: it is asked
// right before the slot, as Starts does, and last of what is under way.
func Conditions(conditions []rollout.Condition, why fleet.Reason) []rollout.Condition {
	acts := rollout.Condition{Name: rollout.HubActs, Holds: rollout.True, Message: "this hub acts on what it holds"}
	if !why.IsZero() {
		acts = rollout.Condition{Name: rollout.HubActs, Holds: rollout.False, Why: why}
	}
	named := func(name rollout.ConditionName) int {
		return slices.IndexFunc(conditions, func(c rollout.Condition) bool { return c.Name == name })
	}
	if slot := named(rollout.Slot); slot >= 0 {
		return slices.Insert(slices.Clone(conditions), slot, acts)
	}
	if named(rollout.Started) >= 0 {
		return append(slices.Clone(conditions), acts)
	}
	return conditions
}
