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

// correctEvery is how often a member that was brought to the release and fell
// behind is brought back: whoever moves it shall not be fought all day.
const correctEvery = 24 * time.Hour

// maxSkew is how far our clock may be from the hub's: times of both are compared.
const maxSkew = 30 * time.Second

// Input is everything a decision needs.
type Input struct {
	Now time.Time
	// Skew is how far our clock is ahead of the hub's; negative if it is behind.
	Skew      time.Duration
	Members   []Member
	Fleets    []Fleet
	Upgrades  []Upgrade
	Asks      []Ask
	Freezes   []Freeze
	Approvals []Approval
	// Heard is what gates say, by what they were asked; nothing where nobody has
	// asked, which is no yes.
	Heard map[fleet.Question]fleet.Heard
}

// Member is one cluster as its hub object tells.
type Member struct {
	// UID tells a member from a later one of the same name.
	Name, UID string
	// Cluster is the identity of the cluster itself; empty where it is not known.
	Cluster    string
	ObservedAt time.Time
	// ControlPlane is the version of the oldest API server, and Oldest that of the
	// oldest part; zero where it is not known.
	ControlPlane, Oldest fleet.Version
	// PicksPatch marks a member whose provider chooses patches: minors are compared.
	PicksPatch bool
	Ready      bool
	// ReadySince is since when Ready is what it is; zero where it is not known.
	ReadySince time.Time
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
	// NoWave are members that the fleet selects, and none of its waves.
	NoWave []string
	// Pins of this revision.
	Pins []fleet.Pin
	// MaxFailures is how many members may fail before the fleet halts.
	MaxFailures int
	// ReportDrift leaves who falls behind again where it is.
	ReportDrift bool
	// Roster is who was counted, ShrankAt when too many of them were missing.
	Roster   Roster
	ShrankAt time.Time
}

// Release is a release's name, hash and version.
type Release struct {
	Name, Hash string
	Target     fleet.Version
	// AddOns tells that it bundles more than Kubernetes.
	AddOns bool
	// Withdrawn is why nobody is to be brought to it any more; empty where it
	// is good.
	Withdrawn string
}

// Wave is an ordered part of a fleet.
type Wave struct {
	Name          string
	MaxConcurrent int
	Members       []string
	// Soak is how long the wave must stay healthy before the next opens, and
	// MinSuccess how much of its cohort must have come so far.
	Soak       time.Duration
	MinSuccess fleet.Share
	// MaxFailures is how many of the wave may fail before the fleet halts; nil
	// where the fleet's own limit is all there is.
	MaxFailures *int
	// AllowEmpty lets a wave pass that selects nobody.
	AllowEmpty bool
	// Gates must all say yes before it passes.
	Gates []Gate
	// OpenedAt and PassedAt are when it opened, and when it let the next open.
	OpenedAt, PassedAt time.Time
}

// Upgrade is one ClusterUpgrade, ended or not.
type Upgrade struct {
	Member   string
	N        int
	FleetUID string
	Revision int64
	// Wave that it began in, and keeps.
	Wave      string
	StartedAt time.Time
	// Step it is in since Since, with Nodes to go through; empty where it has
	// ended, or waits for somebody.
	Step    Step
	Since   time.Time
	Nodes   int
	Outcome Outcome
	EndedAt time.Time
}

// Outcome is how an upgrade ended; empty where it has not.
type Outcome string

// The outcomes that matter to what starts next.
const (
	Running    Outcome = ""
	Done       Outcome = "Done"
	Failed     Outcome = "Failed"
	Superseded Outcome = "Superseded"
	Aborted    Outcome = "Aborted"
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
	// Rest are the members of no wave.
	Rest WaveState
	// Pins, Roster and ShrankAt are to be remembered.
	Pins     []fleet.Pin
	Roster   Roster
	ShrankAt time.Time
}

// WaveState lists the members of a wave by where they are.
type WaveState struct {
	Name                                             string
	Done, Running, Waiting, Failed, Aborted, Skipped []string
	// OpenedAt and PassedAt are to be remembered.
	OpenedAt, PassedAt time.Time
	// Why the next wave does not open yet; zero where it may.
	Why fleet.Reason
	// Gates are those to be asked, with what is to be remembered of them.
	Gates []GateState
}

// unsettled tells whether anybody of the wave is on the way, or could be.
func (w WaveState) unsettled() bool {
	return len(w.Running)+len(w.Waiting)+len(w.Failed)+len(w.Aborted) > 0
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
	skew     time.Duration
	fleets   []Fleet
	members  map[string]*Member
	upgrades map[string][]Upgrade // by member, oldest first
	running  []Upgrade
	asks     []Ask
	selected map[string][]string // waves that select a member, in words
	clusters map[string][]string // members by the identity of their cluster
	seats    map[string]uint32   // IDs of members in a roster, by name
	verbs    verbs
	heard    map[fleet.Question]fleet.Heard
	decision Decision
	about    string // the member all conditions of which are listed; none where empty
	listed   []listed
}

func newPlanner(in Input) *planner {
	verbs := newVerbs(in)
	p := &planner{
		now:      in.Now,
		skew:     in.Skew,
		fleets:   slices.SortedFunc(slices.Values(in.Fleets), func(a, b Fleet) int { return strings.Compare(a.Name, b.Name) }),
		members:  make(map[string]*Member, len(in.Members)),
		seats:    make(map[string]uint32, len(in.Members)),
		asks:     in.Asks,
		selected: map[string][]string{},
		clusters: map[string][]string{},
		verbs:    verbs,
		heard:    in.Heard,
		decision: Decision{Waiting: make(map[string]fleet.Reason, len(in.Members)), Recheck: verbs.changes},
	}
	for i := range in.Members {
		m := &in.Members[i]
		p.members[m.Name], p.seats[m.Name] = m, SeatOf(*m)
		if m.Cluster != "" {
			p.clusters[m.Cluster] = append(p.clusters[m.Cluster], m.Name)
		}
	}
	for _, names := range p.clusters {
		slices.Sort(names)
	}
	p.upgrades = byMember(in.Upgrades)
	for _, u := range in.Upgrades {
		if u.Outcome == Running {
			p.running = append(p.running, u)
		}
	}
	for _, f := range p.fleets {
		for _, w := range f.Waves {
			for _, member := range w.Members {
				p.selected[member] = append(p.selected[member], fmt.Sprintf("wave %s of fleet %s", w.Name, f.Name))
			}
		}
		for _, member := range f.NoWave {
			p.selected[member] = append(p.selected[member], fmt.Sprintf("no wave of fleet %s", f.Name))
		}
	}
	return p
}

// byMember sorts upgrades by member, and those of one by their number. There are
// many, and mostly they come so: what is in order is not copied.
func byMember(upgrades []Upgrade) map[string][]Upgrade {
	lists := map[string][]Upgrade{}
	for len(upgrades) > 0 {
		name, n := upgrades[0].Member, 1
		for n < len(upgrades) && upgrades[n].Member == name {
			n++
		}
		run := upgrades[:n]
		upgrades = upgrades[n:]
		if list, begun := lists[name]; begun {
			run = slices.Concat(list, run)
		}
		lists[name] = slices.Clip(run)
	}
	byNumber := func(a, b Upgrade) int { return cmp.Compare(a.N, b.N) }
	for name, list := range lists {
		if !slices.IsSortedFunc(list, byNumber) {
			lists[name] = slices.SortedFunc(slices.Values(list), byNumber)
		}
	}
	return lists
}

func (p *planner) fleet(f Fleet) {
	state := FleetState{Name: f.Name, Freeze: p.verbs.frozen(f, ""), Pins: p.pins(f)}
	state.Roster, state.ShrankAt = p.count(f)
	state.Rest = p.standing(f, Wave{Members: f.NoWave})
	settled := !state.Rest.unsettled()
	for _, w := range f.Waves {
		standing := p.standing(f, w)
		settled = settled && !standing.unsettled()
		state.Waves = append(state.Waves, standing)
	}
	for i, w := range f.Waves {
		if !w.OpenedAt.IsZero() && w.PassedAt.IsZero() {
			state.Waves[i].Gates = p.gates(f, w, state.Waves[i], state.Roster)
		}
	}
	halts := p.halts(f, state)
	p.waves(f, &state, halts)
	p.rest(f, state.Rest, halts)
	if settled {
		halts[tooManyFailed] = fleet.Reason{}
	}
	state.Halt = halts.first()
	p.decision.Fleets = append(p.decision.Fleets, state)
}

// standing sorts a wave's members by where they are.
func (p *planner) standing(f Fleet, w Wave) WaveState {
	state := WaveState{Name: w.Name, OpenedAt: w.OpenedAt, PassedAt: w.PassedAt}
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
		case last.aborted(f) && !p.verbs.retried(f, name, last):
			state.Aborted = append(state.Aborted, name)
		default:
			state.Waiting = append(state.Waiting, name)
		}
	}
	return state
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
func (p *planner) wait(q *question, reason fleet.Reason) {
	p.list(q, reason)
	weight := func(code fleet.Code) int { return slices.Index([]fleet.Code{fleet.Skipped, fleet.AtRelease}, code) }
	said, found := p.decision.Waiting[q.name]
	if !found || weight(said.Code) > weight(reason.Code) {
		p.decision.Waiting[q.name] = reason
	}
}

func (p *planner) recheck(at time.Time) {
	if p.decision.Recheck.IsZero() || at.Before(p.decision.Recheck) {
		p.decision.Recheck = at
	}
}

// member is one by name; one that nothing is known of where there is none.
func (p *planner) member(name string) *Member {
	if m, known := p.members[name]; known {
		return m
	}
	return &Member{}
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

// wanted is the least that a member runs at a release.
func (m *Member) wanted(release Release) fleet.Version {
	if m.PicksPatch {
		return release.Target.AnyPatch()
	}
	return release.Target
}

// reached tells whether a member was seen at the fleet's release. What was not
// seen lately is not known to be there.
func (p *planner) reached(f Fleet, name string) bool {
	member := p.member(name)
	return !f.Release.Target.IsZero() && member.Oldest.Reaches(member.wanted(f.Release)) && p.hasAddOns(f, name) && p.fresh(member)
}

// hasAddOns tells whether a member was seen with all that the fleet's release bundles
// beside Kubernetes: at the end of an upgrade, for nobody looks at that in between.
func (p *planner) hasAddOns(f Fleet, name string) bool {
	return !f.Release.AddOns || slices.ContainsFunc(p.upgrades[name], func(u Upgrade) bool { return u.of(f) && u.Outcome == Done })
}

// fresh tells whether a member was seen lately, which time alone will change.
func (p *planner) fresh(member *Member) bool {
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

// aborted tells whether a person ended the upgrade to what the fleet rolls now.
func (u Upgrade) aborted(f Fleet) bool { return u.Outcome == Aborted && u.of(f) }
