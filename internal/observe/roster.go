package observe

import (
	"encoding/binary"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/plan/rollout"
)

// A seat is packed into five bytes: its ID, and a byte for its wave, which is its
// place among the waves of the status, and the cohort's bit. 5,000 members are
// 33 KiB of base64 then, where names would not fit into a fleet's 64.
const (
	seatSize  = 5
	cohortBit = 0x80
	noWave    = 0x7f
)

// seats unpacks a fleet's roster.
func seats(status v1.FleetStatus) []rollout.Seat {
	var list []rollout.Seat
	for packed := range slices.Chunk(status.Roster, seatSize) {
		if len(packed) < seatSize {
			break // cut short by somebody else; those are seated anew
		}
		seat := rollout.Seat{ID: binary.BigEndian.Uint32(packed), Cohort: packed[4]&cohortBit != 0}
		if i := int(packed[4] &^ cohortBit); i < len(status.Waves) {
			seat.Wave = status.Waves[i].Name
		}
		list = append(list, seat)
	}
	return list
}

// Remember writes what the planner wants to be remembered of a fleet, whose
// status has its waves already.
func Remember(status *v1.FleetStatus, state rollout.FleetState) {
	places := map[string]byte{}
	for i, wave := range status.Waves {
		places[wave.Name] = byte(i)
	}
	status.Roster = nil
	for _, seat := range state.Roster.Seats {
		place, there := places[seat.Wave]
		if !there {
			place = noWave
		}
		if seat.Cohort {
			place |= cohortBit
		}
		status.Roster = append(binary.BigEndian.AppendUint32(status.Roster, seat.ID), place)
	}
	status.LossAt, status.ShrankAt = whenOf(state.Roster.LossAt), whenOf(state.ShrankAt)
	status.Pins = pinned(state.Pins)
	for i, wave := range state.Waves {
		status.Waves[i].OpenedAt, status.Waves[i].PassedAt = whenOf(wave.OpenedAt), whenOf(wave.PassedAt)
		status.Waves[i].Why = wave.Why.Message
		status.Waves[i].Gates = gatesOf(wave.Gates)
	}
}

// whenOf is a time as a status has it, to the second as it will be read back;
// nothing for the zero one.
func whenOf(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return new(metav1.NewTime(t).Rfc3339Copy())
}
