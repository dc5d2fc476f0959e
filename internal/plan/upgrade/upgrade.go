// Package upgrade decides the next step of one member's upgrade.
//
// An upgrade is a number of passes through one recipe, each of which takes the
// control plane at most one minor further, and the nodes only where the skew
// demands it or the release is reached. Next walks passes and recipe from the
// start every time, and answers with the first step that is not done: position
// is derived from what is observed, so a crash, a restart or somebody else's
// help need no treatment of their own.
//
// What cannot be observed is in Memory: when steps were entered and left.
package upgrade

import (
	"fmt"
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/noderoll"
	"refit.dev/refit/internal/plan/preflight"
)

// Input is everything a decision needs.
type Input struct {
	Now time.Time
	// UID and Member identify the upgrade in tokens and undo, and Hub and UID in
	// the claim.
	UID, Member, Hub string
	// Release is its name, and Target its version, a floor within its minor.
	Release string
	Target  fleet.Version
	// Hops are the release's own versions to pass through, by minor ("1.36").
	Hops map[string]fleet.Version
	// AddOns are those of the release.
	AddOns []fleet.WantedAddOn
	// Pins are the fleet's, of this revision and the member's provider.
	Pins    []fleet.Pin
	Cluster fleet.Cluster
	Policy  Policy
	Memory  Memory
	// Superseded is set when the fleet no longer wants this upgrade, and Aborted
	// when a person wants its end.
	Superseded, Aborted fleet.Reason
	// Withdrawn is set when nobody is to be brought to the release any more, Frozen
	// when a person holds what is under way, and Halted when the fleet's failures
	// are spent by others.
	Withdrawn, Frozen, Halted fleet.Reason
	// Refused is set when an action was answered by a fault that will not get
	// better by itself.
	Refused fleet.Reason
	// Held is set when the whole hub only watches.
	Held fleet.Reason
	// TakeOvers are the hubs whose place this one takes.
	TakeOvers []fleet.TakeOver
}

// Policy is the fleet's word on how a member is changed.
type Policy struct {
	// Settle is how long the cluster must be seen healthy before a pass.
	Settle time.Duration
	// Bake is the time between control plane and nodes.
	Bake time.Duration
	// Nodes bounds the roll of a pool, by the pool's size.
	Nodes func(size int) noderoll.Policy
}

// StepName names a step of the recipe.
type StepName string

// The steps.
const (
	Settle       StepName = "Settle"
	Preflight    StepName = "Preflight"
	AddOnsBefore StepName = "AddOnsBefore"
	ControlPlane StepName = "ControlPlane"
	Bake         StepName = "Bake"
	AddOns       StepName = "AddOns"
	Nodes        StepName = "Nodes"
	AddOnsAfter  StepName = "AddOnsAfter"
	WriteBack    StepName = "WriteBack"
)

// changes tells whether a step belongs to what changes the cluster: once one was
// entered, what comes before is closed for the pass.
func (name StepName) changes() bool { return name != Settle && name != Preflight }

// commits tells whether a pass has begun to change the cluster once the step was
// entered. A control plane that was to be changed may have stayed as it was.
func (name StepName) commits() bool {
	return slices.Contains([]StepName{AddOnsBefore, AddOns, Nodes, AddOnsAfter}, name)
}

// Record is what is remembered of a step: when it was entered and left. Of
// Settle, Entered is since when the cluster was seen healthy.
type Record struct {
	Hop               fleet.Version
	Step              StepName
	Entered, Finished time.Time
}

// Memory is what the upgrade remembers between decisions.
type Memory struct {
	// From is the control plane's version when the upgrade began.
	From fleet.Version
	// Declared is what the member's source said when the upgrade began to change the
	// cluster; empty where there is none.
	Declared fleet.Declared
	Records  []Record
}

// Outcome is how an upgrade ended.
type Outcome string

// The outcomes; Going means that it has not ended.
const (
	Going      Outcome = ""
	Done       Outcome = "Done"
	Failed     Outcome = "Failed"
	Superseded Outcome = "Superseded"
	Aborted    Outcome = "Aborted"
)

// Step is a decision: where the upgrade stands, what to do now, and why no
// more than that.
type Step struct {
	Name StepName
	// Hop is the version of the pass.
	Hop fleet.Version
	// Path are the versions of the passes ahead that are the fleet's to pin: pinned
	// already, or asked for hereby.
	Path    []fleet.Version
	Actions []plan.Action
	Why     fleet.Reason
	// Findings of a preflight that stand in the way.
	Findings []preflight.Finding
	// Recheck is when to decide again if nothing changes before.
	Recheck time.Time
	Outcome Outcome
	// Memory to be remembered before the actions are done.
	Memory Memory
}

// stage is a step of the recipe with its decider: the step, and whether it is
// done.
type stage struct {
	name   StepName
	decide func(Input, pass) (Step, bool)
}

// recipe is one pass, in order.
var recipe = []stage{
	{Settle, settle},
	{Preflight, checkFirst},
	{AddOnsBefore, addOns(AddOnsBefore, fleet.BeforeControlPlane)},
	{ControlPlane, controlPlane},
	{Bake, bake},
	{AddOns, addOns(AddOns, fleet.BetweenControlPlaneAndNodes)},
	{Nodes, nodes},
	{AddOnsAfter, addOns(AddOnsAfter, fleet.AfterNodes)},
}

// ending comes once all passes are behind.
var ending = []stage{
	{WriteBack, writeBack},
	{Settle, settle}, // once more at the very end
}

// pollRunning is how long to wait before looking at something that moves by
// itself, where no watch tells: short against a control plane's upgrade.
const pollRunning = 2 * time.Second

// pollWaiting is how long to wait before looking at what a person or another
// system must change, where no watch tells.
const pollWaiting = 15 * time.Second

// Next is the next step of one upgrade.
func Next(in Input) Step {
	if in.Memory.From.IsZero() {
		in.Memory.From = in.Cluster.ControlPlane.Oldest
	}
	in.Memory = in.Memory.current(in).declare(in)
	step := next(in)
	if step.Outcome != Going {
		step = undoFirst(in, step)
	}
	return claimed(in, step)
}

func next(in Input) Step {
	if !in.Refused.IsZero() {
		return Step{Outcome: Failed, Why: in.Refused, Memory: in.Memory}
	}
	if !in.Aborted.IsZero() {
		return endEarly(in, Aborted, in.Aborted)
	}
	if !in.Superseded.IsZero() {
		return endEarly(in, Superseded, in.Superseded)
	}
	if in.Memory.From.IsZero() {
		return Step{Name: Settle, Why: unreachable(in.Cluster.ControlPlane), Memory: in.Memory, Recheck: in.Now.Add(pollWaiting)}
	}
	list := ahead(in, passes(in))
	for i, p := range list {
		if step, done := walk(&in, p); !done {
			step.Path = path(in, list[i:])
			return step
		}
	}
	return finish(in)
}

// ahead leaves out the passes that are behind: those before one that has begun.
func ahead(in Input, list []pass) []pass {
	for i, p := range slices.Backward(list) {
		if begun(in, p.to) {
			return list[i:]
		}
	}
	return list
}

// undoFirst lets no upgrade end as long as a node carries its cordon, or may
// carry it unseen: where nodes were in hand, it looks until it sees none. That they
// are to be given back is not that they are: whoever was to do it may die, and the
// API server fall silent before the next look.
func undoFirst(in Input, step Step) Step {
	back := giveBack(in)
	step.Actions = append(step.Actions, back...)
	open := step.Memory.open(Nodes)
	if len(step.Actions) > 0 || len(open) > 0 {
		step.Name, step.Outcome, step.Recheck = Nodes, Going, in.Now.Add(pollRunning)
	}
	for _, record := range open {
		step.Hop = record.Hop
		switch {
		case !in.Cluster.ControlPlane.Ready:
			step.Why = unreachable(in.Cluster.ControlPlane)
		case len(back) == 0:
			step.Memory = step.Memory.leave(pass{to: record.Hop}, Nodes, in.Now)
		}
	}
	return step
}

// walk goes through the recipe once; done means that the whole pass is behind.
func walk(in *Input, p pass) (Step, bool) {
	if p.to.IsZero() {
		return notOffered(*in, p), overtaken(*in, p)
	}
	closed := begun(*in, p.to) || passedBy(*in, p)
	for _, s := range recipe {
		if closed && !s.name.changes() {
			continue
		}
		step, done := s.decide(*in, p)
		if held, holds := hold(*in, p, s.name, step); !done && holds {
			return held, false
		}
		if !done {
			step.Name, step.Hop = s.name, p.to
			step.Memory = in.Memory.enter(p, s.name, in.Now, step)
			return step, false
		}
		in.Memory = in.Memory.leave(p, s.name, in.Now)
	}
	return Step{}, true
}

// passedBy tells whether nothing of the pass is left to do, so that nothing
// needs to be asked before it.
func passedBy(in Input, p pass) bool {
	return in.Cluster.Reaches(in.Cluster.ControlPlane.Oldest, p.to) && !addOnsDue(in, p) &&
		!slices.ContainsFunc(in.Cluster.Pools, func(pool fleet.Pool) bool { return p.rolls(in, pool) })
}

// overtaken tells whether a pass needs no version: the cluster is ahead of it.
func overtaken(in Input, p pass) bool {
	return in.Cluster.Reaches(in.Cluster.ControlPlane.Oldest, p.floor) && (!p.last() || in.Cluster.NodesAt(p.floor))
}

// finish does what comes after the passes. It is of none of them: each has a Settle
// of its own.
func finish(in Input) Step {
	end := pass{}
	for _, s := range ending {
		step, done := s.decide(in, end)
		step.Name, step.Hop = s.name, in.Target
		if held, holds := holdWriteBack(in, step); !done && holds {
			held.Name, held.Hop, held.Memory = s.name, in.Target, in.Memory
			return held
		}
		if !done {
			step.Memory = in.Memory.enter(end, s.name, in.Now, step)
			return step
		}
		in.Memory = in.Memory.leave(end, s.name, in.Now)
	}
	return Step{
		Name: Settle, Hop: in.Target, Memory: in.Memory, Outcome: Done,
		Why: fleet.Reason{Code: fleet.Done, Message: fmt.Sprintf("every part is observed at %s or ahead, and healthy", in.Target)},
	}
}

func notOffered(in Input, p pass) Step {
	var offers []string
	for _, v := range in.Cluster.Offers {
		offers = append(offers, v.String())
	}
	why := fleet.Reason{
		Code:    fleet.NotOffered,
		Message: fmt.Sprintf("the provider offers no version of %s that is at least %s; it offers %v", p.floor.MinorName(), p.floor, offers),
		Fix:     "name a version that is offered in the release's bundle (kubernetes or hops)",
	}
	if p.pin != (fleet.Pin{}) {
		why.Message = fmt.Sprintf("%s is pinned for %s, as member %s needed it first; the provider does not offer it to this one; it offers %v",
			p.pin.Version, p.floor.MinorName(), p.pin.Member, offers)
		why.Fix = "create a release that names a version that is offered to all (kubernetes or hops), and set the fleet's spec.release to it"
	}
	return Step{Name: Preflight, Memory: in.Memory, Recheck: in.Now.Add(pollWaiting), Why: why}
}
