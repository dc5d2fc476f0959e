package noderoll_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/noderoll"
)

func TestBounds(t *testing.T) {
	surge := func(n int) noderoll.Policy { return noderoll.Policy{MaxSurge: n} }
	missing := func(n int) noderoll.Policy { return noderoll.Policy{MaxUnavailable: n} }
	for _, test := range []struct {
		name   string
		size   int
		policy noderoll.Policy
		nodes  string
		want   string
	}{
		{name: "an empty pool is done", size: 0, policy: surge(1), want: "done"},
		{
			name: "all nodes there", size: 2, policy: surge(1),
			nodes: "a v1.37.2\n b v1.37.2",
			want:  "done",
		},
		{
			name: "ahead counts as there", size: 2, policy: surge(1),
			nodes: "a v1.37.3-gke.1\n b v1.38.0",
			want:  "done",
		},
		{
			name: "surge alone: a new node comes first", size: 3, policy: surge(1),
			nodes: "a v1.36.0\n b v1.36.0\n c v1.36.0",
			want: `add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 3 of 3 left`,
		},
		{
			name: "surge of two", size: 3, policy: surge(2),
			nodes: "a v1.36.0\n b v1.36.0\n c v1.36.0",
			want: `add node to pool a for i-a
				add node to pool a for i-b
				NodeReplacing: replacing nodes of pool a: 3 of 3 left`,
		},
		{
			name: "more surge than nodes", size: 2, policy: surge(5),
			nodes: "a v1.36.0\n b v1.36.0",
			want: `add node to pool a for i-a
				add node to pool a for i-b
				NodeReplacing: replacing nodes of pool a: 2 of 2 left`,
		},
		{
			name: "a new node that has not joined makes nothing spare", size: 2, policy: surge(1),
			nodes: "a v1.36.0\n b v1.36.0\n n ? for=a",
			want:  "NodesJoining: waiting for 1 node(s) of pool a to be Ready, first n",
		},
		{
			name: "nor does one that is not Ready", size: 2, policy: surge(1),
			nodes: "a v1.36.0\n b v1.36.0\n n v1.37.2 sick for=a",
			want:  "NodesJoining: waiting for 1 node(s) of pool a to be Ready, first n",
		},
		{
			name: "a new node is Ready: one old node may go", size: 2, policy: surge(1),
			nodes: "a v1.36.0\n b v1.36.0\n n v1.37.2 for=a",
			want: `cordon node a
				NodeReplacing: replacing nodes of pool a: 2 of 2 left`,
		},
		{
			name: "and is removed when it is empty, without waiting for another", size: 2, policy: surge(1),
			nodes: "a v1.36.0 ours\n b v1.36.0\n n v1.37.2 for=a",
			want: `remove node a
				NodeReplacing: replacing nodes of pool a: 2 of 2 left`,
		},
		{
			name: "each old node gets one new one", size: 3, policy: surge(2),
			nodes: "a v1.36.0\n b v1.36.0\n c v1.36.0\n n ? for=b",
			want: `add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 4 of 3 left`,
		},
		{
			name: "unavailable alone: an old node goes first", size: 3, policy: missing(1),
			nodes: "a v1.36.0\n b v1.36.0\n c v1.36.0",
			want: `cordon node a
				NodeReplacing: replacing nodes of pool a: 3 of 3 left`,
		},
		{
			name: "two may be missing", size: 3, policy: missing(2),
			nodes: "a v1.36.0\n b v1.36.0\n c v1.36.0",
			want: `cordon node a
				cordon node b
				NodeReplacing: replacing nodes of pool a: 3 of 3 left`,
		},
		{
			name: "all may be missing", size: 2, policy: missing(7),
			nodes: "a v1.36.0\n b v1.36.0",
			want: `cordon node a
				cordon node b
				NodeReplacing: replacing nodes of pool a: 2 of 2 left`,
		},
		{
			name: "the one in hand is the one that is missing", size: 3, policy: missing(1),
			nodes: "a v1.36.0 ours: web-1~\n b v1.36.0\n c v1.36.0",
			want:  "PodTerminating: pod shop/web-1 on node a is terminating",
		},
		{
			name: "it is removed before there is room for a new one", size: 3, policy: missing(1),
			nodes: "a v1.36.0 ours\n b v1.36.0\n c v1.36.0",
			want: `remove node a
				NodeReplacing: replacing nodes of pool a: 3 of 3 left`,
		},
		{
			name: "its place is filled", size: 3, policy: missing(1),
			nodes: "b v1.36.0\n c v1.36.0",
			want: `add node to pool a for i-b
				NodeReplacing: replacing nodes of pool a: 2 of 3 left`,
		},
		{
			name: "also when no old node is left to name it after", size: 3, policy: missing(2),
			nodes: "n v1.37.2",
			want: `add node to pool a
				add node to pool a
				NodeReplacing: replacing nodes of pool a: 0 of 3 left`,
		},
		{
			name: "both: nodes come and go at once", size: 4, policy: noderoll.Policy{MaxSurge: 1, MaxUnavailable: 1},
			nodes: "a v1.36.0\n b v1.36.0\n c v1.36.0\n d v1.36.0",
			want: `cordon node a
				add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 4 of 4 left`,
		},
		{
			name: "both, on the way", size: 4, policy: noderoll.Policy{MaxSurge: 1, MaxUnavailable: 1},
			nodes: "a v1.36.0 ours\n b v1.36.0\n c v1.36.0\n d v1.36.0\n n v1.37.2 for=a",
			want: `remove node a
				cordon node b
				NodeReplacing: replacing nodes of pool a: 4 of 4 left`,
		},
		{
			name: "neither: one may be missing, else nothing would ever move", size: 3, policy: noderoll.Policy{},
			nodes: "a v1.36.0\n b v1.36.0\n c v1.36.0",
			want: `cordon node a
				NodeReplacing: replacing nodes of pool a: 3 of 3 left`,
		},
		{
			name: "more nodes than the size wants are not replaced", size: 1, policy: surge(1),
			nodes: "a v1.36.0\n b v1.36.0\n c v1.37.2",
			want: `cordon node a
				cordon node b
				NodeReplacing: replacing nodes of pool a: 2 of 1 left`,
		},
		{
			name: "a pool of nothing lets its nodes go", size: 0, policy: surge(1),
			nodes: "a v1.36.0 ours\n b v1.36.0",
			want: `remove node a
				cordon node b
				NodeReplacing: replacing nodes of pool a: 2 of 0 left`,
		},
		{
			name: "nodes go by name, whatever is on them", size: 3, policy: missing(1),
			nodes: "b v1.36.0\n c v1.36.0\n a v1.36.0: web-1 web-2",
			want: `cordon node a
				NodeReplacing: replacing nodes of pool a: 3 of 3 left`,
		},
		{
			name: "before them those that are not Ready", size: 3, policy: missing(1),
			nodes: "a v1.36.0\n b v1.36.0\n c v1.36.0 sick: web-1 web-2",
			want: `cordon node c
				NodeReplacing: replacing nodes of pool a: 3 of 3 left`,
		},
		{
			name: "of which one that recovers must not be one too many", size: 3, policy: missing(1),
			nodes: "a v1.36.0 ours: web-1~\n b v1.36.0\n c v1.36.0 sick",
			want:  "PodTerminating: pod shop/web-1 on node a is terminating",
		},
		{
			name: "a sick node waits for its replacement too", size: 2, policy: surge(1),
			nodes: "a v1.36.0\n b v1.36.0 sick",
			want: `add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 2 of 2 left`,
		},
		{
			name: "an emptied node stays while its replacement joins", size: 2, policy: surge(1),
			nodes: "a v1.36.0 ours\n b v1.36.0\n n ? for=a",
			want:  "NodesJoining: waiting for 1 node(s) of pool a to be Ready, first n",
		},
		{
			name: "or as long as there is room for one", size: 2, policy: surge(1),
			nodes: "a v1.36.0 ours\n b v1.36.0",
			want: `add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 2 of 2 left`,
		},
		{
			name: "but not where none can come: others are sick, and there is no room", size: 3, policy: surge(1),
			nodes: "a v1.36.0 ours\n b v1.36.0 ours: web-1~\n c v1.36.0\n n v1.37.2 for=a",
			want: `remove node a
				NodesDraining: moving pods off 1 node(s) of pool a`,
		},
		{
			name: "a removed machine that the provider still lists takes room, but is not one that joins", size: 2, policy: surge(1),
			nodes: "a ?v1.36.0\n b v1.36.0\n n v1.37.2 for=a",
			want:  "NodeReplacing: replacing nodes of pool a: 2 of 2 left",
		},
		{
			name: "nor is the pool done before it is gone", size: 1, policy: surge(1),
			nodes: "a ?v1.36.0\n n v1.37.2 for=a",
			want:  "NodeReplacing: replacing nodes of pool a: 1 of 1 left",
		},
		{
			name: "one that was built anew joins", size: 1, policy: surge(1),
			nodes: "a v1.36.0\n n ?v1.37.2 for=a",
			want:  "NodesJoining: waiting for 1 node(s) of pool a to be Ready, first n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := decision(noderoll.Decide(input(test.size, test.policy, test.nodes)))
			if diff := cmp.Diff(text(test.want), got); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTemplate(t *testing.T) {
	for _, test := range []struct {
		name     string
		template string
		want     string
	}{
		{
			name: "first of all; no node is added at the old one", template: "v1.36.0",
			want: `set template of pool a v1.36.0 → v1.37.2
				NodeReplacing: replacing nodes of pool a: 1 of 1 left`,
		},
		{
			name: "ahead it stays", template: "v1.37.5",
			want: `add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 1 of 1 left`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := input(1, noderoll.Policy{MaxSurge: 1}, "a v1.36.0")
			in.Pool.Template = version(test.template)
			if diff := cmp.Diff(text(test.want), decision(noderoll.Decide(in))); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("is set where all nodes are ahead of it", func(t *testing.T) {
		in := input(1, noderoll.Policy{MaxSurge: 1}, "a v1.37.2")
		in.Pool.Template = fleet.Version{}
		wanted := text(`set template of pool a unknown → v1.37.2
			NodeReplacing: replacing nodes of pool a: 0 of 1 left`)
		if diff := cmp.Diff(wanted, decision(noderoll.Decide(in))); diff != "" {
			t.Errorf("decision (-want +got):\n%s", diff)
		}
	})
}

// TestEnough: before the last hop only nodes that the next control plane cannot
// bear are replaced; what replaces them is built at the hop's version.
func TestEnough(t *testing.T) {
	for _, test := range []struct {
		name  string
		nodes string
		want  string
	}{
		{
			name:  "nodes that are not too old stay",
			nodes: "a v1.34.0\n b v1.35.0\n c v1.33.9",
			want: `add node to pool a for i-c
				NodeReplacing: replacing nodes of pool a: 1 of 3 left`,
		},
		{
			name:  "and are counted",
			nodes: "a v1.34.0\n b v1.35.0\n c v1.33.9\n n v1.37.2 for=c",
			want: `cordon node c
				NodeReplacing: replacing nodes of pool a: 1 of 3 left`,
		},
		{
			name:  "one in hand does not, however it came to be",
			nodes: "a v1.34.0 ours: web-1\n b v1.35.0\n c v1.36.0",
			want: `evict pod shop/web-1 from a
				add node to pool a for i-a
				NodesDraining: moving pods off 1 node(s) of pool a`,
		},
		{
			name:  "one that is there needs no hand any more",
			nodes: "a v1.37.2 ours: web-1\n b v1.35.0\n c v1.36.0",
			want:  "done",
		},
		{
			name:  "none too old",
			nodes: "a v1.34.0\n b v1.35.0\n c v1.37.2",
			want:  "done",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := input(3, noderoll.Policy{MaxSurge: 1}, test.nodes)
			in.Enough = version("v1.34.0")
			if diff := cmp.Diff(text(test.want), decision(noderoll.Decide(in))); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWindDown(t *testing.T) {
	for _, test := range []struct {
		name     string
		template string
		policy   noderoll.Policy
		nodes    string
		want     string
	}{
		{
			name: "nothing in hand: done, however old", policy: noderoll.Policy{MaxSurge: 1},
			nodes: "a v1.36.0\n b v1.36.0",
			want:  "done",
		},
		{
			name: "the template is left as it is", template: "v1.36.0", policy: noderoll.Policy{MaxSurge: 1},
			nodes: "a v1.36.0\n b v1.36.0",
			want:  "done",
		},
		{
			name: "a node in hand is emptied", policy: noderoll.Policy{MaxSurge: 1},
			nodes: "a v1.36.0 ours: web-1\n b v1.36.0\n n v1.37.2 for=a",
			want: `evict pod shop/web-1 from a
				NodesDraining: moving pods off 1 node(s) of pool a`,
		},
		{
			name: "and removed; no other is taken in hand", policy: noderoll.Policy{MaxSurge: 1},
			nodes: "a v1.36.0 ours\n b v1.36.0\n n v1.37.2 for=a",
			want: `remove node a
				NodeReplacing: replacing nodes of pool a: 1 of 2 left`,
		},
		{
			name: "though one could be missed", policy: noderoll.Policy{MaxSurge: 1, MaxUnavailable: 1},
			nodes: "a v1.36.0 ours\n b v1.36.0\n n v1.37.2 for=a",
			want: `remove node a
				NodeReplacing: replacing nodes of pool a: 1 of 2 left`,
		},
		{
			name: "nor while it is emptied", policy: noderoll.Policy{MaxSurge: 1, MaxUnavailable: 1},
			nodes: "a v1.36.0 ours: web-1\n b v1.36.0\n n v1.37.2 for=a",
			want: `evict pod shop/web-1 from a
				NodesDraining: moving pods off 1 node(s) of pool a`,
		},
		{
			name: "a new node that was asked for has its old one go", policy: noderoll.Policy{MaxSurge: 1},
			nodes: "a v1.36.0\n b v1.36.0: web-1\n n v1.37.2 for=b",
			want: `cordon node a
				NodeReplacing: replacing nodes of pool a: 0 of 2 left`,
		},
		{
			name: "when it is Ready", policy: noderoll.Policy{MaxSurge: 1},
			nodes: "a v1.36.0\n b v1.36.0\n n ? for=b",
			want:  "NodesJoining: waiting for 1 node(s) of pool a to be Ready, first n",
		},
		{
			name: "a gap of ours is filled", policy: noderoll.Policy{MaxUnavailable: 1},
			nodes: "b v1.36.0",
			want: `add node to pool a for i-b
				NodeReplacing: replacing nodes of pool a: 0 of 2 left`,
		},
		{
			name: "also from the old template", template: "v1.36.0", policy: noderoll.Policy{MaxUnavailable: 1},
			nodes: "b v1.36.0",
			want: `add node to pool a for i-b
				NodeReplacing: replacing nodes of pool a: 0 of 2 left`,
		},
		{
			name:  "without a policy, for its fleet is gone: what is in hand goes",
			nodes: "a v1.36.0 ours\n b v1.36.0",
			want: `remove node a
				NodeReplacing: replacing nodes of pool a: 1 of 2 left`,
		},
		{
			name:  "and nothing that takes pods before another does",
			nodes: "a v1.36.0\n b v1.36.0\n n ? for=b",
			want:  "NodesJoining: waiting for 1 node(s) of pool a to be Ready, first n",
		},
		{
			name: "a removed machine that the provider still lists is waited for", policy: noderoll.Policy{MaxUnavailable: 1},
			nodes: "a ?v1.36.0\n b v1.36.0",
			want:  "NodeReplacing: replacing nodes of pool a: 1 of 2 left",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := input(2, test.policy, test.nodes)
			in.WindDown = true
			if test.template != "" {
				in.Pool.Template = version(test.template)
			}
			if diff := cmp.Diff(text(test.want), decision(noderoll.Decide(in))); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}
