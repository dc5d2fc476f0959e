package upgrade

import (
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
)

// freshness is how old a passed Settle and Preflight may be when the pass
// makes its first change.
const freshness = 10 * time.Minute

// begun tells whether the pass to a version has begun to change the cluster:
// Settle and Preflight are then closed.
func begun(in Input, to fleet.Version) bool {
	if slices.ContainsFunc(in.Memory.Records, func(r Record) bool { return r.Hop == to && r.Step.commits() }) {
		return true
	}
	record := in.Memory.record(pass{to: to}, ControlPlane)
	return !record.Entered.IsZero() && !cameToNothing(in, record)
}

// cameToNothing tells whether a control plane was to be changed and, long after,
// shows no sign of it; where its version is not known, nothing can be told.
func cameToNothing(in Input, r Record) bool {
	shown := operation(in.Cluster).Token == token(in, pass{to: r.Hop}, "control-plane")
	cp := in.Cluster.ControlPlane.Oldest
	return r.Step == ControlPlane && !shown && !cp.IsZero() && !in.Cluster.Reaches(cp, r.Hop) && in.Now.Sub(r.Entered) >= freshness
}

// current leaves out what does not hold any more: what was passed before a
// change that never came about, and since when the cluster was healthy where it
// is not.
func (m Memory) current(in Input) Memory {
	sick := !in.Cluster.Sick().IsZero()
	kept := Memory{From: m.From, Declared: m.Declared}
	for _, r := range m.Records {
		lapsed := m.started(pass{to: r.Hop}, ControlPlane) || (sick && r.Step == Settle)
		asksAnew := r.Finished.IsZero() && cameToNothing(in, r)
		if (begun(in, r.Hop) || !lapsed) && !asksAnew {
			kept.Records = append(kept.Records, r)
		}
	}
	return kept
}

// started tells whether a step of the pass was entered.
func (m Memory) started(p pass, name StepName) bool {
	return slices.ContainsFunc(m.Records, func(r Record) bool { return r.Hop == p.to && r.Step == name })
}

// reached tells whether the control plane was seen at the pass's version: its
// step was left, or the nodes after it were begun.
func (m Memory) reached(p pass) bool {
	return !m.record(p, ControlPlane).Finished.IsZero() || m.past(p, ControlPlane)
}

// past tells whether a step after one was entered: what that one asks of the
// cluster's health is then for the later one to ask.
func (m Memory) past(p pass, name StepName) bool {
	order := []StepName{AddOnsBefore, ControlPlane, Bake, AddOns, Nodes, AddOnsAfter}
	later := order[slices.Index(order, name)+1:]
	return slices.ContainsFunc(later, func(name StepName) bool { return m.started(p, name) })
}

// open are the records of a step that was not left, of any pass.
func (m Memory) open(name StepName) []Record {
	var list []Record
	for _, r := range m.Records {
		if r.Step == name && r.Finished.IsZero() {
			list = append(list, r)
		}
	}
	return list
}

// lately is a step's record of the newest pass that has one; true where it was not
// left, or not for so long.
func (m Memory) lately(name StepName, now time.Time, within time.Duration) (Record, bool) {
	for _, r := range slices.Backward(m.Records) {
		if r.Step == name {
			return r, r.Finished.IsZero() || now.Sub(r.Finished) < within
		}
	}
	return Record{}, false
}

// newest is the step that was entered last.
func (m Memory) newest() Record {
	var newest Record
	for _, r := range m.Records {
		if !r.Entered.Before(newest.Entered) {
			newest = r
		}
	}
	return newest
}

// record finds what is remembered of a step.
func (m Memory) record(p pass, name StepName) Record {
	for _, r := range m.Records {
		if r.Hop == p.to && r.Step == name {
			return r
		}
	}
	return Record{Hop: p.to, Step: name}
}

// enter remembers that a step was entered. An unhealthy cluster is not
// settling: its Settle begins anew.
func (m Memory) enter(p pass, name StepName, now time.Time, step Step) Memory {
	record := m.record(p, name)
	if record.Entered.IsZero() {
		record.Entered = now
	}
	if name == Settle && step.Why.Code != fleet.Settling {
		record.Entered = time.Time{}
	}
	record.Finished = time.Time{}
	return m.with(record)
}

// leave remembers that a step was passed. A step that was never entered had
// nothing to do, and leaves no trace.
func (m Memory) leave(p pass, name StepName, now time.Time) Memory {
	record := m.record(p, name)
	if record.Entered.IsZero() || !record.Finished.IsZero() {
		return m
	}
	record.Finished = now
	return m.with(record)
}

// with is the memory with one record added or replaced.
func (m Memory) with(record Record) Memory {
	records := slices.Clone(m.Records)
	i := slices.IndexFunc(records, func(r Record) bool { return r.Hop == record.Hop && r.Step == record.Step })
	if i < 0 {
		records = append(records, record)
	} else {
		records[i] = record
	}
	return Memory{From: m.From, Declared: m.Declared, Records: records}
}
