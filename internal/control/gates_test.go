package control_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
)

// ears hear what the test says, and know what is asked.
type ears struct {
	asked []fleet.Question
	heard map[fleet.Question]fleet.Heard
}

func (e *ears) Ask(questions []fleet.Question)        { e.asked = questions }
func (e *ears) Heard() map[fleet.Question]fleet.Heard { return e.heard }
func (e *ears) OnAnswer(func())                       {}

// TestFleetsAskGates: a gate is asked as its fleet says, what is no yes is recorded,
// with since when and what to do, and halts the fleet after its time; a restart
// remembers it. A yes is recorded nowhere.
func TestFleetsAskGates(t *testing.T) {
	l, e := newLoops(t), &ears{heard: map[fleet.Question]fleet.Heard{}}
	l.fleets.Gates = e
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) {
		waves(spec)
		spec.Waves[0].MaxConcurrent = intstr.FromInt32(1)
		spec.Waves[0].Gates = []v1.Gate{{
			Name: "errors", Interval: metav1.Duration{Duration: time.Minute}, Failures: 2,
			Prometheus: v1.PrometheusQuery{URL: "http://prometheus:9090", Query: "errors", Min: "-0.50", Max: "1"},
		}}
	})
	l.addMembers("v1.36.4", "eu-1", "eu-2")
	l.decide()
	if len(e.asked) > 0 {
		t.Errorf("before the soak is asked %v", e.asked)
	}
	l.finish("eu-1")
	l.decide()
	question := fleet.Question{
		URL: "http://prometheus:9090", Query: "errors", Min: fleet.Bound{Number: -0.5, Text: "-0.50"}, Max: fleet.Bound{Number: 1, Text: "1"},
		Interval: time.Minute,
	}
	if diff := cmp.Diff([]fleet.Question{question}, e.asked); diff != "" {
		t.Fatalf("during the soak is asked (-want +got):\n%s", diff)
	}

	gates := func() []v1.GateStatus { return l.fleet("main").Status.Waves[0].Gates }
	e.heard[question] = fleet.Heard{Answer: fleet.Yes, AskedAt: l.clock.Now(), YesAt: l.clock.Now()}
	l.decide()
	if diff := cmp.Diff([]v1.GateStatus{{Name: "errors"}}, gates()); diff != "" {
		t.Errorf("after a yes is recorded (-want +got):\n%s", diff)
	}
	since := metav1.NewTime(l.clock.Now())
	l.clock.Step(time.Minute)
	e.heard[question] = fleet.Heard{Answer: fleet.Unknown, AskedAt: l.clock.Now(), YesAt: since.Time, Said: "no data", Fix: "measure it"}
	l.decide()
	if diff := cmp.Diff([]v1.GateStatus{{Name: "errors", NoYesSince: &since, Said: "no data", Fix: "measure it"}}, gates()); diff != "" {
		t.Errorf("after no data is recorded (-want +got):\n%s", diff)
	}
	l.clock.Step(time.Minute)
	failed := metav1.NewTime(l.clock.Now())
	l.decide()
	e.heard = map[fleet.Question]fleet.Heard{} // as after a restart
	l.clock.Step(time.Hour)
	l.see("eu-1")
	l.see("eu-2")
	l.decide()
	if diff := cmp.Diff([]v1.GateStatus{{Name: "errors", NoYesSince: &since, FailedAt: &failed, Said: "no data", Fix: "measure it"}}, gates()); diff != "" {
		t.Errorf("after it failed is recorded (-want +got):\n%s", diff)
	}
	if stalled := meta.FindStatusCondition(l.fleet("main").Status.Conditions, v1.ConditionStalled); stalled == nil || stalled.Reason != string(fleet.GateFailed) {
		t.Errorf("the fleet stalls: %v", stalled)
	}
	checkStarted(t, l, "eu-1.1")
}
