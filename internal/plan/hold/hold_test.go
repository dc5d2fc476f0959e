package hold_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/hold"
	"refit.dev/refit/internal/plan/rollout"
)

func TestWhy(t *testing.T) {
	yes := func(from ...string) []fleet.TakeOver {
		var all []fleet.TakeOver
		for _, hub := range from {
			all = append(all, fleet.TakeOver{From: hub})
		}
		return all
	}
	for _, test := range []struct {
		name string
		in   hold.Input
		want string // the object, and nothing where it may act
	}{
		{"a new hub", hold.Input{Hub: "a"}, ""},
		{"a hub that holds its own", hold.Input{Hub: "a", Lives: []string{"a"}}, ""},
		{"a restored one", hold.Input{Hub: "b", Lives: []string{"a"}}, "hub a"},
		{"that has made some of its own", hold.Input{Hub: "b", Lives: []string{"b", "a"}}, "hub a"},
		{"that has taken over", hold.Input{Hub: "b", Lives: []string{"b", "a"}, TakeOvers: yes("a")}, ""},
		{"that has taken over from another", hold.Input{Hub: "b", Lives: []string{"a"}, TakeOvers: yes("c")}, "hub a"},
		{"of two lives", hold.Input{Hub: "c", Lives: []string{"b", "a"}}, "hub a"},
		{"of two lives, one taken over", hold.Input{Hub: "c", Lives: []string{"b", "a"}, TakeOvers: yes("a")}, "hub b"},
	} {
		if got := hold.Why(test.in); got.Object != test.want || got.IsZero() != (test.want == "") {
			t.Errorf("%s: held by %q, want %q", test.name, got.Object, test.want)
		}
	}
	want := fleet.Reason{
		Code: fleet.RestoredHub, Object: "hub a",
		Message: "this hub only watches: it was restored from what hub a held, and is hub b",
		Fix:     "see that hub a is gone for good, then let this one act: refit takeover a --reason …",
	}
	if diff := cmp.Diff(want, hold.Why(hold.Input{Hub: "b", Lives: []string{"a"}})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStarts(t *testing.T) {
	why := fleet.Reason{Code: fleet.RestoredHub}
	full, done, halted := fleet.Reason{Code: fleet.WaveFull}, fleet.Reason{Code: fleet.AtRelease}, fleet.Reason{Code: fleet.Halted}
	decision := rollout.Decision{
		Start:   []rollout.Start{{Member: "one"}},
		Waiting: map[string]fleet.Reason{"two": full, "three": done},
		Fleets:  []rollout.FleetState{{Name: "main", Waves: []rollout.WaveState{{Name: "all", Waiting: []string{"one"}}}}, {Name: "edge", Halt: halted}},
	}
	if diff := cmp.Diff(decision, hold.Starts(decision, fleet.Reason{})); diff != "" {
		t.Errorf("where nothing holds it (-want +got):\n%s", diff)
	}
	want := rollout.Decision{
		Waiting: map[string]fleet.Reason{"one": why, "two": why, "three": done},
		Fleets:  []rollout.FleetState{{Name: "main", Waves: decision.Fleets[0].Waves, Halt: why}, {Name: "edge", Halt: halted}},
	}
	if diff := cmp.Diff(want, hold.Starts(decision, why)); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	if decision.Fleets[0].Halt != (fleet.Reason{}) || len(decision.Start) != 1 || decision.Waiting["two"] != full {
		t.Errorf("what was decided is changed: %+v", decision)
	}
}

// That a hub is held is told where it counts: after what a member lacks itself, and
// before the slot.
func TestConditions(t *testing.T) {
	named := func(names ...rollout.ConditionName) []rollout.Condition {
		var all []rollout.Condition
		for _, name := range names {
			all = append(all, rollout.Condition{Name: name, Holds: rollout.True})
		}
		return all
	}
	why := fleet.Reason{Code: fleet.RestoredHub}
	for _, test := range []struct {
		conditions []rollout.Condition
		at         int
	}{
		{named(rollout.InFleet, rollout.Healthy, rollout.Slot), 2},
		{named(rollout.Started, rollout.InTime), 2},
		{named(rollout.Slot, rollout.Healthy, rollout.AtRelease), 0},
		{named(rollout.AtRelease), -1},
		{nil, -1},
	} {
		for _, held := range []fleet.Reason{{}, why} {
			got := hold.Conditions(test.conditions, held)
			if test.at < 0 {
				if diff := cmp.Diff(test.conditions, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				continue
			}
			if len(got) != 3 && len(got) != 4 || got[test.at].Name != rollout.HubActs || got[test.at].Why != held ||
				(got[test.at].Holds == rollout.True) != held.IsZero() {
				t.Errorf("held by %q: %+v", held.Code, got)
			}
			if last := got[len(got)-1].Name; test.conditions[len(test.conditions)-1].Name == rollout.Slot && last != rollout.Slot {
				t.Errorf("%s is the last", last)
			}
		}
	}
}
