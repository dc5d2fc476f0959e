package upgrade_test

import (
	"testing"

	"refit.dev/refit/internal/plan/upgrade"
)

// TestRefused: a fault that will not get better ends the upgrade, and leaves no
// cordon behind.
func TestRefused(t *testing.T) {
	inHand := situation{
		from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.36.3~ v1.36.3", memory: "v1.37.2 Nodes 1m", refused: true,
	}
	silent, closed := inHand, inHand
	silent.silent = "connection refused"
	closed.nodes = "v1.36.3 v1.36.3"
	closed.memory = "v1.37.2 Nodes 1m 2s"
	steps{
		{
			name: "before anything was changed", situation: situation{from: "v1.36.3", refused: true},
			want: `ended Failed
				ProviderFault: the account is suspended`,
		},
		{
			name: "with a node in hand", situation: inHand,
			want: `Nodes v1.37.2
				restore node a
				ProviderFault: the account is suspended
				again in 2s`,
		},
		{
			name: "with a node in hand that nobody can see", situation: silent,
			want: `Nodes v1.37.2
				Unreachable: control plane: connection refused
				again in 2s`,
		},
		{
			name: "looked at once more", situation: closed,
			want: `ended Failed
				ProviderFault: the account is suspended`,
		},
	}.run(t)
}

// TestGivenBackIsSeen: an upgrade that is about to give a node back does not end
// before it has seen that done. Here the process dies before the node is given back,
// and the API server is silent at the next look.
func TestGivenBackIsSeen(t *testing.T) {
	first := situation{from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.36.3~ v1.36.3", memory: "v1.37.2 Nodes 1m", refused: true}
	silent, back := first, first
	silent.silent = "connection refused"
	back.nodes = "v1.36.3 v1.36.3"
	memory := first.input().Memory
	const restore, release = "restore node a", "release the member's claim of hub uid-of-hub"
	for _, look := range []struct {
		name string
		situation
		want string
	}{
		{"the node is in hand", first, restore},
		{"nobody can see it", silent, ""},
		{"it is in hand still", first, restore},
		{"it was given back", back, ""},
		{"looked at once more", back, release},
	} {
		in := look.input()
		in.Memory = memory
		step := upgrade.Next(in)
		got := ""
		for _, action := range step.Actions {
			got += action.String()
		}
		if got != look.want || step.Outcome != upgrade.Going {
			t.Errorf("%s: %q %s, want %q", look.name, got, step.Outcome, look.want)
		}
		memory = step.Memory
	}
}
