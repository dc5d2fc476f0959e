package invariant_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/noderoll"
	"refit.dev/refit/internal/plan/upgrade"
)

const (
	us     = "uid-of-eu-1.1"
	hubUID = "uid-of-hub"
)

var now = time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC)

func version(text string) fleet.Version {
	v, ok := fleet.ParseVersion(text)
	if !ok {
		panic("no version: " + text)
	}
	return v
}

func node(name, kubelet string) fleet.Node {
	return fleet.Node{
		Name: name, UID: "uid-" + name, ResourceVersion: "rv-" + name, Instance: "i-" + name, Version: version(kubelet), Ready: true,
	}
}

func pod(name string, budgets ...string) fleet.Pod {
	return fleet.Pod{Namespace: "shop", Name: name, UID: "uid-" + name, Ready: true, Owner: fleet.OwnedByController, Budgets: budgets}
}

// everything is pinned that these tests go to: TestPinned has what is not.
func everything() []fleet.Pin {
	var pins []fleet.Pin
	for _, text := range []string{"v1.27.1", "v1.36.2", "v1.36.4", "v1.37.1", "v1.37.2", "v1.37.3", "v1.38.0", "v2.0.0", "v2.4.0"} {
		pins = append(pins, fleet.Pin{Provider: "local", Version: version(text), Member: "eu-0"})
	}
	return pins
}

// halfway is a cluster whose control plane is at v1.37.2 and whose nodes are on
// their way there: drained, draining, old and new. Of its pool of three one node
// may be missing and one too much.
func halfway() upgrade.Input {
	drained, draining, fresh := node("drained", "v1.36.3"), node("draining", "v1.36.3"), node("fresh", "v1.37.2")
	drained.Cordoned, drained.CordonedBy = true, us
	drained.Pods = []fleet.Pod{{Namespace: "kube-system", Name: "log", Owner: fleet.OwnedByNode}, {Namespace: "shop", Name: "job", Owner: fleet.PodFinished}}
	draining.Cordoned, draining.CordonedBy = true, us
	draining.Pods = []fleet.Pod{pod("web-1", "shop/web"), pod("web-2", "shop/web"), pod("api-1"), pod("db-1", "shop/db", "shop/all")}
	fresh.Replaces = "i-drained"
	return upgrade.Input{
		Now: now, UID: us, Hub: hubUID, Target: version("v1.37.2"), Pins: everything(),
		Policy: upgrade.Policy{Nodes: func(int) noderoll.Policy { return noderoll.Policy{MaxSurge: 1, MaxUnavailable: 1} }},
		Cluster: fleet.Cluster{
			Claim: fleet.Claim{
				Seen: true, Holder: fleet.Holder{Hub: hubUID, Upgrade: us}, Renewed: now, Lasts: 5 * time.Minute, UID: "uid-of-claim", ResourceVersion: "7",
			},
			ControlPlane: fleet.ControlPlane{Oldest: version("v1.37.2"), Newest: version("v1.37.2"), Ready: true},
			Budgets:      []fleet.Budget{{Namespace: "shop", Name: "web", Allowed: 1}, {Namespace: "shop", Name: "db", Allowed: 1}, {Namespace: "shop", Name: "all", Allowed: 9}},
			Pools: []fleet.Pool{{
				Name: "a", Template: version("v1.37.2"), Size: 3, RolledBy: fleet.ByRefit,
				Nodes: []fleet.Node{drained, draining, node("old", "v1.36.3"), fresh},
			}},
		},
	}
}

// before is a cluster at v1.36.3 about to go to v1.37.2.
func before() upgrade.Input {
	in := halfway()
	in.Cluster.ControlPlane.Oldest, in.Cluster.ControlPlane.Newest = version("v1.36.3"), version("v1.36.3")
	in.Cluster.Pools[0].Template = version("v1.36.3")
	in.Cluster.Pools[0].Nodes = []fleet.Node{node("a", "v1.36.3"), node("b", "v1.35.1"), node("c", "v1.34.0")}
	return in
}

// there is a cluster that is where it should be.
func there() upgrade.Input {
	in := halfway()
	in.Cluster.Pools[0].Nodes = []fleet.Node{node("a", "v1.37.2"), node("b", "v1.37.4"), node("c", "v1.38.0")}
	return in
}

// The actions that are right for these clusters; a case spoils one of them.
func toMinor(text string) plan.UpgradeControlPlane {
	return plan.UpgradeControlPlane{From: version("v1.36.3"), To: version(text), Token: "ours"}
}

func cordon(name string) plan.Cordon {
	return plan.Cordon{Node: name, UID: "uid-" + name, ResourceVersion: "rv-" + name, Upgrade: us}
}

func evict(pod string) plan.Evict {
	return plan.Evict{Namespace: "shop", Pod: pod, UID: "uid-" + pod, Node: "draining"}
}

func remove(name string) plan.RemoveNode {
	return plan.RemoveNode{Pool: "a", Instance: "i-" + name, Node: name, UID: "uid-" + name}
}

func add(replaces string) plan.AddNode {
	return plan.AddNode{Pool: "a", Replaces: replaces, Token: "token"}
}

// changed is an input with something changed, on a copy of its pool.
func changed(in upgrade.Input, how func(*upgrade.Input)) upgrade.Input {
	in.Cluster.Pools = slices.Clone(in.Cluster.Pools)
	in.Cluster.Pools[0].Nodes = slices.Clone(in.Cluster.Pools[0].Nodes)
	how(&in)
	return in
}

// nodeIs is a change of the n-th node of pool a.
func nodeIs(n int, how func(*fleet.Node)) func(*upgrade.Input) {
	return func(in *upgrade.Input) { how(&in.Cluster.Pools[0].Nodes[n]) }
}

// judged is a table of decisions, and what is wrong with each; nothing where it
// is a good one.
type judged []struct {
	name    string
	in      upgrade.Input
	actions []plan.Action
	outcome upgrade.Outcome
	want    []string
}

func (table judged) run(t *testing.T) {
	t.Helper()
	for _, test := range table {
		t.Run(test.name, func(t *testing.T) {
			got := invariant.Step(test.in, upgrade.Step{Actions: test.actions, Outcome: test.outcome})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestControlPlane(t *testing.T) {
	judged{
		{name: "a minor further", in: before(), actions: []plan.Action{toMinor("v1.37.2")}},
		{name: "a patch further", in: before(), actions: []plan.Action{toMinor("v1.36.4")}},
		{
			name: "a minor skipped", in: before(), actions: []plan.Action{toMinor("v1.38.0")},
			want: []string{
				"control plane would skip a minor: v1.36.3 → v1.38.0",
				"kubelet of c at v1.34.0 would be more than 3 minors behind v1.38.0",
			},
		},
		{
			name: "another major", in: before(), actions: []plan.Action{toMinor("v2.0.0")},
			want: []string{"control plane would skip a minor: v1.36.3 → v2.0.0"},
		},
		{
			name: "back", in: before(), actions: []plan.Action{toMinor("v1.36.2")},
			want: []string{"control plane would go back: v1.36.3 → v1.36.2"},
		},
		{
			name:    "back from the newest of its API servers",
			in:      changed(before(), func(in *upgrade.Input) { in.Cluster.ControlPlane.Newest = version("v1.37.4") }),
			actions: []plan.Action{toMinor("v1.37.2")},
			want:    []string{"control plane would go back: v1.37.4 → v1.37.2"},
		},
		{
			name:    "from a version that it does not have",
			in:      changed(before(), func(in *upgrade.Input) { in.Cluster.ControlPlane.Oldest = version("v1.36.2") }),
			actions: []plan.Action{toMinor("v1.37.2")},
			want:    []string{"control plane would be changed from v1.36.3; it is at v1.36.2"},
		},
		{
			name: "of which nothing is known",
			in:   changed(before(), func(in *upgrade.Input) { in.Cluster.ControlPlane = fleet.ControlPlane{} }),
			actions: []plan.Action{plan.UpgradeControlPlane{
				To: version("v1.37.2"),
			}},
			want: []string{"control plane would skip a minor: unknown → v1.37.2"},
		},
		{
			name:    "a kubelet left behind",
			in:      changed(before(), nodeIs(1, func(n *fleet.Node) { n.Version = version("v1.33.9") })),
			actions: []plan.Action{toMinor("v1.37.2")},
			want:    []string{"kubelet of b at v1.33.9 would be more than 3 minors behind v1.37.2"},
		},
		{
			name: "one before 1.25, which follows two minors",
			in: changed(before(), func(in *upgrade.Input) {
				in.Cluster.ControlPlane.Oldest, in.Cluster.ControlPlane.Newest = version("v1.26.1"), version("v1.26.1")
				in.Cluster.Pools[0].Nodes = []fleet.Node{node("a", "v1.25.0"), node("b", "v1.24.9")}
			}),
			actions: []plan.Action{plan.UpgradeControlPlane{From: version("v1.26.1"), To: version("v1.27.1")}},
			want:    []string{"kubelet of b at v1.24.9 would be more than 2 minors behind v1.27.1"},
		},
		{
			name:    "one beyond the provider's limit",
			in:      changed(before(), func(in *upgrade.Input) { in.Cluster.MaxNodeSkew = 2 }),
			actions: []plan.Action{toMinor("v1.37.2")},
			want:    []string{"kubelet of c at v1.34.0 would be more than 2 minors behind v1.37.2"},
		},
		{
			name:    "a provider's limit that is none",
			in:      changed(before(), func(in *upgrade.Input) { in.Cluster.MaxNodeSkew = 5 }),
			actions: []plan.Action{toMinor("v1.37.2")},
		},
		{
			name:    "a machine that has not joined has no kubelet",
			in:      changed(before(), nodeIs(0, func(n *fleet.Node) { *n = fleet.Node{Name: "a", Instance: "i-a"} })),
			actions: []plan.Action{toMinor("v1.37.2")},
		},
		{
			name:    "while a node is drained",
			in:      changed(before(), nodeIs(0, func(n *fleet.Node) { n.CordonedBy = us })),
			actions: []plan.Action{toMinor("v1.37.2")},
			want:    []string{"control plane would change while node a is being drained"},
		},
		{
			name: "while something else runs",
			in: changed(before(), func(in *upgrade.Input) {
				in.Cluster.Operations = []fleet.Operation{{ID: "op-7", Token: "theirs", Phase: fleet.Running}}
			}),
			actions: []plan.Action{toMinor("v1.37.2")},
			want:    []string{"control plane would change while operation op-7 runs"},
		},
		{
			name: "not so our own, nor what has ended",
			in: changed(before(), func(in *upgrade.Input) {
				in.Cluster.Operations = []fleet.Operation{{ID: "op-7", Token: "ours", Phase: fleet.Running}, {ID: "op-6", Phase: fleet.Failed}}
			}),
			actions: []plan.Action{toMinor("v1.37.2")},
		},
		{
			name: "twice", in: before(), actions: []plan.Action{toMinor("v1.37.2"), toMinor("v1.37.2")},
			want: []string{"control plane would change together with 1 other actions"},
		},
		{
			name: "together with nodes", in: before(), actions: []plan.Action{toMinor("v1.37.2"), cordon("a")},
			want: []string{"control plane would change together with 1 other actions"},
		},
	}.run(t)
}

func TestTemplate(t *testing.T) {
	template := func(pool, from, to string) []plan.Action {
		return []plan.Action{plan.SetPoolTemplate{Pool: pool, From: version(from), To: version(to)}}
	}
	notOurs := changed(before(), func(in *upgrade.Input) { in.Cluster.Pools[0].RolledBy = fleet.ByProvider })
	judged{
		{name: "to the control plane's", in: before(), actions: template("a", "v1.36.3", "v1.36.4")},
		{
			name: "newer than the API server", in: before(), actions: template("a", "v1.36.3", "v1.37.2"),
			want: []string{"kubelets of pool a at v1.37.2 would be newer than the API server at v1.36.3"},
		},
		{
			name: "newer than the oldest API server", actions: template("a", "v1.36.3", "v1.37.2"),
			in:   changed(before(), func(in *upgrade.Input) { in.Cluster.ControlPlane.Newest = version("v1.37.2") }),
			want: []string{"kubelets of pool a at v1.37.2 would be newer than the API server at v1.36.3"},
		},
		{
			name: "back", in: halfway(), actions: template("a", "v1.37.2", "v1.37.1"),
			want: []string{"template of pool a would go back: v1.37.2 → v1.37.1"},
		},
		{
			name: "of a pool that nobody has seen", in: before(), actions: template("b", "v1.36.3", "v1.36.4"),
			want: []string{"pool b was not observed"},
		},
		{
			name: "of a pool that is not ours to roll", in: notOurs, actions: template("a", "v1.36.3", "v1.36.4"),
			want: []string{"pool a would be changed, which is rolled by Provider"},
		},
	}.run(t)
}

func TestUpgradePool(t *testing.T) {
	pool := func(from, to string) []plan.Action {
		return []plan.Action{plan.UpgradePool{Pool: "a", From: version(from), To: version(to), Token: "ours"}}
	}
	theirs := func(in upgrade.Input, more ...fleet.Operation) upgrade.Input {
		return changed(in, func(in *upgrade.Input) {
			in.Cluster.Pools[0].RolledBy = fleet.ByProvider
			in.Cluster.Operations = more
		})
	}
	op := func(pool, token string) fleet.Operation {
		return fleet.Operation{ID: "op-1", Pool: pool, Token: token, Phase: fleet.Running}
	}
	judged{
		{name: "to the control plane's", in: theirs(before()), actions: pool("v1.36.3", "v1.36.4")},
		{name: "again", in: theirs(before(), op("a", "ours")), actions: pool("v1.36.3", "v1.36.4")},
		{name: "beside another pool's", in: theirs(before(), op("b", "other")), actions: pool("v1.36.3", "v1.36.4")},
		{
			name: "of a pool that is ours to roll", in: before(), actions: pool("v1.36.3", "v1.36.4"),
			want: []string{"pool a would be changed, which is rolled by Refit"},
		},
		{
			name: "newer than the API server", in: theirs(before()), actions: pool("v1.36.3", "v1.37.2"),
			want: []string{"kubelets of pool a at v1.37.2 would be newer than the API server at v1.36.3"},
		},
		{
			name: "from what it is not at", in: theirs(before()), actions: pool("v1.36.2", "v1.36.4"),
			want: []string{"pool a would be changed from v1.36.2; it is at v1.36.3"},
		},
		{
			name: "back", in: theirs(halfway()), actions: pool("v1.37.2", "v1.37.1"),
			want: []string{"template of pool a would go back: v1.37.2 → v1.37.1"},
		},
		{
			name: "while the control plane changes", in: theirs(before(), op("", "ours")), actions: pool("v1.36.3", "v1.36.4"),
			want: []string{"pool a would change while operation op-1 runs"},
		},
		{
			name: "while another operation of it runs", in: theirs(before(), op("a", "theirs")), actions: pool("v1.36.3", "v1.36.4"),
			want: []string{"pool a would change while operation op-1 runs"},
		},
		{
			name: "against the will of a person", in: unwanted(theirs(before())), actions: pool("v1.36.3", "v1.36.4"),
			want: []string{"upgrade pool a v1.36.3 → v1.36.4 is begun against the will of a person"},
		},
	}.run(t)
}

func TestAddition(t *testing.T) {
	room := changed(halfway(), func(in *upgrade.Input) { in.Cluster.Pools[0].Size = 5 })
	judged{
		{name: "within the surge", in: room, actions: []plan.Action{add("i-draining"), add("")}},
		{
			name: "beyond it", in: halfway(), actions: []plan.Action{add("i-draining")},
			want: []string{"pool a would have 5 nodes; its size and surge allow 4"},
		},
		{name: "in place of one that goes", in: halfway(), actions: []plan.Action{remove("drained"), add("i-draining")}},
		{
			name: "for an instance that has a successor", in: room, actions: []plan.Action{add("i-drained")},
			want: []string{"instance i-drained would be replaced twice"},
		},
		{
			name: "for one instance twice", in: room, actions: []plan.Action{add("i-old"), add("i-old")},
			want: []string{"instance i-old would be replaced twice"},
		},
		{
			name: "for an instance that is not there", in: room, actions: []plan.Action{add("i-elsewhere")},
			want: []string{"instance i-elsewhere would be replaced, which is not in pool a"},
		},
		{
			name: "newer than the API server", actions: []plan.Action{add("")},
			in:   changed(room, func(in *upgrade.Input) { in.Cluster.ControlPlane.Oldest = version("v1.36.9") }),
			want: []string{"a node of pool a at v1.37.2 would be newer than the API server at v1.36.9"},
		},
		{
			name: "to a pool that nobody has seen", in: room, actions: []plan.Action{plan.AddNode{Pool: "b"}},
			want: []string{"pool b was not observed"},
		},
		{
			name: "a pool that had too many before is not blamed on what makes it no worse", actions: []plan.Action{remove("drained")},
			in: changed(halfway(), func(in *upgrade.Input) { in.Cluster.Pools[0].Size = 1 }),
		},
	}.run(t)
}
