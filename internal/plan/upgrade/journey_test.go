package upgrade_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/noderoll"
	"refit.dev/refit/internal/plan/upgrade"
	"refit.dev/refit/internal/plan/world"
)

// TestJourneys drives whole upgrades on made-up clusters, and wants the steps in
// the order in which they were seen.
func TestJourneys(t *testing.T) {
	pace := world.Pace{Operation: 2, Silence: 1, Join: 1, Ready: 1, Start: 1, Grace: 1}
	limits := func(int) (int, int) { return 1, 0 }
	web := world.Workload{Name: "web", Replicas: 4, Floor: 3, Owner: fleet.OwnedByController}
	offers := "v1.34.1 v1.35.4 v1.36.3 v1.37.2"
	for _, test := range []struct {
		name   string
		shape  world.Shape
		target string
		want   string
		// operations of the control plane, and nodes added and removed.
		operations, rotations int
	}{
		{
			name: "a catch-up of three minors moves each node once",
			shape: world.Shape{
				ControlPlane: version("v1.34.1"), Offers: versions(offers), Workloads: []world.Workload{web},
				Pools: []world.Pool{
					{Name: "a", Template: version("v1.34.1"), Nodes: versions("v1.34.1 v1.34.1")},
					{Name: "b", Template: version("v1.34.1"), Nodes: versions("v1.34.1")},
				},
			},
			target: "v1.37.2", operations: 3, rotations: 3,
			want: `
				v1.35.4 Settle, ControlPlane, Bake
				v1.36.3 Settle, ControlPlane, Bake
				v1.37.2 Settle, ControlPlane, Bake, Nodes
				v1.37.2 Settle
				Done`,
		},
		{
			name: "nodes that lag behind move before the control plane that could not bear them, others do not",
			shape: world.Shape{
				ControlPlane: version("v1.35.4"), Offers: versions(offers), Workloads: []world.Workload{web},
				Pools: []world.Pool{
					{Name: "a", Template: version("v1.33.9"), Nodes: versions("v1.33.9 v1.33.9")},
					{Name: "b", Template: version("v1.35.4"), Nodes: versions("v1.35.4 v1.35.4 v1.35.4")},
				},
			},
			target: "v1.37.2", operations: 2, rotations: 2 + 2 + 3,
			want: `
				v1.36.3 Settle, ControlPlane, Bake, Nodes
				v1.37.2 Settle, ControlPlane, Bake, Nodes
				v1.37.2 Settle
				Done`,
		},
		{
			name: "nodes as far behind as they may be move first of all",
			shape: world.Shape{
				ControlPlane: version("v1.36.3"), Offers: versions(offers), Workloads: []world.Workload{web},
				Pools: []world.Pool{{Name: "a", Template: version("v1.33.9"), Nodes: versions("v1.33.9 v1.35.4")}},
			},
			target: "v1.37.2", operations: 1, rotations: 1 + 2,
			want: `
				v1.36.3 Settle, Nodes
				v1.37.2 Settle, ControlPlane, Bake, Nodes
				v1.37.2 Settle
				Done`,
		},
		{
			name: "a release that moves nodes alone touches no control plane",
			shape: world.Shape{
				ControlPlane: version("v1.37.2"), Offers: versions(offers),
				Pools: []world.Pool{{Name: "a", Template: version("v1.36.3"), Nodes: versions("v1.36.3 v1.37.2")}},
			},
			target: "v1.37.2", rotations: 1,
			want: `
				v1.37.2 Settle, Nodes
				v1.37.2 Settle
				Done`,
		},
		{
			name: "a release that moves patches alone",
			shape: world.Shape{
				ControlPlane: version("v1.37.0"), Offers: versions(offers),
				Pools: []world.Pool{{Name: "a", Template: version("v1.37.0"), Nodes: versions("v1.37.0")}},
			},
			target: "v1.37.2", operations: 1, rotations: 1,
			want: `
				v1.37.2 Settle, ControlPlane, Bake, Nodes
				v1.37.2 Settle
				Done`,
		},
		{
			name: "a cluster that is there settles, and settles once more",
			shape: world.Shape{
				ControlPlane: version("v1.37.2"), Offers: versions(offers),
				Pools: []world.Pool{{Name: "a", Template: version("v1.37.2"), Nodes: versions("v1.37.2")}},
			},
			target: "v1.37.2",
			want: `
				v1.37.2 Settle
				v1.37.2 Settle
				Done`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.shape.Pace, test.shape.Limits = pace, limits
			c := world.New(test.shape)
			if diff := cmp.Diff(text(test.want), journey(t, c, test.target)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			added := 0
			for _, pool := range test.shape.Pools {
				added += c.AddedTo(pool.Name)
			}
			counts := c.Counts()
			got := fmt.Sprintf("%d operations, %d nodes added, %d removed", counts.Operations, added, counts.Removed)
			want := fmt.Sprintf("%d operations, %d nodes added, %d removed", test.operations, test.rotations, test.rotations)
			if got != want {
				t.Errorf("%s; want %s", got, want)
			}
			if counts.Refused > 0 || len(c.Broken()) > 0 {
				t.Errorf("%d evictions refused, broken: %v", counts.Refused, c.Broken())
			}
		})
	}
}

// journey drives an upgrade to its end, and tells its steps, a pass a line.
func journey(t *testing.T, c *world.Cluster, target string) string {
	t.Helper()
	in := upgrade.Input{
		UID: us, Hub: hub, Target: version(target),
		Policy: upgrade.Policy{
			Settle: 2 * world.Tick, Bake: 2 * world.Tick,
			Nodes: func(int) noderoll.Policy { return noderoll.Policy{MaxSurge: 1} },
		},
	}
	var told strings.Builder
	last := upgrade.Step{}
	for range 300 {
		in.Now, in.Cluster = c.Now(), c.Observe(world.Lag{})
		step := upgrade.Next(in)
		again := step.Name == last.Name && step.Hop == last.Hop && step.Why.Since.Equal(last.Why.Since)
		switch {
		case len(step.Actions) == 1 && letsGo(step.Actions[0]):
			// It is about to end.
		case step.Outcome != upgrade.Going:
			return strings.TrimSpace(told.String()) + "\n" + string(step.Outcome)
		case step.Name == upgrade.Settle && !again:
			fmt.Fprintf(&told, "\n%s %s", step.Hop, step.Name)
		case step.Name != last.Name:
			fmt.Fprintf(&told, ", %s", step.Name)
		}
		last, in.Memory, in.Pins = step, recorded(step.Memory), pin(in.Pins, step.Path)
		for _, action := range step.Actions {
			if answer := c.Do(action); answer != world.Accepted {
				t.Errorf("%s: %s", action, answer)
			}
		}
		c.Tick()
	}
	return told.String() + "\nno end"
}
