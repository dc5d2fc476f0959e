package world

import (
	"fmt"
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
)

// AddOn is one that is there, or may come.
type AddOn struct {
	Name string
	// At is where it is in the beginning; zero where it is not there.
	At     fleet.Version
	Values string
	// Sick is a version that never becomes healthy, and Refused one of which not all
	// is accepted.
	Sick, Refused fleet.Version
}

// AddOns are those of one cluster.
type AddOns struct {
	// Start is how long one takes to become healthy, and Breaks is told what must never
	// happen.
	Start  time.Duration
	Breaks func(format string, args ...any)
	// RefuseNext lets not all of the next change be accepted, and Sick none be healthy.
	RefuseNext, Sick bool

	all []*addOn
}

// addOn is one with its history, the newest change last.
type addOn struct {
	shape   AddOn
	history []change
	// healthyAt is when the last change has become healthy.
	healthyAt time.Time
}

// change of an add-on.
type change struct {
	version   fleet.Version
	values    string
	by        string
	takenBack bool
	phase     fleet.AddOnPhase
	message   string
	at        time.Time
}

// Add one that is there, or may come.
func (s *AddOns) Add(shape AddOn, now time.Time) {
	a := &addOn{shape: shape}
	if !shape.At.IsZero() {
		a.history = []change{{version: shape.At, values: shape.Values, phase: fleet.Deployed, at: now}}
	}
	s.all = append(s.all, a)
}

// last change; zero where there was none.
func (a *addOn) last() change {
	if len(a.history) == 0 {
		return change{phase: fleet.Absent}
	}
	return a.history[len(a.history)-1]
}

// back is the last change before those of an upgrade that came to something.
func (a *addOn) back(upgrade string) (change, bool) {
	for _, was := range slices.Backward(a.history) {
		if was.by != upgrade && was.phase == fleet.Deployed {
			return was, true
		}
	}
	return change{}, false
}

// Seen is what can be observed of one.
func (s *AddOns) Seen(name string, now time.Time) fleet.AddOn {
	a := s.named(name)
	last := a.last()
	seen := fleet.AddOn{
		Name: name, Phase: last.phase, Message: last.message, Version: last.version, Values: last.values,
		Revision: len(a.history), By: last.by, TakenBack: last.takenBack, Since: last.at,
	}
	for _, was := range a.history[:max(0, len(a.history)-1)] {
		if was.by != "" {
			seen.Tried = append(seen.Tried, was.by)
		}
	}
	if back, there := a.back(last.by); there && last.by != "" {
		seen.Back = back.version
	}
	if last.phase == fleet.Deployed && (s.Sick || last.version == a.shape.Sick || now.Before(a.healthyAt)) {
		seen.Sick = "Deployment " + name + " has too few pods"
	}
	return seen
}

// Names of all, in the order in which they came.
func (s *AddOns) Names() []string {
	var names []string
	for _, a := range s.all {
		names = append(names, a.shape.Name)
	}
	return names
}

func (s *AddOns) named(name string) *addOn {
	i := slices.IndexFunc(s.all, func(a *addOn) bool { return a.shape.Name == name })
	if i < 0 {
		i = len(s.all)
		s.Add(AddOn{Name: name}, time.Time{})
	}
	return s.all[i]
}

// Begin is an action on one arriving. A change is half done until its End.
func (s *AddOns) Begin(action plan.Action, now time.Time) Answer {
	switch a := action.(type) {
	case plan.UpgradeAddOn:
		it := s.named(a.AddOn)
		if len(it.history) != a.After {
			return Outdated
		}
		if it.last().phase == fleet.Pending {
			s.Breaks("add-on %s is changed while it is being changed", a.AddOn)
		}
		if a.To.Less(it.last().version) && !it.last().takenBack {
			s.Breaks("add-on %s goes from %s back to %s", a.AddOn, it.last().version, a.To)
		}
		it.begin(change{version: a.To, values: a.Helm.Values, by: a.Upgrade, at: now})
	case plan.TakeBackAddOn:
		it := s.named(a.AddOn)
		back, there := it.back(a.Upgrade)
		switch {
		case len(it.history) != a.After:
			return Outdated
		case !there:
			return Stopped
		}
		it.begin(change{version: back.version, values: back.values, by: a.Upgrade, takenBack: true, at: now})
	case plan.UnlockAddOn:
		it := s.named(a.AddOn)
		if len(it.history) != a.Revision || it.last().phase != fleet.Pending {
			return Outdated
		}
		last := &it.history[len(it.history)-1]
		last.phase, last.message = fleet.Broken, fleet.LeftPending
	default:
		return Stopped
	}
	return Accepted
}

func (a *addOn) begin(to change) {
	to.phase, to.message = fleet.Pending, "Preparing upgrade"
	a.history = append(a.history, to)
}

// End is what was begun coming to its end; what is not half done stays as it is.
func (s *AddOns) End(name string, now time.Time) {
	it := s.named(name)
	if it.last().phase != fleet.Pending {
		return
	}
	last := &it.history[len(it.history)-1]
	last.phase, last.message, it.healthyAt = fleet.Deployed, "", now.Add(s.Start)
	if s.RefuseNext || last.version == it.shape.Refused {
		last.phase, last.message, s.RefuseNext = fleet.Broken, "not all of it was accepted", false
	}
}

// changeAddOn is an action on one arriving; where the process dies meanwhile, it
// stays half done.
func (c *Cluster) changeAddOn(action plan.Action) Answer {
	answer := c.addOns.Begin(action, c.now)
	if answer != Accepted {
		return answer
	}
	name := ""
	switch a := action.(type) {
	case plan.UpgradeAddOn:
		name = a.AddOn
	case plan.TakeBackAddOn:
		name = a.AddOn
	default:
		return answer
	}
	if !c.diesNext {
		c.addOns.End(name, c.now)
	}
	c.diesNext = false
	return answer
}

// DieNext lets the next change of an add-on stay half done.
func (c *Cluster) DieNext() { c.diesNext = true }

// RefuseNext lets the next change of an add-on be accepted in part.
func (c *Cluster) RefuseNext() { c.addOns.RefuseNext = true }

// SickenAddOns lets no add-on be healthy, or all again.
func (c *Cluster) SickenAddOns(sick bool) {
	c.addOns.Sick = sick
	c.present = c.picture()
}

// BeginAddOn lets somebody else begin to change an add-on that is at rest.
func (c *Cluster) BeginAddOn() {
	for _, it := range c.addOns.all {
		if last := it.last(); last.phase == fleet.Deployed {
			it.begin(change{version: last.version, values: last.values, at: c.now})
			c.present = c.picture()
			return
		}
	}
}

// EndAddOns lets others bring what they have begun to its end.
func (c *Cluster) EndAddOns() {
	for _, it := range c.addOns.all {
		if last := it.last(); last.phase == fleet.Pending && last.by == "" {
			it.history[len(it.history)-1].phase = fleet.Deployed
		}
	}
	c.present = c.picture()
}

// AddOnBehind is the first add-on that is not at the version of a minor, or not
// healthy; empty where there is none.
func (c *Cluster) AddOnBehind(wanted []fleet.WantedAddOn, minor string) string {
	for _, want := range wanted {
		to, named := want.Versions[minor]
		seen := c.addOns.Seen(want.Name, c.now)
		if named && (seen.Phase != fleet.Deployed || seen.Version.Less(to.Version) || seen.Sick != "") {
			return fmt.Sprintf("add-on %s is %s at %s (%s)", want.Name, seen.Phase, seen.Version, seen.Sick)
		}
	}
	return ""
}
