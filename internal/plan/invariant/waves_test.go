package invariant_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/rollout"
)

// TestWorldOfStarts: what a start needs besides its member and its wave.
func TestWorldOfStarts(t *testing.T) {
	done := func(n int, started, ended time.Duration) rollout.Upgrade {
		return rollout.Upgrade{
			Member: "eu-3", N: n, FleetUID: "uid-of-main", Revision: 3, Outcome: rollout.Done,
			StartedAt: now.Add(-started), EndedAt: now.Add(-ended),
		}
	}
	busy := func(step rollout.Step, nodes int, since time.Duration) rollout.Upgrade {
		return rollout.Upgrade{Member: "eu-1", N: 1, FleetUID: "uid-of-main", Revision: 3, Step: step, Nodes: nodes, Since: now.Add(-since)}
	}
	failed := rollout.Upgrade{Member: "eu-4", N: 1, FleetUID: "uid-of-main", Revision: 3, Outcome: rollout.Failed, EndedAt: now.Add(-time.Hour)}
	const stuck = "member eu-3 would start after eu-1.1 failed in the same revision"
	for _, test := range []struct {
		name   string
		change func(*rollout.Input)
		n      int
		want   []string
	}{
		{name: "nothing special", change: func(*rollout.Input) {}},
		{
			name: "a release that was withdrawn", change: func(in *rollout.Input) { in.Fleets[0].Release.Withdrawn = "loses volumes" },
			want: []string{
				`member eu-3 would start for revision 3 at release "2026.11"; fleet main wants revision 3 at "2026.11"`,
				"member eu-3 would start for release 2026.11, which was withdrawn",
			},
		},
		{name: "a clock that is ahead", change: func(in *rollout.Input) { in.Skew = 31 * time.Second }, want: []string{"member eu-3 would start by a clock that is 31s off"}},
		{name: "a clock that is behind", change: func(in *rollout.Input) { in.Skew = -31 * time.Second }, want: []string{"member eu-3 would start by a clock that is -31s off"}},
		{name: "clocks that are good enough", change: func(in *rollout.Input) { in.Skew = -30 * time.Second }},
		{
			name: "the same cluster twice", change: func(in *rollout.Input) { in.Members[0].Cluster, in.Members[2].Cluster = "c", "c" },
			want: []string{"member eu-3 would start, and is the same cluster as eu-1"},
		},
		{name: "another cluster", change: func(in *rollout.Input) { in.Members[0].Cluster, in.Members[2].Cluster = "c", "d" }},
		{name: "tolerated", change: func(in *rollout.Input) { in.Upgrades = append(in.Upgrades, failed); in.Fleets[0].MaxFailures = 1 }},
		{
			name: "not tolerated by the wave", change: func(in *rollout.Input) {
				in.Upgrades = append(in.Upgrades, failed)
				in.Fleets[0].MaxFailures, in.Fleets[0].Waves[0].MaxFailures = 1, new(0)
			},
			want: []string{"member eu-3 would start after eu-4.1 failed in the same revision"},
		},
		{name: "tolerated by the wave", change: func(in *rollout.Input) {
			in.Upgrades = append(in.Upgrades, failed)
			in.Fleets[0].MaxFailures, in.Fleets[0].Waves[0].MaxFailures = 1, new(1)
		}},
		{name: "a control plane that takes long", change: func(in *rollout.Input) { in.Upgrades[0] = busy(rollout.ControlPlane, 9, 90*time.Minute-1) }},
		{name: "one that is stuck", change: func(in *rollout.Input) { in.Upgrades[0] = busy(rollout.ControlPlane, 9, 90*time.Minute) }, want: []string{stuck}},
		{name: "nodes that take long", change: func(in *rollout.Input) { in.Upgrades[0] = busy(rollout.Nodes, 3, 90*time.Minute-1) }},
		{name: "nodes that are stuck", change: func(in *rollout.Input) { in.Upgrades[0] = busy(rollout.Nodes, 3, 90*time.Minute) }, want: []string{stuck}},
		{name: "a pool without nodes", change: func(in *rollout.Input) { in.Upgrades[0] = busy(rollout.Nodes, 0, 30*time.Minute) }, want: []string{stuck}},
		{name: "stuck, and agreed since", change: func(in *rollout.Input) {
			in.Upgrades[0] = busy(rollout.Nodes, 3, 2*time.Hour)
			in.Approvals = []rollout.Approval{{Fleet: "main", Revision: 3, Subject: rollout.Resume, At: now.Add(-29 * time.Minute)}}
		}},
		{name: "nodes that are stuck, and agreed before", change: func(in *rollout.Input) {
			in.Upgrades[0] = busy(rollout.Nodes, 3, 2*time.Hour)
			in.Approvals = []rollout.Approval{{Fleet: "main", Revision: 3, Subject: rollout.Resume, At: now.Add(-30 * time.Minute)}}
		}, want: []string{stuck}},
		{name: "stuck, and agreed right since", change: func(in *rollout.Input) {
			in.Upgrades[0] = busy(rollout.ControlPlane, 0, 2*time.Hour)
			in.Approvals = []rollout.Approval{{Fleet: "main", Revision: 3, Subject: rollout.Resume, At: now.Add(1 - 30*time.Minute)}}
		}},
		{name: "one that took long, and is done", change: func(in *rollout.Input) {
			u := done(1, 9*time.Hour, time.Hour)
			u.Member, u.Step, u.Since = "eu-4", rollout.ControlPlane, now.Add(-8*time.Hour)
			in.Upgrades = append(in.Upgrades, u)
		}},
		{name: "stuck, and agreed before", change: func(in *rollout.Input) {
			in.Upgrades[0] = busy(rollout.ControlPlane, 0, 2*time.Hour)
			in.Approvals = []rollout.Approval{{Fleet: "main", Revision: 3, Subject: rollout.Resume, At: now.Add(-30 * time.Minute)}}
		}, want: []string{stuck}},
		{name: "brought back at once", n: 2, change: func(in *rollout.Input) { in.Upgrades = append(in.Upgrades, done(1, 3*time.Hour, 2*time.Hour)) }},
		{name: "brought back when another was not looked at for longer", n: 2, change: func(in *rollout.Input) {
			in.Upgrades, in.Members[3].ObservedAt = append(in.Upgrades, done(1, 3*time.Hour, 2*time.Hour)), now.Add(-3*time.Hour)
		}},
		{
			name: "brought back before it was looked at", n: 2,
			change: func(in *rollout.Input) { in.Upgrades = append(in.Upgrades, done(1, 3*time.Hour, time.Minute)) },
			want:   []string{"member eu-3 would start again without a look since it was done"},
		},
		{
			name: "brought back twice within a day", n: 3,
			change: func(in *rollout.Input) {
				in.Upgrades = append(in.Upgrades, done(1, 30*time.Hour, 29*time.Hour), done(2, 24*time.Hour-1, 23*time.Hour))
			},
			want: []string{"member eu-3 would be brought back twice within a day, last at 2026-11-02 22:00:00"},
		},
		{
			name: "brought back once in this revision, as in the one before", n: 3,
			change: func(in *rollout.Input) {
				u := done(1, 5*time.Hour, 4*time.Hour)
				u.Revision = 2
				in.Upgrades = append(in.Upgrades, u, done(2, 3*time.Hour, 2*time.Hour))
			},
		},
		{
			name: "brought back once, after one that was superseded", n: 3,
			change: func(in *rollout.Input) {
				u := done(1, 5*time.Hour, 4*time.Hour)
				u.Outcome = rollout.Superseded
				in.Upgrades = append(in.Upgrades, u, done(2, 3*time.Hour, 2*time.Hour))
			},
		},
		{
			name: "brought back twice, a day between", n: 3,
			change: func(in *rollout.Input) {
				in.Upgrades = append(in.Upgrades, done(1, 30*time.Hour, 29*time.Hour), done(2, 24*time.Hour, 23*time.Hour))
			},
		},
		{
			name: "brought back though drift is reported", n: 2,
			change: func(in *rollout.Input) {
				in.Upgrades, in.Fleets[0].ReportDrift = append(in.Upgrades, done(1, 3*time.Hour, 2*time.Hour)), true
			},
			want: []string{"member eu-3 would be brought back, of which only drift is to be reported"},
		},
		{
			name: "after it was aborted", n: 2,
			change: func(in *rollout.Input) {
				u := done(1, 3*time.Hour, 2*time.Hour)
				u.Outcome = rollout.Aborted
				in.Upgrades = append(in.Upgrades, u)
			},
			want: []string{"member eu-3 would start again after it was aborted"},
		},
		{
			name: "after it was aborted, and a person agreed", n: 2,
			change: func(in *rollout.Input) {
				u := done(1, 3*time.Hour, 2*time.Hour)
				u.Outcome = rollout.Aborted
				in.Upgrades = append(in.Upgrades, u)
				in.Approvals = []rollout.Approval{{Fleet: "main", Revision: 3, Subject: rollout.Retry, Member: "eu-3", At: now}}
			},
		},
		{
			name: "beside one that began in the wave and has left it",
			change: func(in *rollout.Input) {
				for _, name := range []string{"us-1", "us-2"} {
					in.Upgrades = append(in.Upgrades, rollout.Upgrade{Member: name, N: 1, FleetUID: "uid-of-main", Revision: 2, Wave: "all"})
				}
			},
			want: []string{"wave all of fleet main would have 4 in flight; 2 are allowed"},
		},
		{
			name: "beside some of other waves and fleets",
			change: func(in *rollout.Input) {
				in.Upgrades = append(
					in.Upgrades, rollout.Upgrade{Member: "us-1", N: 1, FleetUID: "uid-of-main", Wave: "prod"}, rollout.Upgrade{Member: "us-2", N: 1, FleetUID: "uid-of-lab", Wave: "all"},
				)
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := hub()
			test.change(&in)
			s := start("eu-3", max(1, test.n))
			if diff := cmp.Diff(test.want, invariant.Starts(in, rollout.Decision{Start: []rollout.Start{s}})); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFailuresTolerated: a fleet tolerates so many failures, and so does each of
// its waves; who failed last does not start, whatever is tolerated.
func TestFailuresTolerated(t *testing.T) {
	failed := func(member string, n int) rollout.Upgrade {
		return rollout.Upgrade{Member: member, N: n, FleetUID: "uid-of-main", Revision: 3, Outcome: rollout.Failed, EndedAt: now.Add(-time.Hour)}
	}
	after := func(member, failure string) []string {
		return []string{"member " + member + " would start after " + failure + " failed in the same revision"}
	}
	waves := func(first, second *int) []rollout.Wave {
		return []rollout.Wave{
			{Name: "canary", MaxConcurrent: 2, Members: []string{"eu-1", "eu-2"}, MaxFailures: first},
			{Name: "all", MaxConcurrent: 2, Members: []string{"eu-3", "eu-4"}, MaxFailures: second},
		}
	}
	for _, test := range []struct {
		name     string
		waves    []rollout.Wave
		upgrades []rollout.Upgrade
		most     int
		start    rollout.Start
		want     []string
	}{
		{name: "its own, that is the last", upgrades: []rollout.Upgrade{failed("eu-3", 1)}, most: 5, start: start("eu-3", 2), want: after("eu-3", "eu-3.1")},
		{
			name: "its own, that is not the last", most: 5, start: start("eu-3", 3), upgrades: []rollout.Upgrade{
				failed("eu-3", 1), {Member: "eu-3", N: 2, FleetUID: "uid-of-main", Revision: 3, Outcome: rollout.Superseded, EndedAt: now},
			},
		},
		{
			name: "its own, that is stuck", most: 5, start: start("eu-3", 2), upgrades: []rollout.Upgrade{
				{Member: "eu-3", N: 1, FleetUID: "uid-of-main", Revision: 3, Step: rollout.ControlPlane, Since: now.Add(-2 * time.Hour)},
			},
			want: []string{"member eu-3 would be in flight twice"},
		},
		{
			name: "one too many for fleet and wave is told once", waves: waves(nil, new(0)),
			upgrades: []rollout.Upgrade{failed("eu-4", 1)}, start: start("eu-3", 1), want: after("eu-3", "eu-4.1"),
		},
		{
			name: "one too many for two waves is told once", waves: waves(new(0), new(0)), most: 2,
			upgrades: []rollout.Upgrade{failed("eu-2", 1), failed("eu-4", 1)}, start: start("eu-3", 1), want: after("eu-3", "eu-2.1"),
		},
		{
			name: "one too many for the second wave, with no bound for the first", waves: waves(nil, new(0)), most: 1,
			upgrades: []rollout.Upgrade{failed("eu-4", 1)}, start: start("eu-3", 1), want: after("eu-3", "eu-4.1"),
		},
		{
			name: "one too many for the second wave, with none in the first", waves: waves(new(0), new(0)), most: 1,
			upgrades: []rollout.Upgrade{failed("eu-4", 1)}, start: start("eu-3", 1), want: after("eu-3", "eu-4.1"),
		},
		{
			name: "another wave's", waves: waves(new(0), nil), most: 1,
			upgrades: []rollout.Upgrade{failed("eu-4", 1)}, start: start("eu-3", 1),
		},
		{name: "of who is another fleet's now", upgrades: []rollout.Upgrade{failed("eu-5", 1)}, start: start("eu-3", 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := hub()
			in.Upgrades, in.Fleets[0].MaxFailures = test.upgrades, test.most
			if test.waves != nil {
				in.Fleets[0].Waves = test.waves
			}
			in.Fleets = append(in.Fleets, rollout.Fleet{Name: "lab", UID: "uid-of-lab", Waves: []rollout.Wave{{Name: "all", Members: []string{"eu-5"}}}})
			if diff := cmp.Diff(test.want, invariant.Starts(in, rollout.Decision{Start: []rollout.Start{test.start}})); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOrderOfWaves: a wave opens after the ones before it have passed, and passes
// when enough of its cohort are there and have soaked.
func TestOrderOfWaves(t *testing.T) {
	opened := now.Add(-time.Hour)
	// first has eu-1 to eu-4, of which all but eu-4 were there when it opened;
	// eu-1 and eu-2 are at the release.
	world := func() (rollout.Input, rollout.Decision) {
		in := hub()
		in.Upgrades = []rollout.Upgrade{{Member: "eu-1", N: 1, FleetUID: "uid-of-main", Revision: 3, Outcome: rollout.Done, EndedAt: now.Add(-time.Minute)}}
		in.Members[0].Oldest, in.Members[1].Oldest = version("v1.37.2"), version("v1.38.0")
		in.Fleets[0].Waves = []rollout.Wave{
			{
				Name: "first", Members: []string{"eu-1", "eu-2", "eu-3", "eu-4"}, OpenedAt: opened, Soak: time.Minute,
				MinSuccess: fleet.Share{Of: 66, Percent: true},
			},
			{Name: "second", Members: []string{"eu-5"}},
		}
		state := rollout.FleetState{Name: "main", Waves: []rollout.WaveState{{Name: "first", OpenedAt: opened, PassedAt: now}, {Name: "second", OpenedAt: now}}}
		for _, name := range []string{"eu-1", "eu-2", "eu-3"} {
			state.Roster.Seats = append(state.Roster.Seats, rollout.Seat{ID: rollout.SeatOf(rollout.Member{Name: name}), Wave: "first", Cohort: true})
		}
		return in, rollout.Decision{Fleets: []rollout.FleetState{state}}
	}
	const few = "wave first of fleet main would pass with 1 of 3 there"
	for _, test := range []struct {
		name   string
		change func(*rollout.Input, *rollout.FleetState)
		want   []string
	}{
		{name: "two of three are there", change: func(*rollout.Input, *rollout.FleetState) {}},
		{
			name: "the second before the first", change: func(_ *rollout.Input, state *rollout.FleetState) { state.Waves[0].PassedAt = time.Time{} },
			want: []string{"wave second of fleet main would open before its turn"},
		},
		{name: "one is sick", change: func(in *rollout.Input, _ *rollout.FleetState) { in.Members[0].Ready = false }, want: []string{few}},
		{
			name: "one was not seen lately", change: func(in *rollout.Input, _ *rollout.FleetState) { in.Members[0].ObservedAt = now.Add(-25 * time.Minute) },
			want: []string{few},
		},
		{name: "one was seen lately enough", change: func(in *rollout.Input, _ *rollout.FleetState) {
			in.Members[0].ObservedAt = now.Add(1 - 25*time.Minute)
		}},
		{name: "the second was open already", change: func(in *rollout.Input, state *rollout.FleetState) {
			in.Fleets[0].Waves[1].OpenedAt, state.Waves[1].OpenedAt, state.Waves[0].PassedAt = opened, opened, time.Time{}
		}},
		{
			name: "a third, with the second passed and the first not", change: func(in *rollout.Input, state *rollout.FleetState) {
				in.Fleets[0].Waves[1].OpenedAt, in.Fleets[0].Waves[1].PassedAt = opened, opened
				in.Fleets[0].Waves = append(in.Fleets[0].Waves, rollout.Wave{Name: "third", Members: []string{"eu-6"}})
				state.Waves = []rollout.WaveState{
					{Name: "first", OpenedAt: opened}, {Name: "second", OpenedAt: opened, PassedAt: opened}, {Name: "third", OpenedAt: now},
				}
			},
			want: []string{"wave third of fleet main would open before its turn"},
		},
		{name: "one is behind", change: func(in *rollout.Input, _ *rollout.FleetState) { in.Members[1].Oldest = version("v1.37.1") }, want: []string{few}},
		{
			name: "one is in flight", change: func(in *rollout.Input, _ *rollout.FleetState) {
				in.Upgrades = append(in.Upgrades, rollout.Upgrade{Member: "eu-2", N: 1, FleetUID: "uid-of-main", Revision: 3})
			},
			want: []string{few},
		},
		{name: "who is left out is not counted", change: func(in *rollout.Input, _ *rollout.FleetState) {
			in.Members[1].Ready = false
			in.Freezes = []rollout.Freeze{{Member: "eu-2", Stops: rollout.Skip}, {Member: "eu-3", Stops: rollout.Skip}, {Member: "eu-1", Stops: rollout.Starts}}
		}},
		{
			name: "who only may not start is", change: func(in *rollout.Input, _ *rollout.FleetState) {
				in.Members[1].Ready, in.Freezes = false, []rollout.Freeze{{Member: "eu-2", Stops: rollout.Starts}}
			},
			want: []string{few},
		},
		{
			name: "and who is left out elsewhere", change: func(in *rollout.Input, _ *rollout.FleetState) {
				in.Members[1].Ready, in.Freezes = false, []rollout.Freeze{{Fleet: "lab", Member: "eu-2", Stops: rollout.Skip}}
			},
			want: []string{few},
		},
		{
			name: "it has not soaked", change: func(in *rollout.Input, _ *rollout.FleetState) { in.Upgrades[0].EndedAt = now.Add(-time.Minute + 1) },
			want: []string{"wave first of fleet main would pass though eu-1 has soaked for 59.999999999s"},
		},
		{name: "what was done for another revision has soaked", change: func(in *rollout.Input, _ *rollout.FleetState) {
			in.Upgrades[0].EndedAt, in.Upgrades[0].Revision = now, 2
		}},
		{name: "so has what was done for another fleet", change: func(in *rollout.Input, _ *rollout.FleetState) {
			in.Upgrades[0].EndedAt, in.Upgrades[0].FleetUID = now, "uid-of-lab"
		}},
		{
			name: "it selects nobody", change: func(in *rollout.Input, _ *rollout.FleetState) { in.Fleets[0].Waves[0].Members = nil },
			want: []string{"wave first of fleet main would pass, which selects nobody"},
		},
		{name: "it may", change: func(in *rollout.Input, _ *rollout.FleetState) {
			in.Fleets[0].Waves[0].Members, in.Fleets[0].Waves[0].AllowEmpty = nil, true
		}},
		{
			name: "it opened already", change: func(_ *rollout.Input, state *rollout.FleetState) { state.Waves[0].OpenedAt = now },
			want: []string{"wave first of fleet main would open or pass once more"},
		},
		{
			name: "it passed already", change: func(in *rollout.Input, _ *rollout.FleetState) {
				in.Fleets[0].Waves[0].PassedAt = opened
			},
			want: []string{"wave first of fleet main would open or pass once more"},
		},
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
