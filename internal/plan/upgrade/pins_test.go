package upgrade_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/upgrade"
)

// TestHopPinned is the version that the first pass goes to where the fleet has
// pins, and the versions that are told to be ahead.
func TestHopPinned(t *testing.T) {
	twoMinors := func(s situation) situation {
		s.controlPlane, s.nodes = or(s.controlPlane, "v1.35.1"), or(s.nodes, "v1.35.1")
		return s
	}
	for _, test := range []struct {
		name string
		situation
		hop, path string
	}{
		{
			name:      "without pins the lowest that is offered is asked for, of each pass",
			situation: twoMinors(situation{pins: "none"}),
			hop:       "v1.36.3", path: "v1.36.3 v1.37.2",
		},
		{
			name:      "the pin, though a lower one is offered",
			situation: twoMinors(situation{pins: "v1.36.6 v1.37.4"}),
			hop:       "v1.36.6", path: "v1.36.6 v1.37.4",
		},
		{
			name:      "a pin of one minor says nothing of another",
			situation: twoMinors(situation{pins: "v1.37.4"}),
			hop:       "v1.36.3", path: "v1.36.3 v1.37.4",
		},
		{
			name:      "a pin that is not offered here is none to go to, nor is any other version",
			situation: twoMinors(situation{pins: "v1.36.5 v1.37.2"}),
			hop:       "unknown",
		},
		{
			name:      "one that is not offered further on does not stand in the way yet",
			situation: twoMinors(situation{pins: "v1.37.3"}),
			hop:       "v1.36.3", path: "v1.36.3",
		},
		{
			name:      "a pin below the release's floor, which somebody wrote",
			situation: situation{pins: "v1.37.1", offers: "v1.37.1 v1.37.2"},
			hop:       "unknown",
		},
		{
			name:      "who began to go to another arrives there",
			situation: twoMinors(situation{from: "v1.35.1", memory: "v1.36.3 ControlPlane 1m", pins: "v1.36.6"}),
			hop:       "v1.36.3", path: "v1.37.2",
		},
		{
			name:      "a control plane ahead of the pin stays, and its nodes go to the pin",
			situation: situation{controlPlane: "v1.37.4", pins: "v1.37.2"},
			hop:       "v1.37.2", path: "v1.37.2",
		},
		{
			name:      "one that suffices without the pin stays, and its nodes go where it is",
			situation: situation{controlPlane: "v1.37.3", pins: "v1.37.4"},
			hop:       "v1.37.3",
		},
		{
			name:      "also where the pin is not offered",
			situation: situation{controlPlane: "v1.37.4", pins: "v1.37.3"},
			hop:       "v1.37.4",
		},
		{
			name:      "one below the release's floor does not suffice",
			situation: situation{controlPlane: "v1.37.1", pins: "v1.37.4"},
			hop:       "v1.37.4", path: "v1.37.4",
		},
		{
			name:      "what runs counts as offered",
			situation: situation{controlPlane: "v1.37.3", pins: "v1.37.3"},
			hop:       "v1.37.3", path: "v1.37.3",
		},
		{
			name:      "what runs and is offered no more is not asked for: others could not have it",
			situation: situation{controlPlane: "v1.37.3", offers: "v1.37.4", pins: "none"},
			hop:       "v1.37.3",
		},
		{
			name:      "what runs and is offered is, for the nodes",
			situation: situation{controlPlane: "v1.37.2", pins: "none"},
			hop:       "v1.37.2", path: "v1.37.2",
		},
		{
			name:      "where nothing is to change nothing is asked for",
			situation: situation{controlPlane: "v1.37.2", nodes: "v1.37.2", pins: "none"},
			hop:       "v1.37.2",
		},
		{
			name: "what the control plane has reached and no nodes need is behind",
			situation: twoMinors(situation{
				from: "v1.35.1", controlPlane: "v1.36.3", memory: "v1.36.3 ControlPlane 2m 1m\n v1.36.3 Bake 1m", pins: "v1.36.3 v1.37.2",
			}),
			hop: "v1.36.3", path: "v1.37.2",
		},
		{
			name:      "nodes that are not there yet need it",
			situation: situation{from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.36.3 v1.37.2", template: "v1.37.2", pins: "v1.37.2"},
			hop:       "v1.37.2", path: "v1.37.2",
		},
		{
			name:      "so does the template of nodes that are",
			situation: situation{from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.37.2", template: "v1.36.3", pins: "v1.37.2"},
			hop:       "v1.37.2", path: "v1.37.2",
		},
		{
			name: "a minor that somebody else has taken it past needs none, and those behind it do",
			situation: situation{
				from: "v1.35.1", target: "v1.38.1", controlPlane: "v1.38.1", nodes: "v1.34.1", offers: "v1.36.3 v1.38.1",
				memory: "v1.36.3 ControlPlane 2m 1m\n v1.36.3 Bake 1m", pins: "none",
			},
			hop: "v1.36.3", path: "v1.38.1",
		},
		{
			name:      "a provider that picks patches has no pins",
			situation: situation{controlPlane: "1.36", nodes: "v1.36.3", offers: "1.36 1.37", picks: true, pins: "v1.37.4"},
			hop:       "v1.37.0",
		},
		{
			name:      "a hub that only watches asks for nothing",
			situation: twoMinors(situation{pins: "none", held: true}),
			hop:       "v1.36.3",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			step := upgrade.Next(test.input())
			if got := strings.Trim(fmt.Sprint(step.Path), "[]"); step.Hop.String() != test.hop || got != test.path {
				t.Errorf("hop is %s, and ahead are %s; want %s, and %s", step.Hop, got, test.hop, test.path)
			}
		})
	}
}

// TestPinning: nothing changes before the version is pinned; what needs no pin
// does not wait.
func TestPinning(t *testing.T) {
	const settled = "v1.37.2 Settle 1m"
	steps{
		{
			name:      "settles meanwhile",
			situation: situation{pins: "none"},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name:      "a control plane",
			situation: situation{from: "v1.36.3", memory: settled, pins: "none"},
			want: `Preflight v1.37.2
				Pinning: v1.37.2 is to be pinned for 1.37, so that those who come after get the same
				again in 15s`,
		},
		{
			name:      "nodes alone",
			situation: situation{from: "v1.37.2", controlPlane: "v1.37.2", memory: settled, pins: "none"},
			want: `Preflight v1.37.2
				Pinning: v1.37.2 is to be pinned for 1.37, so that those who come after get the same
				again in 15s`,
		},
		{
			name:      "a check comes first: it may take a person",
			situation: situation{memory: settled, pins: "none", nodes: "v1.36.3 v1.36.3^"},
			want: `Preflight v1.37.2
				finding NothingUnderWay: node b is still cordoned by another upgrade
				PreflightBlocked: node b is still cordoned by another upgrade
				again in 15s`,
		},
		{
			name:      "another pin than was asked for: it settles for that",
			situation: situation{from: "v1.36.3", memory: settled, pins: "v1.37.4"},
			want: `Settle v1.37.4
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name:      "what was begun does not wait, where nobody had pins then",
			situation: situation{from: "v1.36.3", memory: settled + " 30s\n v1.37.2 ControlPlane 30s", pins: "none"},
			want: `ControlPlane v1.37.2
				upgrade control plane v1.36.3 → v1.37.2
				OperationRunning: control plane goes from v1.36.3 to v1.37.2
				again in 2s`,
		},
		{
			name: "nor does a provider that picks patches",
			situation: situation{
				from: "v1.36.3", offers: "1.36 1.37", picks: true, memory: "v1.37.0 Settle 1m", pins: "none",
			},
			want: `ControlPlane v1.37.0
				upgrade control plane v1.36.3 → v1.37.0
				OperationRunning: control plane goes from v1.36.3 to v1.37.0
				again in 2s`,
		},
		{
			name:      "nor do nodes that go where their control plane is",
			situation: situation{from: "v1.37.3", controlPlane: "v1.37.3", offers: "v1.37.4", memory: "v1.37.3 Settle 1m", pins: "none"},
			want: `Nodes v1.37.3
				set template of pool a v1.36.3 → v1.37.3
				NodeReplacing: replacing nodes of pool a: 2 of 2 left
				again in 2s`,
		},
	}.run(t)
}

// TestPinNotOffered says who needed the pin, and what a person can do.
func TestPinNotOffered(t *testing.T) {
	for _, s := range []situation{
		{pins: "v1.37.3"},
		{pins: "v1.37.3", controlPlane: "v1.38.1", nodes: "v1.37.2"},
	} {
		want := `Preflight unknown
			NotOffered: v1.37.3 is pinned for 1.37, as member eu-0 needed it first; the provider does not offer it to this one; it offers [v1.35.7 v1.36.3 v1.36.6 v1.37.2 v1.37.4 v1.38.1]
			again in 15s`
		if s.controlPlane != "" { // every part is at the release, which is a floor
			want = `Settle v1.37.2
			Settling: seen healthy for less than 30s
			again in 30s`
		}
		step := upgrade.Next(s.input())
		if diff := cmp.Diff(text(want), stepInWords(step)); diff != "" {
			t.Errorf("step (-want +got):\n%s", diff)
		}
		fix := "create a release that names a version that is offered to all (kubernetes or hops), and set the fleet's spec.release to it"
		if step.Why.Code == fleet.NotOffered && step.Why.Fix != fix {
			t.Errorf("fix is %q; want %q", step.Why.Fix, fix)
		}
	}
}

// TestEveryUpgradeGoesWhereTheFleetPins, also where others have pinned what it
// would not have, and where pinning takes its time; crashes change nothing.
func TestEveryUpgradeGoesWhereTheFleetPins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun(t)
		r.pinsAfter = rapid.IntRange(0, 9).Draw(t, "turns until what is asked for is pinned")
		shape := r.journey.Shape
		for _, offer := range shape.Offers {
			named := offer.SameMinor(r.journey.Target) && offer.Less(r.journey.Target) || offer.Less(r.journey.Hops[offer.MinorName()])
			if !named && rapid.IntRange(0, 3).Draw(t, "pinned by others") == 0 {
				r.in.Pins = pin(r.in.Pins, []fleet.Version{offer})
			}
		}
		calls := map[fleet.Version]bool{}
		end := upgrade.Step{}
		for turn := 0; turn < 4*r.patience() && end.Outcome == upgrade.Going; turn++ {
			end = r.turn(r.stormy())
			for _, action := range end.Actions {
				if to, asked := action.(plan.UpgradeControlPlane); asked {
					calls[to.To] = true
				}
			}
			r.help(end.Why)
			r.world.Tick()
		}
		for to := range calls {
			if fleet.Pinned(r.in.Pins, to).Version != to {
				r.fail("the control plane went to %s; pinned are %v", to, r.in.Pins)
			}
		}
		if end.Outcome != upgrade.Done {
			r.fail("ended %s: %+v", end.Outcome, end.Why)
		}
		r.arrived()
	})
}

// pin is the fleet, which pins what is asked for, sooner or later.
func (r *run) pin(path []fleet.Version) {
	pinned := pin(r.in.Pins, path)
	if r.asked++; len(pinned) == len(r.in.Pins) {
		r.asked = 0
	} else if r.asked > r.pinsAfter {
		r.in.Pins = pinned
	}
}
