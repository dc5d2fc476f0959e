package observe

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
)

// TestWaves: a member belongs to the first wave that selects it, what was
// remembered is of one revision, and what is not said is the safe thing.
func TestWaves(t *testing.T) {
	bundle := v1.Bundle{Kubernetes: "v1.37.2"}
	hub := Hub{Releases: []v1.Release{{
		ObjectMeta: metav1.ObjectMeta{Name: "2026.11"},
		Spec:       v1.ReleaseSpec{Bundle: bundle, Withdrawn: &v1.Withdrawal{Reason: "loses volumes"}},
	}}}
	for i := range 10 {
		env := []string{"dev", "prod", "lab", "prod", "prod"}[i%5]
		hub.Members = append(hub.Members, v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("eu-%d", i), UID: types.UID(fmt.Sprintf("uid-%d", i)), Labels: map[string]string{"env": env},
		}})
	}
	selects := func(env string) *v1.Selector { return &v1.Selector{MatchLabels: map[string]string{"env": env}} }
	f := &v1.Fleet{
		ObjectMeta: metav1.ObjectMeta{Name: "main", UID: "uid-main"},
		Spec: v1.FleetSpec{
			Release: "2026.11", MaxFailures: intstr.FromString("29%"), Drift: v1.DriftReport,
			Waves: []v1.Wave{
				{Name: "dev", Selector: selects("dev"), MinSuccess: intstr.FromInt32(1), Soak: metav1.Duration{Duration: time.Hour}, AllowEmpty: true},
				{Name: "prod", Selector: selects("prod"), MaxConcurrent: intstr.FromString("34%"), MaxFailures: new(intstr.FromString("34%")), MinSuccess: intstr.FromString("95%")},
				{Name: "again", Selector: selects("dev")},
			},
		},
		Status: v1.FleetStatus{
			Revision: 7, Release: &v1.ReleaseRef{Name: "2026.11", Hash: bundle.Hash()},
			Waves: []v1.WaveStatus{{Name: "prod", OpenedAt: new(metav1.NewTime(ten))}, {Name: "dev", OpenedAt: new(metav1.NewTime(ten)), PassedAt: new(metav1.NewTime(ten.Add(time.Hour)))}},
		},
	}
	want := rollout.Fleet{
		Name: "main", UID: "uid-main", Revision: 7, MaxFailures: 2, ReportDrift: true,
		Release: rollout.Release{Name: "2026.11", Hash: bundle.Hash(), Target: v1372, Withdrawn: "loses volumes"},
		Waves: []rollout.Wave{
			{
				Name: "dev", MaxConcurrent: 1, Members: []string{"eu-0", "eu-5"}, Soak: time.Hour, MinSuccess: fleet.Share{Of: 1}, AllowEmpty: true,
				OpenedAt: ten, PassedAt: ten.Add(time.Hour),
			},
			{
				Name: "prod", MaxConcurrent: 3, Members: []string{"eu-1", "eu-3", "eu-4", "eu-6", "eu-8", "eu-9"}, MaxFailures: new(2),
				MinSuccess: fleet.Share{Of: 95, Percent: true}, OpenedAt: ten,
			},
			{Name: "again", MaxConcurrent: 1, MinSuccess: fleet.Share{Of: 100, Percent: true}},
		},
		NoWave: []string{"eu-2", "eu-7"},
	}
	if diff := cmp.Diff(want, fleetOf(f, hub)); diff != "" {
		t.Errorf("fleet (-want +got):\n%s", diff)
	}

	f.Spec.Release, f.Spec.Waves = "2026.12", append(f.Spec.Waves, v1.Wave{Name: "rest"})
	got := fleetOf(f, hub)
	if got.Revision != 8 || !got.Waves[0].OpenedAt.IsZero() || !got.Waves[0].PassedAt.IsZero() || !got.Waves[1].OpenedAt.IsZero() {
		t.Errorf("in another revision: %+v", got)
	}
	if diff := cmp.Diff([]string{"eu-2", "eu-7"}, got.Waves[3].Members); diff != "" || len(got.NoWave) > 0 {
		t.Errorf("the rest (-want +got):\n%s\nand in no wave %v", diff, got.NoWave)
	}
}

// TestRoster: what is packed is unpacked as it was, and 5,000 members fit.
func TestRoster(t *testing.T) {
	state := rollout.FleetState{
		ShrankAt: ten, Roster: rollout.Roster{LossAt: ten.Add(time.Minute)},
		Waves: []rollout.WaveState{{Name: "dev"}, {Name: "prod", OpenedAt: ten, Why: fleet.Reason{Message: "soaks"}}},
	}
	for i := range 5000 {
		state.Roster.Seats = append(state.Roster.Seats, rollout.Seat{
			ID: uint32(i) * 858_993, Wave: []string{"dev", "prod", ""}[i%3], Cohort: i%2 == 0,
		})
	}
	status := v1.FleetStatus{Waves: []v1.WaveStatus{{Name: "dev"}, {Name: "prod"}}}
	Remember(&status, state)
	if diff := cmp.Diff(state.Roster.Seats, seats(status)); diff != "" {
		t.Errorf("seats (-packed +unpacked):\n%s", diff)
	}
	if !timeOf(status.ShrankAt).Equal(ten) || !timeOf(status.LossAt).Equal(ten.Add(time.Minute)) || !timeOf(status.Waves[1].OpenedAt).Equal(ten) || status.Waves[1].Why != "soaks" {
		t.Errorf("remembered: %+v", status.Waves)
	}

	status.Roster = append(status.Roster[:10:10], 1, 2, 3) // cut short
	status.Waves = status.Waves[:1]
	want := []rollout.Seat{{Wave: "dev", Cohort: true}, {ID: 858_993}}
	if diff := cmp.Diff(want, seats(status)); diff != "" {
		t.Errorf("seats of what somebody spoilt (-want +got):\n%s", diff)
	}
}

// TestStepOf: what an upgrade is busy with, as far as it takes its time.
func TestStepOf(t *testing.T) {
	at := func(name string, finished bool) v1.StepStatus {
		step := v1.StepStatus{Hop: "v1.37.2", Name: name, Started: metav1.NewTime(ten)}
		if finished {
			step.Finished = metav1.NewTime(ten.Add(time.Minute))
		}
		return step
	}
	busy := func(step rollout.Step) rollout.Upgrade {
		return rollout.Upgrade{Member: "eu-1", N: 1, Wave: "dev", Step: step, Since: ten, Nodes: 4, StartedAt: ten.Add(-time.Hour)}
	}
	idle := rollout.Upgrade{Member: "eu-1", N: 1, Wave: "dev", StartedAt: ten.Add(-time.Hour)}
	for _, c := range []struct {
		name  string
		steps []v1.StepStatus
		want  rollout.Upgrade
	}{
		{"nothing yet", nil, idle},
		{"settling takes as long as it takes", []v1.StepStatus{at("Settle", false)}, idle},
		{"the control plane", []v1.StepStatus{at("Settle", true), at("ControlPlane", false)}, busy(rollout.ControlPlane)},
		{"baking", []v1.StepStatus{at("ControlPlane", true), at("Bake", false)}, idle},
		{"nodes", []v1.StepStatus{at("ControlPlane", true), at("Nodes", false), at("Settle", true)}, busy(rollout.Nodes)},
		{"nodes that are held", []v1.StepStatus{at("Nodes", true)}, idle},
	} {
		up := &v1.ClusterUpgrade{
			ObjectMeta: metav1.ObjectMeta{Name: "eu-1.1", CreationTimestamp: metav1.NewTime(ten.Add(-time.Hour))},
			Spec:       v1.ClusterUpgradeSpec{Member: "eu-1", Wave: "dev"},
			Status:     v1.ClusterUpgradeStatus{Steps: c.steps, Nodes: v1.UpgradeNodes{Total: 4}},
		}
		if diff := cmp.Diff(c.want, upgradeOf(up)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
