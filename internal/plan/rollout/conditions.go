package rollout

import (
	"time"

	"refit.dev/refit/internal/fleet"
)

// Condition is one of those that a member meets, or does not, on its way.
type Condition struct {
	Name  ConditionName
	Holds Truth
	// Message is the evidence that it holds, and Since since when; where it does
	// not, Why has both. Where it is not known, Message says when it will be asked.
	Message string
	Since   time.Time
	// Why it does not hold; zero where it does, and where that is not known.
	Why fleet.Reason
}

// Truth is whether a condition holds.
type Truth string

// The truths; unknown is what was not asked, because the answer to another
// question is needed for it.
const (
	True    Truth = "True"
	False   Truth = "False"
	Unknown Truth = "Unknown"
)

// ConditionName names a condition.
type ConditionName string

// The conditions of a member that is to start, in the order in which they are
// asked.
const (
	InFleet      ConditionName = "InFleet"
	NotSkipped   ConditionName = "NotSkipped"
	NotFailed    ConditionName = "NotFailed"
	NotAborted   ConditionName = "NotAborted"
	InWave       ConditionName = "InWave"
	OneWave      ConditionName = "OneWave"
	OneMember    ConditionName = "OneMember"
	NotFrozen    ConditionName = "NotFrozen"
	ClockRight   ConditionName = "ClockRight"
	HasRelease   ConditionName = "HasRelease"
	NotWithdrawn ConditionName = "NotWithdrawn"
	NotShrunk    ConditionName = "NotShrunk"
	NotHalted    ConditionName = "NotHalted"
	GatesGood    ConditionName = "GatesGood"
	WaveOpen     ConditionName = "WaveOpen"
	Observed     ConditionName = "Observed"
	Healthy      ConditionName = "Healthy"
	NotContested ConditionName = "NotContested"
	HubActs      ConditionName = "HubActs" // asked by package hold
	Slot         ConditionName = "Slot"
)

// The conditions of a member whose upgrade is under way, and of one that is
// where it should be.
const (
	Started   ConditionName = "Started"
	InTime    ConditionName = "InTime"
	AtRelease ConditionName = "AtRelease"
)

// standing is where a member is in its wave.
type standing string

const (
	waiting standing = "Waiting"
	running standing = "Running"
	done    standing = "Done"
	failed  standing = "Failed"
	aborted standing = "Aborted"
	skipped standing = "Skipped"
)

// question is what the conditions of one member are asked about. One serves all
// members of a wave, one after the other.
type question struct {
	// fleet that selects the member, and its wave; nil where none does.
	fleet *Fleet
	wave  *Wave
	// opened is when the wave opened; zero where it has not.
	opened time.Time
	// halts are why nothing of the fleet starts, closed why nothing of the wave.
	halts  halts
	closed fleet.Reason
	// inFlight are the slots of the wave that are taken, since fullSince where
	// they are all.
	inFlight  int
	fullSince time.Time

	name   string
	stands standing
	member *Member
	last   Upgrade
}

// needs is what must be known before a condition can be asked.
type needs struct{ fleet, wave, sight bool }

// condition is one line of a table: a question of which a reason is the no, and
// the evidence of a yes.
type condition struct {
	name  ConditionName
	needs needs
	ask   func(*planner, *question) fleet.Reason
	holds func(*planner, *question) evidence
}

// evidence is what a yes is known from, and since when it is one.
type evidence struct {
	message string
	since   time.Time
}

// conditions of a member, by where it is.
func (s standing) conditions() []condition {
	switch s {
	case running:
		return underWay
	case done:
		return arrived
	case waiting, failed, aborted, skipped:
	}
	return starts
}

// about turns to the next member of the wave.
func (q *question) about(p *planner, name string, stands standing) {
	q.name, q.stands, q.member = name, stands, p.member(name)
	q.last, _ = p.last(name)
}

// answer is the first reason for which a member does not go on; zero where there
// is none.
func (p *planner) answer(q *question) fleet.Reason {
	list := q.stands.conditions()
	for i := range list {
		if reason := list[i].ask(p, q); !reason.IsZero() {
			return reason
		}
	}
	return fleet.Reason{}
}

// listed are all conditions of one member, as one of the waves that select it
// has them, and the answer that it is given there.
type listed struct {
	answer     fleet.Reason
	conditions []Condition
}

// list keeps the conditions of the member that somebody asks about.
func (p *planner) list(q *question, answer fleet.Reason) {
	if q.name != p.about {
		return
	}
	all := listed{answer: answer}
	for _, c := range q.stands.conditions() {
		all.conditions = append(all.conditions, c.of(p, q))
	}
	p.listed = append(p.listed, all)
}

func (c condition) of(p *planner, q *question) Condition {
	if later := q.later(p, c.needs); later != "" {
		return Condition{Name: c.name, Holds: Unknown, Message: later}
	}
	if why := c.ask(p, q); !why.IsZero() {
		return Condition{Name: c.name, Holds: False, Why: why}
	}
	yes := c.holds(p, q)
	return Condition{Name: c.name, Holds: True, Message: yes.message, Since: yes.since}
}

// later says when a question will be asked; empty where it can be now.
func (q *question) later(p *planner, needs needs) string {
	switch {
	case (needs.fleet || needs.wave) && q.fleet == nil:
		return "asked when a fleet selects it"
	case needs.wave && q.wave == nil:
		return "asked when a wave selects it"
	case needs.sight && !observed(p, q).IsZero():
		return "asked when it was seen"
	}
	return ""
}

// Conditions are all conditions of one member, in the order in which they are
// asked: the first that does not hold is why it waits. None where there is no
// such member. A member that several waves select is told what counts the most.
func Conditions(in Input, member string) []Condition {
	p := newPlanner(in)
	if _, found := p.members[member]; !found {
		return nil
	}
	p.about = member
	for _, f := range p.fleets {
		p.fleet(f)
	}
	if len(p.listed) == 0 {
		q := &question{}
		q.about(p, member, waiting)
		p.list(q, p.answer(q))
	}
	said := p.decision.Waiting[member] // nothing, where it starts
	for _, list := range p.listed {
		if list.answer == said {
			return list.conditions
		}
	}
	return p.listed[0].conditions
}

// Names are those of all conditions, in their order.
func Names() []ConditionName {
	var names []ConditionName
	for _, list := range [][]condition{starts, underWay, arrived} {
		for _, c := range list {
			if c.name == Slot {
				names = append(names, HubActs)
			}
			names = append(names, c.name)
		}
	}
	return names
}
