package invariant_test

import (
	"testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/noderoll"
	"refit.dev/refit/internal/plan/upgrade"
)

func TestCordon(t *testing.T) {
	stale, wrong, wasNot, forAnother := cordon("old"), cordon("old"), cordon("old"), cordon("old")
	stale.ResourceVersion, wrong.UID, wasNot.WasCordoned, forAnother.Upgrade = "rv-7", "uid-7", true, "uid-of-eu-1.2"
	byHand := cordon("old")
	byHand.WasCordoned = true
	three := before()
	neither := changed(before(), func(in *upgrade.Input) { in.Policy.Nodes = func(int) noderoll.Policy { return noderoll.Policy{} } })
	judged{
		{name: "one may be missing", in: three, actions: []plan.Action{cordon("a")}},
		{
			name: "but not two", in: three, actions: []plan.Action{cordon("a"), cordon("b")},
			want: []string{
				"pool a would have 1 nodes that take pods; its size and maxUnavailable demand 2",
			},
		},
		{name: "the same node twice is one", in: three, actions: []plan.Action{cordon("a"), cordon("a")}},
		{name: "where neither surge nor absence is allowed, one", in: neither, actions: []plan.Action{cordon("a")}},
		{
			name: "and one alone", in: neither, actions: []plan.Action{cordon("a"), cordon("b")},
			want: []string{
				"pool a would have 1 nodes that take pods; its size and maxUnavailable demand 2",
			},
		},
		{
			name: "with a sick one beside it", actions: []plan.Action{cordon("a")},
			in:   changed(three, nodeIs(1, func(n *fleet.Node) { n.Ready = false })),
			want: []string{"pool a would have 1 nodes that take pods; its size and maxUnavailable demand 2"},
		},
		{
			name: "the sick one costs nothing", actions: []plan.Action{cordon("b")},
			in: changed(three, nodeIs(1, func(n *fleet.Node) { n.Ready = false })),
		},
		{
			name: "until it recovers", actions: []plan.Action{cordon("b")},
			in: changed(three, func(in *upgrade.Input) {
				in.Cluster.Pools[0].Nodes[1].Ready = false
				in.Cluster.Pools[0].Nodes[0].Cordoned, in.Cluster.Pools[0].Nodes[0].CordonedBy = true, us
			}),
			want: []string{"pool a would have all but 1 nodes cordoned; its size and maxUnavailable demand 2"},
		},
		{
			name: "one that was cordoned by hand costs nothing", actions: []plan.Action{byHand},
			in: changed(halfway(), func(in *upgrade.Input) {
				in.Cluster.Pools[0].Nodes[2].Cordoned = true
				in.Cluster.Pools[0].Nodes[3].Ready = false
			}),
		},
		{
			name: "one of another upgrade", actions: []plan.Action{byHand},
			in: changed(halfway(), func(in *upgrade.Input) {
				in.Cluster.Pools[0].Nodes[2].Cordoned, in.Cluster.Pools[0].Nodes[2].CordonedBy = true, "uid-of-eu-1.0"
			}),
			want: []string{"node old would be taken from upgrade uid-of-eu-1.0"},
		},
		{
			name: "as it was seen some time ago", in: halfway(), actions: []plan.Action{stale, remove("drained")},
			want: []string{
				"node old would be cordoned as another than was observed",
				"pool a would have 1 nodes that take pods; its size and maxUnavailable demand 2",
			},
		},
		{
			name: "another node of the name", in: changed(halfway(), func(in *upgrade.Input) { in.Cluster.Pools[0].Size = 2 }), actions: []plan.Action{wrong},
			want: []string{"node old would be cordoned as another than was observed"},
		},
		{
			name: "with an undo that would leave it cordoned", in: changed(halfway(), func(in *upgrade.Input) { in.Cluster.Pools[0].Size = 2 }), actions: []plan.Action{wasNot},
			want: []string{`the undo of node old would be wrong: by "uid-of-eu-1.1", was cordoned true`},
		},
		{
			name: "with an undo that is another's", in: changed(halfway(), func(in *upgrade.Input) { in.Cluster.Pools[0].Size = 2 }), actions: []plan.Action{forAnother},
			want: []string{`the undo of node old would be wrong: by "uid-of-eu-1.2", was cordoned false`},
		},
		{
			name: "a node that nobody has seen", in: halfway(), actions: []plan.Action{cordon("elsewhere")},
			want: []string{"node elsewhere was not observed"},
		},
		{
			name: "a machine that has not joined", in: changed(halfway(), nodeIs(2, func(n *fleet.Node) { n.UID = "" })), actions: []plan.Action{cordon("old")},
			want: []string{"node old was not observed"},
		},
		{
			name: "a node that is not ours to roll", in: changed(before(), func(in *upgrade.Input) { in.Cluster.Pools[0].RolledBy = fleet.ByNobody }), actions: []plan.Action{cordon("a")},
			want: []string{"pool a would be changed, which is rolled by Nobody"},
		},
	}.run(t)
}

func TestEviction(t *testing.T) {
	another, elsewhere, daemon := evict("web-1"), evict("web-1"), evict("log")
	another.UID, elsewhere.Node = "uid-7", "old"
	unready := changed(halfway(), nodeIs(1, func(n *fleet.Node) { n.Pods[0].Ready = false }))
	owned := func(owner fleet.PodOwner) upgrade.Input {
		return changed(halfway(), nodeIs(1, func(n *fleet.Node) {
			n.Pods = []fleet.Pod{{Namespace: "shop", Name: "log", UID: "uid-log", Owner: owner}}
		}))
	}
	judged{
		{name: "as many as the budget allows, and those that it does not guard", in: halfway(), actions: []plan.Action{evict("web-1"), evict("api-1")}},
		{
			name: "one more", in: halfway(), actions: []plan.Action{evict("web-1"), evict("web-2")},
			want: []string{"pod shop/web-2 would be evicted beyond what budget shop/web allows"},
		},
		{name: "one that is not Ready takes nothing of it", in: unready, actions: []plan.Action{evict("web-1"), evict("web-2")}},
		{
			name: "where the budget is not known", actions: []plan.Action{evict("web-1")},
			in:   changed(halfway(), func(in *upgrade.Input) { in.Cluster.Budgets = nil }),
			want: []string{"pod shop/web-1 would be evicted beyond what budget shop/web allows"},
		},
		{
			name: "guarded by several", in: halfway(), actions: []plan.Action{evict("db-1")},
			want: []string{"pod shop/db-1 would be evicted against 2 budgets"},
		},
		{
			name: "another pod of the name", in: halfway(), actions: []plan.Action{another},
			want: []string{"pod shop/web-1 would be evicted, which was not observed on node draining"},
		},
		{
			name: "from a node that is not cordoned", in: halfway(), actions: []plan.Action{elsewhere},
			want: []string{"pod shop/web-1 would be evicted from node old, which this upgrade has not cordoned"},
		},
		{
			name: "from one that somebody uncordoned", actions: []plan.Action{evict("web-1")},
			in:   changed(halfway(), nodeIs(1, func(n *fleet.Node) { n.Cordoned = false })),
			want: []string{"pod shop/web-1 would be evicted from node draining, which this upgrade has not cordoned"},
		},
		{
			name: "from one of another upgrade", actions: []plan.Action{evict("web-1")},
			in:   changed(halfway(), nodeIs(1, func(n *fleet.Node) { n.CordonedBy = "uid-of-eu-1.0" })),
			want: []string{"pod shop/web-1 would be evicted from node draining, which this upgrade has not cordoned"},
		},
		{
			name: "by an upgrade without a name", actions: []plan.Action{evict("web-1")},
			in: changed(halfway(), func(in *upgrade.Input) {
				in.UID, in.Cluster.Claim.Upgrade, in.Cluster.Pools[0].Nodes[1].CordonedBy = "", "", ""
			}),
			want: []string{"pod shop/web-1 would be evicted from node draining, which this upgrade has not cordoned"},
		},
		{
			name: "a pod that nobody would make anew", in: owned(fleet.OwnedByNobody), actions: []plan.Action{daemon},
			want: []string{"pod shop/log would be evicted, though its owner is Nobody"},
		},
		{
			name: "a pod that its node would make anew", in: owned(fleet.OwnedByNode), actions: []plan.Action{daemon},
			want: []string{"pod shop/log would be evicted, though its owner is Node"},
		},
	}.run(t)
}

func TestRemoval(t *testing.T) {
	otherUID, otherNode := remove("drained"), remove("drained")
	otherUID.UID, otherNode.Node = "uid-7", "fresh"
	judged{
		{name: "a drained node", in: halfway(), actions: []plan.Action{remove("drained")}},
		{
			name: "one with pods on it", in: halfway(), actions: []plan.Action{remove("draining")},
			want: []string{
				"node draining would be removed with pod shop/web-1 on it", "node draining would be removed with pod shop/web-2 on it",
				"node draining would be removed with pod shop/api-1 on it", "node draining would be removed with pod shop/db-1 on it",
			},
		},
		{
			name: "one with a pod that nobody would make anew", actions: []plan.Action{remove("drained")},
			in:   changed(halfway(), nodeIs(0, func(n *fleet.Node) { n.Pods[1].Owner = fleet.OwnedByNobody })),
			want: []string{"node drained would be removed with pod shop/job on it"},
		},
		{
			name: "one that nobody has cordoned, though it takes pods", in: halfway(), actions: []plan.Action{remove("old")},
			want: []string{
				"node old would be removed without this upgrade's cordon",
				"pool a would have 1 nodes that take pods; its size and maxUnavailable demand 2",
			},
		},
		{
			name: "one that somebody uncordoned", actions: []plan.Action{remove("drained")},
			in:   changed(halfway(), nodeIs(0, func(n *fleet.Node) { n.Cordoned = false })),
			want: []string{"node drained would be removed without this upgrade's cordon"},
		},
		{
			name: "one of another upgrade", actions: []plan.Action{remove("drained")},
			in:   changed(halfway(), nodeIs(0, func(n *fleet.Node) { n.CordonedBy = "uid-of-eu-1.0" })),
			want: []string{"node drained would be removed without this upgrade's cordon"},
		},
		{
			name: "before its successor is Ready, with too few that take pods", actions: []plan.Action{remove("drained")},
			in:   changed(halfway(), nodeIs(3, func(n *fleet.Node) { n.Ready = false })),
			want: []string{"node drained would be removed before fresh, which replaces it, is Ready"},
		},
		{
			name: "with enough", actions: []plan.Action{remove("drained")},
			in: changed(halfway(), func(in *upgrade.Input) { in.Cluster.Pools[0].Size, in.Cluster.Pools[0].Nodes[3].Ready = 2, false }),
		},
		{
			name: "another node of the name", in: halfway(), actions: []plan.Action{otherUID},
			want: []string{"instance i-drained would be removed, which was not observed so in pool a"},
		},
		{
			name: "another machine behind the name", in: halfway(), actions: []plan.Action{otherNode},
			want: []string{"instance i-drained would be removed, which was not observed so in pool a"},
		},
		{
			name: "of a pool that is not ours to roll", in: changed(halfway(), func(in *upgrade.Input) { in.Cluster.Pools[0].RolledBy = fleet.InMember }), actions: []plan.Action{remove("drained")},
			want: []string{"pool a would be changed, which is rolled by InMember"},
		},
	}.run(t)
}

func TestRestore(t *testing.T) {
	restore := plan.Restore{Node: "draining", UID: "uid-draining", Upgrade: us}
	other, forAnother, old := restore, restore, restore
	other.UID, forAnother.Upgrade, old.Node, old.UID = "uid-7", "uid-of-eu-1.2", "old", "uid-old"
	const no = "node draining would be restored, which does not carry this upgrade's cordon"
	judged{
		{name: "our cordon", in: halfway(), actions: []plan.Action{restore}},
		{name: "of another node of the name", in: halfway(), actions: []plan.Action{other}, want: []string{no}},
		{name: "in another's name", in: halfway(), actions: []plan.Action{forAnother}, want: []string{no}},
		{
			name: "a node that carries none", in: halfway(), actions: []plan.Action{old},
			want: []string{"node old would be restored, which does not carry this upgrade's cordon"},
		},
	}.run(t)
}

func TestEnds(t *testing.T) {
	ops := func(in upgrade.Input, foreign bool) upgrade.Input {
		return changed(in, func(in *upgrade.Input) {
			in.Cluster.Operations = []fleet.Operation{{ID: "op-6", Phase: fleet.Failed}, {ID: "op-7", Phase: fleet.Running, Foreign: foreign}}
		})
	}
	stillCordoned := []string{"node drained still cordoned by this upgrade", "node draining still cordoned by this upgrade"}
	prefixed := func(prefix string) []string {
		var list []string
		for _, s := range stillCordoned {
			list = append(list, prefix+s)
		}
		return list
	}
	judged{
		{name: "done", in: there(), outcome: upgrade.Done},
		{name: "done where the provider picks patches", in: changed(there(), func(in *upgrade.Input) { in.Target, in.Cluster.PicksPatch = version("v1.37.9"), true }), outcome: upgrade.Done},
		{
			name: "done with the control plane behind", in: changed(there(), func(in *upgrade.Input) { in.Target = version("v1.37.3") }), outcome: upgrade.Done,
			want: []string{
				"done is claimed with a control plane at v1.37.2, not ready at v1.37.3",
				"done is claimed with node a at v1.37.2, ready true",
			},
		},
		{
			name: "done with the control plane not ready", in: changed(there(), func(in *upgrade.Input) { in.Cluster.ControlPlane.Ready = false }), outcome: upgrade.Done,
			want: []string{"done is claimed with a control plane at v1.37.2, not ready at v1.37.2"},
		},
		{
			name: "done with a sick node", in: changed(there(), nodeIs(1, func(n *fleet.Node) { n.Ready = false })), outcome: upgrade.Done,
			want: []string{"done is claimed with node b at v1.37.4, ready false"},
		},
		{
			name: "done with a node in hand", in: changed(there(), nodeIs(0, func(n *fleet.Node) { n.CordonedBy = us })), outcome: upgrade.Done,
			want: []string{"Done is claimed with node a still cordoned by this upgrade"},
		},
		{
			name: "done with something left to do", in: there(), actions: []plan.Action{cordon("a")}, outcome: upgrade.Done,
			want: []string{"Done is claimed with 1 actions left"},
		},
		{
			name: "done while our operation runs", in: ops(there(), false), outcome: upgrade.Done,
			want: []string{"Done is claimed while operation op-7 runs"},
		},
		{name: "done while somebody else's does", in: ops(there(), true), outcome: upgrade.Done},
		{name: "superseded where nothing is in hand", in: unwanted(before()), outcome: upgrade.Superseded},
		{name: "superseded with nodes in hand", in: unwanted(halfway()), outcome: upgrade.Superseded, want: prefixed("Superseded is claimed with ")},
		{
			name: "superseded while our operation runs", in: unwanted(ops(before(), false)), outcome: upgrade.Superseded,
			want: []string{"Superseded is claimed while operation op-7 runs"},
		},
		{
			name: "superseded though it is wanted", in: before(), outcome: upgrade.Superseded,
			want: []string{"Superseded is claimed, and the fleet still wants it"},
		},
		{name: "superseded because its release was withdrawn", in: wished(before(), func(in *upgrade.Input) { in.Withdrawn = no }), outcome: upgrade.Superseded},
		{
			name: "aborted though nobody wants it", in: unwanted(before()), outcome: upgrade.Aborted,
			want: []string{"Aborted is claimed, and nobody wants it"},
		},
		{name: "aborted", in: wished(before(), func(in *upgrade.Input) { in.Aborted = no }), outcome: upgrade.Aborted},
		{name: "failed with nodes in hand", in: halfway(), outcome: upgrade.Failed, want: prefixed("Failed is claimed with ")},
		{name: "failed where nothing is in hand, whatever runs", in: ops(before(), false), outcome: upgrade.Failed},
		{name: "a step that does nothing", in: halfway()},
		{name: "an action that nobody knows", in: halfway(), actions: []plan.Action{nil}, want: []string{"action <nil> is not known here"}},
	}.run(t)
}
