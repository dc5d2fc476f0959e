package invariant_test

import (
	"testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/upgrade"
)

// no is what somebody says.
var no = fleet.Reason{Code: fleet.Frozen, Message: "no"}

// wished is an input with the wish of a person.
func wished(in upgrade.Input, wish func(*upgrade.Input)) upgrade.Input {
	wish(&in)
	return in
}

func unwanted(in upgrade.Input) upgrade.Input {
	return wished(in, func(in *upgrade.Input) { in.Superseded = no })
}

// TestAgainstTheWill: what a person holds is not begun; what is in hand is finished.
func TestAgainstTheWill(t *testing.T) {
	template := plan.SetPoolTemplate{Pool: "a", From: version("v1.36.3"), To: version("v1.36.4")}
	ready := func(in *upgrade.Input) {
		in.Cluster.Pools[0].Nodes[2].UID, in.Policy = "uid-old", halfway().Policy
		in.Cluster.Pools[0].Size = 4
	}
	above := func(in *upgrade.Input) { in.Cluster.Pools[0].Size = 3 }
	for name, wish := range map[string]func(*upgrade.Input){
		"superseded": func(in *upgrade.Input) { in.Superseded = no },
		"aborted":    func(in *upgrade.Input) { in.Aborted = no },
		"withdrawn":  func(in *upgrade.Input) { in.Withdrawn = no },
		"frozen":     func(in *upgrade.Input) { in.Frozen = no },
	} {
		judged{
			{
				name: name + ": no control plane", in: wished(before(), wish), actions: []plan.Action{toMinor("v1.37.2")},
				want: []string{"upgrade control plane v1.36.3 → v1.37.2 is begun against the will of a person"},
			},
			{
				name: name + ": no template", in: wished(before(), wish), actions: []plan.Action{template},
				want: []string{"set template of pool a v1.36.3 → v1.36.4 is begun against the will of a person"},
			},
			{
				name: name + ": no other node", in: wished(changed(halfway(), ready), wish), actions: []plan.Action{cordon("old")},
				want: []string{
					"cordon node old is begun against the will of a person",
					"pool a would have 1 nodes that take pods; its size and maxUnavailable demand 3",
				},
			},
			{name: name + ": the node in hand", in: wished(halfway(), wish), actions: []plan.Action{evict("api-1")}},
			{name: name + ": a node above the pool's size", in: wished(changed(roomy(), above), wish), actions: []plan.Action{cordon("old")}},
		}.run(t)
	}
	halted := func(in *upgrade.Input) { in.Halted = no }
	judged{
		{
			name: "halted: no control plane", in: wished(before(), halted), actions: []plan.Action{toMinor("v1.37.2")},
			want: []string{"upgrade control plane v1.36.3 → v1.37.2 is begun against the will of a person"},
		},
		{name: "halted: a template", in: wished(before(), halted), actions: []plan.Action{template}},
	}.run(t)
}

// roomy is a pool with a node more than it needs, all of which take pods.
func roomy() upgrade.Input {
	in := halfway()
	in.Cluster.Pools[0].Nodes = []fleet.Node{node("a", "v1.37.2"), node("b", "v1.37.2"), node("c", "v1.37.2"), node("old", "v1.36.3")}
	return in
}
