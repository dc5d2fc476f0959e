package web

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/view"
)

var now = time.Date(2026, time.November, 3, 22, 30, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

func member(name, wave, version string) v1.MemberCluster {
	return v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"wave": wave}},
		Status: v1.MemberClusterStatus{
			ObservedAt: ago(time.Minute), ControlPlane: v1.ControlPlaneStatus{Version: version},
			Nodes:      v1.NodesStatus{Total: 20, Ready: 20, Oldest: version},
			Pools:      []v1.PoolStatus{{Name: "a", Version: version, Nodes: 12}, {Name: "b", Version: version, Nodes: 8}},
			Conditions: []metav1.Condition{{Type: v1.ConditionReady, Status: metav1.ConditionTrue, Message: "healthy"}},
		},
	}
}

func upgrade(member, wave, outcome string, status v1.ClusterUpgradeStatus) v1.ClusterUpgrade {
	status.From, status.To = "v1.36.4", "v1.37.2"
	if outcome != "" {
		status.Conditions = []metav1.Condition{{
			Type: v1.ConditionEnded, Status: metav1.ConditionTrue, Reason: outcome, LastTransitionTime: ago(48 * time.Minute),
		}}
	}
	return v1.ClusterUpgrade{
		ObjectMeta: metav1.ObjectMeta{Name: member + ".1", CreationTimestamp: ago(time.Hour)},
		Spec: v1.ClusterUpgradeSpec{
			Member: member, Release: v1.ReleaseRef{Name: "2026.11", Hash: "h"}, Fleet: "main", FleetUID: "uid-main", Revision: 1, Wave: wave,
		},
		Status: status,
	}
}

// draining is an upgrade that a budget holds.
func draining() v1.ClusterUpgradeStatus {
	step := func(name string, from, to time.Duration) v1.StepStatus {
		s := v1.StepStatus{Hop: "v1.37.2", Name: name, Started: ago(from)}
		if to > 0 {
			s.Finished = ago(to)
		}
		return s
	}
	return v1.ClusterUpgradeStatus{
		Hop: "v1.37.2", Step: "Nodes", Nodes: v1.UpgradeNodes{Total: 20, Done: 3},
		Why: &v1.Why{
			Code: "BudgetExhausted", Object: "poddisruptionbudget shop/web", Since: ago(4*time.Minute + 5*time.Second),
			Message: "pod shop/web-1 on node a-4 may not be evicted: PodDisruptionBudget shop/web allows no disruption (3 healthy, 3 wanted)",
			Fix:     "bring more of its pods to Ready, or let it allow a disruption: kubectl edit poddisruptionbudget -n shop web",
		},
		Steps: []v1.StepStatus{
			step("Settle", 50*time.Minute, 49*time.Minute), step("ControlPlane", 49*time.Minute, 46*time.Minute),
			step("Bake", 46*time.Minute, 36*time.Minute), step("Nodes", 36*time.Minute, 0),
		},
	}
}

// rolling is a fleet of two waves in the middle of a rollout, and of others.
func rolling(others int) observe.Hub {
	wave := func(name string, atOnce int32) v1.Wave {
		return v1.Wave{
			Name: name, MaxConcurrent: intstr.FromInt32(atOnce), MinSuccess: intstr.FromString("100%"), Soak: metav1.Duration{Duration: time.Hour},
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"wave": name}},
		}
	}
	main := v1.Fleet{
		ObjectMeta: metav1.ObjectMeta{Name: "main", UID: "uid-main"},
		Spec: v1.FleetSpec{
			Release: "2026.11", Waves: []v1.Wave{wave("canary", 1), wave("most", 3), wave("late", 2)},
			Selector: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "wave", Operator: metav1.LabelSelectorOpExists}}},
		},
		Status: v1.FleetStatus{
			Conditions: []metav1.Condition{{Type: v1.ConditionStalled, Status: metav1.ConditionFalse, Reason: "Rolling"}},
		},
	}
	main.Spec.MaxFailures = intstr.FromInt32(5)
	bundle := v1.Bundle{Kubernetes: "v1.37.2", AddOns: []v1.AddOn{{
		Name: "ingress", Versions: map[string]v1.ChartVersion{"1.37": "4.15.0"}, Helm: v1.HelmRelease{Repository: "https://charts.example"},
	}}}
	main.Status.Release = &v1.ReleaseRef{Name: "2026.11", Hash: bundle.Hash()}
	main.Status.Revision = 1
	main.Status.Waves = []v1.WaveStatus{{Name: "canary", OpenedAt: new(ago(3 * time.Hour)), PassedAt: new(ago(70 * time.Minute))}}
	hub := observe.Hub{
		Releases: []v1.Release{{ObjectMeta: metav1.ObjectMeta{Name: "2026.11"}, Spec: v1.ReleaseSpec{Bundle: bundle}}}, Fleets: []v1.Fleet{main},
		Members: []v1.MemberCluster{
			member("dev-1", "canary", "v1.37.2"), member("eu-1", "most", "v1.37.2"), member("eu-2", "most", "v1.36.4"), member("eu-3", "most", "v1.36.4"),
			member("eu-4", "most", "v1.36.4"), member("eu-5", "most", "v1.36.4"), member("eu-6", "most", "v1.36.4"), member("us-1", "late", "v1.36.4"), member("us-2", "late", "v1.36.4"),
		},
		Upgrades: []v1.ClusterUpgrade{
			upgrade("dev-1", "canary", "Done", v1.ClusterUpgradeStatus{}), upgrade("eu-1", "most", "Done", v1.ClusterUpgradeStatus{}),
			upgrade("eu-2", "most", "", draining()), upgrade("eu-3", "most", "Failed", failed()), upgrade("eu-4", "most", "", v1.ClusterUpgradeStatus{
				Hop: "v1.37.2", Step: "ControlPlane", Why: &v1.Why{Code: "OperationRunning", Message: "control plane goes to v1.37.2: waiting for kube-apiserver v1.37.2 to be Ready", Since: ago(20 * time.Second)},
				Steps: []v1.StepStatus{{Hop: "v1.37.2", Name: "Settle", Started: ago(2 * time.Minute), Finished: ago(time.Minute)}, {Hop: "v1.37.2", Name: "ControlPlane", Started: ago(time.Minute)}},
			}),
		},
		Freezes: []v1.Freeze{{
			ObjectMeta: metav1.ObjectMeta{Name: "skip-p4nbz", Annotations: map[string]string{v1.ByAnnotation: "ann"}},
			Spec:       v1.FreezeSpec{Member: "eu-6", Stops: v1.StopsSkip, Reason: "is scrapped in March"},
		}},
	}
	for i := range others {
		name, version := fmt.Sprintf("shop-%03d", i), "v1.36.4"
		if i%3 == 0 {
			version = "v1.37.2"
		}
		hub.Members = append(hub.Members, member(name, "most", version))
	}
	return hub
}

func failed() v1.ClusterUpgradeStatus {
	return v1.ClusterUpgradeStatus{
		Hop: "v1.37.2", Step: "ControlPlane",
		Why: &v1.Why{
			Code: "OperationFailed", Object: "operation op-1", Since: ago(48 * time.Minute),
			Message: "control plane to v1.37.2: NotReady: etcd is out of space", Fix: "see the control plane's log",
		},
		Steps: []v1.StepStatus{{Hop: "v1.37.2", Name: "ControlPlane", Started: ago(49 * time.Minute)}},
	}
}

func seen(hub observe.Hub) view.Picture { return view.Seen(hub, fleet.Reason{}, now) }
