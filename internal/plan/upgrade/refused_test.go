package upgrade_test

import (
	"testing"
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
