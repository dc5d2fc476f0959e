package rollout_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/rollout"
)

// story is a hub to which things happen.
type story struct {
	*testing.T
	rollout.Input
}

// tell starts a story of the fleet main with waves of some members: "canary:
// eu-1 eu-2". All are at v1.36.3.
func tell(t *testing.T, waves ...string) *story {
	f := main(1)
	f.Waves = nil
	s := &story{T: t, Input: rollout.Input{Now: now}}
	for _, wave := range waves {
		name, members, _ := strings.Cut(wave, ": ")
		f.Waves = append(f.Waves, rollout.Wave{
			Name: name, Members: strings.Fields(members), MaxConcurrent: 9, MinSuccess: fleet.Share{Of: 100, Percent: true},
		})
		s.join(strings.Fields(members)...)
	}
	s.Fleets = []rollout.Fleet{f}
	return s
}

func (s *story) join(names ...string) {
	for _, name := range names {
		s.Members = append(s.Members, rollout.Member{
			Name: name, UID: "uid-of-" + name, ObservedAt: s.Now, Ready: true, ControlPlane: version("v1.36.3"), Oldest: version("v1.36.3"),
		})
	}
}

// later lets time pass; everybody is seen.
func (s *story) later(d time.Duration) {
	s.Now = s.Now.Add(d)
	for i := range s.Members {
		s.Members[i].ObservedAt = s.Now
	}
}

func (s *story) member(name string) *rollout.Member {
	return &s.Members[slices.IndexFunc(s.Members, func(m rollout.Member) bool { return m.Name == name })]
}

// end ends upgrades in flight; one that is done is at the release.
func (s *story) end(outcome rollout.Outcome, names ...string) {
	s.Helper()
	for _, name := range names {
		i := slices.IndexFunc(s.Upgrades, func(u rollout.Upgrade) bool { return u.Member == name && u.Outcome == rollout.Running })
		if i < 0 {
			s.Fatalf("%s is not in flight", name)
		}
		s.Upgrades[i].Outcome, s.Upgrades[i].EndedAt = outcome, s.Now
		if m := s.member(name); outcome == rollout.Done {
			m.ControlPlane, m.Oldest = version("v1.37.2"), version("v1.37.2")
		}
	}
}

// decide plans, records and starts, as the loop does, and compares who starts and
// why the rest waits, a word and a code each.
func (s *story) decide(want string) rollout.Decision {
	s.Helper()
	d := rollout.Decide(s.Input)
	if broken := invariant.Starts(s.Input, d); len(broken) > 0 {
		s.Errorf("the decision breaks an invariant: %s", strings.Join(broken, "; "))
	}
	for _, state := range d.Fleets {
		f := &s.Fleets[slices.IndexFunc(s.Fleets, func(f rollout.Fleet) bool { return f.Name == state.Name })]
		f.Roster, f.ShrankAt = state.Roster, state.ShrankAt
		for i, wave := range state.Waves {
			f.Waves[i].OpenedAt, f.Waves[i].PassedAt = wave.OpenedAt, wave.PassedAt
			remember(&f.Waves[i], wave.Gates)
		}
	}
	var got []string
	for _, start := range d.Start {
		got = append(got, start.Member+"=start")
		s.Upgrades = append(s.Upgrades, rollout.Upgrade{
			Member: start.Member, N: start.N, FleetUID: start.FleetUID, Revision: start.Revision, Wave: start.Wave, StartedAt: s.Now,
		})
	}
	for name, reason := range d.Waiting {
		if reason.Code != fleet.AtRelease && reason.Code != fleet.InFlight {
			got = append(got, name+"="+string(reason.Code))
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
		s.Errorf("at %s (-want +got):\n%s", s.Now.Sub(now), diff)
	}
	return d
}

// cohort are the members that their wave opened with, by the roster.
func (s *story) cohort() string {
	var names []string
	for _, m := range s.Members {
		for _, seat := range s.Fleets[0].Roster.Seats {
			if seat.ID == rollout.SeatOf(m) && seat.Cohort {
				names = append(names, seat.Wave+":"+m.Name)
			}
		}
	}
	return strings.Join(names, " ")
}
