// Package rollout decides which members may start their upgrade now, and why
// the rest wait.
//
// A slot is the right to be in flight, and an upgrade that has not ended is
// one: slots are counted from the upgrades themselves, so nothing can leak.
// Every member gets an answer: a start, or a Reason.
package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"refit.dev/refit/internal/fleet"
)

// staleAfter is how old an observation may be: written at least every 10 min,
// it has then been missed twice.
const staleAfter = 25 * time.Minute

// standingPause is how long a member that ended Done and fell behind again is
// left alone: whoever moves it back shall not be fought all day.
const standingPause = 24 * time.Hour

// Input is everything a decision needs.
type Input struct {
	Now       time.Time
	Members   []Member
	Fleets    []Fleet
	Upgrades  []Upgrade
	Freezes   []Freeze
	Approvals []Approval
}

// Member is one cluster as its hub object tells.
type Member struct {
	Name       string
	ObservedAt time.Time
	// Oldest is the version of the oldest part; zero where it is not known.
	Oldest fleet.Version
	Ready  bool
	// Message says what is wrong where Ready is false.
	Message string
}

// Fleet is a fleet with its selectors evaluated and its texts parsed.
type Fleet struct {
	Name, UID string
	Revision  int64
	// Release is what the fleet's release bundles; without Target there is no
	// such release.
	Release Release
	Waves   []Wave
}

// Release is a release's name, hash and version.
type Release struct {
	Name, Hash string
	Target     fleet.Version
}

// Wave is an ordered part of a fleet.
type Wave struct {
	Name          string
	MaxConcurrent int
	Members       []string
}

// Upgrade is one ClusterUpgrade, ended or not.
type Upgrade struct {
	Member   string
	N        int
	FleetUID string
	Revision int64
	Outcome  Outcome
	EndedAt  time.Time
}

// Outcome is how an upgrade ended; empty where it has not.
type Outcome string

// The outcomes that matter to what starts next.
const (
	Running    Outcome = ""
	Done       Outcome = "Done"
	Failed     Outcome = "Failed"
	Superseded Outcome = "Superseded"
)

// Decision is what starts now, and where everything stands.
type Decision struct {
	Start  []Start
	Fleets []FleetState
	// Waiting has a reason for every member that does not start.
	Waiting map[string]fleet.Reason
	// Recheck is when time alone changes the decision; zero if never.
	Recheck time.Time
}

// Start is one upgrade to create: member.N is its name.
type Start struct {
	Member   string
	N        int
	Fleet    string
	FleetUID string
	Revision int64
	Wave     string
	Release  Release
}

// FleetState is where one fleet stands.
type FleetState struct {
	Name  string
	Waves []WaveState
	// Halt is why nothing of the fleet starts; zero where it may, and where all
	// of it is where it should be.
	Halt fleet.Reason
	// Freeze is the freeze of the whole fleet; zero where there is none.
	Freeze fleet.Reason
}

// WaveState lists the members of a wave by where they are.
type WaveState struct {
	Name                                    string
	Done, Running, Waiting, Failed, Skipped []string
}

// Decide plans all fleets at once.
func Decide(in Input) Decision {
	p := newPlanner(in)
	for _, f := range p.fleets {
		p.fleet(f)
	}
	return p.decision
}

// planner is one decision in the making.
type planner struct {
	now      time.Time
	fleets   []Fleet
	members  map[string]Member
	upgrades map[string][]Upgrade // by member, oldest first
	selected map[string][]string  // waves that select a member, in words
	verbs    verbs
	decision Decision
}

func newPlanner(in Input) *planner {
	verbs := newVerbs(in)
	p := &planner{
		now:      in.Now,
		fleets:   slices.SortedFunc(slices.Values(in.Fleets), func(a, b Fleet) int { return strings.Compare(a.Name, b.Name) }),
		members:  map[string]Member{},
		upgrades: map[string][]Upgrade{},
		selected: map[string][]string{},
		verbs:    verbs,
		decision: Decision{Waiting: map[string]fleet.Reason{}, Recheck: verbs.changes},
	}
	for _, m := range in.Members {
		p.members[m.Name] = m
	}
	for _, u := range slices.SortedFunc(slices.Values(in.Upgrades), func(a, b Upgrade) int { return cmp.Compare(a.N, b.N) }) {
		p.upgrades[u.Member] = append(p.upgrades[u.Member], u)
	}
	for _, f := range p.fleets {
		for _, w := range f.Waves {
			for _, member := range w.Members {
				p.selected[member] = append(p.selected[member], fmt.Sprintf("wave %s of fleet %s", w.Name, f.Name))
			}
		}
	}
	return p
}

func (p *planner) fleet(f Fleet) {
	state := FleetState{Name: f.Name, Freeze: p.verbs.frozen(f, "")}
	settled := true
	for _, w := range f.Waves {
		standing := p.standing(f, w)
		settled = settled && len(standing.Running)+len(standing.Waiting)+len(standing.Failed) == 0
		state.Waves = append(state.Waves, standing)
	}
	halt := p.halt(f)
	for i, w := range f.Waves {
		p.wave(f, w, &state.Waves[i], halt)
	}
	if !settled || halt.Code != fleet.Halted {
		state.Halt = halt
	}
	p.decision.Fleets = append(p.decision.Fleets, state)
}

// standing sorts a wave's members by where they are.
func (p *planner) standing(f Fleet, w Wave) WaveState {
	state := WaveState{Name: w.Name}
	for _, name := range slices.Sorted(slices.Values(w.Members)) {
		last, found := p.last(name)
		switch {
		case found && last.Outcome == Running:
			state.Running = append(state.Running, name)
		case !p.verbs.skipped(f, name).IsZero():
			state.Skipped = append(state.Skipped, name)
		case last.failed(f) && !p.verbs.retried(f, name, last):
			state.Failed = append(state.Failed, name)
		case p.reached(f, name):
			state.Done = append(state.Done, name)
		default:
			state.Waiting = append(state.Waiting, name)
		}
	}
	return state
}

// halt stops a fleet at its first failure in this revision: what broke one
// member is likely to break the next. It goes on when a person says so.
func (p *planner) halt(f Fleet) fleet.Reason {
	if f.Release.Target.IsZero() {
		return fleet.Reason{
			Code: fleet.NoRelease, Object: "release " + f.Release.Name,
			Message: fmt.Sprintf("release %q does not exist", f.Release.Name),
			Fix:     "create it, or set the fleet's spec.release to one that exists: kubectl get releases",
		}
	}
	var names []string
	for _, u := range p.failures(f) {
		names = append(names, u.Member)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return fleet.Reason{}
	}
	return fleet.Reason{
		Code: fleet.Halted, Object: "member " + names[0],
		Message: fmt.Sprintf("%d failed (%s), 0 tolerated", len(names), strings.Join(names, ", ")),
		Fix: fmt.Sprintf("see refit why %s; then set the fleet's spec.release to a release that mends it, or let it go on: refit resume %s --reason …",
			names[0], f.Name),
	}
}

// failures are the upgrades that failed in this revision, and no person has let
// the fleet go on since. One that was retried stays a failure.
func (p *planner) failures(f Fleet) []Upgrade {
	var failures []Upgrade
	for _, w := range f.Waves {
		for _, name := range w.Members {
			for _, u := range p.upgrades[name] {
				if u.failed(f) && !p.verbs.resumed(f, u) {
					failures = append(failures, u)
				}
			}
		}
	}
	return failures
}

// excepted tells whether a member may start though its fleet has halted: it
// failed, and a person who knew of all that halts the fleet said it may.
func (p *planner) excepted(f Fleet, name string) bool {
	last, _ := p.last(name)
	return last.failed(f) && !slices.ContainsFunc(p.failures(f), func(u Upgrade) bool { return !p.verbs.retried(f, name, u) })
}

// wave starts as many waiting members as there are slots, and says of each
// member why it does not start.
func (p *planner) wave(f Fleet, w Wave, state *WaveState, halted fleet.Reason) {
	for _, name := range state.Done {
		p.wait(name, fleet.Reason{Code: fleet.AtRelease, Message: fmt.Sprintf("at %s or ahead", f.Release.Target)})
	}
	for _, name := range state.Running {
		p.wait(name, fleet.Reason{Code: fleet.InFlight, Message: "its upgrade is under way", Object: "clusterupgrade " + p.name(name)})
	}
	for _, name := range state.Failed {
		p.wait(name, fleet.Reason{
			Code: fleet.EndedFailed, Message: "its upgrade failed in this revision", Object: "clusterupgrade " + p.name(name),
			Fix: fmt.Sprintf("repair the cause, then let it start again: refit retry %s --reason …", name),
		})
	}
	for _, name := range state.Skipped {
		p.wait(name, p.verbs.skipped(f, name))
	}
	inFlight := len(state.Running)
	for _, name := range p.order(state.Waiting) {
		reason := p.blocked(f, name, halted)
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

// order puts those first that have the longest way to go: they end last.
func (p *planner) order(names []string) []string {
	return slices.SortedFunc(slices.Values(names), func(a, b string) int {
		return cmp.Or(p.members[a].Oldest.Compare(p.members[b].Oldest), strings.Compare(a, b))
	})
}

// blocked is why a member that is behind may not start; zero where it may.
func (p *planner) blocked(f Fleet, name string, halted fleet.Reason) fleet.Reason {
	member := p.members[name]
	last, found := p.last(name)
	switch {
	case len(p.selected[name]) > 1:
		return fleet.Reason{
			Code: fleet.Overlap, Object: "member " + name,
			Message: "selected by " + strings.Join(p.selected[name], " and "),
			Fix:     "change labels or a selector so that one wave of one fleet selects it",
		}
	case !p.verbs.frozen(f, name).IsZero():
		return p.verbs.frozen(f, name)
	case !halted.IsZero() && (halted.Code != fleet.Halted || !p.excepted(f, name)):
		return halted
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
	case found && last.Outcome == Done && last.of(f) && p.now.Sub(last.EndedAt) < standingPause:
		p.recheck(last.EndedAt.Add(standingPause))
		return fleet.Reason{
			Code: fleet.DoneLately, Object: "clusterupgrade " + p.name(name), Since: last.EndedAt,
			Message: fmt.Sprintf("was brought to %s at %s and is behind again: somebody else moves it", f.Release.Name, last.EndedAt.UTC().Format(time.DateTime)),
			Fix:     "find out who; it is brought back a day after its last upgrade",
		}
	default:
		return fleet.Reason{}
	}
}

func (p *planner) start(f Fleet, w Wave, name string) {
	last, _ := p.last(name)
	p.decision.Start = append(p.decision.Start, Start{
		Member: name, N: last.N + 1,
		Fleet: f.Name, FleetUID: f.UID, Revision: f.Revision, Wave: w.Name, Release: f.Release,
	})
}

// wait keeps the first reason of a member; but what one fleet says holds it up
// counts more than that another leaves it out, and that more than that it is
// where a third wants it.
func (p *planner) wait(name string, reason fleet.Reason) {
	weight := func(code fleet.Code) int { return slices.Index([]fleet.Code{fleet.Skipped, fleet.AtRelease}, code) }
	said, found := p.decision.Waiting[name]
	if !found || weight(said.Code) > weight(reason.Code) {
		p.decision.Waiting[name] = reason
	}
}

func (p *planner) recheck(at time.Time) {
	if p.decision.Recheck.IsZero() || at.Before(p.decision.Recheck) {
		p.decision.Recheck = at
	}
}

func (p *planner) last(member string) (Upgrade, bool) {
	list := p.upgrades[member]
	if len(list) == 0 {
		return Upgrade{}, false
	}
	return list[len(list)-1], true
}

// name of the member's newest upgrade.
func (p *planner) name(member string) string {
	last, _ := p.last(member)
	return fmt.Sprintf("%s.%d", member, last.N)
}

// reached tells whether a member was seen at the fleet's release. What was not
// seen lately is not known to be there.
func (p *planner) reached(f Fleet, name string) bool {
	member := p.members[name]
	return !f.Release.Target.IsZero() && member.Oldest.Reaches(f.Release.Target) && p.fresh(member)
}

// fresh tells whether a member was seen lately, which time alone will change.
func (p *planner) fresh(member Member) bool {
	stale := member.ObservedAt.Add(staleAfter)
	if !p.now.Before(stale) {
		return false
	}
	p.recheck(stale)
	return true
}

// of tells whether the upgrade belongs to what the fleet rolls now.
func (u Upgrade) of(f Fleet) bool { return u.FleetUID == f.UID && u.Revision == f.Revision }

// failed tells whether the upgrade failed at what the fleet rolls now.
func (u Upgrade) failed(f Fleet) bool { return u.Outcome == Failed && u.of(f) }
