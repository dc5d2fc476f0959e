package upgrade_test

import (
	"testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/upgrade"
)

// TestHop is the version that the first pass goes to.
func TestHop(t *testing.T) {
	for _, test := range []struct {
		name string
		situation
		hop string
	}{
		{name: "the release itself, where the next minor is its own", hop: "v1.37.2"},
		{
			name:      "the lowest that is offered of the next minor",
			situation: situation{controlPlane: "v1.35.1", nodes: "v1.35.1", offers: "v1.36.6 v1.36.3 v1.36.4 v1.37.2"},
			hop:       "v1.36.3",
		},
		{
			name: "the release's own word is a floor",
			situation: situation{
				controlPlane: "v1.35.1", nodes: "v1.35.1", offers: "v1.36.6 v1.36.3 v1.36.5 v1.37.2",
				hops: map[string]fleet.Version{"1.36": version("v1.36.4"), "1.35": version("v1.35.9")},
			},
			hop: "v1.36.5",
		},
		{
			name:      "of the last minor the release is the floor, whatever its hops say",
			situation: situation{offers: "v1.37.0 v1.37.3 v1.37.2", hops: map[string]fleet.Version{"1.37": version("v1.37.0")}},
			hop:       "v1.37.2",
		},
		{
			name:      "a vendor's build above the floor",
			situation: situation{target: "v1.37.2-gke.900", offers: "v1.37.2-gke.899 v1.37.2-gke.1200"},
			hop:       "v1.37.2-gke.1200",
		},
		{
			name:      "a pre-release is below the floor",
			situation: situation{controlPlane: "v1.35.1", nodes: "v1.35.1", offers: "v1.36.0-rc.1 v1.36.2"},
			hop:       "v1.36.2",
		},
		{
			name:      "of a provider that picks patches any of the minor",
			situation: situation{controlPlane: "1.36", nodes: "v1.36.3", offers: "1.36 1.37 1.38", picks: true},
			hop:       "v1.37.0",
		},
		{
			name: "the one it began to go to stays, though a lower one is offered by now",
			situation: situation{
				from: "v1.35.1", controlPlane: "v1.35.1", nodes: "v1.35.1", memory: "v1.36.6 ControlPlane 1m",
			},
			hop: "v1.36.6",
		},
		{
			name: "one that it had only settled for does not stay when it is withdrawn",
			situation: situation{
				from: "v1.35.1", controlPlane: "v1.35.1", nodes: "v1.35.1", memory: "v1.36.1 Settle 1m",
			},
			hop: "v1.36.3",
		},
		{
			name:      "what runs counts as offered",
			situation: situation{controlPlane: "v1.37.3", nodes: "v1.36.3", offers: "v1.37.4 v1.38.1"},
			hop:       "v1.37.3",
		},
		{
			name:      "a release that moves nodes alone",
			situation: situation{controlPlane: "v1.37.2", nodes: "v1.37.1"},
			hop:       "v1.37.2",
		},
		{
			name:      "a release that moves patches alone",
			situation: situation{controlPlane: "v1.37.0", nodes: "v1.37.0"},
			hop:       "v1.37.2",
		},
		{
			name:      "a cluster that is there has its pass too",
			situation: situation{controlPlane: "v1.37.2", nodes: "v1.37.2"},
			hop:       "v1.37.2",
		},
		{
			name:      "a control plane ahead: its nodes go to the release",
			situation: situation{controlPlane: "v1.38.1", nodes: "v1.36.3"},
			hop:       "v1.37.2",
		},
		{
			name:      "nodes that could not follow come before the control plane",
			situation: situation{controlPlane: "v1.36.3", nodes: "v1.36.3 v1.33.9"},
			hop:       "v1.36.3",
		},
		{
			name:      "nodes that can just follow do not",
			situation: situation{controlPlane: "v1.36.3", nodes: "v1.36.3 v1.34.0"},
			hop:       "v1.37.2",
		},
		{
			name:      "kubelets before 1.25 follow two minors",
			situation: situation{controlPlane: "v1.26.1", nodes: "v1.24.9", target: "v1.27.1", offers: "v1.27.1"},
			hop:       "v1.26.1",
		},
		{
			name:      "later ones three",
			situation: situation{controlPlane: "v1.27.1", nodes: "v1.25.0", target: "v1.28.1", offers: "v1.28.1"},
			hop:       "v1.28.1",
		},
		{
			name:      "a provider may allow less",
			situation: situation{controlPlane: "v1.36.3", nodes: "v1.35.1", maxSkew: 1},
			hop:       "v1.36.3",
		},
		{
			name:      "but not more",
			situation: situation{controlPlane: "v1.36.3", nodes: "v1.33.9", maxSkew: 5},
			hop:       "v1.36.3",
		},
		{
			name:      "a machine that has not joined has no say",
			situation: situation{controlPlane: "v1.36.3", nodes: "v1.33.9", silent: "connection refused"},
			hop:       "v1.37.2",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := upgrade.Next(test.input()).Hop.String(); got != test.hop {
				t.Errorf("hop is %s; want %s", got, test.hop)
			}
		})
	}
}

func TestNotOffered(t *testing.T) {
	const fix = "name a version that is offered in the release's bundle (kubernetes or hops)"
	table := steps{
		{
			name:      "the release",
			situation: situation{offers: "v1.36.6 v1.37.1 v1.38.0"},
			want: `Preflight unknown
				NotOffered: the provider offers no version of 1.37 that is at least v1.37.2; it offers [v1.36.6 v1.37.1 v1.38.0]
				again in 15s`,
		},
		{
			name:      "a minor on the way",
			situation: situation{controlPlane: "v1.35.1", nodes: "v1.35.1", offers: "v1.37.2"},
			want: `Preflight unknown
				NotOffered: the provider offers no version of 1.36 that is at least v1.36.0; it offers [v1.37.2]
				again in 15s`,
		},
		{
			name: "a hop that the release names",
			situation: situation{
				controlPlane: "v1.35.1", nodes: "v1.35.1", offers: "v1.36.6 v1.37.2", hops: map[string]fleet.Version{"1.36": version("v1.36.7")},
			},
			want: `Preflight unknown
				NotOffered: the provider offers no version of 1.36 that is at least v1.36.7; it offers [v1.36.6 v1.37.2]
				again in 15s`,
		},
		{
			name:      "the nodes' version, of a minor that the control plane has left",
			situation: situation{controlPlane: "v1.38.1", nodes: "v1.36.3", offers: "v1.38.1"},
			want: `Preflight unknown
				NotOffered: the provider offers no version of 1.37 that is at least v1.37.2; it offers [v1.38.1]
				again in 15s`,
		},
	}
	table.run(t)
	for _, test := range table {
		if got := upgrade.Next(test.input()).Why.Fix; got != fix {
			t.Errorf("%s: fix is %q; want %q", test.name, got, fix)
		}
	}
	steps{
		{
			name:      "a minor that somebody else has taken the cluster past needs no version",
			situation: situation{from: "v1.35.1", controlPlane: "v1.36.3", nodes: "v1.35.1", offers: "v1.37.2"},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name:      "nor does the last one, where everything is ahead",
			situation: situation{controlPlane: "v1.38.1", nodes: "v1.37.2 v1.38.1", offers: "v1.38.1"},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
	}.run(t)
}

// TestHopAfterHop: the second pass begins with a Settle of its own, and what
// goes on in it is told as its own.
func TestHopAfterHop(t *testing.T) {
	first := "v1.36.3 Settle 30m 29m\n v1.36.3 ControlPlane 29m 28m\n v1.36.3 Bake 28m 23m\n"
	at := func(controlPlane, records string) situation {
		return situation{from: "v1.35.1", controlPlane: controlPlane, nodes: "v1.35.1 v1.35.1", memory: first + records}
	}
	change := func(s situation, how func(*situation)) situation { how(&s); return s }
	steps{
		{
			name: "settles again", situation: at("v1.36.3", ""),
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name: "asks for the control plane", situation: at("v1.36.3", "v1.37.2 Settle 1m"),
			want: `ControlPlane v1.37.2
				upgrade control plane v1.36.3 → v1.37.2
				OperationRunning: control plane goes from v1.36.3 to v1.37.2
				again in 2s`,
		},
		{
			name: "waits for its own operation, which is nobody else's",
			situation: change(at("v1.36.3", "v1.37.2 Settle 1m 30s\n v1.37.2 ControlPlane 30s"), func(s *situation) {
				s.operations = []fleet.Operation{ended(token("v1.36.3"), "v1.36.3", fleet.Succeeded), running(token("v1.37.2"), "v1.37.2")}
			}),
			want: `ControlPlane v1.37.2
				OperationRunning: control plane goes to v1.37.2
				again in 2s`,
		},
		{
			name: "also in silence",
			situation: change(at("unknown", "v1.37.2 Settle 1m 30s\n v1.37.2 ControlPlane 30s"), func(s *situation) {
				s.silent = "connection refused"
				s.operations = []fleet.Operation{running(token("v1.37.2"), "v1.37.2")}
			}),
			want: `ControlPlane v1.37.2
				OperationRunning: control plane goes to v1.37.2
				again in 2s`,
		},
		{
			name: "bakes anew", situation: at("v1.37.2", "v1.37.2 ControlPlane 2m"),
			want: `Bake v1.37.2
				Baking: control plane is at v1.37.2; nodes follow at 22:05:00 UTC
				again in 15s`,
		},
		{
			name: "in the first bake the second is not begun",
			situation: situation{
				from: "v1.35.1", controlPlane: "v1.36.3", nodes: "v1.35.1",
				memory: "v1.36.3 Settle 9m 8m\n v1.36.3 ControlPlane 8m 7m\n v1.36.3 Bake 4m",
			},
			want: `Bake v1.36.3
				Baking: control plane is at v1.36.3; nodes follow at 22:01:00 UTC
				again in 15s`,
		},
	}.run(t)
}

// TestNodesOnTheWay: before the last hop nodes are replaced only where the next
// control plane could not bear them, and in those pools alone.
func TestNodesOnTheWay(t *testing.T) {
	baked := "v1.36.3 ControlPlane 29m 28m\n v1.36.3 Bake 28m 23m\n"
	steps{
		{
			name: "no node is too old: none moves",
			situation: situation{
				from: "v1.35.1", controlPlane: "v1.36.3", nodes: "v1.34.0 v1.35.1", memory: baked,
			},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name: "one is: it goes to the hop, and the others stay",
			situation: situation{
				from: "v1.35.1", controlPlane: "v1.36.3", nodes: "v1.35.1 v1.33.9 v1.36.3", memory: baked,
			},
			want: `Nodes v1.36.3
				add node to pool a for i-b
				NodeReplacing: replacing nodes of pool a: 1 of 3 left
				again in 2s`,
		},
		{
			name: "a roll that has begun is carried to its end: its pool is to be whole",
			situation: situation{
				from: "v1.35.1", controlPlane: "v1.36.3", nodes: "v1.35.1 v1.36.3 v1.36.3!", memory: baked + "v1.36.3 Nodes 5m",
			},
			want: `Nodes v1.36.3
				NodesJoining: waiting for 1 node(s) of pool a to be Ready, first c
				again in 2s`,
		},
		{
			name: "and then the hop is over",
			situation: situation{
				from: "v1.35.1", controlPlane: "v1.36.3", nodes: "v1.35.1 v1.36.3 v1.36.3", memory: baked + "v1.36.3 Nodes 5m",
			},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name: "a pool that has no part in the roll keeps its template",
			situation: situation{
				from: "v1.35.1", controlPlane: "v1.36.3", nodes: "v1.35.1 v1.35.1", memory: baked + "v1.36.3 Nodes 5m",
			},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name: "nodes before the first hop, begun: carried on though none is too old any more",
			situation: situation{
				from: "v1.36.3", controlPlane: "v1.36.3", nodes: "v1.34.1~ v1.36.3 v1.36.3", memory: "v1.36.3 Settle 9m 8m\n v1.36.3 Nodes 8m",
			},
			want: `Nodes v1.36.3
				add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 1 of 3 left
				again in 2s`,
		},
	}.run(t)
}

// TestPoolsThatLackNodes: they come first, and one that has none takes part in every
// roll, for pods of the others may have nowhere else to go.
func TestPoolsThatLackNodes(t *testing.T) {
	const baked = "v1.36.3 ControlPlane 29m 28m\n v1.36.3 Bake 28m 23m\n"
	for _, test := range []struct {
		name, nodes string
		second      fleet.Pool
		want        string
	}{
		{"whole", "v1.33.9", pool("b", 1, "v1.33.9"), "add node to pool a for i-a"},
		{"one of two is left", "v1.33.9", pool("b", 2, "v1.33.9"), "add node to pool b for i-b"},
		{"one of two is left, which may stay", "v1.33.9", pool("b", 2, "v1.35.1"), "add node to pool a for i-a"},
		{"none is left", "v1.33.9", pool("b", 1, ""), "set template of pool b v1.35.1 → v1.36.3"},
		{"none is wanted", "v1.33.9", pool("b", 0, ""), "add node to pool a for i-a"},
		{"none is left, and nothing is rolled", "v1.35.1", pool("b", 1, ""), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := situation{from: "v1.35.1", controlPlane: "v1.36.3", nodes: test.nodes, template: "v1.36.3", memory: baked}.input()
			in.Cluster.Pools = append(in.Cluster.Pools, test.second)
			got := ""
			if step := upgrade.Next(in); len(step.Actions) > 0 {
				got = step.Actions[0].String()
			}
			if got != test.want {
				t.Errorf("it begins with %q, want %q", got, test.want)
			}
		})
	}
}

// pool has one node, or none.
func pool(name string, size int, node string) fleet.Pool {
	p := fleet.Pool{Name: name, Size: size, Template: version("v1.36.3"), RolledBy: fleet.ByRefit}
	if node == "" {
		p.Template = version("v1.35.1")
		return p
	}
	p.Nodes = []fleet.Node{{Name: name, UID: "uid-" + name, Instance: "i-" + name, Ready: true, Built: version(node), Version: version(node)}}
	return p
}
