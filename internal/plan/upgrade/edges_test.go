package upgrade_test

import (
	"testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/upgrade"
)

// TestEdges are cases that only a small change of the code tells apart from others.
func TestEdges(t *testing.T) {
	steps{
		{
			name:      "refused, nodes in hand, silence: nothing is left unseen",
			situation: situation{from: "v1.36.3", refused: true, memory: "v1.37.2 Nodes 2m", controlPlane: "v1.37.2", silent: "connection refused"},
			want: `Nodes v1.37.2
				Unreachable: control plane: connection refused
				again in 2s`,
		},
		{
			name: "old nodes that can just follow: what the release says of the present minor is not passed through",
			situation: situation{
				controlPlane: "v1.35.1", nodes: "v1.33.9", hops: map[string]fleet.Version{"1.35": version("v1.35.7")},
				from: "v1.35.1", memory: "v1.36.3 Settle 1m",
			},
			want: `ControlPlane v1.36.3
				upgrade control plane v1.35.1 → v1.36.3
				OperationRunning: control plane goes from v1.35.1 to v1.36.3
				again in 2s`,
		},
		{
			name: "the nodes before the first hop were replaced by somebody else before they were begun",
			situation: situation{
				from: "v1.35.1", controlPlane: "v1.35.1", nodes: "v1.35.1", hops: map[string]fleet.Version{"1.35": version("v1.35.7")},
				memory: "v1.35.7 Settle 1m\n v1.36.3 Settle 1m",
			},
			want: `ControlPlane v1.36.3
				upgrade control plane v1.35.1 → v1.36.3
				OperationRunning: control plane goes from v1.35.1 to v1.36.3
				again in 2s`,
		},
		{
			name: "a template that is ahead begins no roll on the way",
			situation: situation{
				from: "v1.35.1", controlPlane: "v1.36.3", nodes: "v1.35.1 v1.35.1", template: "v1.36.3",
			},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name:      "a node of another upgrade is in nobody's way when the control plane is there",
			situation: situation{from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.36.3 v1.36.3^", memory: "v1.37.2 ControlPlane 2m"},
			want: `Bake v1.37.2
				Baking: control plane is at v1.37.2; nodes follow at 22:05:00 UTC
				again in 15s`,
		},
		{
			name:      "a hop that somebody else took it past is behind, also in silence",
			situation: situation{from: "v1.35.1", controlPlane: "v1.36.3", nodes: "v1.35.1", silent: "connection refused"},
			want: `Settle v1.37.2
				Unhealthy: control plane is not ready: connection refused
				again in 15s`,
		},
	}.run(t)
}

// TestSilenceLeavesNodesOpen: what may be in hand unseen is not remembered as left.
func TestSilenceLeavesNodesOpen(t *testing.T) {
	s := situation{from: "v1.36.3", refused: true, memory: "v1.37.2 Nodes 2m", controlPlane: "v1.37.2", silent: "connection refused"}
	if got := told(upgrade.Next(s.input()).Memory); got != "v1.37.2 Nodes 2m0s" {
		t.Errorf("got %v", got)
	}
	s.silent = ""
	if step := upgrade.Next(s.input()); step.Outcome != upgrade.Going || told(step.Memory) != "v1.37.2 Nodes 2m0s 0s" {
		t.Errorf("seen to have none in hand: outcome %q, remembers %s", step.Outcome, told(step.Memory))
	}
	steps{
		{
			name: "the operation that runs counts, wherever it is listed",
			situation: situation{
				from: "v1.36.3", memory: "v1.37.2 ControlPlane 30s",
				operations: []fleet.Operation{running(token("v1.37.2"), "v1.37.2"), ended(token("v1.36.3"), "v1.36.3", fleet.Succeeded)},
			},
			want: `ControlPlane v1.37.2
				OperationRunning: control plane goes to v1.37.2
				again in 2s`,
		},
	}.run(t)
}

// TestOvertakenTwice: a pass that others made needless asks for no version.
func TestOvertakenTwice(t *testing.T) {
	steps{
		{
			name:      "two minors that somebody else has taken the cluster past: the first needs no version, and its nodes none of it",
			situation: situation{from: "v1.35.1", controlPlane: "v1.37.2", nodes: "v1.35.1", offers: "v1.37.2"},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
	}.run(t)
}

// TestEndsRemembered: what is asked for is waited for, and the last Settle is left.
func TestEndsRemembered(t *testing.T) {
	steps{
		{
			name: "right after it was asked for, and what ended was another one",
			situation: situation{
				from: "v1.36.3", superseded: true, memory: "v1.37.2 ControlPlane 9m",
				operations: []fleet.Operation{ended(token("v1.36.3"), "v1.36.3", fleet.Succeeded)},
			},
			want: `ControlPlane unknown
				FleetMovedOn: fleet main wants release 2026.12 now; waiting to see what became of the control plane's change
				again in 2s`,
		},
	}.run(t)
	s := situation{from: "v1.36.3", memory: "v1.37.2 Nodes 2m 1m\n end Settle 1m", controlPlane: "v1.37.2", nodes: "v1.37.2"}
	step := next(s.input())
	if got := told(step.Memory); step.Outcome != upgrade.Done || got != "v1.37.2 Nodes 2m0s 1m0s\nend Settle 1m0s 0s" {
		t.Errorf("ended %s, remembers %s", step.Outcome, got)
	}
}
