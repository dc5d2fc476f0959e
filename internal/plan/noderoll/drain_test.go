package noderoll_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/noderoll"
)

func TestOthersCordons(t *testing.T) {
	for _, test := range []struct {
		name   string
		policy noderoll.Policy
		nodes  string
		want   string
		fix    string
	}{
		{
			name: "an old node that somebody cordoned takes no pods: it costs nothing", policy: noderoll.Policy{MaxSurge: 1},
			nodes: "a v1.36.0: web-1\n b v1.36.0 cordoned: web-2 web-3\n n v1.37.2 for=a",
			want: `cordon node b
				NodeReplacing: replacing nodes of pool a: 2 of 2 left`,
		},
		{
			name: "a new one that somebody cordoned is in the way of the last old one", policy: noderoll.Policy{MaxSurge: 1},
			nodes: "a v1.36.0\n n v1.37.2\n m v1.37.2 cordoned",
			want:  "NodeCordoned: node m is cordoned by somebody else",
			fix:   "kubectl uncordon m",
		},
		{
			name: "but not as long as other things go on", policy: noderoll.Policy{MaxSurge: 1},
			nodes: "a v1.36.0\n n v1.37.2 cordoned\n m ?",
			want:  "NodesJoining: waiting for 1 node(s) of pool a to be Ready, first m",
		},
		{
			name: "nor where it is the last", policy: noderoll.Policy{MaxSurge: 1},
			nodes: "n v1.37.2\n m v1.37.2 cordoned",
			want:  "done",
		},
		{
			name: "a node of another upgrade is not taken", policy: noderoll.Policy{MaxUnavailable: 2},
			nodes: "a v1.36.0 theirs\n b v1.36.0",
			want: `cordon node b
				NodeCordoned: node a is cordoned by another upgrade`,
			fix: "kubectl uncordon a, and remove its annotation refit.dev/undo",
		},
		{
			name: "and a sick one is not spare", policy: noderoll.Policy{MaxUnavailable: 1},
			nodes: "a v1.36.0\n b v1.36.0 sick theirs",
			want:  "NodeCordoned: node b is cordoned by another upgrade",
			fix:   "kubectl uncordon b, and remove its annotation refit.dev/undo",
		},
		{
			name: "our cordon that somebody took off is made again", policy: noderoll.Policy{MaxUnavailable: 1},
			nodes: "a v1.36.0 uncordoned: web-1\n b v1.36.0",
			want: `cordon node a
				NodeReplacing: replacing nodes of pool a: 2 of 2 left`,
		},
		{
			name: "until then nothing is evicted from it, and it is not removed", policy: noderoll.Policy{MaxUnavailable: 1},
			nodes: "a v1.36.0 uncordoned\n b v1.36.0 ours: web-1~",
			want:  "PodTerminating: pod shop/web-1 on node b is terminating",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := noderoll.Decide(input(2, test.policy, test.nodes))
			if diff := cmp.Diff(text(test.want), decision(got)); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
			if got.Why.Fix != test.fix {
				t.Errorf("fix is %q; want %q", got.Why.Fix, test.fix)
			}
		})
	}
}

func TestDraining(t *testing.T) {
	for _, test := range []struct {
		name    string
		nodes   string
		budgets []fleet.Budget
		want    string
	}{
		{
			name:  "pods of controllers are evicted",
			nodes: "a v1.36.0 ours: web-1 web-2",
			want: `evict pod shop/web-1 from a
				evict pod shop/web-2 from a
				NodesDraining: moving pods off 1 node(s) of pool a`,
		},
		{
			name:  "what belongs to the node goes with it, and what has ended is no loss",
			nodes: "a v1.36.0 ours: log-1@Node job-1@Finished",
			want: `remove node a
				NodeReplacing: replacing nodes of pool a: 1 of 1 left`,
		},
		{
			name:    "two pods of one budget that allows one: one eviction",
			nodes:   "a v1.36.0 ours: web-1#web web-2#web",
			budgets: []fleet.Budget{budget("web", 3, 2)},
			want: `evict pod shop/web-1 from a
				NodesDraining: moving pods off 1 node(s) of pool a`,
		},
		{
			name:    "budgets pace across nodes",
			nodes:   "a v1.36.0 ours: web-1#web\n b v1.36.0 ours: web-2#web db-1#db",
			budgets: []fleet.Budget{budget("web", 3, 2), budget("db", 3, 2)},
			want: `evict pod shop/web-1 from a
				evict pod shop/db-1 from b
				NodesDraining: moving pods off 2 node(s) of pool a`,
		},
		{
			name:    "a budget whose pod is leaving will allow another",
			nodes:   "a v1.36.0 ours: web-1#web~ web-2#web",
			budgets: []fleet.Budget{budget("web", 2, 2)},
			want:    "PodTerminating: pod shop/web-1 on node a is terminating",
		},
		{
			name:    "and one whose pods are not all back, as long as others move",
			nodes:   "a v1.36.0 ours: web-1#web log-1",
			budgets: []fleet.Budget{{Namespace: "shop", Name: "web", Healthy: 2, Desired: 2, Expected: 3}},
			want: `evict pod shop/log-1 from a
				NodesDraining: moving pods off 1 node(s) of pool a`,
		},
		{
			name:    "where nothing moves, they may never come back",
			nodes:   "a v1.36.0 ours: web-1#web",
			budgets: []fleet.Budget{{Namespace: "shop", Name: "web", Healthy: 2, Desired: 2, Expected: 3}},
			want:    "BudgetExhausted: pod shop/web-1 on node a may not be evicted: PodDisruptionBudget shop/web allows no disruption (2 of 3 healthy, 2 wanted)",
		},
		{
			name:    "a budget that all its pods cannot satisfy is told at once, whatever else moves",
			nodes:   "a v1.36.0 ours: web-1#web db-1#db",
			budgets: []fleet.Budget{budget("web", 2, 2), budget("db", 3, 2)},
			want: `evict pod shop/db-1 from a
				BudgetExhausted: pod shop/web-1 on node a may not be evicted: PodDisruptionBudget shop/web allows no disruption (2 of 2 healthy, 2 wanted)`,
		},
		{
			name:    "a budget that allows nothing",
			nodes:   "a v1.36.0 ours: web-1#web",
			budgets: []fleet.Budget{budget("web", 1, 1)},
			want:    "BudgetExhausted: pod shop/web-1 on node a may not be evicted: PodDisruptionBudget shop/web allows no disruption (1 of 1 healthy, 1 wanted)",
		},
		{
			name:  "a budget that was not seen allows nothing",
			nodes: "a v1.36.0 ours: web-1#web",
			want:  "BudgetExhausted: pod shop/web-1 on node a may not be evicted: PodDisruptionBudget shop/web allows no disruption (0 of 0 healthy, 0 wanted)",
		},
		{
			name:    "a pod that is not Ready takes nothing of its budget",
			nodes:   "a v1.36.0 ours: web-1#web! web-2#web",
			budgets: []fleet.Budget{budget("web", 2, 1)},
			want: `evict pod shop/web-1 from a
				evict pod shop/web-2 from a
				NodesDraining: moving pods off 1 node(s) of pool a`,
		},
		{
			name:    "and may go where the budget is kept without it",
			nodes:   "a v1.36.0 ours: web-1#web!",
			budgets: []fleet.Budget{budget("web", 1, 1)},
			want: `evict pod shop/web-1 from a
				NodesDraining: moving pods off 1 node(s) of pool a`,
		},
		{
			name:    "where it is not, only the API server knows: it is asked, and the budget is named",
			nodes:   "a v1.36.0 ours: web-1#web!",
			budgets: []fleet.Budget{budget("web", 0, 1)},
			want: `evict pod shop/web-1 from a
				BudgetExhausted: pod shop/web-1 on node a may not be evicted: PodDisruptionBudget shop/web allows no disruption (0 of 1 healthy, 1 wanted)`,
		},
		{
			name:    "several budgets: no eviction ever succeeds",
			nodes:   "a v1.36.0 ours: web-1#web,all",
			budgets: []fleet.Budget{budget("web", 3, 1), budget("all", 3, 1)},
			want:    "SeveralBudgets: pod shop/web-1 on node a is guarded by 2 PodDisruptionBudgets (shop/web, shop/all): the API server never evicts such a pod",
		},
		{
			name:  "a pod that nobody would make anew",
			nodes: "a v1.36.0 ours: toolbox@Nobody web-1",
			want: `evict pod shop/web-1 from a
				PodWithoutOwner: pod shop/toolbox on node a has no controller: evicted, it would be lost`,
		},
		{
			name:  "a pod on its way out is not evicted again",
			nodes: "a v1.36.0 ours: web-1~",
			want:  "PodTerminating: pod shop/web-1 on node a is terminating",
		},
		{
			name:  "which is only told where nothing else happens",
			nodes: "a v1.36.0 ours: web-1~ web-2",
			want: `evict pod shop/web-2 from a
				NodesDraining: moving pods off 1 node(s) of pool a`,
		},
		{
			name:    "what a person must see to comes before what takes time",
			nodes:   "a v1.36.0 ours: web-1~ web-2#web\n n v1.37.2 sick",
			budgets: []fleet.Budget{budget("web", 1, 1)},
			want:    "BudgetExhausted: pod shop/web-2 on node a may not be evicted: PodDisruptionBudget shop/web allows no disruption (1 of 1 healthy, 1 wanted)",
		},
		{
			name:  "pods of others' nodes stay where they are",
			nodes: "a v1.36.0 cordoned: web-1",
			want: `cordon node a
				NodeReplacing: replacing nodes of pool a: 1 of 1 left`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := input(1, noderoll.Policy{MaxUnavailable: 1}, test.nodes)
			in.Budgets = test.budgets
			if diff := cmp.Diff(text(test.want), decision(noderoll.Decide(in))); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReasons: what a person reads says what is in the way, since when, and what
// to do about it.
func TestReasons(t *testing.T) {
	for _, test := range []struct {
		name  string
		nodes string
		want  fleet.Reason
	}{
		{
			name:  "budget",
			nodes: "a v1.36.0 ours: web-1#web",
			want: fleet.Reason{
				Code: fleet.BudgetExhausted, Object: "poddisruptionbudget shop/web", Since: cordonedAt,
				Message: "pod shop/web-1 on node a may not be evicted: PodDisruptionBudget shop/web allows no disruption (2 of 2 healthy, 2 wanted)",
				Fix:     "bring more of its pods to Ready, or let it allow a disruption: kubectl edit poddisruptionbudget -n shop web",
			},
		},
		{
			name:  "several budgets",
			nodes: "a v1.36.0 ours: web-1#web,all",
			want: fleet.Reason{
				Code: fleet.SeveralBudgets, Object: "pod shop/web-1", Since: cordonedAt,
				Message: "pod shop/web-1 on node a is guarded by 2 PodDisruptionBudgets (shop/web, shop/all): the API server never evicts such a pod",
				Fix:     "leave one budget that selects it",
			},
		},
		{
			name:  "no owner",
			nodes: "a v1.36.0 ours: toolbox@Nobody",
			want: fleet.Reason{
				Code: fleet.PodWithoutOwner, Object: "pod shop/toolbox", Since: cordonedAt,
				Message: "pod shop/toolbox on node a has no controller: evicted, it would be lost",
				Fix:     "move or delete it yourself: kubectl delete pod -n shop toolbox",
			},
		},
		{
			name:  "terminating",
			nodes: "a v1.36.0 ours: web-1~\n n v1.37.2",
			want: fleet.Reason{
				Code: fleet.PodTerminating, Object: "pod shop/web-1", Since: cordonedAt,
				Message: "pod shop/web-1 on node a is terminating",
			},
		},
		{
			name:  "joining",
			nodes: "a v1.36.0\n n ?",
			want: fleet.Reason{
				Code: fleet.NodesJoining, Object: "node n",
				Message: "waiting for 1 node(s) of pool a to be Ready, first n",
			},
		},
		{
			name:  "somebody else's node",
			nodes: "a v1.36.0 theirs",
			want: fleet.Reason{
				Code: fleet.NodeCordoned, Object: "node a", Since: cordonedAt,
				Message: "node a is cordoned by another upgrade",
				Fix:     "kubectl uncordon a, and remove its annotation refit.dev/undo",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := input(1, noderoll.Policy{MaxSurge: 1}, test.nodes)
			in.Budgets = []fleet.Budget{budget("web", 2, 2), budget("all", 3, 2)}
			if diff := cmp.Diff(test.want, noderoll.Decide(in).Why); diff != "" {
				t.Errorf("reason (-want +got):\n%s", diff)
			}
		})
	}
}
