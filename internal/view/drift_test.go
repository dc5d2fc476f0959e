package view_test

import (
	"encoding/json"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/view"
)

// drifted is a busy fleet of which sources were read, and of which one is ahead and one
// was moved back.
func drifted() observe.Hub {
	hub := busy()
	for i := range hub.Members {
		mc := &hub.Members[i]
		condition := metav1.Condition{Type: v1.ConditionSourceDrift, LastTransitionTime: ago(time.Hour)}
		switch mc.Name {
		case "eu-1":
			condition.Status, condition.Reason, condition.Message = metav1.ConditionTrue, "SourceDrift", `infra/eks.tf:12 says "1.36", the cluster runs v1.37.2`
		case "eu-2":
			condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, "SourceAgrees", "infra/eks.tf:20 says what the cluster runs"
		case "eu-3":
			condition.Status, condition.Reason, condition.Message = metav1.ConditionUnknown, "SourceUnreachable", "repository https://git.example/infra: no route to host"
		case "eu-10":
			mc.Status.ControlPlane.Version = "v1.38.0"
			continue
		default:
			continue
		}
		mc.Status.Source = v1.SourceStatus{Declared: "1.36", File: "infra/eks.tf", Line: 12, Commit: "c0ffee"}
		meta.SetStatusCondition(&mc.Status.Conditions, condition)
	}
	return hub
}

// TestDrift lists what differs, and nothing that is not known to.
func TestDrift(t *testing.T) {
	drift := view.DriftOf(drifted(), "", now)
	golden(t, "drift.golden", drift.Text(view.Style{Now: now}))
	golden(t, "drift-60.golden", drift.Text(view.Style{Now: now, Width: 60}))
	text, err := json.MarshalIndent(drift, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "drift.json", string(text)+"\n")
	golden(t, "drift-of-one.golden", view.DriftOf(drifted(), "eu-10", now).Text(view.Style{Now: now}))
	golden(t, "drift-none.golden", view.DriftOf(drifted(), "eu-2", now).Text(view.Style{Now: now}))

	behind := drifted()
	behind.Fleets[0].Spec.Drift = v1.DriftReport
	for i := range behind.Upgrades {
		if up := &behind.Upgrades[i]; up.Spec.Member == "eu-1" {
			behind.Members[0].Status.ControlPlane.Version = "v1.36.4"
		}
	}
	golden(t, "drift-behind.golden", view.DriftOf(behind, "eu-1", now).Text(view.Style{Now: now}))
}
