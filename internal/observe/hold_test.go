package observe_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/hold"
)

func TestHold(t *testing.T) {
	at := time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC)
	var upgrades []v1.ClusterUpgrade
	for _, hub := range []string{"a", "me", "a", "b", ""} {
		upgrades = append(upgrades, v1.ClusterUpgrade{Spec: v1.ClusterUpgradeSpec{Hub: hub}})
	}
	approval := func(subject, hub, name string) v1.Approval {
		return v1.Approval{
			ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(at)},
			Spec:       v1.ApprovalSpec{Subject: subject, Hub: hub, Name: name},
		}
	}
	approvals := []v1.Approval{
		approval("TakeOver", "me", "a"),
		approval("TakeOver", "another", "b"), // was restored with the rest
		approval("Retry", "", "b"),
		approval("Retry", "me", "b"),
	}
	want := hold.Input{Hub: "me", Lives: []string{"a", "me", "b"}, TakeOvers: []fleet.TakeOver{{From: "a", At: at}}}
	if diff := cmp.Diff(want, observe.Hold("me", upgrades, approvals)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
