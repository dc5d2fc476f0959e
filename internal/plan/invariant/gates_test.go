package invariant_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/rollout"
)

// TestGates: no wave passes by what its gates are not seen to say, nobody starts after
// one has failed, and that is not forgotten.
func TestGates(t *testing.T) {
	gate := fleet.Gate{Name: "errors", Failures: 3, Question: fleet.Question{Query: "errors", Interval: time.Minute}}
	opened, failed := now.Add(-time.Hour), now.Add(-10*time.Minute)
	world := func() (rollout.Input, rollout.Decision) {
		in := hub()
		in.Upgrades = []rollout.Upgrade{{Member: "eu-1", N: 1, FleetUID: "uid-of-main", Revision: 3, Outcome: rollout.Done, EndedAt: now.Add(-30 * time.Minute)}}
		in.Members[0].Oldest = version("v1.37.2")
		in.Fleets[0].Waves = []rollout.Wave{{
			Name: "first", Members: []string{"eu-1"}, OpenedAt: opened, Soak: 29 * time.Minute, MinSuccess: fleet.Share{Of: 100, Percent: true},
			Gates: []rollout.Gate{{Gate: gate}}, MaxConcurrent: 1,
		}, {Name: "second", Members: []string{"eu-5"}, MaxConcurrent: 1}}
		in.Heard = map[fleet.Question]fleet.Heard{gate.Question: {Answer: fleet.Yes, AskedAt: now.Add(-time.Minute)}}
		state := rollout.FleetState{Name: "main", Waves: []rollout.WaveState{{Name: "first", OpenedAt: opened, PassedAt: now}, {Name: "second", OpenedAt: now}}}
		state.Roster.Seats = []rollout.Seat{{ID: rollout.SeatOf(rollout.Member{Name: "eu-1"}), Wave: "first", Cohort: true}}
		return in, rollout.Decision{Fleets: []rollout.FleetState{state}}
	}
	hear := func(in *rollout.Input, answer fleet.Answer, ago time.Duration) {
		in.Heard[gate.Question] = fleet.Heard{Answer: answer, AskedAt: now.Add(-ago)}
	}
	// stays lets the first wave stay, with a gate of which this is remembered before and after.
	stays := func(in *rollout.Input, state *rollout.FleetState, before, after rollout.GateMemory) {
		in.Fleets[0].Waves[0].Gates[0].Memory = before
		state.Waves[0].PassedAt, state.Waves[1].OpenedAt = time.Time{}, time.Time{}
		state.Waves[0].Gates = []rollout.GateState{{Gate: rollout.Gate{Gate: gate, Memory: after}}}
	}
	resume := func(at time.Time) []rollout.Approval {
		return []rollout.Approval{{Fleet: "main", Revision: 3, Subject: rollout.Resume, At: at}}
	}
	const unseen = "wave first of fleet main would pass though gate errors is not seen to be good"
	const forgotten = "that gate errors of wave first of fleet main failed would be forgotten"
	since := rollout.GateMemory{NoYesSince: failed.Add(-3 * time.Minute)}
	fails := rollout.GateMemory{NoYesSince: failed.Add(-3 * time.Minute), FailedAt: failed}
	for _, test := range []struct {
		name   string
		change func(*rollout.Input, *rollout.FleetState)
		want   []string
	}{
		{name: "it is good", change: func(*rollout.Input, *rollout.FleetState) {}},
		{name: "nobody asked", change: func(in *rollout.Input, _ *rollout.FleetState) { in.Heard = nil }, want: []string{unseen}},
		{name: "it said no", change: func(in *rollout.Input, _ *rollout.FleetState) { hear(in, fleet.No, 0) }, want: []string{unseen}},
		{name: "it said nothing", change: func(in *rollout.Input, _ *rollout.FleetState) { hear(in, fleet.Unknown, 0) }, want: []string{unseen}},
		{
			name: "long ago", change: func(in *rollout.Input, _ *rollout.FleetState) {
				in.Upgrades[0].EndedAt = opened
				hear(in, fleet.Yes, 2*time.Minute)
			},
			want: []string{"wave first of fleet main would pass by what gate errors said 2m0s ago"},
		},
		{
			name: "before the soak was over", change: func(in *rollout.Input, _ *rollout.FleetState) { hear(in, fleet.Yes, time.Minute+1) },
			want: []string{"wave first of fleet main would pass by what gate errors said before eu-1 had soaked"},
		},
		{
			name: "it passes after it failed", change: func(in *rollout.Input, _ *rollout.FleetState) { in.Fleets[0].Waves[0].Gates[0].Memory = fails },
			want: []string{"wave first of fleet main would pass after its gate errors failed", forgotten},
		},
		{name: "it passes after it failed and somebody agreed", change: func(in *rollout.Input, _ *rollout.FleetState) {
			in.Fleets[0].Waves[0].Gates[0].Memory, in.Approvals = fails, resume(failed.Add(1))
		}},
		{name: "it failed before", change: func(in *rollout.Input, state *rollout.FleetState) { stays(in, state, fails, fails) }},
		{
			name: "that is forgotten", change: func(in *rollout.Input, state *rollout.FleetState) { stays(in, state, fails, since) }, want: []string{forgotten},
		},
		{
			name: "somebody agreed before it failed", change: func(in *rollout.Input, state *rollout.FleetState) {
				stays(in, state, fails, since)
				in.Approvals = resume(failed)
			},
			want: []string{forgotten},
		},
		{
			name: "it has had its time", change: func(in *rollout.Input, state *rollout.FleetState) {
				stays(in, state, since, since)
				hear(in, fleet.No, 0)
			},
			want: []string{"gate errors of wave first of fleet main has said no yes for 13m0s and would not have failed"},
		},
		{name: "nobody has asked it since", change: func(in *rollout.Input, state *rollout.FleetState) {
			stays(in, state, since, since)
			in.Heard = nil
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, decision := world()
			test.change(&in, &decision.Fleets[0])
			if diff := cmp.Diff(test.want, invariant.Starts(in, decision)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStartAfterAGateFailed: nobody starts of the fleet, of whatever wave.
func TestStartAfterAGateFailed(t *testing.T) {
	in := hub()
	s := start("eu-3", 1)
	if broken := invariant.Starts(in, rollout.Decision{Start: []rollout.Start{s}}); len(broken) > 0 {
		t.Fatalf("before that it may not start: %v", broken)
	}
	in.Fleets[0].Waves = append(in.Fleets[0].Waves, rollout.Wave{
		Name: "other", OpenedAt: now.Add(-time.Hour), Gates: []rollout.Gate{{Gate: fleet.Gate{Name: "errors"}, Memory: rollout.GateMemory{FailedAt: now.Add(-time.Minute)}}},
	})
	want := []string{"member eu-3 would start after gate errors of wave other failed"}
	if diff := cmp.Diff(want, invariant.Starts(in, rollout.Decision{Start: []rollout.Start{s}})); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}
