package fleet_test

import (
	"testing"

	"refit.dev/refit/internal/fleet"
)

// Of every code it is known who can change what it tells of.
func TestEveryReasonIsSomebodysToChange(t *testing.T) {
	for _, code := range found(t, "reason.go", codes) {
		if who := (fleet.Reason{Code: fleet.Code(code), Fix: "do it"}).Who(); who == "" {
			t.Errorf("nobody can change %s", code)
		}
	}
}

func TestWho(t *testing.T) {
	for _, test := range []struct {
		reason fleet.Reason
		want   fleet.Who
	}{
		{fleet.Reason{Code: fleet.Frozen, Fix: "delete it"}, fleet.FreezeAuthor},
		{fleet.Reason{Code: fleet.Frozen}, fleet.FreezeAuthor},
		{fleet.Reason{Code: fleet.WaveFull}, fleet.Refit},
		{fleet.Reason{Code: fleet.WaveClosed}, fleet.Refit},
		{fleet.Reason{Code: fleet.WaveClosed, Fix: "retry it"}, fleet.FleetOwner},
		{fleet.Reason{Code: fleet.WaveRolling}, fleet.Refit},
		{fleet.Reason{Code: fleet.Unobserved}, fleet.Refit},
		{fleet.Reason{Code: fleet.Unobserved, Fix: "see that it answers"}, fleet.ClusterOwner},
		{fleet.Reason{Code: fleet.BudgetExhausted}, fleet.WorkloadOwner},
		{fleet.Reason{Code: fleet.RestoredHub}, fleet.HubOwner},
		{fleet.Reason{}, ""},
	} {
		if got := test.reason.Who(); got != test.want {
			t.Errorf("%+v: %q can change it, want %q", test.reason, got, test.want)
		}
	}
}
