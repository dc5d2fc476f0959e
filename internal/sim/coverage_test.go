package sim_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/upgrade"
	"refit.dev/refit/internal/plan/world"
)

// often is how often everything must have been seen.
const often = 100

// elsewhere are the reasons that no planner gives, and who gives them.
func elsewhere() map[fleet.Code]string {
	return map[fleet.Code]string{
		fleet.NoFleet:           "the view, of a member that no fleet selects",
		fleet.Starting:          "the view, of an upgrade that is new",
		fleet.Healthy:           "the Members loop, where there is no other",
		fleet.MemberGone:        "the Upgrades loop, where there is nothing to plan for",
		fleet.InvariantViolated: "the Upgrades loop, of a plan that must never be",
		fleet.SourceDrift:       "the Members loop, of what it read",
		fleet.SourceAgrees:      "the Members loop, of what it read",
		fleet.UpgradeFailed:     "the condition Ended",
		fleet.UpgradeSuperseded: "the condition Ended",
	}
}

// coverage counts what was seen.
type coverage struct{ seen map[string]int }

func newCoverage() *coverage { return &coverage{seen: map[string]int{}} }

func (c *coverage) note(kind, what string) { c.seen[kind+" "+what]++ }

func (c *coverage) add(other *coverage) {
	for what, n := range other.seen {
		c.seen[what] += n
	}
}

func (c *coverage) reason(why fleet.Reason) {
	if !why.IsZero() {
		c.note("reason", string(why.Code))
	}
}

func (c *coverage) decision(d rollout.Decision) {
	for _, why := range d.Waiting {
		c.reason(why)
	}
	for _, state := range d.Fleets {
		c.reason(state.Halt)
		c.reason(state.Freeze)
		for _, w := range state.Waves {
			c.reason(w.Why)
		}
	}
}

func (c *coverage) step(s upgrade.Step) {
	c.reason(s.Why)
	if s.Name != "" {
		c.note("step", string(s.Name))
	}
	if s.Outcome != upgrade.Going {
		c.note("outcome", string(s.Outcome))
	}
	for _, action := range s.Actions {
		c.note("action", strings.TrimPrefix(fmt.Sprintf("%T", action), "plan."))
	}
}

// answer counts the class of the fault that an answer stands for.
func (c *coverage) answer(a world.Answer) {
	switch a {
	case world.Unanswered:
		c.note("fault", "Retry")
	case world.Waiting:
		c.note("fault", "Wait")
	case world.Stopped:
		c.note("fault", "Stop")
	case world.Accepted, world.Refused, world.Outdated:
	}
	c.note("answer", string(a))
}

// policies counts which fields of a fleet's policy say something.
func (c *coverage) policies(f rollout.Fleet, p upgrade.Policy, j world.Journey) {
	limits := p.Nodes(10)
	for field, set := range map[string]bool{
		"waves": len(f.Waves) > 1, "maxFailures": f.MaxFailures > 0, "drift": f.ReportDrift, "settle": p.Settle > 0, "bake": p.Bake > 0,
		"maxSurge": limits.MaxSurge > 0, "maxUnavailable": limits.MaxUnavailable > 0, "hops": len(j.Hops) > 0,
	} {
		if set {
			c.note("policy", field)
		}
	}
	for _, w := range f.Waves {
		for field, set := range map[string]bool{
			"maxConcurrent": w.MaxConcurrent > 1, "soak": w.Soak > 0, "minSuccess": w.MinSuccess.Of < 100, "wave's maxFailures": w.MaxFailures != nil, "gates": len(w.Gates) > 0,
			"allowEmpty": w.AllowEmpty && len(w.Members) == 0,
		} {
			if set {
				c.note("policy", field)
			}
		}
	}
}

// codes are all the reasons there are, as their source says.
func codes(t *testing.T) []fleet.Code {
	t.Helper()
	source, err := os.ReadFile("../fleet/reason.go")
	if err != nil {
		t.Fatal(err)
	}
	var all []fleet.Code
	for _, found := range regexp.MustCompile(`(?m)^(?:const |\t)\w+ +Code += "(\w+)"`).FindAllSubmatch(source, -1) {
		all = append(all, fleet.Code(found[1]))
	}
	if len(all) < 50 {
		t.Fatalf("%d reasons in ../fleet/reason.go: %v", len(all), all)
	}
	return all
}

// wanted is all that must be seen.
func wanted(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, code := range codes(t) {
		if _, ok := elsewhere()[code]; !ok {
			all = append(all, "reason "+string(code))
		}
	}
	for _, name := range upgrade.Steps() {
		all = append(all, "step "+string(name))
	}
	for _, outcome := range []upgrade.Outcome{upgrade.Done, upgrade.Failed, upgrade.Superseded, upgrade.Aborted} {
		all = append(all, "outcome "+string(outcome))
	}
	for _, action := range []string{"UpgradeControlPlane", "SetPoolTemplate", "UpgradePool", "AddNode", "Cordon", "Evict", "RemoveNode", "Restore", "Claim", "Release", "UpgradeAddOn", "TakeBackAddOn", "UnlockAddOn", "WriteSource"} {
		all = append(all, "action "+action)
	}
	for _, class := range []string{"Retry", "Wait", "Stop"} {
		all = append(all, "fault "+class)
	}
	for _, answer := range []world.Answer{world.Accepted, world.Refused, world.Outdated} {
		all = append(all, "answer "+string(answer))
	}
	for _, field := range []string{
		"waves", "maxFailures", "drift", "settle", "bake", "maxSurge", "maxUnavailable", "hops",
		"maxConcurrent", "soak", "minSuccess", "wave's maxFailures", "allowEmpty", "gates",
	} {
		all = append(all, "policy "+field)
	}
	return all
}

// judge prints the table, and fails where something was seen too rarely.
func (c *coverage) judge(t *testing.T) {
	t.Helper()
	for _, what := range wanted(t) {
		if c.seen[what] < often {
			t.Errorf("%s was seen %d times, want %d", what, c.seen[what], often)
		}
	}
	var table strings.Builder
	for _, what := range slices.Sorted(maps.Keys(c.seen)) {
		fmt.Fprintf(&table, "\n%8d  %s", c.seen[what], what)
	}
	t.Logf("seen:%s", table.String())
}
