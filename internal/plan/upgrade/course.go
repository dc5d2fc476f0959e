package upgrade

import (
	"slices"

	"refit.dev/refit/internal/fleet"
)

// Way is an upgrade as its status tells of it.
type Way struct {
	Memory Memory
	Target fleet.Version
	// AddOns of the release.
	AddOns []fleet.WantedAddOn
	// WritesBack tells that the member's source is to be written.
	WritesBack bool
	// Hop and Step that it is in; of one that was not looked at yet, none.
	Hop  fleet.Version
	Step StepName
	// Outcome is how it ended.
	Outcome Outcome
}

// Standing is where a step is, as seen from where the upgrade is.
type Standing string

// The standings.
const (
	Passed Standing = "Passed"
	Here   Standing = "Here" // it is in it, or ended in it
	Ahead  Standing = "Ahead"
)

// Place is one step on an upgrade's way.
type Place struct {
	// Record has when the step was entered and left, if it was: one that was passed
	// at once leaves no trace. Its Hop is the version of the pass, of which only the
	// minor is sure where the pass lies ahead; zero at the very end.
	Record
	Stands Standing
}

// Steps are all there are, in order; the last Settle is of the same name as the first.
func Steps() []StepName {
	var names []StepName
	for _, s := range slices.Concat(recipe, ending) {
		if !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
	}
	return names
}

// Course is the whole way of an upgrade: each step of each pass that is behind,
// under way or, as far as it can be told, ahead, and the Settle at the end. One
// that has ended has nothing ahead.
func Course(w Way) []Place {
	here := w.here()
	var course []Place
	reached := here == Record{} && w.Outcome == Going // nothing was looked at: all is ahead
	for _, hop := range w.hops(here.Hop) {
		for _, name := range w.steps() {
			course, reached = w.add(course, pass{to: hop}, name, here, reached)
		}
	}
	if w.Outcome == Going || slices.ContainsFunc(w.Memory.Records, func(r Record) bool { return r.Hop.IsZero() }) {
		if w.WritesBack {
			course, reached = w.add(course, pass{}, WriteBack, here, reached)
		}
		course, _ = w.add(course, pass{}, Settle, here, reached)
	}
	return course
}

// steps are those of one pass; without those for add-ons that the release has none
// for.
func (w Way) steps() []StepName {
	places := map[StepName]fleet.When{
		AddOnsBefore: fleet.BeforeControlPlane, AddOns: fleet.BetweenControlPlaneAndNodes, AddOnsAfter: fleet.AfterNodes,
	}
	return slices.DeleteFunc(Steps(), func(name StepName) bool {
		when, isPlace := places[name]
		return name == WriteBack || isPlace && !slices.ContainsFunc(w.AddOns, func(a fleet.WantedAddOn) bool { return a.When == when })
	})
}

// add adds a place to the course, as far as there is more of it.
func (w Way) add(course []Place, p pass, name StepName, here Record, reached bool) (more []Place, after bool) {
	place := Place{Record: w.Memory.record(p, name), Stands: Passed}
	switch isHere := here.Step == name && here.Hop == p.to; {
	case isHere:
		place.Stands, reached = Here, true
	case reached && place.Finished.IsZero():
		place.Stands = Ahead
	}
	if place.Stands == Ahead && w.Outcome != Going {
		return course, reached
	}
	return append(course, place), reached
}

// here is the step that the upgrade is in, or ended in; none where it has not
// begun, or is Done.
func (w Way) here() Record {
	records := w.Memory.Records
	switch {
	case w.Outcome == Done:
		return Record{}
	case w.Outcome != Going:
		var last Record
		for _, r := range records {
			if !r.Entered.Before(last.Entered) {
				last = r
			}
		}
		return last
	case w.Step == WriteBack:
		return Record{Step: WriteBack}
	case w.Step == Settle && slices.ContainsFunc(records, func(r Record) bool { return r.Hop.IsZero() && r.Step == Settle }):
		return Record{Step: Settle}
	case w.Step != "" && w.Hop.IsZero():
		return Record{Step: w.Step, Hop: w.unnamed()}
	}
	return Record{Step: w.Step, Hop: w.Hop}
}

// unnamed is the hop of a step that names none: it was entered, or its version
// is not offered.
func (w Way) unnamed() fleet.Version {
	if open := w.Memory.open(w.Step); len(open) > 0 {
		return open[len(open)-1].Hop
	}
	return append(w.ahead(w.entered(fleet.Version{})), w.Target)[0]
}

// hops are the passes, oldest first.
func (w Way) hops(here fleet.Version) []fleet.Version {
	hops := w.entered(here)
	if w.Outcome == Going {
		hops = append(hops, w.ahead(hops)...)
	}
	return hops
}

// entered are the passes that were begun to be asked about, and the one that the
// upgrade is in. There is one a minor: of two the first was given up before it
// changed anything.
func (w Way) entered(here fleet.Version) []fleet.Version {
	var hops []fleet.Version
	add := func(hop fleet.Version) {
		hops = slices.DeleteFunc(hops, func(other fleet.Version) bool { return other.SameMinor(hop) })
		if !hop.IsZero() {
			hops = append(hops, hop)
		}
	}
	for _, r := range w.Memory.Records {
		add(r.Hop)
	}
	add(here)
	slices.SortFunc(hops, fleet.Version.Compare)
	return hops
}

// ahead are the passes that are yet to come, by their minor.
func (w Way) ahead(entered []fleet.Version) []fleet.Version {
	first := min(w.Memory.From.Minor+1, w.Target.Minor)
	if len(entered) > 0 {
		first = entered[len(entered)-1].Minor + 1
	}
	var hops []fleet.Version
	for minor := first; minor < w.Target.Minor; minor++ {
		hops = append(hops, fleet.Version{Major: w.Target.Major, Minor: minor})
	}
	if first <= w.Target.Minor && !w.Target.IsZero() {
		hops = append(hops, w.Target)
	}
	return hops
}
