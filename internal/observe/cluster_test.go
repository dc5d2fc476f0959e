package observe

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/member"
	"refit.dev/refit/internal/provider"
)

var (
	ten   = time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC)
	v1359 = fleet.Version{Major: 1, Minor: 35, Patch: 9}
	v1364 = fleet.Version{Major: 1, Minor: 36, Patch: 4}
	v1372 = fleet.Version{Major: 1, Minor: 37, Patch: 2}
)

func node(name string, version fleet.Version) fleet.Node {
	return fleet.Node{Name: name, UID: "uid-" + name, Version: version, Ready: true}
}

func TestPoolsOf(t *testing.T) {
	instance := func(id, node string, built fleet.Version) provider.Instance {
		return provider.Instance{ID: id, Node: node, State: provider.State{Version: built}}
	}
	joined := func(n fleet.Node, id string, built fleet.Version) fleet.Node {
		n.Instance, n.Built = id, built
		return n
	}
	replacing := instance("i-2", "a-2", v1372)
	replacing.Replaces = "i-1"
	for _, c := range []struct {
		name  string
		pools []provider.Pool
		nodes []fleet.Node
		// labels of the nodes.
		labels map[string]map[string]string
		want   []fleet.Pool
	}{
		{name: "nothing"},
		{
			name: "instances and their nodes, by name",
			pools: []provider.Pool{
				{Name: "b", Size: 1, RolledBy: fleet.ByProvider, Instances: []provider.Instance{instance("i-3", "b-1", v1359)}},
				{
					Name: "a", Size: 2, Template: provider.State{Version: v1372}, RolledBy: fleet.ByRefit,
					Instances: []provider.Instance{replacing, instance("i-1", "a-1", v1364)},
				},
			},
			nodes: []fleet.Node{node("b-1", v1359), node("a-2", v1372), node("a-1", v1364)},
			want: []fleet.Pool{
				{Name: "a", Template: v1372, Size: 2, RolledBy: fleet.ByRefit, Nodes: []fleet.Node{
					joined(node("a-1", v1364), "i-1", v1364),
					{Name: "a-2", UID: "uid-a-2", Instance: "i-2", Replaces: "i-1", Built: v1372, Version: v1372, Ready: true},
				}},
				{Name: "b", Size: 1, RolledBy: fleet.ByProvider, Nodes: []fleet.Node{joined(node("b-1", v1359), "i-3", v1359)}},
			},
		},
		{
			name: "instances that have not joined",
			pools: []provider.Pool{{
				Name: "a", Size: 1, RolledBy: fleet.ByRefit, Instances: []provider.Instance{replacing, instance("i-1", "a-1", v1364)},
			}},
			nodes: []fleet.Node{node("a-1", v1364)},
			want: []fleet.Pool{{Name: "a", Size: 1, RolledBy: fleet.ByRefit, Nodes: []fleet.Node{
				joined(node("a-1", v1364), "i-1", v1364),
				{Name: "a-2", Instance: "i-2", Replaces: "i-1", Built: v1372, Message: "has not joined the cluster"},
			}}},
		},
		{
			name:  "nodes of no instance",
			pools: []provider.Pool{{Name: "a", Size: 1, RolledBy: fleet.ByRefit, Instances: []provider.Instance{instance("i-1", "a-1", v1364)}}},
			nodes: []fleet.Node{node("stray-2", v1359), node("a-1", v1364), node("stray-1", v1364)},
			want: []fleet.Pool{
				{Name: "a", Size: 1, RolledBy: fleet.ByRefit, Nodes: []fleet.Node{joined(node("a-1", v1364), "i-1", v1364)}},
				{Size: 2, RolledBy: fleet.ByNobody, Nodes: []fleet.Node{node("stray-1", v1364), node("stray-2", v1359)}},
			},
		},
		{
			name: "nodes known by their label",
			pools: []provider.Pool{
				{Name: "a", Size: 2, RolledBy: fleet.ByProvider, NodeLabel: provider.Label{Key: "group", Value: "a"}},
				{Name: "b", Size: 1, RolledBy: fleet.ByProvider, NodeLabel: provider.Label{Key: "group", Value: "b"}},
			},
			nodes: []fleet.Node{node("n-3", v1364), node("n-2", v1364), node("n-1", v1372), node("n-0", v1364), node("n-4", v1364)},
			labels: map[string]map[string]string{
				"n-1": {"group": "a"}, "n-3": {"group": "b"}, "n-2": {"group": "a", "zone": "b"}, "n-0": {"group": "c"}, "n-4": {"zone": "a"},
			},
			want: []fleet.Pool{
				{Name: "a", Size: 2, RolledBy: fleet.ByProvider, Nodes: []fleet.Node{node("n-1", v1372), node("n-2", v1364)}},
				{Name: "b", Size: 1, RolledBy: fleet.ByProvider, Nodes: []fleet.Node{node("n-3", v1364)}},
				{Size: 2, RolledBy: fleet.ByNobody, Nodes: []fleet.Node{node("n-0", v1364), node("n-4", v1364)}},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, poolsOf(provider.Observation{Pools: c.pools}, member.Facts{Nodes: c.nodes, Labels: c.labels})); diff != "" {
				t.Errorf("pools (-want +got):\n%s", diff)
			}
		})
	}
}

// The provider knows all API servers; the one that answered knows its version.
func TestControlPlaneOf(t *testing.T) {
	silence := errors.New("connection refused")
	for _, c := range []struct {
		name           string
		oldest, newest fleet.Version
		ready          bool
		served         fleet.Version
		silence        error
		want           fleet.ControlPlane
	}{
		{"both agree", v1364, v1364, true, v1364, nil, fleet.ControlPlane{Oldest: v1364, Newest: v1364, Ready: true}},
		{"several versions", v1364, v1372, true, v1372, nil, fleet.ControlPlane{Oldest: v1364, Newest: v1372, Ready: true}},
		{"an older one answered", v1372, v1372, true, v1364, nil, fleet.ControlPlane{Oldest: v1364, Newest: v1372, Ready: true}},
		{"a newer one answered", v1364, v1364, true, v1372, nil, fleet.ControlPlane{Oldest: v1364, Newest: v1372, Ready: true}},
		{"the provider does not know", fleet.Version{}, fleet.Version{}, true, v1364, nil, fleet.ControlPlane{Oldest: v1364, Newest: v1364, Ready: true}},
		{"the provider calls it unready", v1364, v1364, false, v1364, nil, fleet.ControlPlane{Oldest: v1364, Newest: v1364, Message: "etcd is down", Fix: "mend it"}},
		{"silent, and the provider knows why", v1364, v1364, false, fleet.Version{}, silence, fleet.ControlPlane{Oldest: v1364, Newest: v1364, Message: "etcd is down", Fix: "mend it"}},
		{"silent", v1364, v1364, true, fleet.Version{}, silence, fleet.ControlPlane{Oldest: v1364, Newest: v1364, Message: "connection refused"}},
		{"silent, and the provider does not know", fleet.Version{}, fleet.Version{}, true, fleet.Version{}, silence, fleet.ControlPlane{Message: "connection refused"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := provider.Observation{ControlPlane: provider.ControlPlane{Oldest: c.oldest, Newest: c.newest, Ready: c.ready}}
			if !c.ready {
				seen.ControlPlane.Message, seen.ControlPlane.Fix = "etcd is down", "mend it"
			}
			if diff := cmp.Diff(c.want, controlPlaneOf(seen, member.Facts{Version: c.served}, c.silence)); diff != "" {
				t.Errorf("control plane (-want +got):\n%s", diff)
			}
		})
	}
}

// still is a provider that always sees the same, or nothing.
type still struct {
	provider.Provider

	seen     provider.Observation
	err      error
	connects error
}

func (s *still) Observe(context.Context, provider.Ref) (provider.Observation, error) {
	return s.seen, s.err
}

func (s *still) Connect(context.Context, provider.Ref) (*rest.Config, error) {
	return &rest.Config{}, s.connects
}

// A member that does not answer is a picture too: what its provider knows, and
// a control plane that is not ready.
func TestClusterOfASilentMember(t *testing.T) {
	cloud := &still{connects: errors.New("no credentials"), seen: provider.Observation{
		UID: "uid-1", ControlPlane: provider.ControlPlane{Oldest: v1364, Newest: v1364, Ready: true},
		Pools: []provider.Pool{{Name: "a", Size: 1, RolledBy: fleet.ByRefit, Instances: []provider.Instance{{ID: "i-1", Node: "a-1", State: provider.State{Version: v1364}}}}},
		Operations: []provider.Operation{
			{ID: "op-1", Token: "t", Part: provider.Part{Kind: provider.PartControlPlane}, To: provider.State{Version: v1372}, Phase: provider.Running, Message: "2 of 3", Started: ten},
			{ID: "op-2", Part: provider.Part{Kind: provider.PartPool, Pool: "a"}, To: provider.State{Version: v1364}, Phase: provider.Failed, Code: "Quota", Foreign: true},
		},
		Offers: []fleet.Version{v1364, v1372}, Limits: provider.Limits{MaxNodeSkew: 2, PicksPatch: true},
	}}
	clusters := &Clusters{
		Providers: map[string]provider.Provider{"local": cloud}, Members: &member.Clients{}, Clock: clocktesting.NewFakePassiveClock(ten),
	}
	mc := &v1.MemberCluster{Spec: v1.MemberClusterSpec{Provider: v1.MemberProvider{Local: &v1.LocalProvider{Name: "one"}}}}
	mc.Name = "eu-1"
	reach, err := clusters.Reach(mc)
	if err != nil || reach.Name != "eu-1" || reach.Ref.Name != "one" || reach.Provider != provider.Provider(cloud) {
		t.Fatalf("reach is %v, %v", reach, err)
	}
	got, err := clusters.Cluster(t.Context(), reach, member.PodsToo)
	if err != nil {
		t.Fatal(err)
	}
	want := fleet.Cluster{
		Name: "eu-1", UID: "uid-1", At: ten, Offers: []fleet.Version{v1364, v1372}, MaxNodeSkew: 2, PicksPatch: true,
		ControlPlane: fleet.ControlPlane{Oldest: v1364, Newest: v1364, Message: "get credentials for eu-1: no credentials"},
		Pools: []fleet.Pool{{Name: "a", Size: 1, RolledBy: fleet.ByRefit, Nodes: []fleet.Node{
			{Name: "a-1", Instance: "i-1", Built: v1364, Message: "has not joined the cluster"},
		}}},
		Operations: []fleet.Operation{
			{ID: "op-1", Token: "t", To: v1372, Phase: fleet.Running, Message: "2 of 3", Started: ten},
			{ID: "op-2", Pool: "a", To: v1364, Phase: fleet.Failed, Code: "Quota", Foreign: true},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cluster (-want +got):\n%s", diff)
	}

	cloud.err = errors.New("no route to host")
	if _, err := clusters.Cluster(t.Context(), reach, member.PodsToo); err == nil || err.Error() != "observe eu-1 through its provider: no route to host" {
		t.Errorf("error is %v", err)
	}
}

// A made-up member has the name of its MemberCluster, and is only reached where
// Refit was started to serve such members.
func TestReachMadeUp(t *testing.T) {
	mc := &v1.MemberCluster{Spec: v1.MemberClusterSpec{Provider: v1.MemberProvider{Fake: &v1.FakeProvider{}}}}
	mc.Name = "eu-1"
	cloud, local := &still{}, &still{}
	clusters := &Clusters{Providers: map[string]provider.Provider{"fake": cloud, "local": local}}
	reach, err := clusters.Reach(mc)
	if err != nil || reach.Name != "eu-1" || reach.Ref.Name != "eu-1" || reach.Provider != provider.Provider(cloud) {
		t.Errorf("reach is %v, %v", reach, err)
	}
	delete(clusters.Providers, "fake")
	const want = `member eu-1: provider "fake" is not served here; served: local; made-up members are for trying Refit: start it with "refit up --fake-provider", or delete this one`
	if _, err := clusters.Reach(mc); err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

// A cluster of EKS is known by its region and its name there, whatever the
// MemberCluster is called.
func TestReachEKS(t *testing.T) {
	mc := &v1.MemberCluster{Spec: v1.MemberClusterSpec{Provider: v1.MemberProvider{
		EKS: &v1.EKSProvider{Region: "eu-west-1", Name: "Prod_1"},
	}}}
	mc.Name = "eu-1"
	cloud := &still{}
	clusters := &Clusters{Providers: map[string]provider.Provider{"eks": cloud, "local": &still{}}}
	reach, err := clusters.Reach(mc)
	want := provider.Ref{Name: "Prod_1", Region: "eu-west-1"}
	if err != nil || reach.Name != "eu-1" || reach.Ref != want || reach.Provider != provider.Provider(cloud) {
		t.Errorf("reach is %v, %v, want %v", reach, err, want)
	}
}

// A cluster that is an object is known by where that is; the Secret that leads
// there is in the member's own namespace, never in another's.
func TestReachObject(t *testing.T) {
	object := &v1.ObjectProvider{Profile: "ClusterAPI", Namespace: "prod", Name: "one"}
	mc := &v1.MemberCluster{Spec: v1.MemberClusterSpec{Provider: v1.MemberProvider{Object: object}}}
	mc.Name, mc.Namespace = "eu-1", "refit"
	cloud := &still{}
	clusters := &Clusters{Providers: map[string]provider.Provider{"object": cloud, "local": &still{}}}
	want := provider.Ref{Name: "one", Object: provider.Object{Profile: "ClusterAPI", Namespace: "prod"}}
	for range 2 {
		reach, err := clusters.Reach(mc)
		if err != nil || reach.Name != "eu-1" || reach.Ref != want || reach.Provider != provider.Provider(cloud) {
			t.Errorf("reach is %v, %v, want %v", reach, err, want)
		}
		object.Kubeconfig = &v1.SecretKey{SecretName: "management", Key: "value"}
		want.Object.Kubeconfig = provider.SecretKey{Namespace: "refit", Name: "management", Key: "value"}
	}
}

// A client that failed is dropped: credentials and addresses can change.
func TestClusterDialsAnewAfterSilence(t *testing.T) {
	dialled := 0
	clients := &member.Clients{Dial: func(*rest.Config) (*member.Client, error) {
		dialled++
		return member.Dial(&rest.Config{Host: "http://127.0.0.1:1"}) // where nobody listens
	}}
	clusters := &Clusters{Members: clients, Clock: clocktesting.NewFakePassiveClock(ten)}
	for range 2 {
		got, err := clusters.Cluster(t.Context(), provider.Cluster{Name: "eu-1", Provider: &still{}}, member.NodesOnly)
		if err != nil || got.ControlPlane.Ready || got.ControlPlane.Message == "" {
			t.Fatalf("control plane is %+v, %v", got.ControlPlane, err)
		}
	}
	if dialled != 2 {
		t.Errorf("dialled %d times for two looks, want 2", dialled)
	}
}
