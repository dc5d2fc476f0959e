package noderoll_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/noderoll"
)

// TestEdges are cases that only a small change of the code tells apart from others.
func TestEdges(t *testing.T) {
	in := input(1, noderoll.Policy{MaxUnavailable: 1}, "a v1.36.0 ours: web-1#web log-1!")
	in.Budgets = []fleet.Budget{{Namespace: "shop", Name: "web", Healthy: 2, Desired: 2, Expected: 3}}
	if diff := cmp.Diff(text(`evict pod shop/log-1 from a
		NodesDraining: moving pods off 1 node(s) of pool a`), decision(noderoll.Decide(in))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	in = input(2, noderoll.Policy{MaxSurge: 1}, "a v1.36.0 ours: web-1~\n n v1.37.2 cordoned\n m ?")
	if diff := cmp.Diff(text(`NodesJoining: waiting for 1 node(s) of pool a to be Ready, first m`), decision(noderoll.Decide(in))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	in = input(2, noderoll.Policy{MaxSurge: 1, MaxUnavailable: 2}, "a v1.36.0\n b v1.36.0\n n v1.37.2")
	in.WindDown = true
	if diff := cmp.Diff(text(`cordon node a
		NodeReplacing: replacing nodes of pool a: 0 of 2 left`), decision(noderoll.Decide(in))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
