package control

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/event"

	v1 "refit.dev/refit/api/v1alpha1"
)

// TestPinsWake: of what the fleets loop writes, upgrades are woken by pins and by
// a new revision alone; else each count of it would wake them all.
func TestPinsWake(t *testing.T) {
	status := v1.FleetStatus{Revision: 3, Pins: []v1.Pin{{Provider: "local", Minor: "1.37", Version: "v1.37.2", Member: "eu-1"}}}
	for _, test := range []struct {
		name   string
		change func(*v1.FleetStatus)
		want   bool
	}{
		{"nothing", func(*v1.FleetStatus) {}, false},
		{"a count", func(s *v1.FleetStatus) { s.Members.Done++ }, false},
		{"a pin that is new", func(s *v1.FleetStatus) {
			s.Pins = append(s.Pins, v1.Pin{Provider: "fake", Minor: "1.37", Version: "v1.37.1"})
		}, true},
		{"the first", func(s *v1.FleetStatus) { s.Pins = nil }, true},
		{"a revision", func(s *v1.FleetStatus) { s.Revision++ }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := &v1.Fleet{Status: status}
			after := before.DeepCopy()
			test.change(&after.Status)
			if got := pinsChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != test.want {
				t.Errorf("wakes: %t, want %t", got, test.want)
			}
		})
	}
	if pinsChanged().Create(event.CreateEvent{Object: &v1.Fleet{}}) || pinsChanged().Delete(event.DeleteEvent{Object: &v1.Fleet{}}) {
		t.Error("what comes or goes is told by its generation already")
	}
}
