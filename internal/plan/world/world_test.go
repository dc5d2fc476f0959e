package world_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/world"
)

func version(text string) fleet.Version {
	v, ok := fleet.ParseVersion(text)
	if !ok {
		panic("no version: " + text)
	}
	return v
}

// shape is a cluster at v1.36.3 with a pool of two nodes, of which one more may
// be had and none be missing.
func shape() world.Shape {
	at := version("v1.36.3")
	return world.Shape{
		ControlPlane: at, Offers: []fleet.Version{version("v1.36.4"), version("v1.37.2"), version("v1.38.0")},
		Pools:     []world.Pool{{Name: "a", Template: at, Nodes: []fleet.Version{at, version("v1.34.1")}}},
		Workloads: []world.Workload{{Name: "web", Replicas: 3, Floor: 2, Owner: fleet.OwnedByController}},
		Limits:    func(int) (int, int) { return 1, 0 },
		Pace:      world.Pace{Operation: 2, Silence: 1, Join: 1, Ready: 1, Start: 1, Grace: 1},
	}
}

func cordon(node string) plan.Cordon {
	return plan.Cordon{Node: node, UID: "uid-" + node, ResourceVersion: "1", Upgrade: "us"}
}

func toVersion(text string) plan.UpgradeControlPlane {
	return plan.UpgradeControlPlane{From: version("v1.36.3"), To: version(text), Token: "to " + text}
}

// TestAnswers: the made-up cluster answers as a real one would, and remembers
// what should never have been asked. Nodes are a-001 and a-002, pods web-003 to
// web-005, every other one on the first node.
func TestAnswers(t *testing.T) {
	evict := func(pod string) plan.Action {
		return plan.Evict{Namespace: "default", Pod: "web-" + pod, UID: "pod-" + pod, Node: "a-001"}
	}
	stale := cordon("a-001")
	stale.ResourceVersion = "0"
	for _, test := range []struct {
		name    string
		actions []plan.Action
		answers []world.Answer
		broken  []string
	}{
		{name: "a minor further", actions: []plan.Action{toVersion("v1.37.2"), toVersion("v1.37.2")}, answers: []world.Answer{world.Accepted, world.Accepted}},
		{
			name: "one operation at a time", actions: []plan.Action{toVersion("v1.36.4"), toVersion("v1.37.2")},
			answers: []world.Answer{world.Accepted, world.Waiting},
		},
		{
			name: "a minor skipped", actions: []plan.Action{toVersion("v1.38.0")}, answers: []world.Answer{world.Accepted},
			broken: []string{
				"control plane goes from v1.36.3 to v1.38.0",
				"control plane goes to v1.38.0 with node a-002 at v1.34.1; 3 minors are allowed",
			},
		},
		{name: "a version that is not offered", actions: []plan.Action{toVersion("v1.37.9")}, answers: []world.Answer{world.Stopped}},
		{
			name:    "from a version that it has not",
			actions: []plan.Action{plan.UpgradeControlPlane{From: version("v1.36.2"), To: version("v1.37.2")}}, answers: []world.Answer{world.Stopped},
		},
		{
			name: "a node cordoned that is needed", actions: []plan.Action{cordon("a-001")}, answers: []world.Answer{world.Accepted},
			broken: []string{"cordoning node a-001 leaves pool a with 1 nodes that take pods; size is 2, 0 may be missing"},
		},
		{name: "a node that has changed since", actions: []plan.Action{stale}, answers: []world.Answer{world.Outdated}},
		{
			name: "a control plane with a node in hand", actions: []plan.Action{cordon("a-001"), toVersion("v1.37.2")},
			answers: []world.Answer{world.Accepted, world.Accepted},
			broken: []string{
				"cordoning node a-001 leaves pool a with 1 nodes that take pods; size is 2, 0 may be missing",
				"control plane goes to v1.37.2 while node a-001 is cordoned by us",
			},
		},
		{name: "budgets are kept", actions: []plan.Action{evict("003"), evict("005")}, answers: []world.Answer{world.Accepted, world.Refused}},
		{name: "an eviction is one", actions: []plan.Action{evict("003"), evict("003")}, answers: []world.Answer{world.Accepted, world.Accepted}},
		{
			name: "a node removed with pods on it", actions: []plan.Action{plan.RemoveNode{Pool: "a", Instance: "i-001"}}, answers: []world.Answer{world.Accepted},
			broken: []string{
				"node a-001 is removed with pod web-003 on it", "node a-001 is removed with pod web-005 on it",
				"node a-001 is removed without a cordon",
				"removing node a-001 leaves pool a with 1 nodes that take pods; size is 2, 0 may be missing",
				"web has 1 healthy pods; its budget demands 2",
			},
		},
		{
			name:    "a node too many",
			actions: []plan.Action{plan.AddNode{Pool: "a", Token: "1"}, plan.AddNode{Pool: "a", Token: "1"}, plan.AddNode{Pool: "a", Token: "2"}},
			answers: []world.Answer{world.Accepted, world.Accepted, world.Accepted},
			broken:  []string{"pool a has 4 machines; size is 2, surge 1"},
		},
		{
			name:    "a template newer than the control plane, and nodes of it",
			actions: []plan.Action{plan.SetPoolTemplate{Pool: "a", From: version("v1.36.3"), To: version("v1.37.2")}, plan.AddNode{Pool: "a", Token: "1"}},
			answers: []world.Answer{world.Accepted, world.Accepted},
			broken: []string{
				"template of pool a goes from v1.36.3 to v1.37.2, control plane at v1.36.3",
				"node a-006 joins with kubelet v1.37.2, newer than the API server at v1.36.3",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := world.New(shape())
			var answers []world.Answer
			for _, action := range test.actions {
				answers = append(answers, c.Do(action))
			}
			c.Tick()
			if diff := cmp.Diff(test.answers, answers); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.broken, c.Broken()); diff != "" {
				t.Errorf("broken (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTime: what was asked for takes its time, and is seen when it is there.
func TestTime(t *testing.T) {
	c := world.New(shape())
	c.Do(toVersion("v1.37.2"))
	c.Do(plan.AddNode{Pool: "a", Token: "1"})
	if got := len(c.Observe(world.Lag{}).Nodes()); got != 2 {
		t.Errorf("%d machines are seen within the tick; want 2", got)
	}
	type look struct {
		Version string
		Ready   bool
		Nodes   int // joined and Ready
	}
	var got []look
	for range 4 {
		c.Tick()
		seen := c.Observe(world.Lag{})
		ready := slices.DeleteFunc(seen.Nodes(), func(n fleet.Node) bool { return !n.Ready })
		got = append(got, look{seen.ControlPlane.Oldest.String(), seen.ControlPlane.Ready, len(ready)})
	}
	want := []look{
		{"v1.36.3", false, 0}, // silent in the middle of its operation
		{"v1.36.3", true, 3},
		{"v1.37.2", true, 3},
		{"v1.37.2", true, 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("looks (-want +got):\n%s", diff)
	}
}

// TestLag: a source that is late shows the tick before.
func TestLag(t *testing.T) {
	slow := shape()
	slow.Pace.Join = 2
	c := world.New(slow)
	c.Do(cordon("a-001"))
	c.Do(plan.AddNode{Pool: "a", Token: "1"})
	c.Tick()
	for lag, want := range map[world.Lag][2]int{
		{}:                          {1, 3},
		{API: true}:                 {0, 3},
		{Provider: true}:            {1, 2},
		{API: true, Provider: true}: {0, 2},
	} {
		nodes := c.Observe(lag).Nodes()
		cordoned := slices.DeleteFunc(slices.Clone(nodes), func(n fleet.Node) bool { return !n.Cordoned })
		if got := [2]int{len(cordoned), len(nodes)}; got != want {
			t.Errorf("late %+v: %d cordoned of %d; want %d of %d", lag, got[0], got[1], want[0], want[1])
		}
	}
}
