package observe

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/noderoll"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/upgrade"
)

func ready(status metav1.ConditionStatus, message string) []metav1.Condition {
	return []metav1.Condition{{Type: v1.ConditionReady, Status: status, Message: message}}
}

func TestMemberOf(t *testing.T) {
	for _, c := range []struct {
		name   string
		status v1.MemberClusterStatus
		want   rollout.Member
	}{
		{"never observed", v1.MemberClusterStatus{}, rollout.Member{Message: "never observed"}},
		{
			"healthy",
			v1.MemberClusterStatus{
				ObservedAt: metav1.NewTime(ten), ControlPlane: v1.ControlPlaneStatus{Version: "v1.37.2"},
				Nodes: v1.NodesStatus{Total: 3, Oldest: "v1.36.4"}, Conditions: ready(metav1.ConditionTrue, "healthy"),
			},
			rollout.Member{ObservedAt: ten, ControlPlane: v1372, Oldest: v1364, Ready: true, Message: "healthy"},
		},
		{
			"not healthy, since then",
			v1.MemberClusterStatus{
				ObservedAt: metav1.NewTime(ten), ControlPlane: v1.ControlPlaneStatus{Version: "v1.37.2"},
				Conditions: []metav1.Condition{{
					Type: v1.ConditionReady, Status: metav1.ConditionFalse, Message: "a node is not Ready", LastTransitionTime: metav1.NewTime(ten),
				}},
			},
			rollout.Member{ObservedAt: ten, ControlPlane: v1372, Oldest: v1372, ReadySince: ten, Message: "a node is not Ready"},
		},
		{
			"without nodes: its control plane",
			v1.MemberClusterStatus{ControlPlane: v1.ControlPlaneStatus{Version: "v1.37.2"}, Conditions: ready(metav1.ConditionTrue, "healthy")},
			rollout.Member{ControlPlane: v1372, Oldest: v1372, Ready: true, Message: "healthy"},
		},
		{
			"whose provider picks patches",
			v1.MemberClusterStatus{ControlPlane: v1.ControlPlaneStatus{Version: "v1.37.2", PicksPatch: true}, Conditions: ready(metav1.ConditionTrue, "healthy")},
			rollout.Member{ControlPlane: v1372, Oldest: v1372, PicksPatch: true, Ready: true, Message: "healthy"},
		},
		{
			"nodes of unknown version",
			v1.MemberClusterStatus{ControlPlane: v1.ControlPlaneStatus{Version: "v1.37.2"}, Nodes: v1.NodesStatus{Total: 3}},
			rollout.Member{ControlPlane: v1372, Message: "never observed"},
		},
		{
			"not known to be ready",
			v1.MemberClusterStatus{ControlPlane: v1.ControlPlaneStatus{Version: "v1.37.2"}, Conditions: ready(metav1.ConditionUnknown, "no route to host")},
			rollout.Member{ControlPlane: v1372, Oldest: v1372, Message: "no route to host"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Name = "eu-1"
			got := memberOf(&v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: "eu-1"}, Status: c.status})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("member (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFleetOf(t *testing.T) {
	bundle := v1.Bundle{Kubernetes: "v1.37.2"}
	hub := Hub{Releases: []v1.Release{{ObjectMeta: metav1.ObjectMeta{Name: "2026.11"}, Spec: v1.ReleaseSpec{Bundle: bundle}}}}
	for _, name := range []string{"eu-3", "eu-1", "eu-2", "leaving"} {
		hub.Members = append(hub.Members, v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"name": name}}})
	}
	hub.Members[3].DeletionTimestamp = new(metav1.NewTime(ten))
	all := []string{"eu-1", "eu-2", "eu-3"}
	release := rollout.Release{Name: "2026.11", Hash: bundle.Hash(), Target: v1372}

	for _, c := range []struct {
		name   string
		change func(*v1.Fleet)
		want   rollout.Fleet
	}{
		{"new", func(*v1.Fleet) {}, rollout.Fleet{
			Revision: 1, Release: release, Waves: []rollout.Wave{{Name: "all", MaxConcurrent: 1, Members: all}},
		}},
		{"at its revision", func(f *v1.Fleet) {
			f.Status = v1.FleetStatus{Revision: 4, Release: &v1.ReleaseRef{Name: "2026.11", Hash: bundle.Hash()}}
		}, rollout.Fleet{Revision: 4, Release: release, Waves: []rollout.Wave{{Name: "all", MaxConcurrent: 1, Members: all}}}},
		{"of another bundle than before", func(f *v1.Fleet) {
			f.Status = v1.FleetStatus{Revision: 4, Release: &v1.ReleaseRef{Name: "2026.11", Hash: "another"}}
		}, rollout.Fleet{Revision: 5, Release: release, Waves: []rollout.Wave{{Name: "all", MaxConcurrent: 1, Members: all}}}},
		{"of no such release", func(f *v1.Fleet) { f.Spec.Release = "2027.01" }, rollout.Fleet{
			Revision: 1, Release: rollout.Release{Name: "2027.01"}, Waves: []rollout.Wave{{Name: "all", MaxConcurrent: 1, Members: all}},
		}},
		{"some members, some at once", func(f *v1.Fleet) {
			f.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"eu-2"}}}
			f.Spec.Waves[0].MaxConcurrent = intstr.FromString("51%")
		}, rollout.Fleet{
			Revision: 1, Release: release, Waves: []rollout.Wave{{Name: "all", MaxConcurrent: 2, Members: []string{"eu-1", "eu-3"}}},
		}},
		{"nobody", func(f *v1.Fleet) {
			f.Spec.Selector.MatchLabels = map[string]string{"name": "us-1"}
			f.Spec.Waves[0].MaxConcurrent = intstr.FromString("100%")
		}, rollout.Fleet{Revision: 1, Release: release, Waves: []rollout.Wave{{Name: "all", MaxConcurrent: 1}}}},
		{"a selector that nobody can read", func(f *v1.Fleet) {
			f.Spec.Selector.MatchLabels = map[string]string{"name": "not a label!"}
		}, rollout.Fleet{Revision: 1, Release: release, Waves: []rollout.Wave{{Name: "all", MaxConcurrent: 1}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &v1.Fleet{
				ObjectMeta: metav1.ObjectMeta{Name: "main", UID: "uid-main"},
				Spec:       v1.FleetSpec{Release: "2026.11", Waves: []v1.Wave{{Name: "all", MaxConcurrent: intstr.FromInt32(1)}}},
			}
			c.change(f)
			c.want.Name, c.want.UID = "main", "uid-main"
			for i := range c.want.Waves {
				c.want.Waves[i].MinSuccess = fleet.Share{Of: 100, Percent: true}
			}
			if diff := cmp.Diff(c.want, fleetOf(f, hub)); diff != "" {
				t.Errorf("fleet (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUpgradeOf(t *testing.T) {
	ended := func(status metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{{Type: v1.ConditionEnded, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(ten)}}
	}
	for _, c := range []struct {
		name, member string
		conditions   []metav1.Condition
		want         rollout.Upgrade
	}{
		{"eu-1.1", "eu-1", nil, rollout.Upgrade{N: 1}},
		{"eu-1.12", "eu-1", ended(metav1.ConditionFalse, "Settling"), rollout.Upgrade{N: 12}},
		{"eu-1.3", "eu-1", ended(metav1.ConditionTrue, "Done"), rollout.Upgrade{N: 3, Outcome: rollout.Done, EndedAt: ten}},
		{"eu-1.4", "eu-1", ended(metav1.ConditionTrue, "Failed"), rollout.Upgrade{N: 4, Outcome: rollout.Failed, EndedAt: ten}},
		{"eu-1.5", "eu-1", ended(metav1.ConditionTrue, "Superseded"), rollout.Upgrade{N: 5, Outcome: rollout.Superseded, EndedAt: ten}},
	} {
		up := &v1.ClusterUpgrade{
			ObjectMeta: metav1.ObjectMeta{Name: c.name},
			Spec:       v1.ClusterUpgradeSpec{Member: c.member, FleetUID: "uid-main", Revision: 4},
			Status:     v1.ClusterUpgradeStatus{Conditions: c.conditions},
		}
		c.want.Member, c.want.FleetUID, c.want.Revision = c.member, "uid-main", 4
		if diff := cmp.Diff(c.want, upgradeOf(up)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if got := Ended(up); got != (c.want.Outcome != "") {
			t.Errorf("%s has ended: %t", c.name, got)
		}
	}
}

func TestFreezeOf(t *testing.T) {
	ann := map[string]string{v1.ByAnnotation: "ann", "ticket": "4711"}
	from, until := metav1.NewTime(ten), metav1.NewTime(ten.Add(time.Hour))
	for _, c := range []struct {
		name        string
		annotations map[string]string
		spec        v1.FreezeSpec
		want        rollout.Freeze
	}{
		{
			"of everything, for ever, by nobody", nil,
			v1.FreezeSpec{Stops: v1.StopsStarts, Reason: "holidays"},
			rollout.Freeze{Stops: rollout.Starts, Reason: "holidays"},
		},
		{
			"of a fleet, for a time", ann,
			v1.FreezeSpec{Fleet: "main", From: &from, Until: &until, Stops: v1.StopsStarts, Reason: "holidays"},
			rollout.Freeze{Fleet: "main", From: ten, Until: ten.Add(time.Hour), Stops: rollout.Starts, By: "ann", Reason: "holidays"},
		},
		{
			"of a member that is left out", ann,
			v1.FreezeSpec{Member: "eu-1", Stops: v1.StopsSkip, Reason: "is to be scrapped"},
			rollout.Freeze{Member: "eu-1", Stops: rollout.Skip, By: "ann", Reason: "is to be scrapped"},
		},
		{
			"of what is not known", ann,
			v1.FreezeSpec{Fleet: "main", Stops: "Nodes", Reason: "incident"},
			rollout.Freeze{Fleet: "main", Stops: rollout.Starts, By: "ann", Reason: "incident"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Name = "no"
			hub := Hub{Freezes: []v1.Freeze{{ObjectMeta: metav1.ObjectMeta{Name: "no", Annotations: c.annotations}, Spec: c.spec}}}
			if diff := cmp.Diff([]rollout.Freeze{c.want}, Rollout(hub, ten).Freezes); diff != "" {
				t.Errorf("freezes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestApprovalOf(t *testing.T) {
	until := metav1.NewTime(ten.Add(time.Hour))
	for _, c := range []struct {
		name string
		spec v1.ApprovalSpec
		want rollout.Approval
	}{
		{
			"to go on",
			v1.ApprovalSpec{Fleet: "main", Revision: 3, Subject: v1.SubjectResume, Reason: "quota raised"},
			rollout.Approval{Fleet: "main", Revision: 3, Subject: rollout.Resume},
		},
		{
			"to start again, for a time",
			v1.ApprovalSpec{Fleet: "main", Revision: 3, Subject: v1.SubjectRetry, Name: "eu-1", Until: &until, Reason: "disk replaced"},
			rollout.Approval{Fleet: "main", Revision: 3, Subject: rollout.Retry, Member: "eu-1", Until: ten.Add(time.Hour)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Name, c.want.At = "yes", ten
			hub := Hub{Approvals: []v1.Approval{{ObjectMeta: metav1.ObjectMeta{Name: "yes", CreationTimestamp: metav1.NewTime(ten)}, Spec: c.spec}}}
			if diff := cmp.Diff([]rollout.Approval{c.want}, Rollout(hub, ten).Approvals); diff != "" {
				t.Errorf("approvals (-want +got):\n%s", diff)
			}
		})
	}
}

// Surge is rounded up and what may be missing down, so that a percentage of a
// small pool neither stops it nor takes more than was said.
func TestPolicy(t *testing.T) {
	number, percent := intstr.FromInt32, intstr.FromString
	for _, c := range []struct {
		surge, unavailable intstr.IntOrString
		size               int
		want               noderoll.Policy
	}{
		{number(2), number(1), 10, noderoll.Policy{MaxSurge: 2, MaxUnavailable: 1}},
		{percent("10%"), number(0), 10, noderoll.Policy{MaxSurge: 1}},
		{percent("10%"), number(0), 11, noderoll.Policy{MaxSurge: 2}},
		{percent("10%"), number(0), 1, noderoll.Policy{MaxSurge: 1}},
		{number(0), percent("25%"), 7, noderoll.Policy{MaxUnavailable: 1}},
		{number(0), percent("25%"), 3, noderoll.Policy{}},
		{percent("100%"), percent("100%"), 3, noderoll.Policy{MaxSurge: 3, MaxUnavailable: 3}},
		{percent("many"), percent(""), 3, noderoll.Policy{}},
	} {
		f := &v1.Fleet{Spec: v1.FleetSpec{
			Settle: metav1.Duration{Duration: time.Minute}, Bake: metav1.Duration{Duration: time.Hour},
			Nodes: v1.NodePolicy{MaxSurge: c.surge, MaxUnavailable: c.unavailable},
		}}
		policy := Policy(f)
		if policy.Settle != time.Minute || policy.Bake != time.Hour || policy.Nodes(c.size) != c.want {
			t.Errorf("surge %s, unavailable %s of %d nodes: settle %s, bake %s, %+v; want %+v",
				c.surge.String(), c.unavailable.String(), c.size, policy.Settle, policy.Bake, policy.Nodes(c.size), c.want)
		}
	}
}

func TestMemory(t *testing.T) {
	later := ten.Add(time.Minute)
	got := Memory(v1.ClusterUpgradeStatus{From: "v1.36.4", Steps: []v1.StepStatus{
		{Hop: "v1.37.2", Name: "Settle", Started: metav1.NewTime(ten), Finished: metav1.NewTime(later)},
		{Hop: "v1.37.2", Name: "ControlPlane", Started: metav1.NewTime(later)},
		{Hop: "", Name: "Settle"},
	}})
	want := upgrade.Memory{From: v1364, Records: []upgrade.Record{
		{Hop: v1372, Step: upgrade.Settle, Entered: ten, Finished: later},
		{Hop: v1372, Step: upgrade.ControlPlane, Entered: later},
		{Step: upgrade.Settle},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("memory (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(upgrade.Memory{}, Memory(v1.ClusterUpgradeStatus{})); diff != "" {
		t.Errorf("memory of the beginning (-want +got):\n%s", diff)
	}
}

func TestReason(t *testing.T) {
	if got := Reason(nil); !got.IsZero() {
		t.Errorf("reason is %+v where there is none", got)
	}
	why := &v1.Why{Code: "ProviderFault", Message: "refused", Object: "member eu-1", Fix: "ask", Since: metav1.NewTime(ten)}
	want := fleet.Reason{Code: fleet.ProviderFault, Message: "refused", Object: "member eu-1", Fix: "ask", Since: ten}
	if diff := cmp.Diff(want, Reason(why)); diff != "" {
		t.Errorf("reason (-want +got):\n%s", diff)
	}
}

func TestHops(t *testing.T) {
	got := Hops(v1.Bundle{Hops: map[string]v1.HopVersion{"1.36": "v1.36.4", "1.35": "v1.35.9"}})
	if diff := cmp.Diff(map[string]fleet.Version{"1.36": v1364, "1.35": v1359}, got); diff != "" {
		t.Errorf("hops (-want +got):\n%s", diff)
	}
}

// TestAddOnsOfABundle: what is left out of an add-on has the add-on's own name.
func TestAddOnsOfABundle(t *testing.T) {
	bundle := v1.Bundle{AddOns: []v1.AddOn{
		{
			Name: "dns", When: "AfterNodes", Versions: map[string]v1.ChartVersion{"1.36": "v1.36.4", "1.37": "1.37.2"},
			HealthyWithin: metav1.Duration{Duration: time.Minute},
			Helm: v1.HelmRelease{
				Repository: "https://charts.example", Chart: "coredns", Namespace: "kube-system", Release: "cluster-dns",
				Values: &runtime.RawExtension{Raw: []byte(`{ "b": 1, "a": {} }`)},
			},
		},
		{Name: "agent", When: "BeforeControlPlane", Helm: v1.HelmRelease{Repository: "oci://charts.example/all", Namespace: "monitoring"}},
	}}
	want := []fleet.WantedAddOn{
		{
			Name: "dns", When: fleet.AfterNodes, Patience: time.Minute,
			Versions: map[string]fleet.ChartVersion{"1.36": {Version: v1364, Text: "v1.36.4"}, "1.37": {Version: v1372, Text: "1.37.2"}},
			Helm: fleet.Helm{
				Repository: "https://charts.example", Chart: "coredns", Namespace: "kube-system", Release: "cluster-dns", Values: `{"a":{},"b":1}`,
			},
		},
		{
			Name: "agent", When: fleet.BeforeControlPlane, Versions: map[string]fleet.ChartVersion{},
			Helm: fleet.Helm{Repository: "oci://charts.example/all", Chart: "agent", Namespace: "monitoring", Release: "agent", Values: "{}"},
		},
	}
	if diff := cmp.Diff(want, Wanted(bundle)); diff != "" {
		t.Errorf("add-ons (-want +got):\n%s", diff)
	}
}

// Two providers may call their clusters the same: they are two, all the same.
func TestClusterOf(t *testing.T) {
	for want, provider := range map[string]v1.MemberProvider{
		"local/uid-1": {Local: &v1.LocalProvider{Name: "eu-1"}},
		"fake/uid-1":  {Fake: &v1.FakeProvider{}},
	} {
		mc := &v1.MemberCluster{Spec: v1.MemberClusterSpec{Provider: provider}, Status: v1.MemberClusterStatus{UID: "uid-1"}}
		if got := clusterOf(mc); got != want {
			t.Errorf("cluster is %s, want %s", got, want)
		}
		mc.Status.UID = ""
		if got := clusterOf(mc); got != "" {
			t.Errorf("cluster that was never seen is %s", got)
		}
	}
}
