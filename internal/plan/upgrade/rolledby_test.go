package upgrade_test

import (
	"strings"
	"testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/upgrade"
	"refit.dev/refit/internal/plan/world"
)

// poolOperation is one of pool a.
func poolOperation(op fleet.Operation) fleet.Operation {
	op.Pool = "a"
	return op
}

// poolToken is that of pool a in a pass.
func poolToken(hop string) string { return fleet.Token("uid-of-eu-1", us, hop, "pool/a") }

// TestPoolsThatTheProviderRolls: it is asked for a pool's version, and what it does
// is observed to its end.
func TestPoolsThatTheProviderRolls(t *testing.T) {
	at := func(s situation) situation {
		s.from, s.controlPlane, s.rolledBy = or(s.from, "v1.36.3"), or(s.controlPlane, "v1.37.2"), fleet.ByProvider
		s.memory = or(s.memory, "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Nodes 1m")
		return s
	}
	ours, theirs := poolOperation(running(poolToken("v1.37.2"), "v1.37.2")), poolOperation(running("", "v1.37.2"))
	steps{
		{
			name: "is asked", situation: at(situation{}),
			want: `Nodes v1.37.2
				upgrade pool a v1.36.3 → v1.37.2
				OperationRunning: pool a goes from v1.36.3 to v1.37.2
				again in 2s`,
		},
		{
			name: "is at it", situation: at(situation{operations: []fleet.Operation{ours}}),
			want: `Nodes v1.37.2
				OperationRunning: pool a goes to v1.37.2
				again in 2s`,
		},
		{
			name: "is at it for somebody else", situation: at(situation{operations: []fleet.Operation{theirs}}),
			want: `Nodes v1.37.2
				ForeignOperation: the pool a is being taken to v1.37.2 by somebody else
				again in 2s`,
		},
		{
			name: "has failed", situation: at(situation{operations: []fleet.Operation{poolOperation(ended(poolToken("v1.37.2"), "v1.37.2", fleet.Failed))}}),
			want: `Nodes v1.37.2
				OperationFailed: pool a to v1.37.2: EtcdUnhealthy: no quorum
				again in 2s`,
		},
		{
			name: "has succeeded, which does not show yet", situation: at(situation{operations: []fleet.Operation{poolOperation(ended(poolToken("v1.37.2"), "v1.37.2", fleet.Succeeded))}}),
			want: `Nodes v1.37.2
				upgrade pool a v1.36.3 → v1.37.2
				OperationRunning: pool a goes from v1.36.3 to v1.37.2
				again in 2s`,
		},
		{
			name: "had failed for another", situation: at(situation{operations: []fleet.Operation{poolOperation(ended("theirs", "v1.37.2", fleet.Failed))}}),
			want: `Nodes v1.37.2
				upgrade pool a v1.36.3 → v1.37.2
				OperationRunning: pool a goes from v1.36.3 to v1.37.2
				again in 2s`,
		},
		{
			name: "had failed, and somebody has taken it there", situation: at(situation{
				nodes: "v1.37.2", operations: []fleet.Operation{poolOperation(ended(poolToken("v1.37.2"), "v1.37.2", fleet.Failed))},
			}),
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name: "says that it is done, and a node is not there", situation: at(situation{template: "v1.37.2", nodes: "v1.36.3 v1.37.2"}),
			want: `Nodes v1.37.2
				PoolRolledByOther: pool a is not at v1.37.2, and rolled by Provider
				again in 15s`,
		},
		{
			name: "is done", situation: at(situation{nodes: "v1.37.2 v1.37.2"}),
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name: "is done, by a provider that picks the patch", situation: at(situation{picks: true, offers: "1.36 1.37", controlPlane: "1.37", nodes: "v1.37.2", template: "1.37"}),
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name: "is not asked while the API server is silent", situation: at(situation{silent: "connection refused"}),
			want: `Nodes v1.37.2
				Unreachable: control plane: connection refused
				again in 2s`,
		},
		{
			name: "frozen: what runs is observed to its end", situation: at(situation{frozen: true, operations: []fleet.Operation{ours}}),
			want: `Nodes v1.37.2
				OperationRunning: pool a goes to v1.37.2
				again in 2s`,
		},
		{
			name: "frozen: nothing is begun", situation: at(situation{frozen: true}),
			want: `Nodes v1.37.2
				Frozen: frozen by ann: incident
				again in 15s`,
		},
		{
			name: "aborted: what runs is observed to its end", situation: at(situation{aborted: true, operations: []fleet.Operation{ours}}),
			want: `Nodes v1.37.2
				OperationRunning: pool a goes to v1.37.2
				again in 2s`,
		},
		{
			name: "on the way to another minor: what runs is observed to its end, with its nodes new enough already", situation: at(situation{
				from: "v1.35.7", controlPlane: "v1.36.3", nodes: "v1.36.3 v1.36.3", template: "v1.33.4",
				memory: "v1.36.3 ControlPlane 9m 8m\n v1.36.3 Nodes 5m", operations: []fleet.Operation{poolOperation(running(poolToken("v1.36.3"), "v1.36.3"))},
			}),
			want: `Nodes v1.36.3
				OperationRunning: pool a goes to v1.36.3
				again in 2s`,
		},
		{
			name: "before the control plane it is let through", situation: situation{from: "v1.36.3", memory: "v1.37.2 Settle 1m", rolledBy: fleet.ByProvider},
			want: `ControlPlane v1.37.2
				upgrade control plane v1.36.3 → v1.37.2
				OperationRunning: control plane goes from v1.36.3 to v1.37.2
				again in 2s`,
		},
	}.run(t)
	step := upgrade.Next(at(situation{}).input())
	if got := step.Actions[0].(plan.UpgradePool).Token; got != poolToken("v1.37.2") {
		t.Errorf("token is %s, want that of the pool", got)
	}
}

// TestNodesThatGoAlong: nodes that change with the control plane are not asked for,
// and waited for.
func TestNodesThatGoAlong(t *testing.T) {
	at := func(s situation) situation {
		s.from, s.rolledBy = "v1.36.3", fleet.WithControlPlane
		s.controlPlane, s.memory = or(s.controlPlane, "v1.37.2"), or(s.memory, "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Nodes 1m")
		return s
	}
	steps{
		{
			name: "the control plane is asked for", situation: at(situation{controlPlane: "v1.36.3", memory: "v1.37.2 Settle 1m"}),
			want: `ControlPlane v1.37.2
				upgrade control plane v1.36.3 → v1.37.2
				OperationRunning: control plane goes from v1.36.3 to v1.37.2
				again in 2s`,
		},
		{
			name: "a node is not there yet", situation: at(situation{template: "v1.37.2", nodes: "v1.36.3 v1.37.2"}),
			want: `Nodes v1.37.2
				PoolRolledByOther: pool a is not at v1.37.2, and rolled by ControlPlane
				again in 15s`,
		},
		{
			name: "all nodes are there", situation: at(situation{template: "v1.37.2", nodes: "v1.37.2 v1.37.2"}),
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
	}.run(t)
}

// TestForeignChange: what somebody else does to the cluster may be no change of
// version.
func TestForeignChange(t *testing.T) {
	op := running("", "v1.37.2")
	op.To, op.Message = fleet.Version{}, "LoggingUpdate"
	step := upgrade.Next(situation{from: "v1.36.3", memory: "v1.37.2 ControlPlane 1m", operations: []fleet.Operation{op}}.input())
	if want := "the control plane is being changed by somebody else: LoggingUpdate"; step.Why.Code != fleet.ForeignOperation || !strings.Contains(step.Why.Message, want) {
		t.Errorf("it waits for %+v, want %s", step.Why, want)
	}
}

// TestLateRoll: what a provider shows late is in hand again, and waited for by
// whoever then supersedes the upgrade.
func TestLateRoll(t *testing.T) {
	s := situation{
		from: "v1.36.3", controlPlane: "v1.37.2", rolledBy: fleet.ByProvider, frozen: true,
		memory:     "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Nodes 5m 4m",
		operations: []fleet.Operation{poolOperation(running(poolToken("v1.37.2"), "v1.37.2"))},
	}
	in := s.input()
	in.Memory = upgrade.Next(in).Memory
	in.Superseded = fleet.Reason{Code: fleet.FleetMovedOn, Message: "the fleet wants another release"}
	if step := upgrade.Next(in); step.Outcome != upgrade.Going || step.Why.Code != fleet.OperationRunning {
		t.Errorf("while the pool is rolled, it is %s, for %s; want it to wait for that", step.Outcome, step.Why.Code)
	}
}

func rolledByRefit(pools []world.Pool) {
	for i := range pools {
		pools[i].RolledBy = fleet.ByRefit
	}
}

// asNeeded judges how many nodes were added to a pool. Where the provider rolls
// it, those that could stay are replaced as well.
func asNeeded(pool world.Pool, got, needed int) bool {
	return got == needed || (pool.RolledBy == fleet.ByProvider && got > needed)
}
