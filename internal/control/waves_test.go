package control_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/provider/fake"
)

// waves makes a fleet of canaries, by their label, and of everybody else.
func waves(spec *v1.FleetSpec) {
	spec.Waves = []v1.Wave{
		{
			Name: "canary", MaxConcurrent: intstr.FromInt32(1), Soak: metav1.Duration{Duration: time.Hour}, MinSuccess: intstr.FromString("100%"),
			Selector: &v1.Selector{MatchLabels: map[string]string{"name": "eu-1"}},
		},
		{Name: "rest", MaxConcurrent: intstr.FromInt32(2), MinSuccess: intstr.FromString("100%")},
	}
}

// finish lets a member be seen at the release, and its upgrade be done.
func (l *loops) finish(name string) {
	l.t.Helper()
	l.clusters[name].Change(func(s *fake.State) {
		s.Version = version(l.t, "v1.37.2")
		for i := range s.Machines {
			s.Machines[i].Version = s.Version
		}
	})
	l.see(name)
	up := l.upgrade(name + ".1")
	up.Status.Conditions = []metav1.Condition{{
		Type: v1.ConditionEnded, Status: metav1.ConditionTrue, Reason: "Done", LastTransitionTime: metav1.NewTime(l.clock.Now()),
	}}
	if err := l.hub.Status().Update(l.t.Context(), up); err != nil {
		l.t.Fatal(err)
	}
}

// TestFleetsRollInWaves: the canary first, then its soak, then the rest; what is
// remembered of it survives the loop, and a new release begins anew.
func TestFleetsRollInWaves(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addRelease("2026.12", "v1.37.3")
	l.addFleet("main", "2026.11", waves)
	l.addMembers("v1.36.4", "eu-1", "eu-2", "eu-3")
	begun := metav1.NewTime(l.clock.Now())
	l.decide()
	checkStarted(t, l, "eu-1.1")

	l.clock.Step(time.Minute)
	l.finish("eu-1")
	done := l.clock.Now()
	if after := l.decide().RequeueAfter; after > time.Hour {
		t.Errorf("decides again after %s, want the end of the soak", after)
	}
	checkStarted(t, l, "eu-1.1")
	checkWave(t, l, 0, v1.WaveStatus{OpenedAt: &begun, Why: "soaks until " + done.Add(time.Hour).UTC().Format(time.DateTime+" UTC")})
	checkWave(t, l, 1, v1.WaveStatus{})

	// Whoever joins while it soaks lengthens nothing.
	l.addMembers("v1.36.4", "eu-4")
	l.clock.Step(time.Hour)
	for _, name := range []string{"eu-1", "eu-2", "eu-3", "eu-4"} {
		l.see(name)
	}
	passed := metav1.NewTime(l.clock.Now())
	l.decide()
	checkStarted(t, l, "eu-1.1", "eu-2.1", "eu-3.1")
	checkWave(t, l, 0, v1.WaveStatus{OpenedAt: &begun, PassedAt: &passed})
	checkWave(t, l, 1, v1.WaveStatus{OpenedAt: &passed, Why: "0 of 3 there and healthy, 3 needed; not yet: eu-2, eu-3, eu-4"})

	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.Release = "2026.12" })
	l.clock.Step(time.Minute)
	l.decide()
	anew := metav1.NewTime(l.clock.Now())
	checkWave(t, l, 0, v1.WaveStatus{OpenedAt: &anew, Why: "0 of 1 there and healthy, 1 needed; not yet: eu-1"})
	checkWave(t, l, 1, v1.WaveStatus{})
}

func checkStarted(t *testing.T, l *loops, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), l.started()); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}
}

func checkWave(t *testing.T, l *loops, i int, want v1.WaveStatus) {
	t.Helper()
	got := l.fleet("main").Status.Waves[i]
	got.Name, got.MemberCounts = "", v1.MemberCounts{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wave %d (-want +got):\n%s", i, diff)
	}
}

// TestFleetsTolerate: a failure within the bounds halts nobody, of the fleet or of
// a wave; and who aborted is counted apart.
func TestFleetsTolerate(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) {
		spec.MaxFailures = intstr.FromString("25%")
		spec.Waves[0].MaxFailures = new(intstr.FromInt32(1))
		spec.Waves[0].MaxConcurrent = intstr.FromInt32(1)
	})
	l.addMembers("v1.36.4", "eu-1", "eu-2", "eu-3", "eu-4")
	l.addUpgrade(l.fleet("main"), "eu-1", 1, "Failed")
	l.addUpgrade(l.fleet("main"), "eu-2", 1, "Aborted")
	l.decide()
	checkStarted(t, l, "eu-1.1", "eu-2.1", "eu-3.1")
	want := v1.MemberCounts{Total: 4, Waiting: 2, Failed: 1, Aborted: 1}
	if diff := cmp.Diff(want, l.fleet("main").Status.Members); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.Waves[0].MaxFailures = new(intstr.FromInt32(0)) })
	l.addUpgrade(l.fleet("main"), "eu-3", 2, "Superseded")
	l.decide()
	if got := l.fleet("main").Status.Conditions[2]; got.Reason != "Halted" {
		t.Errorf("stalled for %s: %s; want Halted", got.Reason, got.Message)
	}
}

// TestFleetsShrink: members that vanish together hold the fleet, until they are
// back or a person agrees.
func TestFleetsShrink(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) { spec.Waves[0].MaxConcurrent = intstr.FromInt32(9) })
	l.addMembers("v1.37.2", "eu-1", "eu-2", "eu-3", "eu-4")
	l.decide()
	for _, name := range []string{"eu-1", "eu-2", "eu-3"} {
		edit(l, name, &v1.MemberCluster{}, func(mc *v1.MemberCluster) { mc.Labels = map[string]string{"gone": "yes"} })
	}
	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) {
		f.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "gone", Operator: metav1.LabelSelectorOpDoesNotExist}}
	})
	l.addMembers("v1.36.4", "eu-5")
	l.clock.Step(time.Minute)
	at := metav1.NewTime(l.clock.Now())
	l.decide()
	checkStarted(t, l)
	status := l.fleet("main").Status
	if status.Conditions[2].Reason != "InventoryShrank" || !status.ShrankAt.Equal(&at) || !status.LossAt.Equal(&at) {
		t.Errorf("stalled for %s since %s, missed since %s", status.Conditions[2].Reason, status.ShrankAt, status.LossAt)
	}

	l.clock.Step(time.Hour)
	l.see("eu-5")
	l.decide()
	checkStarted(t, l)
	l.add(&v1.Approval{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "meant-it"},
		Spec:       v1.ApprovalSpec{Fleet: "main", Revision: 1, Subject: v1.SubjectResume, Reason: "scrapped"},
	})
	l.decide()
	checkStarted(t, l, "eu-5.1")
	if status := l.fleet("main").Status; status.ShrankAt != nil || status.LossAt != nil || len(status.Roster) != 10 {
		t.Errorf("shrank at %s, loss at %s, roster of %d bytes", status.ShrankAt, status.LossAt, len(status.Roster))
	}
}

// TestFleetsReportDrift: who falls behind is left where it is where the fleet says so.
func TestFleetsReportDrift(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) { spec.Drift = v1.DriftReport })
	l.addMembers("v1.36.4", "eu-1")
	l.addUpgrade(l.fleet("main"), "eu-1", 1, "Done")
	l.clock.Step(time.Hour)
	l.see("eu-1")
	l.decide()
	checkStarted(t, l, "eu-1.1")
	checkSum(t, l, "main", "stalled: Behind")
	l.addMembers("v1.36.4", "eu-2")
	l.see("eu-2")
	l.decide()
	checkStarted(t, l, "eu-1.1", "eu-2.1")
	checkSum(t, l, "main", "progressing: InFlight")
	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) {
		f.Spec.Drift, f.Spec.Waves[0].MaxConcurrent = v1.DriftCorrect, intstr.FromInt32(2)
	})
	l.decide()
	checkStarted(t, l, "eu-1.1", "eu-1.2", "eu-2.1")
}

// TestFleetsPassEmptyWaves only where they are allowed to be empty.
func TestFleetsPassEmptyWaves(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) {
		waves(spec)
		spec.Waves[0].Selector.MatchLabels["name"] = "nobody"
	})
	l.addMembers("v1.36.4", "eu-1")
	l.decide()
	checkStarted(t, l)
	if got := l.fleet("main").Status.Conditions[2]; got.Reason != "EmptyWave" {
		t.Errorf("stalled for %s: %s; want EmptyWave", got.Reason, got.Message)
	}
	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.Waves[0].AllowEmpty = true })
	l.decide()
	checkStarted(t, l, "eu-1.1")
}

// TestFleetsWithdraw: nobody starts for a release that was withdrawn.
func TestFleetsWithdraw(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	edit(l, "2026.11", &v1.Release{}, func(r *v1.Release) { r.Spec.Withdrawn = &v1.Withdrawal{Reason: "loses volumes"} })
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.36.4", "eu-1")
	l.decide()
	checkStarted(t, l)
	if got := l.fleet("main").Status.Conditions[2]; got.Reason != "Withdrawn" {
		t.Errorf("stalled for %s: %s; want Withdrawn", got.Reason, got.Message)
	}
}

// TestFleetsCompareClocks before they start anybody: what is off, or not known,
// starts nobody.
func TestFleetsCompareClocks(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.36.4", "eu-1")
	l.skew = 31 * time.Second
	if after := l.decide().RequeueAfter; after != time.Minute {
		t.Errorf("decides again after %s, want a minute", after)
	}
	checkStarted(t, l)
	if got := l.fleet("main").Status.Conditions[2]; got.Reason != "ClockSkew" || got.Status != metav1.ConditionTrue {
		t.Errorf("stalled %s for %s: %s; want ClockSkew", got.Status, got.Reason, got.Message)
	}
	l.skew, l.skewed = 0, errors.New("no answer")
	if _, err := l.fleets.Reconcile(t.Context()); !errors.Is(err, l.skewed) {
		t.Errorf("decides: %v", err)
	}
	checkStarted(t, l)
	l.skewed = nil
	l.decide()
	checkStarted(t, l, "eu-1.1")
}
