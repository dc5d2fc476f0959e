package upgrade_test

import (
	"testing"

	"refit.dev/refit/internal/fleet"
)

// TestSuperseded at each step: where nothing is in hand it is the end, else what
// is in hand is brought to its end first.
func TestSuperseded(t *testing.T) {
	const end = `ended Superseded
		FleetMovedOn: fleet main wants release 2026.12 now`
	at := func(s situation) situation {
		s.from, s.superseded = or(s.from, "v1.36.3"), true
		return s
	}
	steps{
		{name: "before anything", situation: at(situation{}), want: end},
		{name: "in Settle", situation: at(situation{memory: "v1.37.2 Settle 10s", nodes: "v1.36.3!"}), want: end},
		{name: "in Preflight", situation: at(situation{memory: "v1.37.2 Settle 1m 30s\n v1.37.2 Preflight 30s", rolledBy: fleet.InMember}), want: end},
		{
			name:      "in Preflight, held up by somebody else's operation",
			situation: at(situation{memory: "v1.37.2 Settle 1m", operations: []fleet.Operation{running("", "v1.36.6")}}),
			want:      end,
		},
		{
			name:      "while the control plane's operation runs",
			situation: at(situation{memory: "v1.37.2 ControlPlane 1h", operations: []fleet.Operation{running(token("v1.37.2"), "v1.37.2")}}),
			want: `ControlPlane unknown
				FleetMovedOn: fleet main wants release 2026.12 now; waiting for the control plane's operation to end
				again in 2s`,
		},
		{
			name:      "right after it was asked for: it may not have shown yet",
			situation: at(situation{memory: "v1.37.2 ControlPlane 9m"}),
			want: `ControlPlane unknown
				FleetMovedOn: fleet main wants release 2026.12 now; waiting to see what became of the control plane's change
				again in 2s`,
		},
		{name: "long after", situation: at(situation{memory: "v1.37.2 ControlPlane 10m"}), want: end},
		{
			name:      "in silence: who knows what became of it",
			situation: at(situation{memory: "v1.37.2 ControlPlane 10m", controlPlane: "unknown", silent: "connection refused"}),
			want: `ControlPlane unknown
				FleetMovedOn: fleet main wants release 2026.12 now; waiting to see what became of the control plane's change
				again in 2s`,
		},
		{
			name:      "when the operation has failed",
			situation: at(situation{memory: "v1.37.2 ControlPlane 1m", operations: []fleet.Operation{ended(token("v1.37.2"), "v1.37.2", fleet.Failed)}}),
			want:      end,
		},
		{
			name:      "when the control plane is there",
			situation: at(situation{memory: "v1.37.2 ControlPlane 1m", controlPlane: "v1.37.2"}),
			want:      end,
		},
		{
			name:      "in Bake",
			situation: at(situation{memory: "v1.37.2 ControlPlane 3m 2m\n v1.37.2 Bake 2m", controlPlane: "v1.37.2"}),
			want:      end,
		},
		{
			name:      "with a node in hand",
			situation: at(situation{memory: "v1.37.2 ControlPlane 3m 2m\n v1.37.2 Nodes 2m", controlPlane: "v1.37.2", nodes: "v1.36.3~ v1.36.3 v1.37.2", template: "v1.37.2"}),
			want: `Nodes v1.37.2
				add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 1 of 3 left
				again in 2s`,
		},
		{
			name:      "with a node in hand, and the release gone",
			situation: at(situation{target: "0.0", memory: "v1.37.2 Nodes 2m", controlPlane: "v1.37.2", nodes: "v1.36.3~ v1.36.3 v1.37.2", template: "v1.37.2"}),
			want: `Nodes v1.37.2
				add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 1 of 3 left
				again in 2s`,
		},
		{
			name:      "with a node in hand before the first hop",
			situation: at(situation{memory: "v1.36.3 Nodes 2m", nodes: "v1.34.0~ v1.36.3 v1.36.3"}),
			want: `Nodes v1.36.3
				add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 1 of 3 left
				again in 2s`,
		},
		{
			name:      "with nodes that nobody can see",
			situation: at(situation{memory: "v1.37.2 Nodes 2m", controlPlane: "v1.37.2", silent: "connection refused"}),
			want: `Nodes v1.37.2
				Unreachable: control plane: connection refused
				again in 2s`,
		},
		{
			name:      "nodes of others are none of ours to end",
			situation: at(situation{memory: "v1.37.2 Nodes 2m", controlPlane: "v1.37.2", nodes: "v1.36.3 v1.36.3^", rolledBy: fleet.ByNobody}),
			want: `Nodes v1.37.2
				FleetMovedOn: fleet main wants release 2026.12 now
				again in 30s`,
		},
		{
			name:      "nothing in hand: one more look, for it may not have shown yet",
			situation: at(situation{memory: "v1.37.2 Nodes 2m", controlPlane: "v1.37.2"}),
			want: `Nodes v1.37.2
				FleetMovedOn: fleet main wants release 2026.12 now
				again in 30s`,
		},
		{
			name:      "what had not shown is brought to its end, too",
			situation: at(situation{memory: "v1.37.2 Nodes 2m 2s", controlPlane: "v1.37.2", nodes: "v1.36.3 v1.36.3~"}),
			want: `Nodes v1.37.2
				add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 1 of 2 left
				again in 2s`,
		},
		{
			name:      "right after the nodes of the pass before: those of this one are in hand",
			situation: at(situation{memory: "v1.36.3 Nodes 2m 20s\n v1.37.2 Nodes 10s", controlPlane: "v1.37.2", nodes: "v1.36.3 v1.36.3~", template: "v1.37.2"}),
			want: `Nodes v1.37.2
				add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 1 of 2 left
				again in 2s`,
		},
		{
			name:      "the last look, after half a minute, is one as well",
			situation: at(situation{memory: "v1.37.2 Nodes 2m 30s", controlPlane: "v1.37.2", nodes: "v1.36.3 v1.36.3~"}),
			want: `Nodes v1.37.2
				add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 1 of 2 left
				again in 2s`,
		},
		{
			name:      "a cordon that shows long after is taken back",
			situation: at(situation{memory: "v1.37.2 Nodes 2m 1m", controlPlane: "v1.37.2", nodes: "v1.36.3 v1.36.3~"}),
			want: `Nodes unknown
				restore node b
				FleetMovedOn: fleet main wants release 2026.12 now
				again in 2s`,
		},
		{
			name:      "a moment later it may not have shown yet",
			situation: at(situation{memory: "v1.37.2 Nodes 2m 29s", controlPlane: "v1.37.2"}),
			want: `Nodes v1.37.2
				FleetMovedOn: fleet main wants release 2026.12 now
				again in 1s`,
		},
		{
			name:      "then it is the end",
			situation: at(situation{memory: "v1.37.2 Nodes 2m 30s", controlPlane: "v1.37.2"}),
			want:      end,
		},
		{
			name:      "in the last Settle",
			situation: at(situation{memory: "v1.37.2 Nodes 2m 1m\n end Settle 10s", controlPlane: "v1.37.2", nodes: "v1.37.2"}),
			want:      end,
		},
	}.run(t)
}
