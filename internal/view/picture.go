package view

import (
	"fmt"
	"strings"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
)

// Picture is a hub as it was seen at a time, for those who draw more than one
// part of it, or do so later.
type Picture struct {
	hub  observe.Hub
	held fleet.Reason
	at   time.Time
}

// Seen is the picture of a hub. Held is why nothing of the hub acts; zero where it
// may.
func Seen(hub observe.Hub, held fleet.Reason, at time.Time) Picture {
	return Picture{hub: hub, held: held, at: at}
}

// Status is the whole of it, as "refit status" prints it.
func (p Picture) Status() Status { return Held(p.hub, p.held, p.at) }

// Why is one member, as "refit why" prints it; false where there is no such member.
func (p Picture) Why(member string) (Why, bool) { return WhyOf(p.hub, p.held, member, p.at) }

// Held is why nothing of the hub acts; zero where it may.
func (p Picture) Held() Reason { return reasonOf(p.held) }

// Count is how many of a fleet, or of a wave, are in a state.
type Count struct {
	State State
	N     int
}

// states are all of them, in the order in which they are told.
func states() []State { return []State{Done, Running, Waiting, Failed, Aborted, Skipped} }

// Share counts those that are there, state by state, without the empty ones.
func (f Fleet) Share() []Count {
	counts, all := f.Counts(), []Count{}
	for _, state := range states() {
		if counts[state] > 0 {
			all = append(all, Count{State: state, N: counts[state]})
		}
	}
	return all
}

func (w Wave) counts() map[State]int {
	counts := map[State]int{}
	for _, member := range w.Members {
		counts[member.State]++
	}
	return counts
}

// Stage is where a wave stands.
type Stage string

// The stages.
const (
	Closed  Stage = "Closed"  // an earlier wave is waited for
	Open    Stage = "Open"    // its members may start
	Soaking Stage = "Soaking" // they are there, and are watched for a while
	Passed  Stage = "Passed"  // the next wave may open
)

// Stage of a wave, as the planner's decision tells it.
func (w Wave) Stage() Stage {
	switch {
	case !w.Passed.IsZero():
		return Passed
	case w.Why.Code == string(fleet.Soaking):
		return Soaking
	case !w.Opened.IsZero():
		return Open
	}
	return Closed
}

// Headcount is how many of a wave are there.
func (w Wave) Headcount() string {
	return fmt.Sprintf("%d of %d done", w.counts()[Done], len(w.Members))
}

// Next is what happens next in a fleet, in a sentence: what the planner says of
// those who are next, and nothing that it does not say.
func (f Fleet) Next() string {
	counts := f.Counts()
	starting := f.waiting(func(why Reason) bool { return why.Code == string(fleet.Starting) })
	behind := f.waiting(func(why Reason) bool { return why.Code == string(fleet.WaveFull) })
	switch {
	case f.Halt.Code != "" && counts[Running] > 0:
		return fmt.Sprintf("nobody starts as long as it is halted; %d under way", counts[Running])
	case f.Halt.Code != "":
		return "nobody starts as long as it is halted"
	case len(starting) > 0:
		return listed(starting) + " " + verb(starting, "starts", "start") + " now"
	case len(behind) > 0:
		return "as soon as a slot is free, " + behind[0] + " starts"
	case counts[Running] > 0 && counts[Waiting] == 0:
		return fmt.Sprintf("%d under way; nobody waits", counts[Running])
	}
	for i, w := range f.Waves[:max(0, len(f.Waves)-1)] {
		if w.Stage() != Passed && w.Why.Code != "" {
			return fmt.Sprintf("wave %s comes after %s: %s", f.Waves[i+1].Name, w.Name, w.Why.Message)
		}
	}
	if first := f.waiting(func(Reason) bool { return true }); len(first) > 0 {
		return "nothing starts now; " + first[0] + " waits: " + f.why(first[0])
	}
	if counts[Failed]+counts[Aborted] > 0 {
		return "nothing, until a person lets those start again that failed or were aborted"
	}
	return "nothing: everybody is at the release"
}

// waiting are those who wait for such a reason.
func (f Fleet) waiting(such func(Reason) bool) []string {
	var names []string
	for _, w := range f.Waves {
		for _, m := range w.Members {
			if m.State == Waiting && such(m.Why) {
				names = append(names, m.Name)
			}
		}
	}
	return names
}

func (f Fleet) why(member string) string {
	why, _ := Status{Fleets: []Fleet{f}}.find(member)
	return why.Member.Why.Message
}

// named is how many members a sentence names.
const named = 3

// listed are names in a sentence; of many, some.
func listed(names []string) string {
	if len(names) > named {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:named], ", "), len(names)-named)
	}
	return strings.Join(names, ", ")
}

func verb(names []string, one, several string) string {
	if len(names) == 1 {
		return one
	}
	return several
}

// Goal is the version that a member goes to, where it is on its way or is to be:
// that of its pass, or that of the release.
func (m Member) Goal(f Fleet) string {
	switch m.State {
	case Running:
		return m.Hop
	case Waiting, Failed, Aborted:
		if m.Version != f.Kubernetes {
			return f.Kubernetes
		}
	case Done, Skipped:
	}
	return ""
}

// Whose says in words who can change what a reason tells of.
func (r Reason) Whose() string {
	return whose(fleet.Reason{Code: fleet.Code(r.Code), Fix: r.Fix}.Who())
}

// Commands are those in what a reason says is to be done.
func (r Reason) Commands() []string { return commandsOf(r.Fix) }

// Whose says in words who can change what does not hold.
func (c Condition) Whose() string { return whose(c.Who) }

// Group is what a condition is listed under: a pass, the end, or what was asked
// before.
func (c Condition) Group() string { return c.group() }

// IsStep tells a step of the recipe from what is asked.
func (c Condition) IsStep() bool { return c.isStep() }

// When is a time in words: of another day, with its date.
func (style Style) When(t time.Time) string { return style.when(t) + " UTC" }

// Brief is a fleet in a few words: how far it is, and whether it needs somebody.
func (f Fleet) Brief() string {
	counts, total := f.Counts(), 0
	for _, n := range counts {
		total += n
	}
	brief := fmt.Sprintf("%s %d/%d", f.Name, counts[Done], total)
	if counts[Failed] > 0 || f.Halt.Code != "" {
		brief = Failed.Mark() + " " + brief
	}
	return brief
}
