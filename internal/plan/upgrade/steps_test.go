package upgrade_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/upgrade"
)

func TestSettle(t *testing.T) {
	steps{
		{
			name: "begins where the cluster is healthy",
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name:      "goes on",
			situation: situation{from: "v1.36.3", memory: "v1.37.2 Settle 10s"},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 20s`,
		},
		{
			name:      "waits for a node",
			situation: situation{nodes: "v1.36.3 v1.36.3!"},
			want: `Settle v1.37.2
				Unhealthy: node b is not Ready: kubelet stopped posting node status
				again in 15s`,
		},
		{
			name:      "waits for the control plane",
			situation: situation{silent: "connection refused"},
			want: `Settle v1.37.2
				Unhealthy: control plane is not ready: connection refused
				again in 15s`,
		},
		{
			name:      "nothing is known of a cluster that nobody has seen yet",
			situation: situation{controlPlane: "unknown", silent: "connection refused"},
			want: `Settle unknown
				Unreachable: control plane: connection refused
				again in 15s`,
		},
		{
			name:      "passed, for exactly as long as was asked for",
			situation: situation{from: "v1.36.3", memory: "v1.37.2 Settle 30s"},
			want: `ControlPlane v1.37.2
				upgrade control plane v1.36.3 → v1.37.2
				OperationRunning: control plane goes from v1.36.3 to v1.37.2
				again in 2s`,
		},
	}.run(t)
}

func TestPreflight(t *testing.T) {
	settled := "v1.37.2 Settle 1m"
	steps{
		{
			name:      "somebody else's operation",
			situation: situation{memory: settled, operations: []fleet.Operation{running("", "v1.36.6")}},
			want: `Preflight v1.37.2
				finding NothingUnderWay: operation op-7 is under way
				PreflightBlocked: operation op-7 is under way
				again in 15s`,
		},
		{
			name:      "the worst first, and how many more",
			situation: situation{memory: settled, nodes: "v1.36.3^ v1.36.3", rolledBy: fleet.InMember},
			want: `Preflight v1.37.2
				finding NothingUnderWay: node a is still cordoned by another upgrade
				finding PoolsRolled: pool a is rolled by InMember, which Refit cannot drive yet
				PreflightBlocked: node a is still cordoned by another upgrade (and 1 more)
				again in 15s`,
		},
		{
			name:      "is asked before a release that moves nodes alone",
			situation: situation{memory: settled, controlPlane: "v1.37.2", rolledBy: fleet.InMember},
			want: `Preflight v1.37.2
				finding PoolsRolled: pool a is rolled by InMember, which Refit cannot drive yet
				PreflightBlocked: pool a is rolled by InMember, which Refit cannot drive yet
				again in 15s`,
		},
	}.run(t)
	t.Run("fix and object are the worst finding's", func(t *testing.T) {
		step := upgrade.Next(situation{memory: settled, rolledBy: fleet.InMember}.input())
		want := fleet.Reason{
			Code: fleet.PreflightBlocked, Object: "check PoolsRolled", Fix: "take the member out of the fleet",
			Message: "pool a is rolled by InMember, which Refit cannot drive yet",
		}
		if diff := cmp.Diff(want, step.Why); diff != "" {
			t.Errorf("reason (-want +got):\n%s", diff)
		}
	})
}

func TestControlPlane(t *testing.T) {
	asked := "v1.37.2 Settle 2m 1m\n v1.37.2 ControlPlane 1m"
	steps{
		{
			name:      "is asked for again until it shows",
			situation: situation{from: "v1.36.3", memory: asked},
			want: `ControlPlane v1.37.2
				upgrade control plane v1.36.3 → v1.37.2
				OperationRunning: control plane goes from v1.36.3 to v1.37.2
				again in 2s`,
		},
		{
			name:      "is waited for",
			situation: situation{from: "v1.36.3", memory: asked, operations: []fleet.Operation{running(token("v1.37.2"), "v1.37.2")}},
			want: `ControlPlane v1.37.2
				OperationRunning: control plane goes to v1.37.2
				again in 2s`,
		},
		{
			name: "an ended operation before it in the list changes nothing",
			situation: situation{
				from: "v1.36.3", memory: asked,
				operations: []fleet.Operation{ended("", "v1.36.3", fleet.Succeeded), running(token("v1.37.2"), "v1.37.2")},
			},
			want: `ControlPlane v1.37.2
				OperationRunning: control plane goes to v1.37.2
				again in 2s`,
		},
		{
			name: "nor does an operation of a pool",
			situation: situation{
				from: "v1.36.3", memory: asked,
				operations: []fleet.Operation{{ID: "op-9", Pool: "a", Phase: fleet.Running}},
			},
			want: `ControlPlane v1.37.2
				upgrade control plane v1.36.3 → v1.37.2
				OperationRunning: control plane goes from v1.36.3 to v1.37.2
				again in 2s`,
		},
		{
			name: "somebody else's operation is waited for",
			situation: situation{
				from: "v1.36.3", memory: asked, operations: []fleet.Operation{running("", "v1.36.6")},
			},
			want: `ControlPlane v1.37.2
				ForeignOperation: the control plane is being taken to v1.36.6 by somebody else
				again in 2s`,
		},
		{
			name: "also while nodes are replaced",
			situation: situation{
				from: "v1.36.3", controlPlane: "v1.37.2", memory: asked + "\n v1.37.2 Nodes 30s",
				operations: []fleet.Operation{running("", "v1.37.4")},
			},
			want: `ControlPlane v1.37.2
				ForeignOperation: the control plane is being taken to v1.37.4 by somebody else
				again in 2s`,
		},
		{
			name: "our own failed: the end",
			situation: situation{
				from: "v1.36.3", memory: asked, operations: []fleet.Operation{ended(token("v1.37.2"), "v1.37.2", fleet.Failed)},
			},
			want: `ended Failed
				OperationFailed: control plane to v1.37.2: EtcdUnhealthy: no quorum`,
		},
		{
			name: "another upgrade's failed: no matter",
			situation: situation{
				from: "v1.36.3", memory: asked, operations: []fleet.Operation{ended("another", "v1.37.2", fleet.Failed)},
			},
			want: `ControlPlane v1.37.2
				upgrade control plane v1.36.3 → v1.37.2
				OperationRunning: control plane goes from v1.36.3 to v1.37.2
				again in 2s`,
		},
		{
			name:      "silent while it restarts",
			situation: situation{from: "v1.36.3", controlPlane: "v1.37.2", silent: "connection refused", memory: asked},
			want: `ControlPlane v1.37.2
				Unreachable: control plane: connection refused
				again in 2s`,
		},
		{
			name:      "of a version that nobody knows",
			situation: situation{from: "v1.36.3", controlPlane: "unknown", silent: "connection refused", memory: asked},
			want: `ControlPlane v1.37.2
				Unreachable: control plane: connection refused
				again in 2s`,
		},
		{
			name:      "a node that another upgrade took after Preflight is waited for",
			situation: situation{from: "v1.36.3", nodes: "v1.36.3 v1.36.3^", memory: asked},
			want: `ControlPlane v1.37.2
				NodeCordoned: node b is cordoned by another upgrade
				again in 15s`,
		},
		{
			name: "that somebody took back, with nodes in hand: they are given back first",
			situation: situation{
				from: "v1.36.3", nodes: "v1.36.3~ v1.36.3", memory: "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Nodes 5m",
			},
			want: `ControlPlane v1.37.2
				restore node a
				NodeReplacing: giving back 1 node(s) in hand: the control plane is at v1.36.3 again
				again in 2s`,
		},
		{
			name:      "what an operation is busy with is told",
			situation: situation{from: "v1.36.3", memory: asked, operations: []fleet.Operation{{ID: "op-7", Token: token("v1.37.2"), To: version("v1.37.2"), Phase: fleet.Running, Message: "etcd snapshot"}}},
			want: `ControlPlane v1.37.2
				OperationRunning: control plane goes to v1.37.2: etcd snapshot
				again in 2s`,
		},
	}.run(t)
}

// TestPreflightIsClosed once a pass has begun to change the cluster: a node half
// drained must not re-open it. What shows no sign for ten minutes has not begun.
func TestPreflightIsClosed(t *testing.T) {
	passed := func(entered string) string {
		return "v1.37.2 Settle 20m 19m\n v1.37.2 ControlPlane " + entered
	}
	const goes = `ControlPlane v1.37.2
		upgrade control plane v1.36.3 → v1.37.2
		OperationRunning: control plane goes from v1.36.3 to v1.37.2
		again in 2s`
	steps{
		{
			name:      "a node falls sick after the change was asked for",
			situation: situation{from: "v1.36.3", nodes: "v1.36.3 v1.36.3!", memory: passed("9m59s")},
			want:      goes,
		},
		{
			name:      "ten minutes without a sign: asked again, from the beginning",
			situation: situation{from: "v1.36.3", nodes: "v1.36.3 v1.36.3!", memory: passed("10m")},
			want: `Settle v1.37.2
				Unhealthy: node b is not Ready: kubelet stopped posting node status
				again in 15s`,
		},
		{
			name:      "and settled anew",
			situation: situation{from: "v1.36.3", memory: passed("10m")},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name: "an operation that ended long ago is no sign",
			situation: situation{
				from: "v1.36.3", memory: passed("10m"), operations: []fleet.Operation{ended("", "v1.36.3", fleet.Succeeded)},
			},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name: "nor is one of somebody else that runs",
			situation: situation{
				from: "v1.36.3", settle: -1, memory: passed("10m"), operations: []fleet.Operation{running("", "v1.36.6")},
			},
			want: `Preflight v1.37.2
				finding NothingUnderWay: operation op-7 is under way
				PreflightBlocked: operation op-7 is under way
				again in 15s`,
		},
		{
			name: "our own that runs is",
			situation: situation{
				from: "v1.36.3", memory: passed("1h"), operations: []fleet.Operation{running(token("v1.37.2"), "v1.37.2")},
			},
			want: `ControlPlane v1.37.2
				OperationRunning: control plane goes to v1.37.2
				again in 2s`,
		},
		{
			name: "so is our own that ended",
			situation: situation{
				from: "v1.36.3", memory: passed("1h"), operations: []fleet.Operation{ended(token("v1.37.2"), "v1.37.2", fleet.Succeeded)},
			},
			want: goes,
		},
		{
			name:      "so is the version",
			situation: situation{from: "v1.36.3", controlPlane: "v1.37.2", memory: passed("1h")},
			want: `Bake v1.37.2
				Baking: control plane is at v1.37.2; nodes follow at 22:05:00 UTC
				again in 15s`,
		},
		{
			name:      "and where the version is not known, nothing is",
			situation: situation{from: "v1.36.3", controlPlane: "unknown", silent: "connection refused", memory: passed("1h")},
			want: `ControlPlane v1.37.2
				Unreachable: control plane: connection refused
				again in 2s`,
		},
	}.run(t)
}

func TestBake(t *testing.T) {
	changed := "v1.37.2 ControlPlane 9m 8m"
	at := func(entered string) situation {
		return situation{from: "v1.36.3", controlPlane: "v1.37.2", memory: changed + "\n v1.37.2 Bake " + entered}
	}
	steps{
		{
			name:      "begins when the control plane is there",
			situation: situation{from: "v1.36.3", controlPlane: "v1.37.2", memory: "v1.37.2 ControlPlane 9m"},
			want: `Bake v1.37.2
				Baking: control plane is at v1.37.2; nodes follow at 22:05:00 UTC
				again in 15s`,
		},
		{
			name: "lasts", situation: at("4m59s"),
			want: `Bake v1.37.2
				Baking: control plane is at v1.37.2; nodes follow at 22:00:01 UTC
				again in 1s`,
		},
		{
			name: "does not go back where the API server falls silent",
			situation: situation{
				from: "v1.36.3", controlPlane: "unknown", silent: "connection refused", memory: changed + "\n v1.37.2 Bake 6m",
			},
			want: `Bake v1.37.2
				Unhealthy: control plane is not ready: connection refused
				again in 2s`,
		},
		{
			name: "tells at once that the cluster is not healthy",
			situation: situation{
				from: "v1.36.3", controlPlane: "v1.37.2", silent: "connection refused", memory: changed + "\n v1.37.2 Bake 1m",
			},
			want: `Bake v1.37.2
				Unhealthy: control plane is not ready: connection refused
				again in 2s`,
		},
		{
			name: "goes over into nodes", situation: at("5m"),
			want: `Nodes v1.37.2
				set template of pool a v1.36.3 → v1.37.2
				NodeReplacing: replacing nodes of pool a: 2 of 2 left
				again in 2s`,
		},
		{
			name: "the cluster must be healthy at its end",
			situation: situation{
				from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.36.3 v1.36.3!", memory: changed + "\n v1.37.2 Bake 6m",
			},
			want: `Bake v1.37.2
				Unhealthy: node b is not Ready: kubelet stopped posting node status
				again in 2s`,
		},
		{
			name: "not so once nodes are in hand",
			situation: situation{
				from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.36.3 v1.36.3!", template: "v1.37.2",
				memory: changed + "\n v1.37.2 Bake 6m 1m\n v1.37.2 Nodes 1m",
			},
			want: `Nodes v1.37.2
				add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 2 of 2 left
				again in 2s`,
		},
		{
			name:      "nothing bakes where the control plane was not changed",
			situation: situation{from: "v1.37.2", controlPlane: "v1.37.2", memory: "v1.37.2 Settle 1m"},
			want: `Nodes v1.37.2
				set template of pool a v1.36.3 → v1.37.2
				NodeReplacing: replacing nodes of pool a: 2 of 2 left
				again in 2s`,
		},
	}.run(t)
}

func TestNodes(t *testing.T) {
	begun := "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Nodes 5m"
	steps{
		{
			name:      "wait for a silent API server",
			situation: situation{from: "v1.37.2", controlPlane: "v1.37.2", silent: "connection refused", memory: "v1.37.2 Nodes 5m"},
			want: `Nodes v1.37.2
				Unreachable: control plane: connection refused
				again in 2s`,
		},
		{
			name:      "also for one whose version it does not tell any more",
			situation: situation{from: "v1.36.3", controlPlane: "unknown", silent: "connection refused", memory: begun},
			want: `Nodes v1.37.2
				Unreachable: control plane: connection refused
				again in 2s`,
		},
		{
			name:      "of nobody, there already",
			situation: situation{from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.37.2", rolledBy: fleet.ByNobody, memory: begun},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name:      "of nobody, and behind",
			situation: situation{from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.37.2 v1.36.3", rolledBy: fleet.ByNobody, memory: begun},
			want: `Nodes v1.37.2
				PoolRolledByOther: pool a is not at v1.37.2, and rolled by Nobody
				again in 15s`,
		},
	}.run(t)
}

func TestEnd(t *testing.T) {
	there := situation{
		from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.37.2 v1.37.4",
		memory: "v1.37.2 Settle 9m 8m\n v1.37.2 ControlPlane 8m 7m\n v1.37.2 Nodes 2m",
	}
	with := func(records string, change func(*situation)) situation {
		s := there
		s.memory += "\n" + records
		if change != nil {
			change(&s)
		}
		return s
	}
	steps{
		{
			name: "settles once more, in its own time", situation: there,
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name: "is done when everything is observed", situation: with("end Settle 30s", nil),
			want: `ended Done
				Done: every part is observed at v1.37.2 or ahead, and healthy`,
		},
		{
			name: "not before", situation: with("end Settle 29s", nil),
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 1s`,
		},
		{
			name: "not with a node behind", situation: with("end Settle 30s", func(s *situation) { s.nodes, s.template = "v1.37.2 v1.36.3", "v1.37.2" }),
			want: `Nodes v1.37.2
				add node to pool a for i-b
				NodeReplacing: replacing nodes of pool a: 1 of 2 left
				again in 2s`,
		},
		{
			name: "not with one that is sick", situation: with("end Settle 30s", func(s *situation) { s.nodes = "v1.37.2 v1.37.2!" }),
			want: `Nodes v1.37.2
				NodesJoining: waiting for 1 node(s) of pool a to be Ready, first b
				again in 2s`,
		},
		{
			name: "not with the control plane behind", situation: with("end Settle 30s", func(s *situation) { s.controlPlane, s.nodes = "v1.36.6", "v1.36.3" }),
			want: `ControlPlane v1.37.2
				upgrade control plane v1.36.6 → v1.37.2
				OperationRunning: control plane goes from v1.36.6 to v1.37.2
				again in 2s`,
		},
		{
			name: "not with our cordon on a node", situation: with("end Settle 30s", func(s *situation) { s.nodes = "v1.37.2 v1.37.2~" }),
			want: `Nodes v1.37.2
				restore node b
				Done: every part is observed at v1.37.2 or ahead, and healthy
				again in 2s`,
		},
		{
			name: "ahead counts as there", situation: with("end Settle 30s", func(s *situation) { s.controlPlane, s.nodes, s.offers = "v1.38.1", "v1.38.1 v1.37.4", "v1.39.0" }),
			want: `ended Done
				Done: every part is observed at v1.37.2 or ahead, and healthy`,
		},
	}.run(t)
}
