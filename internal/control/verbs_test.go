package control_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
)

// addFreeze says no as ann does.
func (l *loops) addFreeze(name string, spec v1.FreezeSpec) {
	l.t.Helper()
	l.add(&v1.Freeze{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{v1.ByAnnotation: "ann"}}, Spec: spec,
	})
}

// addApproval says yes.
func (l *loops) addApproval(spec v1.ApprovalSpec) {
	l.t.Helper()
	spec.Reason = "the disk was replaced"
	l.add(&v1.Approval{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "yes"}, Spec: spec})
}

// in is a time after now.
func (l *loops) in(d time.Duration) *metav1.Time { return new(metav1.NewTime(l.clock.Now().Add(d))) }

// A freeze keeps from starting what it covers, for as long as it holds, and is
// told in the fleet's conditions.
func TestFleetsHonourFreezes(t *testing.T) {
	t.Run("of the fleet", freezesAFleet)
	t.Run("of a member", freezesAMember)
	t.Run("that leaves one out", leavesOut)
	t.Run("that begins and ends", freezesForATime)
}

func freezesAFleet(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.36.4", "eu-1", "eu-2")
	l.addFreeze("holidays", v1.FreezeSpec{Fleet: "main", Stops: v1.StopsStarts, Reason: "all at the beach"})
	l.addFreeze("of-another", v1.FreezeSpec{Fleet: "lab", Stops: v1.StopsStarts, Reason: "of no concern"})
	l.decide()
	status := func(counts v1.MemberCounts) v1.FleetStatus {
		return v1.FleetStatus{
			ObservedGeneration: 1, Revision: 1, Release: &v1.ReleaseRef{Name: "2026.11", Hash: hash2},
			Members: counts, Waves: []v1.WaveStatus{{Name: "all", MemberCounts: counts}},
		}
	}
	checkFleet(t, l, status(v1.MemberCounts{Total: 2, Waiting: 2}), "False", "False", "False", "Frozen: 0 of 2 members at 2026.11, 0 in flight, 2 waiting; "+
		"frozen by ann: all at the beach; if it is not to be: kubectl delete freeze holidays")
	if got := l.started(); len(got) > 0 {
		t.Errorf("upgrades %v of a frozen fleet", got)
	}

	l.remove("holidays", &v1.Freeze{})
	l.decide()
	if diff := cmp.Diff([]string{"eu-1.1"}, l.started()); diff != "" {
		t.Errorf("upgrades after the freeze (-want +got):\n%s", diff)
	}
	// What is under way goes on, and the fleet says what will come after it.
	l = newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.36.4", "eu-1", "eu-2")
	l.addUpgrade(l.fleet("main"), "eu-1", 1, "")
	l.addFreeze("holidays", v1.FreezeSpec{Stops: v1.StopsStarts, Reason: "all at the beach"})
	l.decide()
	checkFleet(t, l, status(v1.MemberCounts{Total: 2, Waiting: 1, Running: 1}), "False", "True", "False", "InFlight: 0 of 2 members at 2026.11, 1 in flight, 1 waiting; "+
		"frozen by ann: all at the beach; if it is not to be: kubectl delete freeze holidays")
}

func freezesAMember(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.36.4", "eu-1", "eu-2")
	l.addFreeze("audit", v1.FreezeSpec{Member: "eu-1", Stops: v1.StopsStarts, Reason: "audit"})
	l.decide()
	l.decide()
	if diff := cmp.Diff([]string{"eu-2.1"}, l.started()); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}
	if got := l.fleet("main").Status.Members; got != (v1.MemberCounts{Total: 2, Running: 1, Waiting: 1}) {
		t.Errorf("members %+v", got)
	}
}

func leavesOut(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.36.4", "behind", "out")
	l.addMembers("v1.37.2", "there")
	l.addFreeze("scrap", v1.FreezeSpec{Member: "out", Stops: v1.StopsSkip, Reason: "is to be scrapped"})
	status := func(counts v1.MemberCounts) v1.FleetStatus {
		return v1.FleetStatus{
			ObservedGeneration: 1, Revision: 1, Release: &v1.ReleaseRef{Name: "2026.11", Hash: hash2},
			Members: counts, Waves: []v1.WaveStatus{{Name: "all", MemberCounts: counts}},
		}
	}
	l.decide()
	checkFleet(t, l, status(v1.MemberCounts{Total: 3, Done: 1, Waiting: 1, Skipped: 1}), "False", "True", "False",
		"InFlight: 1 of 3 members at 2026.11, 0 in flight, 1 waiting, 1 left out")
	if diff := cmp.Diff([]string{"behind.1"}, l.started()); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}

	// With all others there the fleet is ready, though the one never comes, and
	// though it had failed.
	l = newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.36.4", "out")
	l.addMembers("v1.37.2", "there")
	l.addUpgrade(l.fleet("main"), "out", 1, "Failed")
	l.addFreeze("scrap", v1.FreezeSpec{Fleet: "main", Member: "out", Stops: v1.StopsSkip, Reason: "is to be scrapped"})
	l.decide()
	checkFleet(t, l, status(v1.MemberCounts{Total: 2, Done: 1, Skipped: 1}), "True", "False", "False",
		"AtRelease: 1 of 2 members at 2026.11, 1 left out")
}

// Nobody needs to touch a freeze for it to begin and to end.
func freezesForATime(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.36.4", "eu-1")
	l.addFreeze("now", v1.FreezeSpec{Until: l.in(10 * time.Minute), Stops: v1.StopsStarts, Reason: "lunch"})
	l.addFreeze("then", v1.FreezeSpec{From: l.in(10 * time.Minute), Until: l.in(15 * time.Minute), Stops: v1.StopsStarts, Reason: "coffee"})
	for _, want := range []struct {
		after  time.Duration
		reason string
	}{
		{10 * time.Minute, "frozen by ann until 2026-11-03 22:10:00 UTC: lunch"},
		{5 * time.Minute, "frozen by ann until 2026-11-03 22:15:00 UTC: coffee"},
	} {
		after := l.decide().RequeueAfter
		message := l.fleet("main").Status.Conditions[0].Message
		if wanted := "0 of 1 members at 2026.11, 0 in flight, 1 waiting; " + want.reason; after != want.after || message[:min(len(message), len(wanted))] != wanted {
			t.Errorf("decides again after %s, and says %q; want %s, %q", after, message, want.after, wanted)
		}
		if got := l.started(); len(got) > 0 {
			t.Errorf("upgrades %v in a freeze", got)
		}
		l.clock.Step(after)
	}
	l.decide()
	if diff := cmp.Diff([]string{"eu-1.1"}, l.started()); diff != "" {
		t.Errorf("upgrades after the freezes (-want +got):\n%s", diff)
	}
}

// After a failure a fleet goes on, and a member starts again, when a person has
// said so since.
func TestFleetsHonourApprovals(t *testing.T) {
	for _, c := range []struct {
		name     string
		approval v1.ApprovalSpec
		want     []string
		reason   string
	}{
		{"none", v1.ApprovalSpec{Fleet: "lab", Revision: 1, Subject: v1.SubjectResume}, []string{"eu-1.1"}, "Halted"},
		{"of another revision", v1.ApprovalSpec{Fleet: "main", Revision: 2, Subject: v1.SubjectResume}, []string{"eu-1.1"}, "Halted"},
		{"to go on", v1.ApprovalSpec{Fleet: "main", Revision: 1, Subject: v1.SubjectResume}, []string{"eu-1.1", "eu-2.1"}, "InFlight"},
		{"to start again", v1.ApprovalSpec{Fleet: "main", Revision: 1, Subject: v1.SubjectRetry, Name: "eu-1"}, []string{"eu-1.1", "eu-1.2"}, "Halted"},
		{"to start another again", v1.ApprovalSpec{Fleet: "main", Revision: 1, Subject: v1.SubjectRetry, Name: "eu-2"}, []string{"eu-1.1"}, "Halted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLoops(t)
			l.addRelease("2026.11", "v1.37.2")
			l.addFleet("main", "2026.11", nil)
			l.addMembers("v1.36.4", "eu-1", "eu-2")
			l.addUpgrade(l.fleet("main"), "eu-1", 1, "Failed")
			l.clock.Step(time.Minute)
			l.decide()
			if got := l.fleet("main").Status.Conditions[0].Reason; got != "Halted" {
				t.Errorf("without an approval the fleet is %s", got)
			}
			l.addApproval(c.approval)
			l.decide()
			if diff := cmp.Diff(c.want, l.started()); diff != "" {
				t.Errorf("upgrades (-want +got):\n%s", diff)
			}
			if got := l.fleet("main").Status.Conditions[0].Reason; got != c.reason {
				t.Errorf("the fleet is %s, want %s", got, c.reason)
			}
		})
	}

	// An approval that ends is over by itself, and so is one that is deleted.
	for name, end := range map[string]func(*loops, time.Duration){
		"ended": func(l *loops, after time.Duration) {
			if after != time.Minute {
				t.Errorf("decides again after %s, want 1m", after)
			}
			l.clock.Step(after)
		},
		"deleted": func(l *loops, _ time.Duration) { l.remove("yes", &v1.Approval{}) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoops(t)
			l.addRelease("2026.11", "v1.37.2")
			l.addFleet("main", "2026.11", nil)
			l.addMembers("v1.36.4", "eu-1", "eu-2")
			l.addUpgrade(l.fleet("main"), "eu-1", 1, "Failed")
			l.clock.Step(time.Minute)
			l.addApproval(v1.ApprovalSpec{Fleet: "main", Revision: 1, Subject: v1.SubjectResume, Until: l.in(time.Minute)})
			end(l, l.decide().RequeueAfter)
			l.decide()
			if got := l.fleet("main").Status.Conditions[0].Reason; got != "Halted" {
				t.Errorf("without the approval the fleet is %s, want Halted", got)
			}
		})
	}
}
