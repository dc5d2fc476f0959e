package rollout_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
)

// world is a hub with one fleet of two waves, the member eu-1 of which may start,
// and eu-2 is in the first.
func world() rollout.Input {
	in := rollout.Input{Now: now, Members: members("eu-1=v1.36.3 eu-2=v1.37.2")}
	f := main(2, "eu-2")
	f.MaxFailures = 1
	f.Waves[0].PassedAt = now.Add(-time.Minute)
	f.Waves = append(f.Waves, rollout.Wave{Name: "prod", MaxConcurrent: 1, Members: []string{"eu-1"}, OpenedAt: now.Add(-30 * time.Second)})
	in.Fleets = []rollout.Fleet{f}
	in.Members[0].ReadySince = now.Add(-time.Hour)
	return in
}

// conditionsTold are conditions in words: a line each, "+" before what holds, "-"
// before what does not and "?" before what is not known.
func conditionsTold(conditions []rollout.Condition) string {
	var lines []string
	for _, c := range conditions {
		mark := map[rollout.Truth]string{rollout.True: "+", rollout.False: "-", rollout.Unknown: "?"}[c.Holds]
		line := fmt.Sprintf("%s %s: %s", mark, c.Name, c.Message)
		since := c.Since
		if c.Holds == rollout.False {
			line, since = fmt.Sprintf("%s %s %s: %s%s", mark, c.Name, c.Why.Code, c.Message, c.Why.Message), c.Why.Since
		}
		if !since.IsZero() {
			line += fmt.Sprintf(" (%s ago)", now.Sub(since))
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// What all hold, in the order in which they are asked.
func TestConditionsHold(t *testing.T) {
	got := conditionsTold(rollout.Conditions(world(), "eu-1"))
	want := text(`
		+ InFleet: fleet main selects it
		+ NotSkipped: no freeze leaves it out
		+ NotFailed: no upgrade of it has failed in this revision
		+ NotAborted: no upgrade of it was aborted in this revision
		+ InWave: wave prod selects it
		+ OneWave: nothing else selects it
		+ OneMember: no other MemberCluster is known to be the same cluster
		+ NotFrozen: no freeze holds it
		+ ClockRight: no more than 30s off the hub's
		+ HasRelease: release 2026.11 bundles v1.37.2
		+ NotWithdrawn: the release was not withdrawn
		+ NotShrunk: no tenth of the fleet's members vanished at once
		+ NotHalted: 0 failed, 1 tolerated
		+ GatesGood: no gate of the fleet has failed
		+ WaveOpen: wave prod has opened (30s ago)
		+ Observed: last seen at 2026-11-03 21:59:00 UTC
		+ Healthy: its control plane and nodes are Ready (1h0m0s ago)
		+ NotContested: nobody took it back from the release
		+ Slot: 0 of 1 in flight in wave prod`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := rollout.Conditions(world(), "eu-99"); got != nil {
		t.Errorf("a member that does not exist has conditions: %v", got)
	}
}

// Each condition is seen not to hold, with what else then does not, and others
// that hold for another reason. What is not named is as in the world above.
func TestConditions(t *testing.T) {
	freeze := func(stops rollout.Stops) rollout.Freeze {
		return rollout.Freeze{Name: "no-1", Member: "eu-1", Stops: stops, By: "ann", Reason: "audit", From: now.Add(-time.Hour)}
	}
	retry := func(at time.Duration) rollout.Approval {
		return rollout.Approval{Name: "yes-1", Fleet: "main", Revision: 3, Subject: rollout.Retry, Member: "eu-1", At: now.Add(-at)}
	}
	for _, test := range []struct {
		name   string
		change func(*rollout.Input)
		want   string
	}{
		{"no fleet", func(in *rollout.Input) { in.Fleets[0].Waves[1].Members = nil }, `
			- InFleet NoFleet: no fleet selects it
			? NotSkipped: asked when a fleet selects it
			? NotFailed: asked when a fleet selects it
			? NotAborted: asked when a fleet selects it
			? InWave: asked when a fleet selects it
			? OneWave: asked when a fleet selects it
			? NotFrozen: asked when a fleet selects it
			? ClockRight: asked when a fleet selects it
			? HasRelease: asked when a fleet selects it
			? NotWithdrawn: asked when a fleet selects it
			? NotShrunk: asked when a fleet selects it
			? NotHalted: asked when a fleet selects it
			? GatesGood: asked when a fleet selects it
			? WaveOpen: asked when a fleet selects it
			? NotContested: asked when a fleet selects it
			? Slot: asked when a fleet selects it`},
		{"left out", func(in *rollout.Input) { in.Freezes = []rollout.Freeze{freeze(rollout.Skip)} }, `
			- NotSkipped Skipped: left out by ann: audit (1h0m0s ago)`},
		{"left out, after it failed", func(in *rollout.Input) {
			in.Freezes = []rollout.Freeze{freeze(rollout.Skip)}
			in.Upgrades = []rollout.Upgrade{upgrade("eu-1", 1, rollout.Failed, time.Hour)}
		}, `
			- NotSkipped Skipped: left out by ann: audit (1h0m0s ago)
			- NotFailed EndedFailed: its upgrade failed in this revision (1h0m0s ago)
			+ NotHalted: 1 failed, 1 tolerated`},
		{"left out, after it failed and was retried", func(in *rollout.Input) {
			in.Freezes, in.Approvals = []rollout.Freeze{freeze(rollout.Skip)}, []rollout.Approval{retry(time.Minute)}
			in.Upgrades = []rollout.Upgrade{upgrade("eu-1", 1, rollout.Failed, time.Hour)}
		}, `
			- NotSkipped Skipped: left out by ann: audit (1h0m0s ago)
			+ NotFailed: eu-1.1 failed, and somebody said that it may start again
			+ NotHalted: 1 failed, 1 tolerated`},
		{"left out, after it failed, and there since", func(in *rollout.Input) {
			in.Freezes = []rollout.Freeze{freeze(rollout.Skip)}
			in.Upgrades = []rollout.Upgrade{upgrade("eu-1", 1, rollout.Failed, time.Hour)}
			in.Members[0].ControlPlane, in.Members[0].Oldest = version("v1.37.2"), version("v1.37.2")
		}, `
			- NotSkipped Skipped: left out by ann: audit (1h0m0s ago)
			- NotFailed EndedFailed: its upgrade failed in this revision (1h0m0s ago)
			+ NotHalted: 1 failed, 1 tolerated`},
		{"failed", func(in *rollout.Input) {
			in.Upgrades = []rollout.Upgrade{upgrade("eu-1", 1, rollout.Failed, time.Hour)}
		}, `
			- NotFailed EndedFailed: its upgrade failed in this revision (1h0m0s ago)
			+ NotHalted: 1 failed, 1 tolerated`},
		{"failed, and retried", func(in *rollout.Input) {
			in.Upgrades = []rollout.Upgrade{upgrade("eu-1", 1, rollout.Failed, time.Hour)}
			in.Approvals = []rollout.Approval{retry(time.Minute)}
			in.Fleets[0].MaxFailures = 0
		}, `
			+ NotFailed: eu-1.1 failed, and somebody said that it may start again
			+ NotHalted: the fleet has halted, and somebody who knew of it said that this member may start`},
		{"aborted", func(in *rollout.Input) {
			in.Upgrades = []rollout.Upgrade{upgrade("eu-1", 1, rollout.Aborted, time.Hour)}
		}, `
			- NotAborted EndedAborted: its upgrade was aborted in this revision (1h0m0s ago)`},
		{"aborted, and retried", func(in *rollout.Input) {
			in.Upgrades = []rollout.Upgrade{upgrade("eu-1", 1, rollout.Aborted, time.Hour)}
			in.Approvals = []rollout.Approval{retry(time.Minute)}
		}, `
			+ NotAborted: eu-1.1 was aborted, and somebody said that it may start again`},
		{"no wave", func(in *rollout.Input) {
			in.Fleets[0].Waves[1].Members, in.Fleets[0].NoWave = nil, []string{"eu-1"}
		}, `
			- InWave NoWave: fleet main selects it, and none of its waves does
			? WaveOpen: asked when a wave selects it
			? Slot: asked when a wave selects it`},
		{"two waves", func(in *rollout.Input) { in.Fleets[0].NoWave = []string{"eu-1"} }, `
			- OneWave Overlap: selected by wave prod of fleet main and no wave of fleet main`},
		{"two members", func(in *rollout.Input) { in.Members[0].Cluster, in.Members[1].Cluster = "c", "c" }, `
			- OneMember Duplicate: eu-1 and eu-2 are the same cluster`},
		{"frozen", func(in *rollout.Input) { in.Freezes = []rollout.Freeze{freeze(rollout.Starts)} }, `
			- NotFrozen Frozen: frozen by ann: audit (1h0m0s ago)`},
		{"the clock", func(in *rollout.Input) { in.Skew = time.Minute }, `
			- ClockRight ClockSkew: the clock of this machine is 1m0s off the hub's`},
		{"no release", func(in *rollout.Input) { in.Fleets[0].Release.Target = fleet.Version{} }, `
			- HasRelease NoRelease: release "2026.11" does not exist`},
		{"withdrawn, and the clock as well", func(in *rollout.Input) { in.Fleets[0].Release.Withdrawn, in.Skew = "eats data", -time.Minute }, `
			- ClockRight ClockSkew: the clock of this machine is 1m0s off the hub's
			- NotWithdrawn Withdrawn: release 2026.11 was withdrawn: eats data`},
		{"members vanished", func(in *rollout.Input) {
			in.Fleets[0].ShrankAt, in.Fleets[0].Roster.Seats = now.Add(-time.Minute), []rollout.Seat{{ID: 1}, {ID: 2}, {ID: 3}}
		}, `
			- NotShrunk InventoryShrank: a tenth of its members, or more, vanished or changed wave within 10 minutes (1m0s ago)`},
		{"halted", func(in *rollout.Input) {
			in.Members = append(in.Members, members("eu-3=v1.37.2 eu-4=v1.37.2 eu-5=v1.37.2")...)
			in.Fleets[0].Waves[0].Members = []string{"eu-2", "eu-3", "eu-4", "eu-5"}
			in.Upgrades = []rollout.Upgrade{
				upgrade("eu-2", 1, rollout.Failed, 3*time.Hour), upgrade("eu-3", 1, rollout.Failed, time.Hour), upgrade("eu-4", 1, rollout.Failed, 2*time.Hour),
				upgrade("eu-5", 1, rollout.Failed, 4*time.Hour),
			}
		}, `
			- NotHalted Halted: 4 failed (eu-2, eu-3, eu-4, eu-5), 1 tolerated (3h0m0s ago)`},
		{"an earlier wave", func(in *rollout.Input) {
			in.Fleets[0].Waves[0].PassedAt, in.Fleets[0].Waves[0].Soak, in.Fleets[0].Waves[1].OpenedAt = time.Time{}, 2*time.Hour, time.Time{}
			in.Fleets[0].Roster.Seats = []rollout.Seat{{ID: rollout.SeatOf(in.Members[1]), Wave: "all", Cohort: true}}
		}, `
			- WaveOpen WaveClosed: wave all comes first: soaks until 2026-11-03 23:00:00 UTC (1h0m0s ago)`},
		{"it opens now", func(in *rollout.Input) { in.Fleets[0].Waves[1].OpenedAt = time.Time{} }, `
			+ WaveOpen: wave prod opens now`},
		{"withdrawn before its wave opened", func(in *rollout.Input) {
			in.Fleets[0].Waves[1].OpenedAt, in.Fleets[0].Release.Withdrawn = time.Time{}, "eats data"
		}, `
			- NotWithdrawn Withdrawn: release 2026.11 was withdrawn: eats data
			+ WaveOpen: no earlier wave is waited for`},
		{"unseen", func(in *rollout.Input) { in.Members[0].ObservedAt = now.Add(-time.Hour) }, `
			- Observed Unobserved: not observed lately: no answer (1h0m0s ago)
			? Healthy: asked when it was seen
			? NotContested: asked when it was seen`},
		{"sick", func(in *rollout.Input) { in.Members[0].Ready, in.Members[0].Message = false, "a node is gone" }, `
			- Healthy NotReady: not healthy: a node is gone (1h0m0s ago)`},
		{"behind again", func(in *rollout.Input) {
			in.Upgrades, in.Fleets[0].ReportDrift = []rollout.Upgrade{upgrade("eu-1", 1, rollout.Done, time.Hour)}, true
		}, `
			- NotContested Behind: was brought to 2026.11 at 2026-11-03 21:00:00 and is behind again; the fleet reports drift and leaves it (1h0m0s ago)`},
		{"brought to the release before", func(in *rollout.Input) {
			in.Upgrades = []rollout.Upgrade{upgrade("eu-1", 1, rollout.Done, time.Hour)}
			in.Upgrades[0].Revision = 2
		}, ``},
		{"brought back", func(in *rollout.Input) {
			in.Upgrades = []rollout.Upgrade{upgrade("eu-1", 1, rollout.Done, time.Hour)}
		}, `
			+ NotContested: eu-1.1 brought it to the release, and it is behind again: it is brought back (1h0m0s ago)`},
		{"a full wave", func(in *rollout.Input) {
			in.Members = append(in.Members, members("eu-3=v1.36.3 eu-4=v1.36.3")...)
			in.Fleets[0].Waves[1].Members = []string{"eu-1", "eu-3", "eu-4"}
			for i, started := range []time.Duration{time.Minute, time.Hour} {
				u := upgrade(fmt.Sprintf("eu-%d", 3+i), 1, rollout.Running, 0)
				u.StartedAt = now.Add(-started)
				in.Upgrades = append(in.Upgrades, u)
			}
		}, `
			- Slot WaveFull: 2 of 1 in flight in wave prod (1m0s ago)`},
		{"a gate of another wave that failed", func(in *rollout.Input) {
			canary := &in.Fleets[0].Waves[0]
			canary.OpenedAt, canary.PassedAt = now.Add(-time.Hour), time.Time{}
			canary.Gates = []rollout.Gate{{Gate: errors, Memory: rollout.GateMemory{
				NoYesSince: now.Add(-10 * time.Minute), FailedAt: now.Add(-7 * time.Minute), Said: "no data",
			}}}
		}, `
			- GatesGood GateFailed: gate errors of wave all has not said yes since 2026-11-03 21:50:00 UTC, for more than 3 times 1m0s: no data; it asks errors / calls (7m0s ago)`},
		{"a wave that is full just now", func(in *rollout.Input) {
			in.Members = append(in.Members, members("eu-0=v1.36.3 eu-3=v1.36.3")...)
			in.Fleets[0].Waves[1].Members, in.Fleets[0].Waves[1].MaxConcurrent = []string{"eu-0", "eu-1", "eu-3"}, 2
			in.Upgrades = []rollout.Upgrade{upgrade("eu-3", 1, rollout.Running, 0)}
			in.Upgrades[0].StartedAt = now.Add(-time.Hour)
		}, `
			- Slot WaveFull: 2 of 2 in flight in wave prod`},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := world()
			test.change(&in)
			base := strings.Split(conditionsTold(rollout.Conditions(world(), "eu-1")), "\n")
			var other []string
			for i, line := range strings.Split(conditionsTold(rollout.Conditions(in, "eu-1")), "\n") {
				if i >= len(base) || line != base[i] {
					other = append(other, line)
				}
			}
			if diff := cmp.Diff(text(test.want), strings.Join(other, "\n")); diff != "" {
				t.Errorf("what is other than where all holds (-want +got):\n%s", diff)
			}
		})
	}
}

// A member that is under way, or there, has other conditions.
func TestConditionsOfTheOthers(t *testing.T) {
	in := world()
	flying := upgrade("eu-1", 4, rollout.Running, 0)
	flying.Wave, flying.StartedAt, flying.Step, flying.Since = "prod", now.Add(-2*time.Hour), rollout.ControlPlane, now.Add(-time.Hour)
	in.Upgrades = []rollout.Upgrade{flying}
	for member, want := range map[string]string{
		"eu-1": `+ Started: in wave prod, as eu-1.4 (2h0m0s ago)
			+ InTime: it is in no step for longer than three times what nine of ten take`,
		"eu-2": `+ AtRelease: at v1.37.2 or ahead`,
	} {
		if diff := cmp.Diff(text(want), conditionsTold(rollout.Conditions(in, member))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", member, diff)
		}
	}
	in.Upgrades[0].Since = now.Add(-2 * time.Hour)
	want := `+ Started: in wave prod, as eu-1.4 (2h0m0s ago)
		- InTime Stuck: its upgrade is in ControlPlane for longer than three times what nine of ten take (30m0s) (2h0m0s ago)`
	if diff := cmp.Diff(text(want), conditionsTold(rollout.Conditions(in, "eu-1"))); diff != "" {
		t.Errorf("stuck (-want +got):\n%s", diff)
	}
}

// Of a member that two fleets select, the conditions are those of the one whose
// answer it is given.
func TestConditionsOfTwoFleets(t *testing.T) {
	in := world()
	second := main(1, "eu-1")
	second.Name, second.UID = "alpha", "uid-of-alpha"
	in.Fleets = append(in.Fleets, second)
	in.Freezes = []rollout.Freeze{{Name: "no-1", Fleet: "alpha", Stops: rollout.Skip, Reason: "audit"}}
	got := rollout.Conditions(in, "eu-1")
	if got[0].Message != "fleet main selects it" || got[1].Holds != rollout.True || got[5].Why.Code != fleet.Overlap {
		t.Errorf("it is told\n%s", conditionsTold(got))
	}
}

// The first condition that does not hold is why a member waits; where all hold, it
// starts, is under way or there.
func TestConditionsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHub(t, 5)
		for range rapid.IntRange(0, 12).Draw(t, "turns") {
			h.decide()
			h.pass(func() rollout.Outcome {
				return rapid.SampledFrom([]rollout.Outcome{rollout.Done, rollout.Done, rollout.Superseded, rollout.Failed, rollout.Aborted}).Draw(t, "outcome")
			})
			h.trouble()
		}
		d := rollout.Decide(h.Input)
		for _, m := range h.Members {
			conditions := rollout.Conditions(h.Input, m.Name)
			said, selected := d.Waiting[m.Name]
			starts := slices.ContainsFunc(d.Start, func(s rollout.Start) bool { return s.Member == m.Name })
			i := slices.IndexFunc(conditions, func(c rollout.Condition) bool { return c.Holds != rollout.True })
			switch {
			case i >= 0 && selected && conditions[i].Why != said:
				t.Errorf("member %s does not meet %+v; it is told %+v", m.Name, conditions[i], said)
			case i >= 0 && !selected && conditions[i].Why.Code != fleet.NoFleet:
				t.Errorf("member %s does not meet %+v, and is told nothing", m.Name, conditions[i])
			case i < 0 && !starts && !slices.Contains([]fleet.Code{fleet.InFlight, fleet.AtRelease}, said.Code):
				t.Errorf("member %s meets everything, and is told %+v", m.Name, said)
			}
			each(t, conditions)
		}
	})
}

// each condition is there once, in its order, and has something to say.
func each(t *rapid.T, conditions []rollout.Condition) {
	order := rollout.Names()
	at := -1
	for _, c := range conditions {
		next := slices.Index(order, c.Name)
		if next <= at {
			t.Errorf("%s comes after %s", c.Name, order[at])
		}
		at = next
		if (c.Message == "") == (c.Why.Message == "") || (c.Holds == rollout.False) == c.Why.IsZero() {
			t.Errorf("%s is not explained: %+v", c.Name, c)
		}
	}
}

// Every name is there once.
func TestConditionNames(t *testing.T) {
	names := map[rollout.ConditionName]int{}
	for _, name := range rollout.Names() {
		names[name]++
	}
	if len(names) != 23 || slices.Max(slices.Collect(maps.Values(names))) != 1 {
		t.Errorf("%d names: %v", len(names), names)
	}
}
