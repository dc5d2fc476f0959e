package notify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/notify"
)

// ten is when everything happens.
func ten() metav1.Time { return metav1.Date(2026, time.November, 3, 22, 10, 0, 0, time.UTC) }

func condition(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "in words", LastTransitionTime: ten()}
}

func aFleet(conditions ...metav1.Condition) *v1.Fleet {
	return &v1.Fleet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "refit", Name: "main", UID: "uid-of-main"},
		Spec:       v1.FleetSpec{Release: "2026.11"},
		Status: v1.FleetStatus{
			Revision: 3, Conditions: conditions,
			Waves: []v1.WaveStatus{{Name: "canary", OpenedAt: new(ten())}, {Name: "prod"}},
		},
	}
}

func anUpgrade(conditions ...metav1.Condition) *v1.ClusterUpgrade {
	return &v1.ClusterUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: "refit", Name: "eu-1.7", UID: "uid-of-eu-1.7", CreationTimestamp: metav1.NewTime(ten().Add(-90 * time.Second))},
		Spec:       v1.ClusterUpgradeSpec{Member: "eu-1", Fleet: "main", Wave: "canary", Release: v1.ReleaseRef{Name: "2026.11"}},
		Status: v1.ClusterUpgradeStatus{
			Conditions: conditions,
			Steps:      []v1.StepStatus{{Hop: "v1.37.2", Name: "Settle", Started: ten()}},
		},
	}
}

func aMember(ready metav1.ConditionStatus, reason string) *v1.MemberCluster {
	return &v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "refit", Name: "eu-1", UID: "uid-of-eu-1"},
		Status:     v1.MemberClusterStatus{Conditions: []metav1.Condition{condition(v1.ConditionReady, ready, reason)}},
	}
}

// changed is an object after a change of it.
func changed[T client.Object](object T, change func(T)) T {
	after := object.DeepCopyObject().(T)
	change(after)
	return after
}

// TestOf: what a change of an object tells, and what it does not.
func TestOf(t *testing.T) {
	const yes, no, unknown = metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown
	rolling := aFleet(condition(v1.ConditionStalled, no, "InFlight"), condition(v1.ConditionReady, no, "InFlight"))
	halted := aFleet(condition(v1.ConditionStalled, yes, "Halted"), condition(v1.ConditionReady, no, "Halted"))
	going := anUpgrade(condition(v1.ConditionStalled, no, "Baking"), condition(v1.ConditionEnded, no, "Baking"))
	for _, c := range []struct {
		name          string
		before, after client.Object
		want          []string
	}{
		{"a fleet comes to nothing new", rolling, changed(rolling, func(f *v1.Fleet) { f.Status.Members.Done = 7 }), nil},
		{"a fleet stalls", rolling, halted, []string{"FleetStalled Halted warning: in words"}},
		{"it stays so", halted, changed(halted, func(f *v1.Fleet) { f.Status.Conditions[0].Message = "in other words" }), nil},
		{
			"it stalls for another reason", halted, changed(halted, func(f *v1.Fleet) { f.Status.Conditions[0].Reason = "EmptyWave" }),
			[]string{"FleetStalled EmptyWave warning: in words"},
		},
		{"it goes on", halted, rolling, nil},
		{
			"it is ready", rolling, aFleet(condition(v1.ConditionStalled, no, "AtRelease"), condition(v1.ConditionReady, yes, "AtRelease")),
			[]string{"FleetReady AtRelease: in words"},
		},
		{"a wave passes, the next opens", rolling, changed(rolling, func(f *v1.Fleet) {
			f.Status.Waves[0].PassedAt, f.Status.Waves[1].OpenedAt = new(ten()), new(ten())
		}), []string{"WavePassed: wave canary of revision 3 has passed", "WaveOpened: wave prod of revision 3 opens"}},
		{
			"the wave of another revision opens at the same time", rolling, changed(rolling, func(f *v1.Fleet) { f.Status.Revision = 4 }),
			[]string{"WaveOpened: wave canary of revision 4 opens"},
		},
		{"a fleet is seen first", nil, halted, []string{"WaveOpened: wave canary of revision 3 opens", "FleetStalled Halted warning: in words"}},
		{"an upgrade is seen first", nil, going, []string{
			"UpgradeBegan: member eu-1 begins its way to release 2026.11, in wave canary", "StepBegan Settle: Settle, on the way to v1.37.2",
		}},
		{"it enters a step", going, changed(going, func(up *v1.ClusterUpgrade) {
			up.Status.Steps[0].Finished = ten()
			up.Status.Steps = append(up.Status.Steps, v1.StepStatus{Hop: "v1.37.2", Name: "Preflight", Started: ten()})
		}), []string{"StepBegan Preflight: Preflight, on the way to v1.37.2"}},
		{
			"it stalls", going, anUpgrade(condition(v1.ConditionStalled, yes, "BudgetExhausted"), condition(v1.ConditionEnded, no, "BudgetExhausted")),
			[]string{"UpgradeStalled BudgetExhausted warning: in words"},
		},
		{"it is done", going, anUpgrade(condition(v1.ConditionStalled, no, "Done"), condition(v1.ConditionEnded, yes, "Done")), []string{"UpgradeEnded Done: in words"}},
		{
			"it fails", going, anUpgrade(condition(v1.ConditionStalled, yes, "Failed"), condition(v1.ConditionEnded, yes, "Failed")),
			[]string{"UpgradeEnded Failed warning: in words"},
		},
		{"a member that was not looked at yet", nil, &v1.MemberCluster{}, nil},
		{"a member is seen first", nil, aMember(yes, "Healthy"), []string{"MemberReady Healthy: in words"}},
		{"it cannot be reached", aMember(yes, "Healthy"), aMember(unknown, "Unreachable"), []string{"MemberNotReady Unreachable warning: in words"}},
		{"it says other words", aMember(no, "Unhealthy"), aMember(no, "NotReady"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, n := range notify.Of(c.before, c.after) {
				got = append(got, line(n))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func line(n notify.Notice) string {
	text := strings.TrimSpace(fmt.Sprintf("%s %s", n.Kind, n.Code))
	if n.Warning {
		text += " warning"
	}
	return text + ": " + n.Message
}

// TestNamesFollow: what is told again has the name that it had, whatever its words
// are by now, and whatever else has happened since; another thing has another.
func TestNamesFollow(t *testing.T) {
	rolling := aFleet(condition(v1.ConditionStalled, metav1.ConditionFalse, "InFlight"))
	halted := aFleet(condition(v1.ConditionStalled, metav1.ConditionTrue, "Halted"))
	later := changed(halted, func(f *v1.Fleet) {
		f.Status.Conditions[0].Message = "in other words"
		f.Status.Waves[0].PassedAt = new(ten())
	})
	told := notify.Of(rolling, halted)[0]
	again := notify.Of(nil, later)
	names := map[string]int{told.ID: 1}
	for _, n := range again {
		names[n.ID]++
	}
	if len(again) != 3 || len(names) != 3 || names[told.ID] != 2 {
		t.Errorf("told %s, and again %v: want three, all different, one of them the same", told.ID, names)
	}
	anew := notify.Of(rolling, changed(halted, func(f *v1.Fleet) { f.Status.Conditions[0].LastTransitionTime = metav1.NewTime(ten().Add(time.Hour)) }))[0]
	elsewhere := notify.Of(rolling, changed(halted, func(f *v1.Fleet) { f.UID = "another" }))[0]
	if anew.ID == told.ID || elsewhere.ID == told.ID {
		t.Errorf("an hour later %s, of another fleet %s: want other names than %s", anew.ID, elsewhere.ID, told.ID)
	}
}
