package preflight_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/preflight"
)

func version(text string) fleet.Version {
	v, ok := fleet.ParseVersion(text)
	if !ok {
		panic("no version: " + text)
	}
	return v
}

func node(name, kubelet string) fleet.Node {
	return fleet.Node{Name: name, UID: "uid-" + name, Version: version(kubelet), Ready: true}
}

// input is a cluster that may go from v1.36.3 to v1.37.2.
func input() preflight.Input {
	at := version("v1.36.3")
	return preflight.Input{
		To: version("v1.37.2"), Upgrade: "uid-of-eu-1.1", OwnToken: "ours",
		Cluster: fleet.Cluster{
			Name:         "eu-1",
			ControlPlane: fleet.ControlPlane{Oldest: at, Newest: at, Ready: true},
			Pools: []fleet.Pool{
				{Name: "a", Template: at, RolledBy: fleet.ByRefit, Nodes: []fleet.Node{node("a1", "v1.36.3"), node("a2", "v1.35.1")}},
				{Name: "b", Template: at, RolledBy: fleet.ByRefit, Nodes: []fleet.Node{node("b1", "v1.34.0")}},
			},
		},
	}
}

func addOn(name, namespace, release string) fleet.WantedAddOn {
	return fleet.WantedAddOn{Name: name, Helm: fleet.Helm{Namespace: namespace, Release: release}}
}

// TestChecks asks each check a question with a yes and one with a no.
func TestChecks(t *testing.T) {
	started := time.Date(2026, time.November, 3, 22, 0, 0, 0, time.FixedZone("CET", 3600))
	for _, test := range []struct {
		name   string
		change func(*preflight.Input)
		want   []preflight.Finding
	}{
		{name: "everything is well", change: func(*preflight.Input) {}},
		{
			name: "Reachable: no",
			change: func(in *preflight.Input) {
				in.Cluster.ControlPlane = fleet.ControlPlane{Ready: true, Message: "timeout"}
			},
			want: []preflight.Finding{{
				Check: "Reachable", Message: "the version of the control plane is not known", Evidence: "timeout",
				Fix: "see that the provider and the API server answer",
			}},
		},
		{
			name: "Ready: no",
			change: func(in *preflight.Input) {
				in.Cluster.ControlPlane.Ready, in.Cluster.ControlPlane.Message = false, "etcd has no leader"
			},
			want: []preflight.Finding{{
				Check: "Ready", Message: "the control plane is not ready", Evidence: "etcd has no leader",
				Fix: "repair the control plane; nothing was changed yet",
			}},
		},
		{
			name: "NothingUnderWay: an operation is",
			change: func(in *preflight.Input) {
				in.Cluster.Operations = []fleet.Operation{{ID: "op-7", Token: "theirs", Pool: "b", To: version("v1.36.6"), Phase: fleet.Running, Started: started}}
			},
			want: []preflight.Finding{{
				Check: "NothingUnderWay", Message: "operation op-7 is under way", Evidence: "to v1.36.6, started 2026-11-03 21:00:00Z",
				Fix: "wait for it to end",
			}},
		},
		{
			name: "NothingUnderWay: our own is no obstacle, nor is one that ended",
			change: func(in *preflight.Input) {
				in.Cluster.Operations = []fleet.Operation{
					{ID: "op-7", Token: "ours", Phase: fleet.Running}, {ID: "op-6", Token: "theirs", Phase: fleet.Failed}, {ID: "op-5", Phase: fleet.Succeeded},
				}
			},
		},
		{
			name: "NothingUnderWay: another upgrade's cordon is",
			change: func(in *preflight.Input) {
				in.Cluster.Pools[1].Nodes[0].Cordoned, in.Cluster.Pools[1].Nodes[0].CordonedBy = true, "uid-of-eu-1.0"
			},
			want: []preflight.Finding{{
				Check: "NothingUnderWay", Message: "node b1 is still cordoned by another upgrade", Evidence: "annotation refit.dev/undo names upgrade uid-of-eu-1.0",
				Fix: "kubectl uncordon b1, and remove its annotation refit.dev/undo",
			}},
		},
		{
			name: "NothingUnderWay: our own cordon is not, nor is anybody's",
			change: func(in *preflight.Input) {
				in.Cluster.Pools[0].Nodes[0].Cordoned = true
				in.Cluster.Pools[1].Nodes[0].Cordoned, in.Cluster.Pools[1].Nodes[0].CordonedBy = true, "uid-of-eu-1.1"
			},
		},
		{
			name:   "Skew: a kubelet newer than the oldest API server",
			change: func(in *preflight.Input) { in.Cluster.ControlPlane.Oldest = version("v1.35.9") },
			want: []preflight.Finding{{
				Check: "Skew", Message: "kubelet of node a1 is newer than the oldest API server", Evidence: "v1.36.3 > v1.35.9",
				Fix: "replace the node by one of the control plane's minor",
			}},
		},
		{
			name:   "Skew: a newer patch is no newer kubelet",
			change: func(in *preflight.Input) { in.Cluster.Pools[0].Nodes[0].Version = version("v1.36.9") },
		},
		{
			name:   "Skew: a kubelet too old",
			change: func(in *preflight.Input) { in.Cluster.Pools[1].Nodes[0].Version = version("v1.33.9") },
			want: []preflight.Finding{{
				Check: "Skew", Message: "kubelet of node b1 is too old for a control plane at v1.37.2", Evidence: "v1.33.9 is 4 minors behind; 3 are allowed",
				Fix: "replace the node by one of the control plane's present minor",
			}},
		},
		{
			name:   "Skew: too old by the provider's limit",
			change: func(in *preflight.Input) { in.Cluster.MaxNodeSkew = 2 },
			want: []preflight.Finding{{
				Check: "Skew", Message: "kubelet of node b1 is too old for a control plane at v1.37.2", Evidence: "v1.34.0 is 3 minors behind; 2 are allowed",
				Fix: "replace the node by one of the control plane's present minor",
			}},
		},
		{
			name: "Skew: a machine that has not joined has no kubelet; but it is not healthy",
			change: func(in *preflight.Input) {
				in.Cluster.Pools[1].Nodes[0] = fleet.Node{Name: "b1", Version: version("v1.20.0"), Message: "has not joined the cluster"}
			},
			want: []preflight.Finding{{
				Check: "NodesHealthy", Message: "1 of 3 nodes are not Ready, first b1", Evidence: "has not joined the cluster",
				Fix: "repair or remove them; nothing was changed yet",
			}},
		},
		{
			name:   "Skew: a template newer than where the control plane goes",
			change: func(in *preflight.Input) { in.Cluster.Pools[1].Template = version("v1.38.0") },
			want: []preflight.Finding{{
				Check: "Skew", Message: "the next node of pool b would be newer than a control plane at v1.37.2", Evidence: "the pool's template is at v1.38.0",
				Fix: "set the pool's template to the control plane's minor",
			}},
		},
		{
			name: "Skew: a template as new as a control plane that is ahead",
			change: func(in *preflight.Input) {
				in.Cluster.Pools[1].Template, in.Cluster.ControlPlane.Oldest = version("v1.38.0"), version("v1.38.1")
			},
		},
		{
			name: "NodesHealthy: two are not",
			change: func(in *preflight.Input) {
				in.Cluster.Pools[0].Nodes[1].Ready, in.Cluster.Pools[0].Nodes[1].Message = false, "disk is full"
				in.Cluster.Pools[1].Nodes[0].Ready = false
			},
			want: []preflight.Finding{{
				Check: "NodesHealthy", Message: "2 of 3 nodes are not Ready, first a2", Evidence: "disk is full",
				Fix: "repair or remove them; nothing was changed yet",
			}},
		},
		{
			name:   "PoolsRolled: one goes along with the control plane",
			change: func(in *preflight.Input) { in.Cluster.Pools[1].RolledBy = fleet.WithControlPlane },
		},
		{
			name:   "PoolsRolled: one is not",
			change: func(in *preflight.Input) { in.Cluster.Pools[1].RolledBy = fleet.InMember },
			want: []preflight.Finding{{
				Check: "PoolsRolled", Message: "pool b is rolled by InMember, which Refit cannot drive yet", Evidence: "reported by the provider",
				Fix: "take the member out of the fleet",
			}},
		},
		{
			name: "AddOnsDistinct: they are, in one namespace each",
			change: func(in *preflight.Input) {
				in.AddOns = []fleet.WantedAddOn{addOn("dns", "kube-system", "dns"), addOn("agent", "kube-system", "agent"), addOn("dns2", "other", "dns")}
			},
		},
		{
			name: "AddOnsDistinct: two are not",
			change: func(in *preflight.Input) {
				in.AddOns = []fleet.WantedAddOn{addOn("dns", "kube-system", "dns"), addOn("agent", "kube-system", "agent"), addOn("coredns", "kube-system", "dns")}
			},
			want: []preflight.Finding{{
				Check: "AddOnsDistinct", Message: "add-ons dns and coredns are the same Helm release, kube-system/dns", Evidence: "named by the release",
				Fix: "create a release that gives one of them another name, Helm release or namespace, and set the fleet's spec.release to it",
			}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := input()
			test.change(&in)
			if diff := cmp.Diff(test.want, preflight.Findings(in)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAllChecksAreAsked, in their order: who fixes one wants to know of the next.
func TestAllChecksAreAsked(t *testing.T) {
	in := input()
	in.Cluster.ControlPlane.Ready = false
	in.To = version("v1.40.0")
	in.Cluster.Operations = []fleet.Operation{{ID: "op-7", Phase: fleet.Running}}
	in.Cluster.Pools[0].Nodes[0].Ready = false
	in.Cluster.Pools[1].RolledBy = fleet.InMember
	in.AddOns = []fleet.WantedAddOn{{}, {}}
	in.Cluster.Source = fleet.Source{Mode: fleet.WriteBack, Why: fleet.Reason{Code: fleet.SourceUnreachable, Message: "no route"}}
	var got []string
	for _, finding := range preflight.Findings(in) {
		got = append(got, finding.Check)
	}
	want := []string{"Ready", "NothingUnderWay", "Skew", "NodesHealthy", "PoolsRolled", "AddOnsDistinct", "SourceWritable"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(append([]string{"Reachable"}, want...), preflight.Checks()); diff != "" {
		t.Errorf("their names (-want +got):\n%s", diff)
	}
}

func TestMaxNodeSkew(t *testing.T) {
	for _, test := range []struct {
		kubelet  string
		provider int
		want     int
	}{
		{"v1.36.0", 0, 3},
		{"v1.25.0", 0, 3},
		{"v1.24.17", 0, 2},
		{"v1.36.0", 2, 2},
		{"v1.36.0", 1, 1},
		{"v1.36.0", 5, 3},
		{"v1.24.17", 3, 2},
		{"v1.24.17", 1, 1},
	} {
		if got := preflight.MaxNodeSkew(fleet.Cluster{MaxNodeSkew: test.provider}, version(test.kubelet)); got != test.want {
			t.Errorf("MaxNodeSkew of %s where the provider says %d is %d; want %d", test.kubelet, test.provider, got, test.want)
		}
	}
}
