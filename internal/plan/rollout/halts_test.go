package rollout_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
)

// TestHalts that are not for failures: nothing of the fleet starts, and no wave
// opens or passes.
func TestHalts(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*story)
		want   fleet.Reason
	}{
		{"a clock that is ahead", func(s *story) { s.Skew = 31 * time.Second }, fleet.Reason{
			Code: fleet.ClockSkew, Message: "the clock of this machine is 31s off the hub's", Fix: "set both by NTP; what is under way goes on",
		}},
		{"a clock that is behind", func(s *story) { s.Skew = -31 * time.Second }, fleet.Reason{
			Code: fleet.ClockSkew, Message: "the clock of this machine is 31s off the hub's", Fix: "set both by NTP; what is under way goes on",
		}},
		{"a release that was withdrawn", func(s *story) { s.Fleets[0].Release.Withdrawn = "loses volumes" }, fleet.Reason{
			Code: fleet.Withdrawn, Object: "release 2026.11", Message: "release 2026.11 was withdrawn: loses volumes",
			Fix: "set the fleet's spec.release to another release",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := tell(t, "canary: eu-1", "prod: eu-2")
			test.change(s)
			code := string(test.want.Code)
			d := s.decide("eu-1=" + code + " eu-2=" + code)
			if diff := cmp.Diff(test.want, d.Fleets[0].Halt); diff != "" {
				t.Errorf("halt (-want +got):\n%s", diff)
			}
			if waves := d.Fleets[0].Waves; !waves[0].OpenedAt.IsZero() || !waves[0].PassedAt.IsZero() {
				t.Errorf("waves %+v", waves)
			}
			s.Skew, s.Fleets[0].Release.Withdrawn = 30*time.Second, ""
			s.decide("eu-1=start eu-2=WaveClosed")
		})
	}
}

// TestShrunk: members that vanish or change their wave together hold the fleet,
// until they are back or a person agrees; a few at a time do not.
func TestShrunk(t *testing.T) {
	many := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprintf("eu-%02d", i)
	}
	begin := func(t *testing.T) *story {
		s := tell(t, "a: "+strings.Join(many, " "), "b: us-1", "c: ")
		for i := range s.Members {
			s.Members[i].Oldest = version("v1.37.2")
		}
		s.Fleets[0].Waves[2].AllowEmpty = true
		s.member("us-1").Oldest = version("v1.36.3")
		s.Fleets[0].Waves[1].MaxConcurrent = 1
		s.Upgrades = []rollout.Upgrade{{Member: "elsewhere", N: 1, FleetUID: "uid-of-main", Revision: 3, Wave: "b"}}
		s.decide("us-1=WaveFull")
		return s
	}
	halt := func(s *story) fleet.Code {
		s.Helper()
		d := rollout.Decide(s.Input)
		for i, state := range d.Fleets {
			s.Fleets[i].Roster, s.Fleets[i].ShrankAt = state.Roster, state.ShrankAt
		}
		return d.Fleets[0].Halt.Code
	}
	vanish := func(s *story, n int) { s.Fleets[0].Waves[0].Members = s.Fleets[0].Waves[0].Members[n:] }

	t.Run("a tenth at once", func(t *testing.T) {
		s := begin(t)
		vanish(s, 4)
		if got := halt(s); got != "" {
			t.Errorf("4 of 41: halt %q", got)
		}
		s.later(10*time.Minute - 1)
		if got := halt(s); got != "" {
			t.Errorf("still 4 of 41: halt %q", got)
		}
		vanish(s, 1)
		if got := halt(s); got != fleet.InventoryShrank {
			t.Errorf("5 of 41: halt %q", got)
		}
		s.later(24 * time.Hour)
		if got := halt(s); got != fleet.InventoryShrank {
			t.Errorf("a day later: halt %q", got)
		}
		s.Fleets[0].Waves[0].Members = many
		if got := halt(s); got != "" {
			t.Errorf("when they are back: halt %q", got)
		}
	})
	t.Run("a few, and then a few", func(t *testing.T) {
		s := begin(t)
		for range 4 {
			vanish(s, 3)
			if got := halt(s); got != "" {
				t.Errorf("halt %q", got)
			}
			s.later(10 * time.Minute)
			if got := halt(s); got != "" {
				t.Errorf("later: halt %q", got)
			}
		}
	})
	t.Run("to another wave", func(t *testing.T) {
		s := begin(t)
		vanish(s, 5)
		s.Fleets[0].Waves[2].Members = many[:5]
		if got := halt(s); got != fleet.InventoryShrank {
			t.Errorf("halt %q", got)
		}
		s.Approvals = []rollout.Approval{{Name: "go", Fleet: "main", Revision: 3, Subject: rollout.Resume, At: s.Now.Add(time.Second)}}
		s.later(time.Second)
		if got := halt(s); got != "" {
			t.Errorf("agreed: halt %q", got)
		}
		if i := slices.IndexFunc(s.Fleets[0].Roster.Seats, func(seat rollout.Seat) bool { return seat.Wave == "c" }); i < 0 || s.Fleets[0].Roster.Seats[i].Cohort {
			t.Error("who came to another wave is of its cohort, or has no seat there")
		}
	})
	t.Run("agreed before", func(t *testing.T) {
		s := begin(t)
		s.Approvals = []rollout.Approval{{Name: "go", Fleet: "main", Revision: 3, Subject: rollout.Resume, At: s.Now}}
		s.later(time.Second)
		vanish(s, 5)
		for range 2 {
			if got := halt(s); got != fleet.InventoryShrank {
				t.Errorf("halt %q", got)
			}
		}
	})
	t.Run("a few to another wave, and then one", func(t *testing.T) {
		s := begin(t)
		s.Fleets[0].Waves[0].Members, s.Fleets[0].Waves[2].Members = many[4:], many[:4]
		if got := halt(s); got != "" {
			t.Errorf("4 of 41: halt %q", got)
		}
		s.Fleets[0].Waves[0].Members, s.Fleets[0].Waves[2].Members = many[5:], many[:5]
		if got := halt(s); got != fleet.InventoryShrank {
			t.Errorf("5 of 41: halt %q", got)
		}
	})
	t.Run("a wave that is renamed", func(t *testing.T) {
		s := begin(t)
		s.Fleets[0].Waves[0].Name = "z"
		if got := halt(s); got != "" {
			t.Errorf("halt %q", got)
		}
		seats := map[rollout.Seat]int{}
		for _, seat := range s.Fleets[0].Roster.Seats {
			seat.ID = 0
			seats[seat]++
		}
		want := map[rollout.Seat]int{{Wave: "z"}: 40, {Wave: "b", Cohort: true}: 1}
		if diff := cmp.Diff(want, seats); diff != "" {
			t.Errorf("seats (-want +got):\n%s", diff)
		}
	})
	t.Run("a tenth of fifty", func(t *testing.T) {
		s := begin(t)
		for i := range 9 {
			name := fmt.Sprintf("ap-%d", i)
			s.join(name)
			s.Fleets[0].Waves[0].Members = append(slices.Clone(s.Fleets[0].Waves[0].Members), name)
		}
		if got := halt(s); got != "" {
			t.Errorf("nine more: halt %q", got)
		}
		vanish(s, 4)
		if got := halt(s); got != "" {
			t.Errorf("4 of 50: halt %q", got)
		}
		vanish(s, 1)
		if got := halt(s); got != fleet.InventoryShrank {
			t.Errorf("5 of 50: halt %q", got)
		}
	})
	t.Run("of no wave", func(t *testing.T) {
		s := tell(t, "a: eu-1")
		s.join("eu-2", "eu-3", "eu-4")
		s.Fleets[0].NoWave = []string{"eu-2", "eu-3", "eu-4"}
		s.decide("eu-1=start eu-2=NoWave eu-3=NoWave eu-4=NoWave")
		s.Fleets[0].NoWave = nil
		if got := halt(s); got != fleet.InventoryShrank {
			t.Errorf("halt %q", got)
		}
	})
	t.Run("two of two", func(t *testing.T) {
		s := tell(t, "a: eu-1 eu-2", "b: eu-3")
		s.decide("eu-1=start eu-2=start eu-3=WaveClosed")
		s.Fleets[0].Waves[0].Members = nil
		if got := halt(s); got != "" {
			t.Errorf("halt %q", got)
		}
		s.Fleets[0].Waves[1].Members = nil
		if got := halt(s); got != fleet.InventoryShrank {
			t.Errorf("all three: halt %q", got)
		}
	})
}
