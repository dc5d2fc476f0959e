package upgrade_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/upgrade"
)

// TestInFlightWhenTheWorldChanges is the table of that name, row by row: what
// happens to an upgrade before its control plane is changed, in Bake, and in
// Nodes.
func TestInFlightWhenTheWorldChanges(t *testing.T) {
	before := situation{from: "v1.36.3", memory: "v1.37.2 Settle 1m 30s\n v1.37.2 Preflight 30s"}
	asked := situation{
		from: "v1.36.3", memory: "v1.37.2 ControlPlane 1m", operations: []fleet.Operation{running(token("v1.37.2"), "v1.37.2")},
	}
	baking := situation{from: "v1.36.3", controlPlane: "v1.37.2", memory: "v1.37.2 ControlPlane 3m 2m\n v1.37.2 Bake 2m"}
	baked := situation{from: "v1.36.3", controlPlane: "v1.37.2", memory: "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Bake 8m"}
	nodes := situation{
		from: "v1.36.3", controlPlane: "v1.37.2", memory: "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Bake 8m 3m\n v1.37.2 Nodes 3m",
		nodes: "v1.36.3~ v1.36.3 v1.37.2", template: "v1.37.2",
	}
	between := nodes
	between.nodes = "v1.36.3 v1.37.2"
	with := func(s situation, change func(*situation)) situation {
		change(&s)
		return s
	}
	frozen := func(s *situation) { s.frozen = true }
	withdrawn := func(s *situation) { s.withdrawn = true }
	halted := func(s *situation) { s.halted = true }
	aborted := func(s *situation) { s.aborted = true }
	const (
		inHand = `Nodes v1.37.2
			add node to pool a for i-a
			NodeReplacing: replacing nodes of pool a: 1 of 3 left
			again in 2s`
		observed = `ControlPlane v1.37.2
			OperationRunning: control plane goes to v1.37.2
			again in 2s`
		bakes = `Bake v1.37.2
			Baking: control plane is at v1.37.2; nodes follow at 22:03:00 UTC
			again in 15s`
		goesOn = `Nodes v1.37.2
			add node to pool a for i-a
			NodeReplacing: replacing nodes of pool a: 1 of 2 left
			again in 2s`
	)
	steps{
		{name: "frozen before ControlPlane: waits", situation: with(before, frozen), want: `ControlPlane v1.37.2
			Frozen: frozen by ann: incident
			again in 15s`},
		{name: "frozen while the operation runs: it is observed to its end", situation: with(asked, frozen), want: observed},
		{name: "frozen in Bake: bake runs on", situation: with(baking, frozen), want: bakes},
		{name: "frozen when it is baked: waits", situation: with(baked, frozen), want: `Nodes v1.37.2
			Frozen: frozen by ann: incident
			again in 15s`},
		{name: "frozen in Nodes: finishes the nodes in hand", situation: with(nodes, frozen), want: inHand},
		{name: "frozen in Nodes, nothing in hand: waits", situation: with(between, frozen), want: `Nodes v1.37.2
			Frozen: frozen by ann: incident
			again in 15s`},

		{name: "frozen when all nodes are there: nothing is left to hold", situation: with(nodes, func(s *situation) { s.frozen, s.nodes = true, "v1.37.2" }), want: `Settle v1.37.2
			Settling: seen healthy for less than 30s
			again in 30s`},

		{name: "withdrawn before ControlPlane: superseded", situation: with(before, withdrawn), want: `ended Superseded
			Withdrawn: release 2026.11 was withdrawn: loses volumes`},
		{
			name: "withdrawn when it may have been asked for: waits to see", situation: with(with(asked, withdrawn), func(s *situation) { s.operations = nil }),
			want: `ControlPlane v1.37.2
			Withdrawn: release 2026.11 was withdrawn: loses volumes
			again in 15s`,
		},
		{name: "withdrawn while the operation runs: it is observed to its end", situation: with(asked, withdrawn), want: observed},
		{name: "withdrawn when it is baked: holds", situation: with(baked, withdrawn), want: `Nodes v1.37.2
			Withdrawn: release 2026.11 was withdrawn: loses volumes
			again in 15s`},
		{name: "withdrawn in Nodes: finishes the nodes in hand", situation: with(nodes, withdrawn), want: inHand},
		{name: "withdrawn in Nodes, nothing in hand: holds", situation: with(between, withdrawn), want: `Nodes v1.37.2
			Withdrawn: release 2026.11 was withdrawn: loses volumes
			again in 15s`},
		{name: "withdrawn and frozen: the one that stays is told", situation: with(with(between, withdrawn), frozen), want: `Nodes v1.37.2
			Withdrawn: release 2026.11 was withdrawn: loses volumes
			again in 15s`},

		{name: "failures spent elsewhere before ControlPlane: waits", situation: with(before, halted), want: `ControlPlane v1.37.2
			Halted: fleet main halted
			again in 15s`},
		{name: "failures spent elsewhere in Bake: goes on", situation: with(baking, halted), want: bakes},
		{name: "failures spent elsewhere in Nodes: goes on", situation: with(between, halted), want: goesOn},

		{name: "aborted before ControlPlane", situation: with(before, aborted), want: `ended Aborted
			Aborted: aborted by ann: wrong night`},
		{name: "aborted while the operation runs", situation: with(asked, aborted), want: `ControlPlane unknown
			Aborted: aborted by ann: wrong night; waiting for the control plane's operation to end
			again in 2s`},
		{name: "aborted in Bake", situation: with(baking, aborted), want: `ended Aborted
			Aborted: aborted by ann: wrong night`},
		{name: "aborted in Nodes: finishes the nodes in hand", situation: with(nodes, aborted), want: inHand},
		{
			name:      "aborted in Nodes, with pods that cannot move: waits for them a while",
			situation: with(with(nodes, aborted), func(s *situation) { s.stuck, s.stuckFor = "a", 10*time.Minute-1 }),
			want: `Nodes v1.37.2
			add node to pool a for i-a
			PodWithoutOwner: pod shop/lonely on node a has no controller: evicted, it would be lost
			again in 2s`,
		},
		{
			name:      "aborted in Nodes, with pods that cannot move: then gives them back",
			situation: with(with(nodes, aborted), func(s *situation) { s.stuck, s.stuckFor = "a", 10*time.Minute }),
			want: `Nodes v1.37.2
			restore node a
			Aborted: aborted by ann: wrong night; giving back 1 node(s) in hand, for their pods cannot move
			again in 2s`,
		},
		{
			name:      "superseded in Nodes, with pods that cannot move: waits for them",
			situation: with(nodes, func(s *situation) { s.superseded, s.stuck, s.stuckFor = true, "a", time.Hour }),
			want: `Nodes v1.37.2
			add node to pool a for i-a
			PodWithoutOwner: pod shop/lonely on node a has no controller: evicted, it would be lost
			again in 2s`,
		},
		{
			name:      "aborted, and given back: that is the end",
			situation: with(with(between, aborted), func(s *situation) { s.memory = "v1.37.2 Nodes 30m 10m" }),
			want: `ended Aborted
			Aborted: aborted by ann: wrong night`,
		},
		{name: "aborted and superseded: the person is told", situation: with(with(baking, aborted), func(s *situation) { s.superseded = true }), want: `ended Aborted
			Aborted: aborted by ann: wrong night`},
	}.run(t)
}

// Nodes that are held back with none in hand are left: nothing is open that an end would have to look for.
func TestHeldNodesAreLeft(t *testing.T) {
	const memory = "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Nodes 3m"
	for nodes, want := range map[string]string{
		"v1.36.3 v1.37.2":  "v1.37.2 ControlPlane 9m0s 8m0s\nv1.37.2 Nodes 3m0s 0s",
		"v1.36.3~ v1.37.2": "v1.37.2 ControlPlane 9m0s 8m0s\nv1.37.2 Nodes 3m0s",
	} {
		held := situation{from: "v1.36.3", controlPlane: "v1.37.2", nodes: nodes, template: "v1.37.2", memory: memory, frozen: true}
		if got := told(upgrade.Next(held.input()).Memory); got != want {
			t.Errorf("%s: it remembers\n%s\nwant\n%s", nodes, got, want)
		}
	}
}

// An abort waits for the nodes in hand, however long ago somebody else cordoned another.
func TestAbortDoesNotGiveUpForOthersCordons(t *testing.T) {
	in := situation{
		from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.36.3~ v1.36.3^ v1.37.2 v1.37.2", template: "v1.37.2",
		memory: "v1.37.2 ControlPlane 40m 35m\n v1.37.2 Nodes 30m", aborted: true,
	}.input()
	in.Cluster.Pools[0].Size = 2 // so that one more is to go
	in.Cluster.Pools[0].Nodes[1].CordonedAt = now.Add(-time.Hour)
	want := `Nodes v1.37.2
		remove node a
		NodeCordoned: node b is cordoned by another upgrade
		again in 2s`
	step := upgrade.Next(in)
	if diff := cmp.Diff(text(want), stepInWords(step)); diff != "" {
		t.Errorf("step (-want +got):\n%s", diff)
	}
	if got := told(step.Memory); !strings.HasSuffix(got, "Nodes 30m0s") {
		t.Errorf("it remembers\n%s\nwant the nodes open", got)
	}
}

// Since when a pod keeps its node may be unknown; that is not long ago.
func TestAbortDoesNotGiveUpOnUnknownTimes(t *testing.T) {
	in := situation{
		from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.36.3~ v1.37.2", template: "v1.37.2",
		memory: "v1.37.2 ControlPlane 40m 35m\n v1.37.2 Nodes 30m", aborted: true, stuck: "a",
	}.input()
	in.Cluster.Pools[0].Nodes[0].CordonedAt = time.Time{}
	if step := upgrade.Next(in); step.Why.Code != fleet.PodWithoutOwner {
		t.Errorf("it says %+v, want that it waits for the pod", step.Why)
	}
}

// Whatever keeps a pod from moving for as long as an abort waits, its node is given back.
func TestAbortGivesUpForPods(t *testing.T) {
	budget := func(name string) fleet.Budget {
		return fleet.Budget{Namespace: "shop", Name: name, Expected: 2, Desired: 2, Healthy: 2}
	}
	for _, test := range []struct {
		why fleet.Code
		pod fleet.Pod
	}{
		{fleet.PodWithoutOwner, fleet.Pod{Ready: true, Owner: fleet.OwnedByNobody}},
		{fleet.BudgetExhausted, fleet.Pod{Ready: true, Owner: fleet.OwnedByController, Budgets: []string{"shop/db"}}},
		{fleet.SeveralBudgets, fleet.Pod{Ready: true, Owner: fleet.OwnedByController, Budgets: []string{"shop/db", "shop/all"}}},
		{fleet.PodTerminating, fleet.Pod{Owner: fleet.OwnedByController, Terminating: now.Add(-time.Hour)}},
	} {
		t.Run(string(test.why), func(t *testing.T) {
			in := situation{
				from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.36.3~ v1.37.2", template: "v1.37.2",
				memory: "v1.37.2 ControlPlane 80m 75m\n v1.37.2 Nodes 70m",
			}.input()
			test.pod.Namespace, test.pod.Name, test.pod.UID = "shop", "db-0", "uid-of-db-0"
			in.Cluster.Budgets = []fleet.Budget{budget("db"), budget("all")}
			in.Cluster.Pools[0].Size = 1
			in.Cluster.Pools[0].Nodes[0].CordonedAt = now.Add(-time.Hour)
			in.Cluster.Pools[0].Nodes[0].Pods = []fleet.Pod{test.pod}
			if step := upgrade.Next(in); step.Why.Code != test.why {
				t.Fatalf("it waits for %+v, want %s", step.Why, test.why)
			}
			in.Aborted = fleet.Reason{Code: fleet.UpgradeAborted, Message: "aborted by ann: wrong night"}
			want := `Nodes v1.37.2
				restore node a
				Aborted: aborted by ann: wrong night; giving back 1 node(s) in hand, for their pods cannot move
				again in 2s`
			if diff := cmp.Diff(text(want), stepInWords(upgrade.Next(in))); diff != "" {
				t.Errorf("step (-want +got):\n%s", diff)
			}
		})
	}
}
