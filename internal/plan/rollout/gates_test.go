package rollout_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/rollout"
)

// errors is a gate: one interval is a minute, and three are too long.
var errors = fleet.Gate{
	Name: "errors", Failures: 3,
	Question: fleet.Question{URL: "http://prometheus:9090", Query: "errors / calls", Max: fleet.Bound{Number: 0.01, Text: "0.01"}, Interval: time.Minute},
}

// remember records what is to be remembered of a wave's gates, as a status does: of
// those that are listed, to the second.
func remember(w *rollout.Wave, states []rollout.GateState) {
	w.Gates = slices.Clone(w.Gates)
	for i := range w.Gates {
		w.Gates[i].Memory = rollout.GateMemory{}
		for _, s := range states {
			if s.Name == w.Gates[i].Name {
				w.Gates[i].Memory = s.Memory
				w.Gates[i].Memory.NoYesSince, w.Gates[i].Memory.FailedAt = s.Memory.NoYesSince.Truncate(time.Second), s.Memory.FailedAt.Truncate(time.Second)
			}
		}
	}
}

// soaking is a fleet of a canary, which has a gate and is there since a minute, with
// an hour of soak, and of a second wave.
func soaking(t *testing.T) *story {
	t.Helper()
	s := tell(t, "canary: eu-1", "prod: eu-2")
	s.Heard = map[fleet.Question]fleet.Heard{}
	s.Fleets[0].Waves[0].Soak = time.Hour
	s.Fleets[0].Waves[0].Gates = []rollout.Gate{{Gate: errors}}
	d := s.decide("eu-1=start eu-2=WaveClosed")
	if asked := d.Fleets[0].Waves[0].Gates; len(asked) > 0 {
		t.Errorf("while the wave rolls is asked %+v", asked)
	}
	s.later(time.Minute)
	s.end(rollout.Done, "eu-1")
	return s
}

// hear lets the gate answer now.
func (s *story) hear(answer fleet.Answer, said string) {
	heard := s.Heard[errors.Question]
	heard.Answer, heard.AskedAt, heard.Said = answer, s.Now, said
	if answer == fleet.Yes {
		heard.YesAt = s.Now
	}
	s.Heard[errors.Question] = heard
}

// restart forgets what is in memory only.
func (s *story) restart() { s.Heard = map[fleet.Question]fleet.Heard{} }

func (s *story) why(member string) string {
	return rollout.Decide(s.Input).Waiting[member].Message
}

// hear answers what a decision asks, and forgets what it does not.
func (h *hub) hear(d rollout.Decision) {
	before := h.Heard
	h.Heard = map[fleet.Question]fleet.Heard{}
	for _, state := range d.Fleets {
		for _, wave := range state.Waves {
			for _, g := range wave.Gates {
				if h.says == fleet.Yes {
					h.Heard[g.Question] = fleet.Heard{Answer: fleet.Yes, AskedAt: h.Now, YesAt: h.Now}
				} else if h.says != "" {
					h.Heard[g.Question] = fleet.Heard{Answer: h.says, AskedAt: h.Now, YesAt: before[g.Question].YesAt, Said: "no"}
				}
			}
		}
	}
}

// TestGateOpens: the next wave opens when the gate has said yes to a question that
// was asked after the soak, and not before.
func TestGateOpens(t *testing.T) {
	s := soaking(t)
	d := s.decide("eu-2=WaveClosed")
	if asked := d.Fleets[0].Waves[0].Gates; len(asked) != 1 || asked[0].Question != errors.Question {
		t.Fatalf("when the soak begins is asked %+v", asked)
	}
	s.hear(fleet.Yes, "0; at most 0.01 is good")
	d = s.decide("eu-2=WaveClosed")
	if !d.Recheck.Equal(s.Now.Add(2 * time.Minute)) {
		t.Errorf("looks again at %s, want when the yes is too old", d.Recheck)
	}
	s.later(time.Hour - time.Second)
	s.hear(fleet.Yes, "0; at most 0.01 is good")
	s.decide("eu-2=WaveClosed")
	s.later(time.Second)
	d = s.decide("eu-2=WaveClosed")
	want := fleet.Reason{
		Code: fleet.WaveClosed, Object: "gate errors of wave canary", Since: s.Now,
		Message: "wave canary comes first: waits for gate errors: it is asked once more, after the soak",
	}
	if diff := cmp.Diff(want, d.Waiting["eu-2"]); diff != "" {
		t.Errorf("eu-2 (-want +got):\n%s", diff)
	}
	s.hear(fleet.Yes, "0; at most 0.01 is good")
	d = s.decide("eu-2=start")
	if wave := d.Fleets[0].Waves[0]; wave.PassedAt.IsZero() || len(wave.Gates) > 0 {
		t.Errorf("the wave that passed: %+v", wave)
	}
}

// TestGateIsNoYes: whatever is no yes, or not lately, opens nothing.
func TestGateIsNoYes(t *testing.T) {
	for _, test := range []struct {
		name  string
		heard fleet.Heard
		ago   time.Duration
		want  string
	}{
		{"no", fleet.Heard{Answer: fleet.No, Said: "0.5; at most 0.01 is good"}, 0, "waits for gate errors: 0.5; at most 0.01 is good"},
		{"nothing known", fleet.Heard{Answer: fleet.Unknown, Said: "no data"}, 0, "waits for gate errors: no data"},
		{"nothing", fleet.Heard{}, 0, "waits for gate errors: not answered yet"},
		{"an answer that is none", fleet.Heard{Answer: "yes", Said: "?"}, 0, "waits for gate errors: ?"},
		{"a yes that is too old", fleet.Heard{Answer: fleet.Yes, Said: "0"}, 2 * time.Minute, "waits for gate errors: no answer since 2026-11-03 23:58:00 UTC"},
		{"a yes that is nearly so", fleet.Heard{Answer: fleet.Yes, Said: "0"}, 2*time.Minute - 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := soaking(t)
			s.later(119 * time.Minute)
			if heard := test.heard; heard.Answer != "" {
				heard.AskedAt = s.Now.Add(-test.ago)
				s.Heard[errors.Question] = heard
			}
			if test.want == "" {
				s.decide("eu-2=start")
				return
			}
			d := s.decide("eu-2=WaveClosed")
			if got, want := d.Waiting["eu-2"].Message, "wave canary comes first: "+test.want; got != want {
				t.Errorf("eu-2 waits: %s, want %s", got, want)
			}
			if fix := d.Waiting["eu-2"].Fix; (fix == "") != (test.heard.Answer == "") {
				t.Errorf("what to do about it is %q", fix)
			}
		})
	}
}

// TestGateOfAnother question is no answer to this one.
func TestGateOfAnother(t *testing.T) {
	s := soaking(t)
	s.later(2 * time.Hour)
	other := errors.Question
	other.Max = fleet.Bound{Number: 1, Text: "1"}
	s.Heard[other] = fleet.Heard{Answer: fleet.Yes, AskedAt: s.Now}
	s.decide("eu-2=WaveClosed")
}

// TestGateFails: without a yes for three intervals the fleet halts until a person
// agrees, whatever the gate says meanwhile; if it then says no for as long, again.
func TestGateFails(t *testing.T) {
	s := soaking(t)
	s.hear(fleet.Yes, "0")
	yes := s.Now
	s.decide("eu-2=WaveClosed")
	s.later(time.Minute)
	s.hear(fleet.Unknown, "connection refused")
	d := s.decide("eu-2=WaveClosed")
	if got := d.Waiting["eu-2"].Message; !strings.HasSuffix(got, "; gate errors: connection refused") || !d.Recheck.Equal(yes.Add(3*time.Minute)) {
		t.Errorf("eu-2 waits: %s, until %s", got, d.Recheck)
	}
	s.later(2*time.Minute - 1)
	s.decide("eu-2=WaveClosed")
	s.later(1)
	d = s.decide("eu-2=GateFailed")
	want := fleet.Reason{
		Code: fleet.GateFailed, Object: "gate errors of wave canary", Since: s.Now,
		Message: "gate errors of wave canary has not said yes since 2026-11-03 22:01:00 UTC, for more than 3 times 1m0s: connection refused; it asks errors / calls",
		Fix:     "see what it measures; then let the fleet go on: refit resume main --reason …; or set its spec.release to a release that mends it",
	}
	if diff := cmp.Diff(want, d.Fleets[0].Halt); diff != "" {
		t.Errorf("halt (-want +got):\n%s", diff)
	}

	failed := s.Now
	s.later(time.Minute)
	s.hear(fleet.Yes, "0")
	s.decide("eu-2=GateFailed")
	s.restart()
	s.decide("eu-2=GateFailed")
	s.later(2 * time.Hour)
	s.hear(fleet.Yes, "0")
	s.decide("eu-2=GateFailed")

	s.approve(rollout.Resume, failed) // as old as the failure itself: nobody agrees to what has not happened
	s.decide("eu-2=GateFailed")
	s.hear(fleet.No, "0.5")
	s.approve(rollout.Resume, s.Now)
	s.decide("eu-2=WaveClosed")
	s.later(3*time.Minute - 1)
	s.hear(fleet.No, "0.5")
	s.decide("eu-2=WaveClosed")
	s.later(1)
	s.hear(fleet.No, "0.5")
	s.decide("eu-2=GateFailed")
	s.later(time.Minute)
	s.approve(rollout.Resume, s.Now)
	s.hear(fleet.Yes, "0")
	s.decide("eu-2=start")
}

// approve is a person's yes.
func (s *story) approve(subject rollout.Subject, at time.Time) {
	s.Approvals = append(s.Approvals, rollout.Approval{
		Name: fmt.Sprint("yes-", len(s.Approvals)), Fleet: "main", Revision: s.Fleets[0].Revision, Subject: subject, At: at,
	})
}

// TestGateAcrossARestart: a restart neither forgets since when there is no yes, nor
// fails a gate that nobody has asked since.
func TestGateAcrossARestart(t *testing.T) {
	s := soaking(t)
	s.hear(fleet.No, "0.5")
	s.decide("eu-2=WaveClosed")
	since := s.Now
	s.later(time.Minute)
	s.restart()
	s.later(time.Minute)
	if got := s.why("eu-2"); !strings.HasSuffix(got, "; gate errors: 0.5") {
		t.Errorf("after a restart eu-2 waits: %s", got)
	}
	s.decide("eu-2=WaveClosed")
	s.hear(fleet.No, "0.6")
	d := s.decide("eu-2=WaveClosed")
	if memory := d.Fleets[0].Waves[0].Gates[0].Memory; !memory.NoYesSince.Equal(since) {
		t.Errorf("no yes since %s, want %s", memory.NoYesSince, since)
	}

	s.restart()
	s.later(24 * time.Hour) // while nobody asks
	s.decide("eu-2=WaveClosed")
	s.hear(fleet.Yes, "0")
	s.decide("eu-2=start")
}

// TestGateHaltsAfterARestart as soon as somebody asked, where it is still no yes.
func TestGateHaltsAfterARestart(t *testing.T) {
	s := soaking(t)
	s.hear(fleet.No, "0.5")
	s.decide("eu-2=WaveClosed")
	s.restart()
	s.later(3 * time.Minute)
	s.decide("eu-2=WaveClosed")
	s.hear(fleet.No, "0.5")
	s.decide("eu-2=GateFailed")
}

// TestGateHasItsWholeTime: it is remembered to the second, and that takes nothing from it.
func TestGateHasItsWholeTime(t *testing.T) {
	s := soaking(t)
	s.later(900 * time.Millisecond)
	s.hear(fleet.Yes, "0")
	yes := s.Now
	s.decide("eu-2=WaveClosed")
	s.later(time.Minute)
	s.hear(fleet.No, "0.5")
	s.decide("eu-2=WaveClosed")
	s.later(2 * time.Minute)
	s.hear(fleet.No, "0.5")
	if d := s.decide("eu-2=WaveClosed"); d.Recheck.Before(yes.Add(3*time.Minute)) || d.Recheck.After(yes.Add(3*time.Minute+time.Second)) {
		t.Errorf("fails at %s, the last yes was at %s", d.Recheck, yes)
	}
	s.later(time.Second)
	s.decide("eu-2=GateFailed")
}

// TestGateOfAWaveThatRollsAgain is asked on, where it has no yes: what falls sick does
// not hide it. Where it has one, it is not asked until the wave soaks again.
func TestGateOfAWaveThatRollsAgain(t *testing.T) {
	for answer, want := range map[fleet.Answer]int{fleet.Yes: 0, fleet.No: 1} {
		s := soaking(t)
		s.hear(answer, "0.5")
		s.decide("eu-2=WaveClosed")
		s.member("eu-1").Ready = false
		d := s.decide("eu-2=WaveClosed")
		if asked := d.Fleets[0].Waves[0].Gates; len(asked) != want {
			t.Errorf("after a %s is asked %+v", answer, asked)
		}
		if d.Fleets[0].Waves[0].Why.Code != fleet.WaveRolling {
			t.Errorf("the wave waits for %+v", d.Fleets[0].Waves[0].Why)
		}
	}
}

// TestGateOfANewRevision begins anew, whatever it said before.
func TestGateOfANewRevision(t *testing.T) {
	s := soaking(t)
	s.hear(fleet.Yes, "0")
	s.later(time.Minute)
	s.hear(fleet.No, "0.5")
	s.decide("eu-2=WaveClosed")
	s.later(2 * time.Minute)
	s.hear(fleet.No, "0.5")
	s.decide("eu-2=GateFailed")
	f := &s.Fleets[0]
	f.Revision++
	f.Waves[0].OpenedAt = time.Time{}
	f.Waves[0].Gates[0].Memory = rollout.GateMemory{}
	s.decide("eu-2=WaveClosed") // the canary is at the release already, and soaks anew
	s.later(3*time.Minute - 1)
	s.hear(fleet.No, "0.5")
	s.decide("eu-2=WaveClosed")
	s.later(1)
	s.hear(fleet.No, "0.5")
	s.decide("eu-2=GateFailed")
}

// TestGateOfTheLastWave halts as well: late joiners do not start, and people hear of it
// though everybody is at the release.
func TestGateOfTheLastWave(t *testing.T) {
	s := soaking(t)
	s.Fleets[0].Waves = s.Fleets[0].Waves[:1]
	s.hear(fleet.No, "0.5")
	s.decide("")
	s.later(3 * time.Minute)
	s.hear(fleet.No, "0.5")
	if d := s.decide(""); d.Fleets[0].Halt.Code != fleet.GateFailed {
		t.Errorf("the fleet is halted by %+v", d.Fleets[0].Halt)
	}
	s.join("eu-9")
	s.Fleets[0].Waves[0].Members = append(s.Fleets[0].Waves[0].Members, "eu-9")
	s.decide("eu-9=GateFailed")
}

// TestGateOfAnEmptyWave is asked: a wave that selects nobody may be there for its gate.
func TestGateOfAnEmptyWave(t *testing.T) {
	s := tell(t, "ask: ", "prod: eu-2")
	s.Heard = map[fleet.Question]fleet.Heard{}
	s.Fleets[0].Waves[0].AllowEmpty, s.Fleets[0].Waves[0].Gates = true, []rollout.Gate{{Gate: errors}}
	s.decide("eu-2=WaveClosed")
	s.later(time.Second)
	s.hear(fleet.Yes, "0")
	s.decide("eu-2=start")
}

// TestGateInAPicture: who asks no gates shows what is remembered, and decides nothing
// by it.
func TestGateInAPicture(t *testing.T) {
	s := soaking(t)
	s.hear(fleet.Yes, "0")
	s.decide("eu-2=WaveClosed")
	s.Heard = nil
	if got, want := s.why("eu-2"), "wave canary comes first: soaks until 2026-11-03 23:01:00 UTC"; got != want {
		t.Errorf("eu-2 waits: %s, want %s", got, want)
	}
	s.later(3 * time.Hour)
	d := rollout.Decide(s.Input)
	if broken := invariant.Starts(s.Input, d); len(broken) > 0 || len(d.Start) > 0 || !d.Fleets[0].Waves[0].PassedAt.IsZero() {
		t.Errorf("a picture decides %+v; %v", d, broken)
	}
	if got, want := s.why("eu-2"), "wave canary comes first: waits for gate errors: it is asked once more, after the soak"; got != want {
		t.Errorf("eu-2 waits: %s, want %s", got, want)
	}
	s.Fleets[0].Waves[0].Gates[0].Memory = rollout.GateMemory{NoYesSince: now, Said: "no data"}
	if got, want := s.why("eu-2"), "wave canary comes first: waits for gate errors: no data"; got != want {
		t.Errorf("eu-2 waits: %s, want %s", got, want)
	}
}
