package invariant_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/noderoll"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/upgrade"
)

// TestStartsEdges are cases that only a small change of the code tells apart from
// others.
func TestStartsEdges(t *testing.T) {
	in := hub()
	in.Upgrades[1] = rollout.Upgrade{Member: "eu-2", N: 6, FleetUID: "uid-of-lab", Revision: 3, Outcome: rollout.Done, EndedAt: now.Add(-time.Hour)}
	if got := invariant.Starts(in, rollout.Decision{Start: []rollout.Start{start("eu-2", 7)}}); got != nil {
		t.Errorf("got %v", got)
	}
	in = hub()
	in.Upgrades[1].FleetUID, in.Upgrades[1].Revision = "uid-of-lab", 3
	if got := invariant.Starts(in, rollout.Decision{Start: []rollout.Start{start("eu-3", 1)}}); got != nil {
		t.Errorf("got %v", got)
	}
	misnamed := start("eu-2", 7)
	misnamed.Fleet = "lab"
	if diff := cmp.Diff([]string{
		"member eu-2 would start for lab/all; it is selected by [main/all]",
		`member eu-2 would start for revision 3 at release "2026.11"; fleet main wants revision 3 at "2026.11"`,
	}, invariant.Starts(hub(), rollout.Decision{Start: []rollout.Start{misnamed}})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	in = hub()
	in.Members[1].ObservedAt = now.Add(-25 * time.Minute)
	if got := invariant.Starts(in, rollout.Decision{Start: []rollout.Start{start("eu-2", 7)}}); got != nil {
		t.Errorf("got %v", got)
	}
	judged{
		{
			name: "a machine that has not joined does not take its place", actions: []plan.Action{cordon("b")},
			in:   changed(changed(before(), nodeIs(1, func(n *fleet.Node) { n.Ready = false })), nodeIs(2, func(n *fleet.Node) { n.UID, n.Ready = "", false })),
			want: []string{"pool a would have all but 1 nodes cordoned; its size and maxUnavailable demand 2"},
		},
	}.run(t)
}

// TestStepEdges likewise.
func TestStepEdges(t *testing.T) {
	otherName, otherNamespace := evict("web-1"), evict("web-1")
	otherName.Pod, otherNamespace.Namespace = "web-2", "kube-system"
	otherInstance, otherUID := remove("drained"), remove("drained")
	otherInstance.Instance, otherUID.UID = "i-fresh", "uid-7"
	second := before()
	second.Cluster.ControlPlane.Oldest, second.Cluster.ControlPlane.Newest = version("v2.3.0"), version("v2.3.0")
	second.Cluster.Pools[0].Template = version("v2.1.0")
	second.Cluster.Pools[0].Nodes = []fleet.Node{node("a", "v2.1.0")}
	judged{
		{
			name: "none may be missing where one may be too much", actions: []plan.Action{cordon("a")},
			in: changed(before(), func(in *upgrade.Input) {
				in.Policy.Nodes = func(int) noderoll.Policy { return noderoll.Policy{MaxSurge: 1} }
			}),
			want: []string{"pool a would have 2 nodes that take pods; its size and maxUnavailable demand 3"},
		},
		{
			name: "a provider that allows more than upstream", actions: []plan.Action{toMinor("v1.37.2")},
			in: changed(before(), func(in *upgrade.Input) {
				in.Cluster.MaxNodeSkew = 5
				in.Cluster.Pools[0].Nodes[2] = node("c", "v1.33.0")
			}),
			want: []string{"kubelet of c at v1.33.0 would be more than 3 minors behind v1.37.2"},
		},
		{
			name: "the second Kubernetes", in: second, actions: []plan.Action{plan.UpgradeControlPlane{From: version("v2.3.0"), To: version("v2.4.0"), Token: "ours"}},
		},
		{
			name: "another's UID", in: halfway(), actions: []plan.Action{otherName},
			want: []string{"pod shop/web-2 would be evicted, which was not observed on node draining"},
		},
		{
			name: "another namespace's", in: halfway(), actions: []plan.Action{otherNamespace},
			want: []string{"pod kube-system/web-1 would be evicted, which was not observed on node draining"},
		},
		{
			name: "another machine", in: halfway(), actions: []plan.Action{otherInstance},
			want: []string{"instance i-fresh would be removed, which was not observed so in pool a"},
		},
		{
			name: "what was not observed is judged no further", in: changed(halfway(), nodeIs(3, func(n *fleet.Node) { n.Ready = false })), actions: []plan.Action{otherUID},
			want: []string{"instance i-drained would be removed, which was not observed so in pool a"},
		},
		{
			name: "a sick one that nobody has cordoned", in: changed(halfway(), nodeIs(2, func(n *fleet.Node) { n.Ready = false })), actions: []plan.Action{remove("old")},
			want: []string{
				"node old would be removed without this upgrade's cordon",
				"pool a would have all but 1 nodes cordoned; its size and maxUnavailable demand 2",
			},
		},
	}.run(t)
}
