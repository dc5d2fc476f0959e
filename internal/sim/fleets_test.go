package sim_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/hold"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/noderoll"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/upgrade"
	"refit.dev/refit/internal/plan/world"
)

// TestSeededFleets rolls made-up fleets of made-up clusters by the planners
// themselves, each decision judged by package invariant and what is done by the
// clusters. In a third of them nothing goes wrong; the others have troubles, and
// then people who do what the reasons say. All of them end. Together they have seen
// every reason, fault, step and policy often enough: see coverage_test.go.
func TestSeededFleets(t *testing.T) {
	const shards = 4
	var seen sync.Mutex
	all := newCoverage()
	t.Run("all", func(t *testing.T) {
		for shard := range shards {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				covered := newCoverage()
				for seed := shard; seed < seededFleets && !t.Failed(); seed += shards {
					newFleetRun(t, uint64(seed), covered).ride()
				}
				seen.Lock()
				defer seen.Unlock()
				all.add(covered)
			})
		}
	})
	all.judge(t)
}

// fleetRun is one fleet, its clusters, and what the loops and people do.
type fleetRun struct {
	t       *testing.T
	seed    uint64
	draw    *rand.Rand
	covered *coverage
	// faulty fleets have troubles.
	faulty bool

	in       rollout.Input
	hub      hold.Input
	clusters []*world.Cluster
	journeys []world.Journey
	flights  []*flight
	policy   upgrade.Policy
	// longAgo makes the step that an upgrade is in look entered long ago.
	longAgo map[string]bool
	// says is what all gates do; asks draws them, and what goes wrong with them.
	says  fleet.Answer
	asks  *rand.Rand
	trail []string
}

// flight is one upgrade, as it is remembered.
type flight struct {
	rollout.Upgrade

	cluster int
	uid     string
	path    []fleet.Version
	// in is what stays the same from look to look, with the memory.
	in upgrade.Input
}

// trailTold is how much of what happened a failure tells.
const trailTold = 40

const hubUID = "uid-of-main"

func newFleetRun(t *testing.T, seed uint64, covered *coverage) *fleetRun {
	r := &fleetRun{
		t: t, seed: seed, draw: rand.New(rand.NewPCG(seed, 1)), covered: covered, faulty: seed%3 > 0,
		hub: hold.Input{Hub: hubUID}, longAgo: map[string]bool{}, says: fleet.Yes,
		asks: rand.New(rand.NewPCG(seed, 2)),
	}
	r.makeClusters()
	r.makeFleet()
	return r
}

func (r *fleetRun) pick(low, high int) int { return low + r.draw.IntN(high-low+1) }

func (r *fleetRun) chance(percent int) bool { return r.draw.IntN(100) < percent }

// makeClusters makes a few small ones that have the same versions to choose from.
func (r *fleetRun) makeClusters() {
	vendor, to := r.pick(0, 3), r.pick(35, 37)
	bounds := map[string][2]int{
		"modern": {1, 1}, "vendor": {vendor, vendor}, "pools": {1, 2}, "nodes": {1, 2}, "workloads": {0, 2}, "ended jobs": {0, 1},
		"operation": {1, 2}, "silence": {0, 1}, "join": {1, 1}, "ready": {0, 1}, "start": {0, 1}, "grace": {1, 2},
	}
	surge, unavailable, percent := r.pick(0, 2), r.pick(0, 1), r.pick(0, 3)
	for i := range r.pick(1, 4) {
		from := to - r.pick(0, 2)
		if i == 0 {
			from = to - 2
		}
		j := world.Random(func(what string, low, high int) int {
			switch bound, bounded := bounds[what]; {
			case what == "modern minor":
				return from
			case what == "minors":
				return to - from
			case what == "surge":
				return surge
			case what == "unavailable":
				return unavailable
			case what == "percentages":
				return percent
			case bounded:
				return r.pick(bound[0], bound[1])
			}
			return r.pick(low, high)
		})
		r.journeys = append(r.journeys, j)
	}
	first := r.journeys[0]
	for _, j := range r.journeys[1:] { // what one runs can be had by all
		first.Shape.Offers = append(first.Shape.Offers, j.Shape.ControlPlane)
	}
	first.Shape.Offers = append(first.Shape.Offers, first.Shape.ControlPlane)
	for i := range r.journeys {
		j := &r.journeys[i]
		j.Target, j.Hops, j.Shape.Offers, j.AddOns = first.Target, first.Hops, first.Shape.Offers, first.AddOns
		for _, want := range j.AddOns { // of which it has some
			if !slices.ContainsFunc(j.Shape.AddOns, func(a world.AddOn) bool { return a.Name == want.Name }) {
				j.Shape.AddOns = append(j.Shape.AddOns, world.AddOn{Name: want.Name})
			}
		}
		r.clusters = append(r.clusters, world.New(j.Shape))
		r.in.Members = append(r.in.Members, rollout.Member{Name: fmt.Sprintf("eu-%d", i), UID: fmt.Sprintf("uid-of-eu-%d", i)})
	}
	r.policy = upgrade.Policy{
		Settle: time.Duration(r.pick(0, 2)) * world.Tick, Bake: time.Duration(r.pick(0, 2)) * world.Tick,
		Nodes: func(size int) noderoll.Policy {
			surge, unavailable := first.Shape.Limits(size)
			return noderoll.Policy{MaxSurge: surge, MaxUnavailable: unavailable}
		},
	}
}

func (r *fleetRun) makeFleet() {
	target := r.journeys[0].Target
	f := rollout.Fleet{
		Name: "main", UID: "uid-of-fleet", Revision: 1, MaxFailures: r.pick(0, 1), ReportDrift: r.chance(20),
		Release: rollout.Release{Name: "2026.11", Hash: "hash", Target: target, AddOns: len(r.journeys[0].AddOns) > 0},
	}
	for i := range r.pick(1, 3) {
		w := rollout.Wave{
			Name: fmt.Sprintf("wave%d", i), MaxConcurrent: r.pick(1, 2), Soak: time.Duration(r.pick(0, 3)) * world.Tick,
			MinSuccess: fleet.Share{Of: r.pick(1, 2) * 50, Percent: true}, AllowEmpty: r.chance(80),
		}
		if r.chance(30) {
			w.MaxFailures = new(r.pick(0, 1))
		}
		w.Gates = r.gates(i)
		f.Waves = append(f.Waves, w)
	}
	for _, m := range r.in.Members {
		w := &f.Waves[r.draw.IntN(len(f.Waves))]
		w.Members = append(w.Members, m.Name)
	}
	r.in.Fleets = []rollout.Fleet{f}
	r.covered.policies(f, r.policy, r.journeys[0])
}

// turnsOfTrouble is for how long things go wrong, and patience how long all is
// then given to end.
const (
	turnsOfTrouble = 100
	patience       = 1500
)

func (r *fleetRun) ride() {
	for turn := range turnsOfTrouble + patience {
		troubled := r.faulty && turn < turnsOfTrouble
		if troubled {
			r.trouble()
		} else {
			r.mend()
		}
		if r.turn() && !troubled {
			r.arrived()
			return
		}
		if r.t.Failed() {
			return
		}
	}
	r.fail("no end: %v", rollout.Decide(r.in).Waiting)
}

// turn is one look of every loop; true means that nothing is left to do.
func (r *fleetRun) turn() bool {
	r.observe()
	decision := r.decide()
	for _, f := range r.flights {
		if f.Outcome == rollout.Running {
			r.move(f)
		}
	}
	for _, c := range r.clusters {
		c.Tick()
		if broken := c.Broken(); len(broken) > 0 {
			r.fail("what must never happen: %v", broken)
		}
	}
	return r.settled(decision)
}

// settled tells whether all are where they should be, or reported as moved by
// somebody else, which keeps those after them waiting.
func (r *fleetRun) settled(d rollout.Decision) bool {
	ends := []fleet.Code{fleet.AtRelease}
	for _, why := range d.Waiting {
		if why.Code == fleet.Contested {
			ends = []fleet.Code{fleet.AtRelease, fleet.Contested, fleet.WaveClosed}
		}
	}
	for _, why := range d.Waiting {
		if !slices.Contains(ends, why.Code) {
			return false
		}
	}
	return len(d.Start) == 0 && len(r.in.Fleets[0].NoWave) == 0
}

// observe is what the Members loop would have written.
func (r *fleetRun) observe() {
	r.in.Now = r.clusters[0].Now()
	for i := range r.in.Members {
		m, seen := &r.in.Members[i], r.clusters[i].Observe(world.Lag{})
		if m.ObservedAt.After(r.in.Now) {
			m.ObservedAt = time.Time{}
		}
		sick := seen.Sick()
		m.Ready, m.Message = sick.IsZero(), sick.Message
		r.covered.reason(sick)
		if seen.ControlPlane.Oldest.IsZero() {
			continue
		}
		m.ObservedAt, m.ControlPlane, m.Oldest = r.in.Now, seen.ControlPlane.Oldest, seen.ControlPlane.Oldest
		if node := seen.OldestNode(); seen.ControlPlane.Ready && len(seen.Nodes()) > 0 && node.Less(m.Oldest) {
			m.Oldest = node
		}
		if r.longAgo["look at "+m.Name] {
			m.ObservedAt = r.in.Now.Add(-30 * time.Minute)
		}
	}
}

// decide is one turn of the Fleets loop.
func (r *fleetRun) decide() rollout.Decision {
	r.in.Upgrades, r.in.Asks = nil, nil
	for _, f := range r.flights {
		r.in.Upgrades = append(r.in.Upgrades, r.seen(f))
		for _, v := range f.path {
			if f.Outcome == rollout.Running {
				r.in.Asks = append(r.in.Asks, rollout.Ask{Member: f.Member, Provider: "fake", FleetUID: f.FleetUID, Revision: f.Revision, Version: v})
			}
		}
	}
	why := hold.Why(r.hub)
	d := hold.Starts(rollout.Decide(r.in), why)
	if broken := slices.Concat(invariant.Starts(r.in, d), invariant.Held(r.hub, d.Start)); len(broken) > 0 {
		r.fail("the decision breaks an invariant: %s", strings.Join(broken, "; "))
	}
	r.covered.decision(d)
	for _, state := range d.Fleets {
		f := &r.in.Fleets[slices.IndexFunc(r.in.Fleets, func(f rollout.Fleet) bool { return f.Name == state.Name })]
		f.Roster, f.ShrankAt, f.Pins, f.Waves = state.Roster, state.ShrankAt, state.Pins, slices.Clone(f.Waves)
		for i, w := range state.Waves {
			f.Waves[i].OpenedAt, f.Waves[i].PassedAt = w.OpenedAt, w.PassedAt
			f.Waves[i].Gates = remembered(f.Waves[i].Gates, w.Gates)
		}
	}
	r.hear(d)
	for _, s := range d.Start {
		r.start(s)
	}
	return d
}

func (r *fleetRun) start(s rollout.Start) {
	i := slices.IndexFunc(r.in.Members, func(m rollout.Member) bool { return m.Name == s.Member })
	uid := fmt.Sprintf("uid-of-%s.%d", s.Member, s.N)
	r.flights = append(r.flights, &flight{
		Upgrade: rollout.Upgrade{Member: s.Member, N: s.N, FleetUID: s.FleetUID, Revision: s.Revision, Wave: s.Wave, StartedAt: r.in.Now},
		cluster: i, uid: uid,
		in: upgrade.Input{
			UID: uid, Member: s.Member, Hub: hubUID, Target: s.Release.Target, Hops: r.journeys[0].Hops, AddOns: r.journeys[0].AddOns, Policy: r.policy,
		},
	})
	r.tell("%s.%d begins", s.Member, s.N)
}

// seen is an upgrade as its object tells.
func (r *fleetRun) seen(f *flight) rollout.Upgrade {
	u := f.Upgrade
	if u.Outcome != rollout.Running {
		return u
	}
	for _, record := range f.in.Memory.Records {
		name := rollout.Step(record.Step)
		if (name == rollout.ControlPlane || name == rollout.Nodes) && !record.Entered.IsZero() && record.Finished.IsZero() {
			u.Step, u.Since, u.Nodes = name, record.Entered, 1
			if r.longAgo[f.uid] {
				u.Since = u.Since.Add(-3 * time.Hour)
			}
		}
	}
	return u
}

// move is one turn of the Upgrades loop.
func (r *fleetRun) move(f *flight) {
	in, wanted := f.in, r.in.Fleets[0]
	lag := world.Lag{}
	if r.faulty {
		lag = world.Lag{Provider: r.chance(10)} // an API server is asked itself
	}
	in.Now, in.Cluster, in.Pins = r.in.Now, r.clusters[f.cluster].Observe(lag), nil
	in.Held = hold.Why(r.hub)
	in.Frozen = rollout.Hold(r.in.Freezes, wanted.Name, f.Member, r.in.Now)
	if f.Revision == wanted.Revision {
		in.Pins = wanted.Pins
	}
	selected := slices.ContainsFunc(wanted.Waves, func(w rollout.Wave) bool { return slices.Contains(w.Members, f.Member) }) || slices.Contains(wanted.NoWave, f.Member)
	switch {
	case f.Revision != wanted.Revision:
		in.Superseded = fleet.Reason{Code: fleet.FleetMovedOn, Message: "the fleet wants another release"}
	case !selected:
		in.Superseded = fleet.Reason{Code: fleet.FleetMovedOn, Message: "the fleet does not select it any more"}
	case wanted.Release.Withdrawn != "":
		in.Withdrawn = fleet.Reason{Code: fleet.Withdrawn, Message: "the release was withdrawn"}
	}
	step := upgrade.Next(in)
	if broken := invariant.Step(in, step); len(broken) > 0 {
		r.fail("%s.%d breaks an invariant: %s", f.Member, f.N, strings.Join(broken, "; "))
	}
	r.covered.step(step)
	r.tell("%s.%d %s/%s %s: %s %s", f.Member, f.N, step.Hop, step.Name, step.Why.Code, step.Why.Message, step.Outcome)
	f.in.Memory, f.path = step.Memory, step.Path
	if step.Outcome != upgrade.Going {
		f.Outcome, f.EndedAt = rollout.Outcome(step.Outcome), r.in.Now
		return
	}
	r.act(f, step.Actions)
}

func (r *fleetRun) act(f *flight, actions []plan.Action) {
	c := r.clusters[f.cluster]
	for _, action := range actions {
		if r.faulty && r.chance(2) {
			return // the process dies; the next one looks again
		}
		_, claim := action.(plan.Claim)
		_, release := action.(plan.Release)
		if !claim && !release && c.Holder() != (fleet.Holder{Hub: hubUID, Upgrade: f.uid}) {
			return
		}
		answer := c.Do(action)
		r.covered.answer(answer)
		r.tell("    %s: %s", action, answer)
		switch answer {
		case world.Stopped:
			f.in.Refused = fleet.Reason{Code: fleet.ProviderFault, Message: "refused for good: " + action.String()}
			return
		case world.Waiting, world.Unanswered: // a fault ends the turn
			return
		case world.Accepted, world.Refused, world.Outdated:
		}
	}
}

// arrived judges the end.
func (r *fleetRun) arrived() {
	for i, m := range r.in.Members {
		if behind := r.clusters[i].Behind(r.in.Fleets[0].Release.Target); behind != "" && !r.faulty {
			r.fail("%s ends with %s", m.Name, behind)
		}
		if behind := r.clusters[i].AddOnBehind(r.journeys[i].AddOns, r.in.Fleets[0].Release.Target.MinorName()); behind != "" && !r.faulty {
			r.fail("%s ends with %s", m.Name, behind)
		}
		upgraded := slices.ContainsFunc(r.flights, func(f *flight) bool { return f.cluster == i })
		if behind := r.clusters[i].SourceBehind(r.in.Fleets[0].Release.Target); behind != "" && upgraded && !r.faulty {
			r.fail("%s ends with %s", m.Name, behind)
		}
		if r.clusters[i].Holder() != (fleet.Holder{}) {
			r.fail("%s ends claimed by %v", m.Name, r.clusters[i].Holder())
		}
	}
	for _, f := range r.flights {
		if nodes := r.clusters[f.cluster].CordonedBy(f.uid); len(nodes) > 0 {
			r.fail("%s.%d leaves nodes cordoned: %v", f.Member, f.N, nodes)
		}
		if !r.faulty && (f.Outcome != rollout.Done || f.N > 1) {
			r.fail("%s.%d ended %s, and nothing went wrong", f.Member, f.N, f.Outcome)
		}
	}
}

// tell keeps what happened for whoever reads a failure.
func (r *fleetRun) tell(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if len(r.trail) == 0 || !strings.HasSuffix(r.trail[len(r.trail)-1], line) {
		r.trail = append(r.trail, r.in.Now.Format(time.TimeOnly)+" "+line)
	}
}

func (r *fleetRun) fail(format string, args ...any) {
	r.t.Helper()
	f := r.in.Fleets[0]
	r.t.Errorf("fleet %d: %s\nto %s, hops %v, waves %+v, no wave %v\n%s", r.seed, fmt.Sprintf(format, args...), f.Release.Target,
		r.journeys[0].Hops, f.Waves, f.NoWave, strings.Join(r.trail[max(0, len(r.trail)-trailTold):], "\n"))
}
