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
func (p *planner) waves(f Fleet, state *FleetState, halted fleet.Reason) {
	var closed fleet.Reason
	for i, w := range f.Waves {
		wave := &state.Waves[i]
		if wave.OpenedAt.IsZero() && closed.IsZero() && halted.IsZero() {
			wave.OpenedAt = p.now
			state.Roster.admit(w.Name, p.ids(w.Members))
		}
		if wave.OpenedAt.IsZero() {
			p.wave(f, w, *wave, halted, closed)
			continue
		}
		p.wave(f, w, *wave, halted, fleet.Reason{})
		if !wave.PassedAt.IsZero() {
			continue
		}
		if wave.Why = p.ahead(f, w, *wave, state.Roster, halted); wave.Why.IsZero() {
			wave.PassedAt = p.now
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

// ahead is why a wave does not let the next one open; zero where it does. Its
// cohort are the members it had when it opened: who joins later closes nothing
// and lengthens nothing.
func (p *planner) ahead(f Fleet, w Wave, state WaveState, roster Roster, halted fleet.Reason) fleet.Reason {
	if len(w.Members) == 0 {
		if w.AllowEmpty {
			return fleet.Reason{}
		}
		return fleet.Reason{
			Code: fleet.EmptyWave, Object: "wave " + w.Name,
			Message: fmt.Sprintf("wave %s selects no member", w.Name),
			Fix:     "change its selector, or the labels of the members, or say allowEmpty",
		}
	}
	cohort := slices.DeleteFunc(slices.Sorted(slices.Values(w.Members)), func(name string) bool {
		return !roster.cohort(w.Name, p.id(name)) || slices.Contains(state.Skipped, name)
	})
	missing := slices.DeleteFunc(slices.Clone(cohort), func(name string) bool {
		_, done := slices.BinarySearch(state.Done, name)
		return done && p.members[name].Ready
	})
	since := state.OpenedAt
	for _, name := range cohort {
		for _, u := range p.upgrades[name] {
			if u.of(f) && u.Outcome == Done && u.EndedAt.After(since) {
				since = u.EndedAt
			}
		}
	}
	there, needed := len(cohort)-len(missing), w.MinSuccess.Up(len(cohort))
	soaked := since.Add(w.Soak)
	switch {
	case there < needed:
		return fleet.Reason{
			Code: fleet.WaveRolling, Object: "wave " + w.Name, Since: state.OpenedAt,
			Message: fmt.Sprintf("%d of %d there and healthy, %d needed; not yet: %s", there, len(cohort), needed, list(missing)),
			Fix:     unhelped(state, missing),
		}
	case len(cohort) > 0 && p.now.Before(soaked):
		p.recheck(soaked)
		return fleet.Reason{
			Code: fleet.Soaking, Object: "wave " + w.Name, Since: since,
			Message: "soaks until " + soaked.UTC().Format(time.DateTime+" UTC"),
		}
	default:
		return halted
	}
}

// unhelped is what a person can do where a wave waits for who does not come by
// itself.
func unhelped(state WaveState, missing []string) string {
	for _, name := range missing {
		if slices.Contains(state.Failed, name) || slices.Contains(state.Aborted, name) {
			return fmt.Sprintf("see refit why %s; then refit retry %s, or refit skip %s", name, name, name)
		}
	}
	return ""
}

// rest tells the members of no wave why they wait.
func (p *planner) rest(f Fleet, state WaveState) {
	p.settled(f, state)
	for _, name := range state.Waiting {
		p.wait(name, fleet.Reason{
			Code: fleet.NoWave, Object: "fleet " + f.Name,
			Message: fmt.Sprintf("fleet %s selects it, and none of its waves does", f.Name),
			Fix:     "change its labels or a wave's selector; a last wave without selector takes all that are left",
		})
	}
}

// settled tells those why they do not start who are not to.
func (p *planner) settled(f Fleet, state WaveState) {
	for _, name := range state.Done {
		p.wait(name, fleet.Reason{Code: fleet.AtRelease, Message: fmt.Sprintf("at %s or ahead", f.Release.Target)})
	}
	for _, name := range state.Running {
		p.wait(name, p.flying(f, name))
	}
	for _, name := range state.Failed {
		p.wait(name, p.ended(f, name, fleet.EndedFailed, "its upgrade failed in this revision", "repair the cause, then let it start again"))
	}
	for _, name := range state.Aborted {
		p.wait(name, p.ended(f, name, fleet.EndedAborted, "its upgrade was aborted in this revision", "let it start again"))
	}
	for _, name := range state.Skipped {
		p.wait(name, p.verbs.skipped(f, name))
	}
}

// flying is what is said of a member whose upgrade is under way.
func (p *planner) flying(f Fleet, name string) fleet.Reason {
	last, _ := p.last(name)
	if stuck, bad := p.failure(f, last); bad {
		return fleet.Reason{
			Code: fleet.Stuck, Object: "clusterupgrade " + p.name(name), Since: stuck.Since,
			Message: fmt.Sprintf("its upgrade is in %s for longer than three times what nine of ten take (%s)", last.Step, expected(last)),
			Fix:     fmt.Sprintf("see refit why %s; it goes on by itself if it can, or abort it: refit abort %s --reason …", name, name),
		}
	}
	return fleet.Reason{Code: fleet.InFlight, Message: "its upgrade is under way", Object: "clusterupgrade " + p.name(name)}
}

// ended is what is said of a member whose upgrade ended before the release. One
// that is left on the way is told both ways out.
func (p *planner) ended(f Fleet, name string, code fleet.Code, message, fix string) fleet.Reason {
	reason := fleet.Reason{
		Code: code, Message: message, Object: "clusterupgrade " + p.name(name),
		Fix: fmt.Sprintf("%s: refit retry %s --reason …", fix, name),
	}
	if m := p.members[name]; !p.reached(f, name) && !f.Release.Target.IsZero() && m.ControlPlane.Reaches(f.Release.Target) && m.Oldest.Less(f.Release.Target) {
		reason.Code = fleet.Stranded
		reason.Message += fmt.Sprintf(", on the way: its control plane is at %s, its oldest part at %s", m.ControlPlane, m.Oldest)
		reason.Fix += "; or take the control plane back, where its provider still can"
	}
	return reason
}

// wave starts as many waiting members as there are slots, and says of each
// member why it does not start.
func (p *planner) wave(f Fleet, w Wave, state WaveState, halted, closed fleet.Reason) {
	p.settled(f, state)
	inFlight := len(state.Running) + p.elsewhere(f, state)
	for _, name := range p.order(state.Waiting) {
		reason := p.blocked(f, name, halted, closed)
		if reason.IsZero() && inFlight >= w.MaxConcurrent {
			reason = fleet.Reason{
				Code:    fleet.WaveFull,
				Message: fmt.Sprintf("%d of %d in flight in wave %s", inFlight, w.MaxConcurrent, w.Name),
			}
		}
		if !reason.IsZero() {
			p.wait(name, reason)
			continue
		}
		inFlight++
		p.start(f, w, name)
	}
}

// elsewhere counts the upgrades in flight that began in a wave which their
// member has left: they keep its slot.
func (p *planner) elsewhere(f Fleet, state WaveState) int {
	count := 0
	for _, u := range p.running {
		if u.FleetUID == f.UID && u.Wave == state.Name && !slices.Contains(state.Running, u.Member) {
			count++
		}
	}
	return count
}

// order puts those first that have the longest way to go: they end last.
func (p *planner) order(names []string) []string {
	return slices.SortedFunc(slices.Values(names), func(a, b string) int {
		return cmp.Or(p.members[a].Oldest.Compare(p.members[b].Oldest), strings.Compare(a, b))
	})
}

// blocked is why a member that is behind may not start; zero where it may.
func (p *planner) blocked(f Fleet, name string, halted, closed fleet.Reason) fleet.Reason {
	member := p.members[name]
	last, _ := p.last(name)
	switch {
	case len(p.selected[name]) > 1:
		return fleet.Reason{
			Code: fleet.Overlap, Object: "member " + name,
			Message: "selected by " + strings.Join(p.selected[name], " and "),
			Fix:     "change labels or a selector so that one wave of one fleet selects it",
		}
	case len(p.clusters[member.Cluster]) > 1:
		return fleet.Reason{
			Code: fleet.Duplicate, Object: "member " + name,
			Message: fmt.Sprintf("%s are the same cluster", strings.Join(p.clusters[member.Cluster], " and ")),
			Fix:     "delete all but one of these MemberClusters; the cluster itself is not touched",
		}
	case !p.verbs.frozen(f, name).IsZero():
		return p.verbs.frozen(f, name)
	case !halted.IsZero() && (halted.Code != fleet.Halted || !p.excepted(f, name)):
		return halted
	case !closed.IsZero():
		return closed
	case !p.fresh(member) || member.Oldest.IsZero():
		return fleet.Reason{
			Code: fleet.Unobserved, Object: "member " + name, Since: member.ObservedAt,
			Message: "not observed lately: " + cmp.Or(member.Message, "no answer"),
			Fix:     "see that its provider and API server answer",
		}
	case !member.Ready:
		return fleet.Reason{
			Code: fleet.NotReady, Object: "member " + name,
			Message: "not healthy: " + member.Message,
			Fix:     "repair it; it starts by itself",
		}
	case last.Outcome == Done && last.of(f):
		return p.drifted(f, name, last)
	default:
		return fleet.Reason{}
	}
}

// drifted is why a member is not brought back that was at the release and is
// behind again; zero where it is. Whoever moves it is not fought all day.
func (p *planner) drifted(f Fleet, name string, last Upgrade) fleet.Reason {
	object := "clusterupgrade " + p.name(name)
	since := last.EndedAt.UTC().Format(time.DateTime)
	if !p.members[name].ObservedAt.After(last.EndedAt) {
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
