package rollout

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"refit.dev/refit/internal/fleet"
)

// starts are the conditions of a member that is to start: the first that does
// not hold is why it waits.
var starts = []condition{
	{InFleet, needs{}, inFleet, func(_ *planner, q *question) evidence {
		return evidence{message: fmt.Sprintf("fleet %s selects it", q.fleet.Name)}
	}},
	{NotSkipped, needs{fleet: true}, notSkipped, says("no freeze leaves it out")},
	{NotFailed, needs{fleet: true}, notFailed, againOr(Upgrade.failed, "failed", "no upgrade of it has failed in this revision")},
	{NotAborted, needs{fleet: true}, notAborted, againOr(Upgrade.aborted, "was aborted", "no upgrade of it was aborted in this revision")},
	{InWave, needs{fleet: true}, inWave, func(_ *planner, q *question) evidence {
		return evidence{message: fmt.Sprintf("wave %s selects it", q.wave.Name)}
	}},
	{OneWave, needs{fleet: true}, oneWave, says("nothing else selects it")},
	{OneMember, needs{}, oneMember, says("no other MemberCluster is known to be the same cluster")},
	{NotFrozen, needs{fleet: true}, notFrozen, says("no freeze holds it")},
	{ClockRight, needs{fleet: true}, halted(clockSkew), says(fmt.Sprintf("no more than %s off the hub's", maxSkew))},
	{HasRelease, needs{fleet: true}, halted(noRelease), func(_ *planner, q *question) evidence {
		return evidence{message: fmt.Sprintf("release %s bundles %s", q.fleet.Release.Name, q.fleet.Release.Target)}
	}},
	{NotWithdrawn, needs{fleet: true}, halted(withdrawn), says("the release was not withdrawn")},
	{NotShrunk, needs{fleet: true}, halted(shrunk), says("no tenth of the fleet's members vanished at once")},
	{NotHalted, needs{fleet: true}, notHalted, tolerated},
	{GatesGood, needs{fleet: true}, halted(gateFailed), says("no gate of the fleet has failed")},
	{WaveOpen, needs{wave: true}, func(_ *planner, q *question) fleet.Reason { return q.closed }, isOpen},
	{Observed, needs{}, observed, func(_ *planner, q *question) evidence {
		return evidence{message: fmt.Sprintf("last seen at %s", q.member.ObservedAt.UTC().Format(time.DateTime+" UTC"))}
	}},
	{Healthy, needs{sight: true}, healthy, func(_ *planner, q *question) evidence {
		return evidence{"its control plane and nodes are Ready", q.member.ReadySince}
	}},
	{NotContested, needs{fleet: true, sight: true}, notContested, func(p *planner, q *question) evidence {
		if q.last.Outcome == Done && q.last.of(*q.fleet) {
			return evidence{p.name(q.name) + " brought it to the release, and it is behind again: it is brought back", q.last.EndedAt}
		}
		return evidence{message: "nobody took it back from the release"}
	}},
	{Slot, needs{wave: true}, hasSlot, func(_ *planner, q *question) evidence { return evidence{message: q.slots()} }},
}

// underWay are the conditions of a member whose upgrade has not ended.
var underWay = []condition{
	{Started, needs{}, never, func(p *planner, q *question) evidence {
		return evidence{fmt.Sprintf("in wave %s, as %s", q.last.Wave, p.name(q.name)), q.last.StartedAt}
	}},
	{InTime, needs{}, inTime, says("it is in no step for longer than three times what nine of ten take")},
}

// arrived are the conditions of a member that is where it should be.
var arrived = []condition{
	{AtRelease, needs{}, never, func(_ *planner, q *question) evidence { return evidence{message: q.there()} }},
}

func says(message string) func(*planner, *question) evidence {
	return func(*planner, *question) evidence { return evidence{message: message} }
}

func never(*planner, *question) fleet.Reason { return fleet.Reason{} }

// halted asks what holds a fleet as a whole.
func halted(by cause) func(*planner, *question) fleet.Reason {
	return func(_ *planner, q *question) fleet.Reason { return q.halts[by] }
}

// againOr is the evidence that nothing ended before the release, or that a person
// let the member start again since.
func againOr(ended func(Upgrade, Fleet) bool, how, message string) func(*planner, *question) evidence {
	return func(p *planner, q *question) evidence {
		if ended(q.last, *q.fleet) {
			return evidence{message: fmt.Sprintf("%s %s, and somebody said that it may start again", p.name(q.name), how)}
		}
		return evidence{message: message}
	}
}

// tolerated is the evidence that a fleet has not halted for its failures, or that
// it has and this member may start all the same.
func tolerated(p *planner, q *question) evidence {
	if why := q.halts[tooManyFailed]; !why.IsZero() {
		return evidence{message: "the fleet has halted, and somebody who knew of it said that this member may start"}
	}
	count := len(p.failed(*q.fleet, q.fleet.members()))
	return evidence{message: fmt.Sprintf("%d failed, %d tolerated", count, q.fleet.MaxFailures)}
}

func isOpen(p *planner, q *question) evidence {
	switch {
	case q.opened.IsZero():
		return evidence{message: "no earlier wave is waited for"}
	case q.opened.Equal(p.now):
		return evidence{message: fmt.Sprintf("wave %s opens now", q.wave.Name)}
	}
	return evidence{fmt.Sprintf("wave %s has opened", q.wave.Name), q.opened}
}

// slots are what is taken of a wave.
func (q *question) slots() string {
	return fmt.Sprintf("%d of %d in flight in wave %s", q.inFlight, q.wave.MaxConcurrent, q.wave.Name)
}

// there is what is said of a member that is where it should be.
func (q *question) there() string {
	return fmt.Sprintf("at %s or ahead", q.member.wanted(q.fleet.Release))
}

func inFleet(_ *planner, q *question) fleet.Reason {
	if q.fleet != nil {
		return fleet.Reason{}
	}
	return NoFleet()
}

// NoFleet is why a member waits that no fleet selects.
func NoFleet() fleet.Reason {
	return fleet.Reason{
		Code: fleet.NoFleet, Message: "no fleet selects it",
		Fix: "give it a label that a fleet selects, or create a fleet that does",
	}
}

func notSkipped(p *planner, q *question) fleet.Reason {
	return p.verbs.skipped(*q.fleet, q.name)
}

func notFailed(p *planner, q *question) fleet.Reason {
	if !p.unhelped(q, Upgrade.failed) {
		return fleet.Reason{}
	}
	return p.ended(q, fleet.EndedFailed, "its upgrade failed in this revision", "repair the cause, then let it start again")
}

func notAborted(p *planner, q *question) fleet.Reason {
	if !p.unhelped(q, Upgrade.aborted) {
		return fleet.Reason{}
	}
	return p.ended(q, fleet.EndedAborted, "its upgrade was aborted in this revision", "let it start again")
}

// unhelped tells whether a member's upgrade ended in a way that only a person gets
// it on from, and none has.
func (p *planner) unhelped(q *question, ended func(Upgrade, Fleet) bool) bool {
	return ended(q.last, *q.fleet) && !p.verbs.retried(*q.fleet, q.name, q.last)
}

// ended is what is said of a member whose upgrade ended before the release. One
// that is left on the way is told both ways out.
func (p *planner) ended(q *question, code fleet.Code, message, fix string) fleet.Reason {
	reason := fleet.Reason{
		Code: code, Message: message, Object: "clusterupgrade " + p.name(q.name), Since: q.last.EndedAt,
		Fix: fmt.Sprintf("%s: refit retry %s --reason …", fix, q.name),
	}
	target := q.member.wanted(q.fleet.Release)
	if m := q.member; m.ControlPlane.Reaches(target) && m.Oldest.Less(target) {
		reason.Code = fleet.Stranded
		reason.Message += fmt.Sprintf(", on the way: its control plane is at %s, its oldest part at %s", m.ControlPlane, m.Oldest)
		reason.Fix += "; or take the control plane back, where its provider still can"
	}
	return reason
}

func inWave(_ *planner, q *question) fleet.Reason {
	if q.wave != nil {
		return fleet.Reason{}
	}
	return fleet.Reason{
		Code: fleet.NoWave, Object: "fleet " + q.fleet.Name,
		Message: fmt.Sprintf("fleet %s selects it, and none of its waves does", q.fleet.Name),
		Fix:     "change its labels or a wave's selector; a last wave without selector takes all that are left",
	}
}

func oneWave(p *planner, q *question) fleet.Reason {
	if len(p.selected[q.name]) <= 1 {
		return fleet.Reason{}
	}
	return fleet.Reason{
		Code: fleet.Overlap, Object: "member " + q.name,
		Message: "selected by " + strings.Join(p.selected[q.name], " and "),
		Fix:     "change labels or a selector so that one wave of one fleet selects it",
	}
}

func oneMember(p *planner, q *question) fleet.Reason {
	if len(p.clusters[q.member.Cluster]) <= 1 {
		return fleet.Reason{}
	}
	return fleet.Reason{
		Code: fleet.Duplicate, Object: "member " + q.name,
		Message: fmt.Sprintf("%s are the same cluster", strings.Join(p.clusters[q.member.Cluster], " and ")),
		Fix:     "delete all but one of these MemberClusters; the cluster itself is not touched",
	}
}

func notFrozen(p *planner, q *question) fleet.Reason { return p.verbs.frozen(*q.fleet, q.name) }

func notHalted(p *planner, q *question) fleet.Reason {
	if p.excepted(*q.fleet, q.name) {
		return fleet.Reason{}
	}
	return q.halts[tooManyFailed]
}

func observed(p *planner, q *question) fleet.Reason {
	if p.fresh(q.member) && !q.member.Oldest.IsZero() {
		return fleet.Reason{}
	}
	return fleet.Reason{
		Code: fleet.Unobserved, Object: "member " + q.name, Since: q.member.ObservedAt,
		Message: "not observed lately: " + cmp.Or(q.member.Message, "no answer"),
		Fix:     "see that its provider and API server answer",
	}
}

func healthy(_ *planner, q *question) fleet.Reason {
	if q.member.Ready {
		return fleet.Reason{}
	}
	return fleet.Reason{
		Code: fleet.NotReady, Object: "member " + q.name, Since: q.member.ReadySince,
		Message: "not healthy: " + q.member.Message,
		Fix:     "repair it; it starts by itself",
	}
}

func notContested(p *planner, q *question) fleet.Reason {
	if q.last.Outcome != Done || !q.last.of(*q.fleet) {
		return fleet.Reason{}
	}
	return p.drifted(*q.fleet, q.name, q.last)
}

func hasSlot(_ *planner, q *question) fleet.Reason {
	if q.inFlight < q.wave.MaxConcurrent {
		return fleet.Reason{}
	}
	return fleet.Reason{Code: fleet.WaveFull, Message: q.slots(), Since: q.fullSince}
}

// inTime is that an upgrade is stuck.
func inTime(p *planner, q *question) fleet.Reason {
	stuck, bad := p.failure(*q.fleet, q.last)
	if !bad {
		return fleet.Reason{}
	}
	return fleet.Reason{
		Code: fleet.Stuck, Object: "clusterupgrade " + p.name(q.name), Since: stuck.Since,
		Message: fmt.Sprintf("its upgrade is in %s for longer than three times what nine of ten take (%s)", q.last.Step, expected(q.last)),
		Fix:     fmt.Sprintf("see refit why %s; it goes on by itself if it can, or abort it: refit abort %s --reason …", q.name, q.name),
	}
}
