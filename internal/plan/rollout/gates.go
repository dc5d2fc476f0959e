package rollout

import (
	"cmp"
	"fmt"
	"time"

	"refit.dev/refit/internal/fleet"
)

// Gate is one of a wave, with what is remembered of it.
type Gate struct {
	fleet.Gate

	Memory GateMemory
}

// GateMemory is what must be known of a gate after a restart. A yes is not: it is
// asked for again.
type GateMemory struct {
	// NoYesSince is since when it has not said yes; zero while it does.
	NoYesSince time.Time
	// FailedAt is when that was for too long, and no person has agreed since.
	FailedAt time.Time
	// Said and Fix are what was heard last that was no yes.
	Said, Fix string
}

// GateState is a gate that is being asked.
type GateState struct {
	Gate

	// Heard is what it says.
	Heard fleet.Heard
}

// gates are those of a wave that are being asked: from the beginning of the soak,
// because what is taken apart looks bad, until the wave passes. Who has not said yes
// is asked until it does, whatever becomes of the wave meanwhile.
func (p *planner) gates(f Fleet, w Wave, state WaveState, roster Roster) []GateState {
	if len(w.Gates) == 0 {
		return nil
	}
	var asked []GateState
	so := p.progress(f, w, state, roster)
	for _, g := range w.Gates {
		if so.rolls.IsZero() || !g.Memory.NoYesSince.IsZero() {
			asked = append(asked, p.gate(f, g, so.since))
		}
	}
	return asked
}

// gate is a gate of a wave that soaks since a time, with what is to be remembered of
// it from now on. Who asks no gates, as a picture does not, changes nothing.
func (p *planner) gate(f Fleet, g Gate, soaks time.Time) GateState {
	heard, memory := p.heard[g.Question], &g.Memory
	if !memory.FailedAt.IsZero() && p.verbs.resumed(f, Upgrade{EndedAt: memory.FailedAt}) {
		memory.NoYesSince, memory.FailedAt = whole(p.now), time.Time{}
	}
	if p.heard == nil {
		return GateState{Gate: g}
	}
	answer, stale := heard.At(p.now, g.Question.Interval), heard.Stale(g.Question.Interval)
	if p.now.Before(stale) {
		p.recheck(stale)
	}
	if answer == fleet.Yes {
		if memory.FailedAt.IsZero() {
			*memory = GateMemory{}
		}
		return GateState{Gate: g, Heard: heard}
	}
	if !heard.AskedAt.IsZero() { // else what was said before a restart is all that is known
		memory.Said, memory.Fix = heard.Said, heard.Fix
		if answer != heard.Answer {
			memory.Said, memory.Fix = "no answer since "+clock(heard.AskedAt), ""
		}
	}
	if memory.NoYesSince.IsZero() {
		memory.NoYesSince = whole(p.now)
		if !heard.YesAt.IsZero() {
			memory.NoYesSince = whole(latest(heard.YesAt, soaks))
		}
	}
	p.expire(g.Gate, memory, heard)
	return GateState{Gate: g, Heard: heard}
}

// whole is the next whole second: a status has no others, and one that is cut off would
// take from a gate's time.
func whole(t time.Time) time.Time {
	if cut := t.Truncate(time.Second); cut.Before(t) {
		return cut.Add(time.Second)
	}
	return t
}

// expire lets a gate fail that has been without a yes for too long. It needs an
// answer of this process: that nobody asked while none ran is not the gate's fault.
func (p *planner) expire(g fleet.Gate, memory *GateMemory, heard fleet.Heard) {
	if !memory.FailedAt.IsZero() || heard.AskedAt.IsZero() {
		return
	}
	if fails := memory.NoYesSince.Add(g.Patience()); p.now.Before(fails) {
		p.recheck(fails)
		return
	}
	memory.FailedAt = p.now
}

// closed is the first gate that does not let a wave pass that has soaked; zero where
// all do. A yes counts that was asked for after the soak: an older one has not seen
// the end of it.
func (p *planner) closed(w Wave, gates []GateState, soaked time.Time) fleet.Reason {
	for _, g := range gates {
		reason := fleet.Reason{Code: fleet.GateWaiting, Object: g.object(w)}
		switch {
		case !g.Memory.NoYesSince.IsZero():
			reason.Since = g.Memory.NoYesSince
			reason.Message = fmt.Sprintf("waits for gate %s: %s", g.Name, g.said())
			if g.Memory.Said != "" {
				reason.Fix = cmp.Or(g.Memory.Fix, "see what it measures; the wave goes on by itself when it says yes")
			}
			return reason
		case g.Heard.At(p.now, g.Question.Interval) != fleet.Yes, g.Heard.AskedAt.Before(soaked):
			reason.Since = soaked
			reason.Message = fmt.Sprintf("waits for gate %s: it is asked once more, after the soak", g.Name)
			return reason
		}
	}
	return fleet.Reason{}
}

// murmur is what gates say during the soak that is no yes, to be told with it.
func murmur(gates []GateState) string {
	for _, g := range gates {
		if !g.Memory.NoYesSince.IsZero() {
			return fmt.Sprintf("; gate %s: %s", g.Name, g.said())
		}
	}
	return ""
}

func (g GateState) object(w Wave) string { return fmt.Sprintf("gate %s of wave %s", g.Name, w.Name) }

// said is what was heard last, in words.
func (g GateState) said() string { return cmp.Or(g.Memory.Said, "not answered yet") }

// failedGate halts a fleet when a gate of it has failed: what was rolled out so far
// is not seen to be good.
func failedGate(f Fleet, waves []WaveState) fleet.Reason {
	for i, w := range waves {
		for _, g := range w.Gates {
			if !g.Memory.FailedAt.IsZero() {
				return fleet.Reason{
					Code: fleet.GateFailed, Object: g.object(f.Waves[i]), Since: g.Memory.FailedAt,
					Message: fmt.Sprintf("gate %s of wave %s has not said yes since %s, for more than %d times %s: %s; it asks %s", g.Name, w.Name,
						clock(g.Memory.NoYesSince), g.Failures, g.Question.Interval, g.said(), g.Question.Query),
					Fix: g.remedy() + fmt.Sprintf("then let the fleet go on: refit resume %s --reason …; or set its spec.release to a release that mends it", f.Name),
				}
			}
		}
	}
	return fleet.Reason{}
}

func (g GateState) remedy() string {
	if g.Memory.Fix == "" {
		return "see what it measures; "
	}
	return g.Memory.Fix + "; "
}

func clock(t time.Time) string { return t.UTC().Format(time.DateTime + " UTC") }
