package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/world"
)

// trouble is one thing that goes wrong with a fleet, or that people do to it.
type trouble struct {
	name   string
	befall func(*fleetRun)
}

// troubles are all of them.
func troubles() []trouble {
	return []trouble{
		{"a node falls sick", func(r *fleetRun) { r.any().Sicken(r.pick(0, 9), r.pick(1, 4)) }},
		{"an API server falls silent", func(r *fleetRun) { r.any().Silence(r.pick(1, 4)) }},
		{"the next operation fails", func(r *fleetRun) { r.any().FailNext() }},
		{"somebody takes a control plane further", func(r *fleetRun) { r.any().Foreign() }},
		{"somebody takes nodes back", (*fleetRun).moveBack},
		{"another upgrade grabs a node", func(r *fleetRun) { r.any().GrabbedBy("uid-of-theirs", r.pick(0, 9)) }},
		{"another hub claims a member", func(r *fleetRun) { r.any().TakenBy("uid-of-other") }},
		{"a version is offered no more", func(r *fleetRun) { r.any().Withdraw(r.in.Fleets[0].Release.Target) }},
		{"a freeze", (*fleetRun).freeze},
		{"a freeze of everything", (*fleetRun).freeze},
		{"an abort", (*fleetRun).abort},
		{"another release", (*fleetRun).roll},
		{"a release that does not exist", func(r *fleetRun) { r.release(rollout.Release{Name: "2099.1"}) }},
		{"a release is withdrawn", func(r *fleetRun) { r.in.Fleets[0].Release.Withdrawn = "it eats data" }},
		{"a clock is off", func(r *fleetRun) { r.in.Skew = time.Minute }},
		{"a member is there twice", func(r *fleetRun) { r.in.Members[0].Cluster, r.in.Members[len(r.in.Members)-1].Cluster = "one", "one" }},
		{"a member is in no wave", (*fleetRun).relabel},
		{"members vanish", (*fleetRun).vanish},
		{"another fleet selects a member", (*fleetRun).rival},
		{"a member is not looked at", func(r *fleetRun) { r.longAgo["look at "+r.someone()] = true }},
		{"a step takes hours", (*fleetRun).slow},
		{"a restored hub", func(r *fleetRun) { r.hub.Lives = []string{"uid-of-the-old-one"} }},
		{"somebody takes nodes back again", (*fleetRun).moveBack},
		{"a call is not answered, and a push", (*fleetRun).lose},
		{"a provider is busy", func(r *fleetRun) { r.any().AnswerNext(world.Waiting) }},
		{"a provider refuses for good", func(r *fleetRun) { r.any().AnswerNext(world.Stopped) }},
		{"a provider refuses for good, with nodes in hand", (*fleetRun).refuse},
		{"a node changes at the last moment", func(r *fleetRun) { r.any().AnswerNext(world.Outdated) }},
		{"a node that no provider answers for", func(r *fleetRun) { r.any().Stray(true) }},
		{"a node changes at the last moment, again", func(r *fleetRun) { r.any().AnswerNext(world.Outdated) }},
		{"an eviction is refused, again", func(r *fleetRun) { r.any().AnswerNext(world.Refused) }},
		{"an eviction is refused", func(r *fleetRun) { r.any().AnswerNext(world.Refused) }},
		{"a pod that nobody would make anew", func(r *fleetRun) { r.any().Orphan("orphan") }},
		{"budgets with twins", func(r *fleetRun) { r.any().Double(true) }},
		{"the process dies while it changes an add-on", func(r *fleetRun) { r.any().DieNext() }},
		{"an add-on is accepted in part", func(r *fleetRun) { r.any().RefuseNext() }},
		{"add-ons fall sick", func(r *fleetRun) { r.any().SickenAddOns(true) }},
		{"somebody else changes an add-on", func(r *fleetRun) { r.any().BeginAddOn() }},
		{"somebody writes another version", func(r *fleetRun) { r.each((*world.Cluster).RewriteNext) }},
		{"a repository is out of reach", func(r *fleetRun) { r.each(func(c *world.Cluster) { c.HideSource(fleet.SourceUnreachable) }) }},
		{"a version is computed", func(r *fleetRun) { r.any().HideSource(fleet.SourceRefused) }},
		{"a budget that allows nothing", func(r *fleetRun) { r.any().Squeeze() }},
	}
}

// trouble lets something go wrong now and then, and people mend what they see.
func (r *fleetRun) trouble() {
	r.gateTrouble()
	if r.chance(25) {
		all := troubles()
		t := all[r.draw.IntN(len(all))]
		r.tell("    %s", t.name)
		t.befall(r)
	}
	if r.chance(6) {
		r.mend()
	}
}

func (r *fleetRun) any() *world.Cluster { return r.clusters[r.draw.IntN(len(r.clusters))] }

// each befalls all: their versions are declared in one repository.
func (r *fleetRun) each(befall func(*world.Cluster)) {
	for _, c := range r.clusters {
		befall(c)
	}
}

func (r *fleetRun) someone() string { return r.in.Members[r.draw.IntN(len(r.in.Members))].Name }

// moveBack takes the nodes of a member that is done to the minor before.
func (r *fleetRun) moveBack() {
	for i, m := range r.in.Members {
		flying := slices.ContainsFunc(r.flights, func(f *flight) bool { return f.Member == m.Name && f.Outcome == rollout.Running })
		if !flying && m.Ready && m.Oldest.Reaches(r.in.Fleets[0].Release.Target) && !r.in.Fleets[0].Release.Target.IsZero() {
			older := m.Oldest
			older.Minor--
			r.clusters[i].MoveBack(older)
			return
		}
	}
}

func (r *fleetRun) freeze() {
	freeze := rollout.Freeze{Name: fmt.Sprintf("no-%d", len(r.in.Freezes)), Reason: "an incident", From: r.in.Now, Fleet: "main"}
	freeze.Stops = []rollout.Stops{rollout.Starts, rollout.Everything, rollout.Skip}[r.draw.IntN(3)]
	if freeze.Stops == rollout.Skip || r.chance(50) {
		freeze.Member = r.someone()
	}
	r.in.Freezes = append(r.in.Freezes, freeze)
}

func (r *fleetRun) abort() {
	for _, f := range r.flights {
		if f.Outcome == rollout.Running && f.in.Aborted.IsZero() && r.chance(50) {
			f.in.Aborted = fleet.Reason{Code: fleet.UpgradeAborted, Message: "aborted by ann"}
			return
		}
	}
}

// refuse lets a provider refuse for good what is asked of it while nodes are in hand,
// or whatever comes next where none are.
func (r *fleetRun) refuse() {
	c := r.any()
	for _, f := range r.flights {
		if f.Outcome == rollout.Running && len(r.clusters[f.cluster].CordonedBy(f.uid)) > 0 {
			c = r.clusters[f.cluster]
		}
	}
	c.AnswerNext(world.Stopped)
}

// lose lets the next call not arrive, and the next push arrive without an answer.
func (r *fleetRun) lose() {
	c := r.any()
	c.AnswerNext(world.Unanswered)
	c.LoseNext()
}

// roll begins a revision: of the same version under another name, mostly.
func (r *fleetRun) roll() {
	r.release(rollout.Release{Name: r.in.Fleets[0].Release.Name + "+", Hash: "hash", Target: r.journeys[0].Target, AddOns: len(r.journeys[0].AddOns) > 0})
}

func (r *fleetRun) release(release rollout.Release) {
	f := &r.in.Fleets[0]
	f.Release, f.Revision, f.Pins, f.Waves = release, f.Revision+1, nil, slices.Clone(f.Waves)
	for i := range f.Waves {
		f.Waves[i].OpenedAt, f.Waves[i].PassedAt = time.Time{}, time.Time{}
		f.Waves[i].Gates = remembered(f.Waves[i].Gates, nil)
	}
}

// relabel takes a member out of its wave.
func (r *fleetRun) relabel() {
	name, f := r.someone(), &r.in.Fleets[0]
	if r.remove(name) {
		f.NoWave = append(f.NoWave, name)
	}
}

// remove takes a member from all waves.
func (r *fleetRun) remove(name string) bool {
	f, found := &r.in.Fleets[0], false
	f.Waves = slices.Clone(f.Waves)
	for i := range f.Waves {
		before := len(f.Waves[i].Members)
		f.Waves[i].Members = slices.DeleteFunc(slices.Clone(f.Waves[i].Members), func(m string) bool { return m == name })
		found = found || len(f.Waves[i].Members) < before
	}
	return found
}

// vanish takes all members but one out of the fleet.
func (r *fleetRun) vanish() {
	for _, m := range r.in.Members[1:] {
		r.remove(m.Name)
	}
}

func (r *fleetRun) rival() {
	if len(r.in.Fleets) == 1 {
		r.in.Fleets = append(r.in.Fleets, rollout.Fleet{
			Name: "rival", UID: "uid-of-rival", Revision: 1, Release: r.in.Fleets[0].Release,
			Waves: []rollout.Wave{{Name: "all", MaxConcurrent: 1, Members: []string{r.someone()}, MinSuccess: fleet.Share{Of: 100, Percent: true}}},
		})
	}
}

func (r *fleetRun) slow() {
	for _, f := range r.flights {
		if f.Outcome == rollout.Running {
			r.longAgo[f.uid] = true
		}
	}
}

// mend is people who do what the reasons say, and troubles that pass.
func (r *fleetRun) mend() {
	r.in.Freezes, r.in.Skew, r.hub.TakeOvers, r.says = nil, 0, nil, fleet.Yes
	if len(r.hub.Lives) > 0 {
		r.hub.TakeOvers = []fleet.TakeOver{{From: "uid-of-the-old-one", At: r.in.Now}}
	}
	r.in.Fleets = r.in.Fleets[:1]
	clear(r.longAgo)
	f := &r.in.Fleets[0]
	f.ReportDrift = f.ReportDrift && r.faulty && r.draw.IntN(4) > 0
	for i := range r.in.Members {
		r.in.Members[i].Cluster = ""
	}
	if f.Release.Target.IsZero() || f.Release.Withdrawn != "" {
		r.roll()
	}
	r.mendWaves()
	for i, c := range r.clusters {
		if c.Holder().Hub != "" && c.Holder().Hub != hubUID {
			c.TakenBy("")
		}
		for _, v := range append(slices.Clone(r.journeys[0].Shape.Offers), r.journeys[0].Target) {
			c.Offer(v)
		}
		c.GivenBackBy("uid-of-theirs")
		c.AnswerNext("")
		c.DeletePods("orphan")
		c.Double(false)
		c.Stray(false)
		c.Relax()
		c.SickenAddOns(false)
		c.EndAddOns()
		c.HideSource("")
		c.Reconcile()
		r.uncordon(i)
	}
	r.approve()
}

// uncordon does what an upgrade that waits for a node says.
func (r *fleetRun) uncordon(cluster int) {
	for _, f := range r.flights {
		if why := f.in.Refused; f.cluster == cluster && f.Outcome == rollout.Running && why.IsZero() {
			seen := r.clusters[cluster].Observe(world.Lag{})
			for _, node := range seen.Nodes() {
				if node.Cordoned && node.CordonedBy == "" {
					r.clusters[cluster].Uncordon(strings.TrimPrefix(node.Name, "node "))
				}
			}
		}
	}
}

// mendWaves gives every member a wave again, and lets a wave be empty.
func (r *fleetRun) mendWaves() {
	f := &r.in.Fleets[0]
	f.NoWave, f.Waves = nil, slices.Clone(f.Waves)
	for _, m := range r.in.Members {
		if !slices.ContainsFunc(f.Waves, func(w rollout.Wave) bool { return slices.Contains(w.Members, m.Name) }) {
			f.Waves[0].Members = append(slices.Clone(f.Waves[0].Members), m.Name)
		}
	}
	for i := range f.Waves {
		f.Waves[i].AllowEmpty = true
	}
}

// approve lets the fleet go on, and everybody start again who failed or was aborted.
func (r *fleetRun) approve() {
	f := r.in.Fleets[0]
	r.in.Approvals = []rollout.Approval{{Name: "go-on", Fleet: f.Name, Revision: f.Revision, Subject: rollout.Resume, At: r.in.Now}}
	for _, m := range r.in.Members {
		r.in.Approvals = append(r.in.Approvals, rollout.Approval{
			Name: "again-" + m.Name, Fleet: f.Name, Revision: f.Revision, Subject: rollout.Retry, Member: m.Name, At: r.in.Now,
		})
	}
}
