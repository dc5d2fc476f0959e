package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"refit.dev/refit/internal/fleet"
)

// waves opens the waves in their order, and starts whom each may start. A wave
// that has opened stays open: who is left behind or joins late uses its slots.
func (p *planner) waves(f Fleet, state *FleetState, halts halts) {
	halted := halts.first()
	var closed fleet.Reason
	for i, w := range f.Waves {
		wave := &state.Waves[i]
		if wave.OpenedAt.IsZero() && closed.IsZero() && halted.IsZero() {
			wave.OpenedAt = p.now
			state.Roster.admit(w.Name, p.ids(w.Members))
			wave.Gates = p.gates(f, w, *wave, state.Roster)
		}
		if wave.OpenedAt.IsZero() {
			p.wave(question{fleet: &f, wave: &w, halts: halts, closed: closed}, *wave)
			continue
		}
		p.wave(question{fleet: &f, wave: &w, halts: halts, opened: wave.OpenedAt}, *wave)
		if !wave.PassedAt.IsZero() {
			continue
		}
		if wave.Why = p.ahead(f, w, *wave, state.Roster, halted); wave.Why.IsZero() {
			wave.PassedAt, wave.Gates = p.now, nil
		} else if closed.IsZero() {
			closed = behind(w, wave.Why)
		}
	}
}

// behind is why the members of later waves wait.
func behind(w Wave, why fleet.Reason) fleet.Reason {
	why.Code, why.Message = fleet.WaveClosed, fmt.Sprintf("wave %s comes first: %s", w.Name, why.Message)
	return why
}

// ahead is why a wave does not let the next one open; zero where it does.
func (p *planner) ahead(f Fleet, w Wave, state WaveState, roster Roster, halted fleet.Reason) fleet.Reason {
	so := p.progress(f, w, state, roster)
	switch {
	case !so.rolls.IsZero():
		return so.rolls
	case p.now.Before(so.soaked):
		p.recheck(so.soaked)
		return fleet.Reason{
			Code: fleet.Soaking, Object: "wave " + w.Name, Since: so.since,
			Message: "soaks until " + clock(so.soaked) + murmur(state.Gates),
		}
	default:
		return cmp.Or(halted, p.closed(w, state.Gates, so.soaked))
	}
}

// progress is how far a wave has come.
type progress struct {
	// rolls is why it does not soak yet; zero where it does.
	rolls fleet.Reason
	// since is when its soak began, and soaked when it ends.
	since, soaked time.Time
}

// progress of a wave that has opened. Its cohort are the members it had when it
// opened: who joins later closes nothing and lengthens nothing.
func (p *planner) progress(f Fleet, w Wave, state WaveState, roster Roster) progress {
	if len(w.Members) == 0 && !w.AllowEmpty {
		return progress{rolls: fleet.Reason{
			Code: fleet.EmptyWave, Object: "wave " + w.Name,
			Message: fmt.Sprintf("wave %s selects no member", w.Name),
			Fix:     "change its selector, or the labels of the members, or say allowEmpty",
		}}
	}
	cohort := slices.DeleteFunc(slices.Sorted(slices.Values(w.Members)), func(name string) bool {
		return !roster.cohort(w.Name, p.id(name)) || slices.Contains(state.Skipped, name)
	})
	missing := slices.DeleteFunc(slices.Clone(cohort), func(name string) bool {
		_, done := slices.BinarySearch(state.Done, name)
		return done && p.member(name).Ready
	})
	there, needed := len(cohort)-len(missing), w.MinSuccess.Up(len(cohort))
	switch {
	case there < needed:
		return progress{rolls: fleet.Reason{
			Code: fleet.WaveRolling, Object: "wave " + w.Name, Since: state.OpenedAt,
			Message: fmt.Sprintf("%d of %d there and healthy, %d needed; not yet: %s", there, len(cohort), needed, list(missing)),
			Fix:     helps(state, missing),
		}}
	case len(cohort) == 0:
		return progress{since: state.OpenedAt, soaked: state.OpenedAt}
	}
	since := p.lastCame(f, state, cohort)
	return progress{since: since, soaked: since.Add(w.Soak)}
}

// lastCame is when the last of a wave's cohort was brought to the release; when it
// opened, where nobody had to be.
func (p *planner) lastCame(f Fleet, state WaveState, cohort []string) time.Time {
	since := state.OpenedAt
	for _, name := range cohort {
		for _, u := range p.upgrades[name] {
			if u.of(f) && u.Outcome == Done {
				since = latest(since, u.EndedAt)
			}
		}
	}
	return since
}

// helps is what a person can do where a wave waits for who does not come by itself.
func helps(state WaveState, missing []string) string {
	for _, name := range missing {
		if slices.Contains(state.Failed, name) || slices.Contains(state.Aborted, name) {
			return fmt.Sprintf("see refit why %s; then refit retry %s, or refit skip %s", name, name, name)
		}
	}
	return ""
}

// rest tells the members of no wave why they wait.
func (p *planner) rest(f Fleet, state WaveState, halts halts) {
	q := &question{fleet: &f, halts: halts}
	p.settled(q, state)
	for _, name := range state.Waiting {
		q.about(p, name, waiting)
		p.wait(q, p.answer(q))
	}
}

// settled tells those why they do not start who are not to.
func (p *planner) settled(q *question, state WaveState) {
	for _, group := range []struct {
		stands standing
		names  []string
	}{
		{done, state.Done}, {running, state.Running}, {failed, state.Failed}, {aborted, state.Aborted}, {skipped, state.Skipped},
	} {
		for _, name := range group.names {
			q.about(p, name, group.stands)
			p.wait(q, cmp.Or(p.answer(q), p.well(q)))
		}
	}
}

// well is what is said of a member that nothing is in the way of.
func (p *planner) well(q *question) fleet.Reason {
	if q.stands == running {
		return fleet.Reason{
			Code: fleet.InFlight, Message: "its upgrade is under way", Object: "clusterupgrade " + p.name(q.name), Since: q.last.StartedAt,
		}
	}
	return fleet.Reason{Code: fleet.AtRelease, Message: q.there()}
}

// wave starts as many waiting members as there are slots, and says of each
// member why it does not start.
func (p *planner) wave(q question, state WaveState) {
	flying := p.flying(*q.fleet, state)
	q.inFlight = len(flying)
	for _, u := range flying {
		q.fullSince = latest(q.fullSince, u.StartedAt)
	}
	p.settled(&q, state)
	for _, name := range p.order(state.Waiting) {
		q.about(p, name, waiting)
		if reason := p.answer(&q); !reason.IsZero() {
			p.wait(&q, reason)
			continue
		}
		p.list(&q, fleet.Reason{})
		q.inFlight++
		q.fullSince = time.Time{} // it is about to be
		p.start(*q.fleet, *q.wave, name)
	}
}

// flying are the upgrades that have a slot of a wave: those of its members, and
// those that began in it and whose member has left it since.
func (p *planner) flying(f Fleet, state WaveState) []Upgrade {
	var flying []Upgrade
	for _, u := range p.running {
		_, here := slices.BinarySearch(state.Running, u.Member)
		if here || u.FleetUID == f.UID && u.Wave == state.Name {
			flying = append(flying, u)
		}
	}
	return flying
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// order puts those first that have the longest way to go: they end last.
func (p *planner) order(names []string) []string {
	return slices.SortedFunc(slices.Values(names), func(a, b string) int {
		return cmp.Or(p.member(a).Oldest.Compare(p.member(b).Oldest), strings.Compare(a, b))
	})
}

// drifted is why a member is not brought back that was at the release and is
// behind again; zero where it is. Whoever moves it is not fought all day.
func (p *planner) drifted(f Fleet, name string, last Upgrade) fleet.Reason {
	object := "clusterupgrade " + p.name(name)
	since := last.EndedAt.UTC().Format(time.DateTime)
	if !p.member(name).ObservedAt.After(last.EndedAt) {
		return fleet.Reason{
			Code: fleet.Unobserved, Object: "member " + name, Since: last.EndedAt,
			Message: "not observed since its upgrade ended",
		}
	}
	if f.ReportDrift {
		return fleet.Reason{
			Code: fleet.Behind, Object: object, Since: last.EndedAt,
			Message: fmt.Sprintf("was brought to %s at %s and is behind again; the fleet reports drift and leaves it", f.Release.Name, since),
			Fix:     "find out who moves it; to bring it back set the fleet's spec.drift to Correct",
		}
	}
	before := p.upgrades[name][:len(p.upgrades[name])-1]
	corrected := slices.ContainsFunc(before, func(u Upgrade) bool { return u.Outcome == Done && u.of(f) })
	again := last.StartedAt.Add(correctEvery)
	if !corrected || !p.now.Before(again) {
		return fleet.Reason{}
	}
	p.recheck(again)
	return fleet.Reason{
		Code: fleet.Contested, Object: object, Since: last.EndedAt,
		Message: fmt.Sprintf("was brought back to %s at %s and is behind again: somebody else moves it", f.Release.Name, since),
		Fix:     "find out who; it is brought back once a day",
	}
}
