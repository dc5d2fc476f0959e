package rollout_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
)

// TestWavesInOrder: a wave opens when the one before it is there and has soaked
// from its last success.
func TestWavesInOrder(t *testing.T) {
	s := tell(t, "canary: eu-1 eu-2", "prod: eu-3", "last: eu-4")
	s.Fleets[0].Waves[0].Soak = time.Hour
	d := s.decide("eu-1=start eu-2=start eu-3=WaveClosed eu-4=WaveClosed")
	want := fleet.Reason{
		Code: fleet.WaveClosed, Object: "wave canary", Since: now,
		Message: "wave canary comes first: 0 of 2 there and healthy, 2 needed; not yet: eu-1, eu-2",
	}
	if diff := cmp.Diff(want, d.Waiting["eu-4"]); diff != "" {
		t.Errorf("eu-4 (-want +got):\n%s", diff)
	}
	s.later(time.Minute)
	s.end(rollout.Done, "eu-1")
	s.later(50 * time.Minute)
	s.end(rollout.Done, "eu-2")
	s.decide("eu-3=WaveClosed eu-4=WaveClosed")
	s.later(time.Hour - 1)
	d = s.decide("eu-3=WaveClosed eu-4=WaveClosed")
	if got := d.Waiting["eu-3"].Message; got != "wave canary comes first: soaks until 2026-11-03 23:51:00 UTC" || !d.Recheck.Equal(s.Now.Add(1)) {
		t.Errorf("eu-3 waits: %s, until %s", got, d.Recheck)
	}
	s.later(1)
	s.decide("eu-3=start eu-4=WaveClosed")
	s.later(time.Minute)
	s.end(rollout.Done, "eu-3")
	s.decide("eu-4=start") // prod does not soak
}

// TestSoakIsOfTheCohort: who joins late uses the wave's slots, closes nothing and
// lengthens nothing; its failures count.
func TestSoakIsOfTheCohort(t *testing.T) {
	s := tell(t, "canary: eu-1", "prod: eu-3")
	s.Fleets[0].Waves[0].Soak = time.Hour
	s.decide("eu-1=start eu-3=WaveClosed")
	s.later(time.Minute)
	s.end(rollout.Done, "eu-1")
	s.decide("eu-3=WaveClosed")
	s.later(30 * time.Minute)
	s.join("eu-2")
	s.Fleets[0].Waves[0].Members = append(s.Fleets[0].Waves[0].Members, "eu-2")
	s.decide("eu-2=start eu-3=WaveClosed")
	s.later(20 * time.Minute)
	s.end(rollout.Done, "eu-2")
	s.decide("eu-3=WaveClosed")
	s.later(10 * time.Minute)
	s.decide("eu-3=start")
	s.later(time.Minute)
	s.join("eu-4")
	s.Fleets[0].Waves[0].Members = append(s.Fleets[0].Waves[0].Members, "eu-4")
	s.decide("eu-4=start") // though the wave has passed
	s.later(time.Minute)
	s.end(rollout.Failed, "eu-4")
	s.end(rollout.Superseded, "eu-3")
	s.decide("eu-3=Halted eu-4=EndedFailed")
}

// TestSoakRunsFromTheLast: a soak runs from the last of a cohort that was brought
// there in this revision, and from nothing else that ended.
func TestSoakRunsFromTheLast(t *testing.T) {
	brought := upgrade("eu-1", 1, rollout.Done, 40*time.Minute)
	other := func(change func(*rollout.Upgrade)) []rollout.Upgrade {
		u := upgrade("eu-1", 2, rollout.Done, 10*time.Minute)
		change(&u)
		return []rollout.Upgrade{brought, u}
	}
	for _, test := range []struct {
		name     string
		upgrades []rollout.Upgrade
		skipped  bool
		want     string
	}{
		{name: "soaked", upgrades: []rollout.Upgrade{brought}, want: "eu-2=start"},
		{name: "brought again", upgrades: other(func(*rollout.Upgrade) {}), want: "eu-2=WaveClosed"},
		{name: "superseded", upgrades: other(func(u *rollout.Upgrade) { u.Outcome = rollout.Superseded }), want: "eu-2=start"},
		{name: "of the revision before", upgrades: other(func(u *rollout.Upgrade) { u.Revision = 2 }), want: "eu-2=start"},
		{
			name: "nobody is waited for", upgrades: other(func(*rollout.Upgrade) {}), skipped: true,
			want: "eu-1=Skipped eu-2=start",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := tell(t, "canary: eu-1", "prod: eu-2")
			s.Fleets[0].Waves[0].OpenedAt, s.Fleets[0].Waves[0].Soak = now.Add(-time.Hour), 30*time.Minute
			s.Fleets[0].Roster.Seats = []rollout.Seat{{ID: rollout.SeatOf(s.Members[0]), Wave: "canary", Cohort: true}}
			s.Upgrades, s.member("eu-1").Oldest = test.upgrades, version("v1.37.2")
			if test.skipped {
				s.Freezes = []rollout.Freeze{{Name: "no", Member: "eu-1", Stops: rollout.Skip}}
				s.Fleets[0].Waves[0].OpenedAt = now.Add(-time.Minute)
			}
			s.decide(test.want)
		})
	}
}

// TestCohorts: a wave waits for whom it opened with, until it opens again.
func TestCohorts(t *testing.T) {
	s := tell(t, "canary: eu-1 eu-2", "prod: eu-3", "rest: eu-4")
	s.decide("eu-1=start eu-2=start eu-3=WaveClosed eu-4=WaveClosed")
	s.later(time.Minute)
	s.end(rollout.Done, "eu-1", "eu-2")
	s.decide("eu-3=start eu-4=WaveClosed")
	if got, want := s.cohort(), "canary:eu-1 canary:eu-2 prod:eu-3"; got != want {
		t.Errorf("the second wave is open: cohorts %q, want %q", got, want)
	}

	// Who comes from another wave's cohort is of this one's no part.
	s.Fleets[0].Waves[0].Members, s.Fleets[0].Waves[1].Members = []string{"eu-1"}, []string{"eu-2", "eu-3"}
	s.member("eu-2").Ready = false
	s.later(time.Minute)
	s.end(rollout.Done, "eu-3")
	s.decide("eu-4=start")

	// Who is gone when a wave opens again is not of it when it comes back.
	s.Fleets[0].Waves[1].Members = []string{"eu-3"}
	s.decide("")
	s.Fleets[0].Revision = 4
	for i := range s.Fleets[0].Waves {
		s.Fleets[0].Waves[i].OpenedAt, s.Fleets[0].Waves[i].PassedAt = time.Time{}, time.Time{}
	}
	s.later(time.Minute)
	s.decide("")
	if got, want := s.cohort(), "canary:eu-1 prod:eu-3 rest:eu-4"; got != want {
		t.Errorf("after the next revision: cohorts %q, want %q", got, want)
	}
}

// TestMadeAnew: who was deleted and made anew with its old name is another member,
// that has come late.
func TestMadeAnew(t *testing.T) {
	s := tell(t, "canary: eu-1", "prod: eu-2")
	s.decide("eu-1=start eu-2=WaveClosed")
	s.later(time.Minute)
	s.end(rollout.Done, "eu-1")
	s.decide("eu-2=start")
	was := s.Fleets[0].Roster
	s.member("eu-2").UID = "uid-of-another"
	s.later(time.Minute)
	s.decide("")
	if now := s.Fleets[0].Roster; len(now.Seats) != len(was.Seats)+1 || now.LossAt.IsZero() {
		t.Errorf("the roster is %+v; it was %+v", now, was)
	}
}

// TestMinSuccess: enough are enough; who is left behind goes on, and who is left
// out is not waited for.
func TestMinSuccess(t *testing.T) {
	s := tell(t, "canary: eu-1 eu-2 eu-3", "prod: eu-4")
	s.Fleets[0].Waves[0].MinSuccess = fleet.Share{Of: 66, Percent: true}
	s.Fleets[0].MaxFailures = 1
	s.decide("eu-1=start eu-2=start eu-3=start eu-4=WaveClosed")
	s.later(time.Minute)
	s.end(rollout.Done, "eu-1")
	s.end(rollout.Failed, "eu-2")
	s.decide("eu-2=EndedFailed eu-4=WaveClosed")
	s.later(time.Minute)
	s.end(rollout.Done, "eu-3")
	s.member("eu-3").Ready = false // is there, and not healthy
	d := s.decide("eu-2=EndedFailed eu-4=WaveClosed")
	if got, want := d.Waiting["eu-4"].Fix, "see refit why eu-2; then refit retry eu-2, or refit skip eu-2"; got != want {
		t.Errorf("to do: %q, want %q", got, want)
	}
	s.member("eu-3").Ready = true
	s.decide("eu-2=EndedFailed eu-4=start")

	s = tell(t, "canary: eu-1 eu-2", "prod: eu-4")
	s.decide("eu-1=start eu-2=start eu-4=WaveClosed")
	s.later(time.Minute)
	s.end(rollout.Done, "eu-1")
	s.end(rollout.Aborted, "eu-2")
	d = s.decide("eu-2=EndedAborted eu-4=WaveClosed")
	if got, want := d.Waiting["eu-4"].Fix, "see refit why eu-2; then refit retry eu-2, or refit skip eu-2"; got != want {
		t.Errorf("to do: %q, want %q", got, want)
	}
	s.Freezes = []rollout.Freeze{{Name: "no", Member: "eu-2", Stops: rollout.Skip, Reason: "is scrapped"}}
	s.decide("eu-2=Skipped eu-4=start")

	s = tell(t, "canary: eu-1", "prod: eu-2")
	s.Fleets[0].Waves[0].MinSuccess = fleet.Share{Of: 3} // more than there are
	s.decide("eu-1=start eu-2=WaveClosed")
	s.later(time.Minute)
	s.end(rollout.Done, "eu-1")
	s.decide("eu-2=start")
}

// TestEmptyWaves hold the next ones up, for a label is more often wrong than a
// wave is empty; unless they may be.
func TestEmptyWaves(t *testing.T) {
	s := tell(t, "canary: ", "prod: eu-1")
	d := s.decide("eu-1=WaveClosed")
	want := fleet.Reason{
		Code: fleet.WaveClosed, Object: "wave canary", Message: "wave canary comes first: wave canary selects no member",
		Fix: "change its selector, or the labels of the members, or say allowEmpty",
	}
	if diff := cmp.Diff(want, d.Waiting["eu-1"]); diff != "" {
		t.Errorf("eu-1 (-want +got):\n%s", diff)
	}
	s.Fleets[0].Waves[0].AllowEmpty, s.Fleets[0].Waves[0].Soak = true, time.Hour
	s.decide("eu-1=start")
}

// TestNoWave: who is selected by the fleet alone starts in no wave; it may be there.
func TestNoWave(t *testing.T) {
	s := tell(t, "all: eu-1")
	s.join("eu-2", "eu-3")
	s.Fleets[0].NoWave = []string{"eu-2", "eu-3"}
	s.member("eu-3").Oldest = version("v1.37.2")
	d := s.decide("eu-1=start eu-2=NoWave")
	want := rollout.WaveState{Done: []string{"eu-3"}, Waiting: []string{"eu-2"}}
	if diff := cmp.Diff(want, d.Fleets[0].Rest); diff != "" {
		t.Errorf("rest (-want +got):\n%s", diff)
	}
	if got := d.Waiting["eu-3"].Code; got != fleet.AtRelease {
		t.Errorf("eu-3 is told %q, want AtRelease", got)
	}
	lab := main(9, "eu-2", "eu-3")
	lab.Name, lab.UID = "lab", "uid-of-lab"
	s.Fleets = append(s.Fleets, lab)
	s.member("eu-3").Oldest = version("v1.36.3")
	s.decide("eu-2=Overlap eu-3=Overlap")
}

// TestKeepsItsWave: an upgrade keeps the slot of the wave it began in.
func TestKeepsItsWave(t *testing.T) {
	s := tell(t, "canary: eu-1 eu-2 eu-3")
	s.Fleets[0].Waves[0].MaxConcurrent = 1
	s.decide("eu-1=start eu-2=WaveFull eu-3=WaveFull")
	s.Fleets[0].Waves[0].Members = []string{"eu-2", "eu-3"}
	s.Fleets[0].NoWave = []string{"eu-1"}
	s.decide("eu-2=WaveFull eu-3=WaveFull")
	s.end(rollout.Done, "eu-1")
	s.decide("eu-2=start eu-3=WaveFull")
}

// TestSlots: a wave's slots are taken by its members, whoever moves them, and by
// those that began in it; it is full since the last of them began.
func TestSlots(t *testing.T) {
	s := tell(t, "a: eu-1 eu-2", "b: eu-3 eu-4 eu-5")
	s.Fleets[0].Waves[0].PassedAt, s.Fleets[0].Waves[0].OpenedAt, s.Fleets[0].Waves[0].MaxConcurrent = now, now, 3
	s.join("us-1")
	flying := func(member, fleetUID, wave string, ago time.Duration) rollout.Upgrade {
		return rollout.Upgrade{Member: member, N: 1, FleetUID: fleetUID, Revision: 3, Wave: wave, StartedAt: now.Add(-ago)}
	}
	s.Upgrades = []rollout.Upgrade{
		flying("eu-1", "uid-of-another", "z", 50*time.Minute),
		flying("eu-3", "uid-of-main", "a", 30*time.Minute),
		flying("eu-4", "uid-of-main", "a", 40*time.Minute),
		flying("eu-5", "uid-of-main", "b", 10*time.Minute),
		flying("us-1", "uid-of-another", "a", 5*time.Minute),
	}
	d := s.decide("eu-2=WaveFull")
	if got, want := d.Waiting["eu-2"].Since, now.Add(-30*time.Minute); !got.Equal(want) {
		t.Errorf("full since %s, want %s", got, want)
	}
	s.Fleets[0].Waves[0].MaxConcurrent = 4
	s.decide("eu-2=start")
}

// TestMaxFailures of a fleet and of a wave; more than one of either halt it, and
// a person's word counts for those before it.
func TestMaxFailures(t *testing.T) {
	s := tell(t, "a: eu-1 eu-2 eu-3", "b: eu-4")
	s.Fleets[0].MaxFailures = 2
	s.Fleets[0].Waves[0].MaxConcurrent = 2
	s.Fleets[0].Waves[0].MaxFailures = new(1)
	s.decide("eu-1=start eu-2=start eu-3=WaveFull eu-4=WaveClosed")
	s.later(time.Minute)
	s.end(rollout.Failed, "eu-1")
	s.decide("eu-1=EndedFailed eu-3=start eu-4=WaveClosed")
	s.later(time.Minute)
	s.end(rollout.Failed, "eu-2")
	s.end(rollout.Superseded, "eu-3")
	d := s.decide("eu-1=EndedFailed eu-2=EndedFailed eu-3=Halted eu-4=Halted")
	if got, want := d.Waiting["eu-3"].Message, "2 failed in wave a (eu-1, eu-2), 1 tolerated"; got != want {
		t.Errorf("halted: %q, want %q", got, want)
	}
	s.Approvals = []rollout.Approval{{Name: "go", Fleet: "main", Revision: 3, Subject: rollout.Resume, At: s.Now.Add(time.Minute)}}
	s.later(time.Minute)
	s.decide("eu-1=EndedFailed eu-2=EndedFailed eu-3=start eu-4=WaveClosed")
	s.Fleets[0].Waves[0].MaxFailures = new(0)
	s.Fleets[0].MaxFailures = 0 // which is told first
	s.later(time.Minute)
	s.end(rollout.Failed, "eu-3")
	d = s.decide("eu-1=EndedFailed eu-2=EndedFailed eu-3=EndedFailed eu-4=Halted")
	if got, want := d.Waiting["eu-4"].Message, "1 failed (eu-3), 0 tolerated"; got != want {
		t.Errorf("halted: %q, want %q", got, want)
	}
}

// TestMaxFailuresOfAnotherWave: what fails in one wave is not counted against
// another.
func TestMaxFailuresOfAnotherWave(t *testing.T) {
	s := tell(t, "a: eu-1", "b: eu-2 eu-3")
	s.Fleets[0].MaxFailures = 2
	s.Fleets[0].Waves[0].MaxFailures = new(0)
	s.Fleets[0].Waves[1].MaxConcurrent = 1
	s.decide("eu-1=start eu-2=WaveClosed eu-3=WaveClosed")
	s.later(time.Minute)
	s.end(rollout.Done, "eu-1")
	s.decide("eu-2=start eu-3=WaveFull")
	s.later(time.Minute)
	s.end(rollout.Failed, "eu-2")
	s.decide("eu-2=EndedFailed eu-3=start")
}

// TestStuck: a step past three times what nine of ten take counts once, and goes
// on; what waits for somebody is not stuck.
func TestStuck(t *testing.T) {
	s := tell(t, "all: eu-1 eu-2")
	s.Fleets[0].Waves[0].MaxConcurrent = 1
	s.decide("eu-1=start eu-2=WaveFull")
	s.Fleets[0].Waves[0].MaxConcurrent = 2
	s.Upgrades[0].Step, s.Upgrades[0].Since, s.Upgrades[0].Nodes = rollout.Nodes, s.Now, 3
	s.member("eu-2").Ready = false
	s.later(90*time.Minute - 1)
	if d := s.decide("eu-2=NotReady"); !d.Recheck.Equal(s.Now.Add(1)) {
		t.Errorf("decides again at %s, want %s", d.Recheck, s.Now.Add(1))
	}
	s.member("eu-2").Ready = true
	s.later(1)
	d := s.decide("eu-1=Stuck eu-2=Halted")
	want := fleet.Reason{
		Code: fleet.Stuck, Object: "clusterupgrade eu-1.1", Since: now,
		Message: "its upgrade is in Nodes for longer than three times what nine of ten take (30m0s)",
		Fix:     "see refit why eu-1; it goes on by itself if it can, or abort it: refit abort eu-1 --reason …",
	}
	if diff := cmp.Diff(want, d.Waiting["eu-1"]); diff != "" {
		t.Errorf("eu-1 (-want +got):\n%s", diff)
	}
	if got := d.Waiting["eu-2"].Since; !got.Equal(s.Now) {
		t.Errorf("halted since %s, want %s: from when on it was stuck", got, s.Now)
	}
	s.Approvals = []rollout.Approval{{Name: "early", Fleet: "main", Revision: 3, Subject: rollout.Resume, At: s.Now.Add(-time.Minute)}}
	s.decide("eu-1=Stuck eu-2=Halted")
	s.Approvals = []rollout.Approval{{Name: "go", Fleet: "main", Revision: 3, Subject: rollout.Resume, At: s.Now.Add(time.Minute)}}
	s.later(time.Minute)
	s.decide("eu-1=Stuck eu-2=start")

	s = tell(t, "all: eu-1 eu-2")
	s.Fleets[0].Waves[0].MaxConcurrent = 1
	s.decide("eu-1=start eu-2=WaveFull")
	s.Upgrades[0].Step, s.Upgrades[0].Since = rollout.Nodes, s.Now
	s.end(rollout.Done, "eu-1")
	s.later(90 * time.Minute)
	s.decide("eu-2=start") // for what has ended is not stuck

	s = tell(t, "all: eu-1 eu-2")
	s.Fleets[0].Waves[0].MaxConcurrent = 1
	s.decide("eu-1=start eu-2=WaveFull")
	s.Upgrades[0].Step, s.Upgrades[0].Since = rollout.ControlPlane, s.Now
	s.later(90 * time.Minute)
	s.Fleets[0].MaxFailures = 1
	s.decide("eu-1=Stuck eu-2=WaveFull")
	s.Upgrades[0].Revision = 2 // of a revision that is over
	s.decide("eu-2=WaveFull")
}

// TestDrift: who was there and fell behind is brought back, at most once a day,
// or only told about; and not before it was looked at.
func TestDrift(t *testing.T) {
	s := tell(t, "all: eu-1")
	s.decide("eu-1=start")
	s.later(time.Minute)
	s.end(rollout.Done, "eu-1")
	s.member("eu-1").Oldest = version("v1.36.3")
	d := s.decide("eu-1=Unobserved") // what is known of it is older than its end
	if got := d.Waiting["eu-1"].Message; got != "not observed since its upgrade ended" {
		t.Errorf("waits: %s", got)
	}
	s.later(time.Minute)
	s.Fleets[0].ReportDrift = true
	d = s.decide("eu-1=Behind")
	want := fleet.Reason{
		Code: fleet.Behind, Object: "clusterupgrade eu-1.1", Since: now.Add(time.Minute),
		Message: "was brought to 2026.11 at 2026-11-03 22:01:00 and is behind again; the fleet reports drift and leaves it",
		Fix:     "find out who moves it; to bring it back set the fleet's spec.drift to Correct",
	}
	if diff := cmp.Diff(want, d.Waiting["eu-1"]); diff != "" {
		t.Errorf("eu-1 (-want +got):\n%s", diff)
	}
	s.Fleets[0].ReportDrift = false
	s.decide("eu-1=start")
	again := s.Now
	s.later(time.Minute)
	s.end(rollout.Done, "eu-1")
	s.later(time.Minute)
	s.member("eu-1").Oldest = version("v1.36.3")
	d = s.decide("eu-1=Contested")
	want = fleet.Reason{
		Code: fleet.Contested, Object: "clusterupgrade eu-1.2", Since: again.Add(time.Minute),
		Message: "was brought back to 2026.11 at 2026-11-03 22:03:00 and is behind again: somebody else moves it",
		Fix:     "find out who; it is brought back once a day",
	}
	if diff := cmp.Diff(want, d.Waiting["eu-1"]); diff != "" {
		t.Errorf("eu-1 (-want +got):\n%s", diff)
	}
	s.later(again.Add(24*time.Hour - 1).Sub(s.Now))
	if d = s.decide("eu-1=Contested"); !d.Recheck.Equal(s.Now.Add(1)) {
		t.Errorf("decides again at %s, want %s", d.Recheck, s.Now.Add(1))
	}
	s.later(1)
	s.decide("eu-1=start")
}

// TestDriftForTheFirstTime: it is not fought over what was brought to the release
// once, whatever came before.
func TestDriftForTheFirstTime(t *testing.T) {
	for _, before := range []rollout.Upgrade{
		{Outcome: rollout.Done, Revision: 2},
		{Outcome: rollout.Superseded, Revision: 3},
	} {
		t.Run(fmt.Sprintf("%s of revision %d", before.Outcome, before.Revision), func(t *testing.T) {
			s := tell(t, "all: eu-1")
			before.Member, before.N, before.FleetUID, before.Wave = "eu-1", 1, "uid-of-main", "all"
			before.StartedAt, before.EndedAt = now.Add(-2*time.Minute), now.Add(-time.Minute)
			s.Upgrades = []rollout.Upgrade{before}
			s.decide("eu-1=start")
			s.later(time.Minute)
			s.end(rollout.Done, "eu-1")
			s.later(time.Minute)
			s.member("eu-1").Oldest = version("v1.36.3")
			s.decide("eu-1=start")
		})
	}
}

// TestStranded: who ended on the way is told both ways out.
func TestStranded(t *testing.T) {
	for _, test := range []struct {
		outcome rollout.Outcome
		cp      string
		want    fleet.Reason
	}{
		{rollout.Failed, "v1.37.2", fleet.Reason{
			Code: fleet.Stranded, Object: "clusterupgrade eu-1.1",
			Message: "its upgrade failed in this revision, on the way: its control plane is at v1.37.2, its oldest part at v1.36.3",
			Fix:     "repair the cause, then let it start again: refit retry eu-1 --reason …; or take the control plane back, where its provider still can",
		}},
		{rollout.Aborted, "v1.37.2", fleet.Reason{
			Code: fleet.Stranded, Object: "clusterupgrade eu-1.1",
			Message: "its upgrade was aborted in this revision, on the way: its control plane is at v1.37.2, its oldest part at v1.36.3",
			Fix:     "let it start again: refit retry eu-1 --reason …; or take the control plane back, where its provider still can",
		}},
		{rollout.Failed, "v1.36.3", fleet.Reason{
			Code: fleet.EndedFailed, Object: "clusterupgrade eu-1.1", Message: "its upgrade failed in this revision",
			Fix: "repair the cause, then let it start again: refit retry eu-1 --reason …",
		}},
		{rollout.Aborted, "v1.36.3", fleet.Reason{
			Code: fleet.EndedAborted, Object: "clusterupgrade eu-1.1", Message: "its upgrade was aborted in this revision",
			Fix: "let it start again: refit retry eu-1 --reason …",
		}},
	} {
		t.Run(fmt.Sprint(test.outcome, " at ", test.cp), func(t *testing.T) {
			s := tell(t, "all: eu-1")
			s.decide("eu-1=start")
			s.end(test.outcome, "eu-1")
			s.member("eu-1").ControlPlane = version(test.cp)
			test.want.Since = s.Now
			s.later(time.Minute)
			if diff := cmp.Diff(test.want, s.decide("eu-1=" + string(test.want.Code)).Waiting["eu-1"]); diff != "" {
				t.Errorf("reason (-want +got):\n%s", diff)
			}
			s.Approvals = []rollout.Approval{{Name: "go", Fleet: "main", Revision: 3, Subject: rollout.Retry, Member: "eu-1", At: s.Now}}
			s.decide("eu-1=start")
		})
	}
}

// TestDuplicate: two members that are one cluster are started by nobody.
func TestDuplicate(t *testing.T) {
	s := tell(t, "all: eu-1 eu-2 eu-3 eu-4")
	s.member("eu-1").Cluster, s.member("eu-3").Cluster, s.member("eu-4").Cluster = "local/c", "local/c", "local/d"
	slices.Reverse(s.Members)
	d := s.decide("eu-1=Duplicate eu-2=start eu-3=Duplicate eu-4=start")
	want := fleet.Reason{
		Code: fleet.Duplicate, Object: "member eu-3", Message: "eu-1 and eu-3 are the same cluster",
		Fix: "delete all but one of these MemberClusters; the cluster itself is not touched",
	}
	if diff := cmp.Diff(want, d.Waiting["eu-3"]); diff != "" {
		t.Errorf("eu-3 (-want +got):\n%s", diff)
	}
}
