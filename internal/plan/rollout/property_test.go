package rollout_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/rollout"
)

// hub is a made-up hub: what the loops of Refit, its members and people do to
// it between one decision and the next.
type hub struct {
	rollout.Input
	t *rapid.T
	// says is what all gates do; nothing where nobody asks them.
	says fleet.Answer
}

// tick is how much time passes between decisions.
const tick = time.Minute

// anyHub draws members of several versions in up to three fleets, the selectors
// of which overlap, in so many of a hundred cases.
func anyHub(t *rapid.T, overlap int) *hub {
	h := &hub{t: t, says: fleet.Yes, Input: rollout.Input{Now: now, Heard: map[fleet.Question]fleet.Heard{}}}
	names := []string{}
	owners := map[string]int{}
	for i := range h.draw("members", 0, 12) {
		names = append(names, fmt.Sprintf("eu-%02d", i))
		h.Members = append(h.Members, rollout.Member{Name: names[i], ObservedAt: now, Ready: true, Oldest: h.version()})
		owners[names[i]] = h.draw("owner", 0, 2)
	}
	for i := range h.draw("fleets", 1, 3) {
		f := rollout.Fleet{Name: fmt.Sprintf("fleet%d", i), UID: fmt.Sprintf("uid-of-fleet%d", i), Revision: 1}
		f.Release = rollout.Release{Name: "first", Target: h.version()}
		waves := h.draw("waves", 1, 2)
		for j := range waves {
			f.Waves = append(f.Waves, h.wave(j))
		}
		f.MaxFailures, f.ReportDrift = h.draw("tolerated", 0, 2), h.draw("reports drift", 0, 3) == 0
		for _, name := range names {
			if owners[name] == i || h.draw("also selected", 1, 100) <= overlap {
				w := &f.Waves[h.draw("wave", 0, waves-1)]
				w.Members = append(w.Members, name)
			}
		}
		h.Fleets = append(h.Fleets, f)
	}
	return h
}

// wave draws the rules of a wave that nobody is in yet.
func (h *hub) wave(i int) rollout.Wave {
	w := rollout.Wave{
		Name: fmt.Sprintf("wave%d", i), MaxConcurrent: h.draw("concurrent", 1, 4), Soak: time.Duration(h.draw("soak", 0, 5)) * tick,
		MinSuccess: fleet.Share{Of: h.draw("success", 1, 4) * 25, Percent: true}, AllowEmpty: true,
	}
	if h.draw("tolerates", 0, 2) == 0 {
		w.MaxFailures = new(h.draw("tolerated by the wave", 0, 2))
	}
	if h.draw("gates", 0, 2) == 0 {
		w.Gates = []rollout.Gate{{Gate: errors}}
	}
	return w
}

func (h *hub) draw(what string, low, high int) int { return rapid.IntRange(low, high).Draw(h.t, what) }

func (h *hub) version() fleet.Version {
	return fleet.Version{Major: 1, Minor: h.draw("minor", 34, 37), Patch: h.draw("patch", 0, 2)}
}

// decide is one turn of the Fleets loop, with what holds for every decision.
func (h *hub) decide() rollout.Decision {
	h.ask()
	d := rollout.Decide(h.Input)
	if broken := invariant.Starts(h.Input, d); len(broken) > 0 {
		h.t.Fatalf("the decision breaks an invariant: %s", strings.Join(broken, "; "))
	}
	h.everybodyHasAnAnswer(d)
	if !d.Recheck.IsZero() && !d.Recheck.After(h.Now) {
		h.t.Fatalf("recheck at %s would spin at %s", d.Recheck, h.Now)
	}
	for _, start := range d.Start {
		h.Upgrades = append(h.Upgrades, rollout.Upgrade{
			Member: start.Member, N: start.N, FleetUID: start.FleetUID, Revision: start.Revision, Wave: start.Wave, StartedAt: h.Now,
		})
	}
	h.remember(d)
	h.hear(d)
	return d
}

// ask lets upgrades under way ask for versions, as if others were offered each
// time.
func (h *hub) ask() {
	h.Asks = nil
	for _, u := range h.Upgrades {
		if u.Outcome == rollout.Running && h.draw("asks", 0, 2) == 0 {
			h.Asks = append(h.Asks, rollout.Ask{Member: u.Member, Provider: "local", FleetUID: u.FleetUID, Revision: u.Revision, Version: h.version()})
		}
	}
}

// remember records what a decision wants to be remembered, as the loop does.
func (h *hub) remember(d rollout.Decision) {
	for _, state := range d.Fleets {
		f := &h.Fleets[slices.IndexFunc(h.Fleets, func(f rollout.Fleet) bool { return f.Name == state.Name })]
		f.Pins, f.Roster, f.ShrankAt = state.Pins, state.Roster, state.ShrankAt
		f.Waves = slices.Clone(f.Waves)
		for i, wave := range state.Waves {
			f.Waves[i].OpenedAt, f.Waves[i].PassedAt = wave.OpenedAt, wave.PassedAt
			remember(&f.Waves[i], wave.Gates)
		}
	}
}

// roll begins a revision of a fleet: its waves open anew.
func roll(f *rollout.Fleet, target fleet.Version) {
	f.Release.Target, f.Revision, f.Pins = target, f.Revision+1, nil
	f.Waves = slices.Clone(f.Waves)
	for i := range f.Waves {
		f.Waves[i].OpenedAt, f.Waves[i].PassedAt = time.Time{}, time.Time{}
		remember(&f.Waves[i], nil)
	}
}

// everybodyHasAnAnswer: each member of a fleet starts or has a reason, not both.
func (h *hub) everybodyHasAnAnswer(d rollout.Decision) {
	answers := map[string]int{}
	for _, start := range d.Start {
		answers[start.Member]++
	}
	for name, reason := range d.Waiting {
		answers[name]++
		if reason.Code == "" || reason.Message == "" {
			h.t.Fatalf("member %s waits without a reason: %+v", name, reason)
		}
	}
	for _, f := range h.Fleets {
		for _, w := range f.Waves {
			for _, name := range w.Members {
				if answers[name] != 1 {
					h.t.Fatalf("member %s has %d answers", name, answers[name])
				}
			}
		}
	}
}

// bounds judges what is in flight, counting for itself.
func (h *hub) bounds(before int) {
	flying := map[string]int{}
	for _, u := range h.Upgrades {
		if u.Outcome == rollout.Running {
			flying[u.Member]++
		}
	}
	for name, count := range flying {
		if count > 1 {
			h.t.Fatalf("member %s is in flight %d times", name, count)
		}
	}
	if len(h.Upgrades) == before {
		return // what was in flight before is not this decision's doing
	}
	for _, f := range h.Fleets {
		for _, w := range f.Waves {
			count, started := 0, false
			for _, name := range w.Members {
				count += flying[name]
				started = started || slices.ContainsFunc(h.Upgrades[before:], func(u rollout.Upgrade) bool { return u.Member == name })
			}
			if started && count > w.MaxConcurrent {
				h.t.Fatalf("wave %s of %s has %d in flight; %d are allowed", w.Name, f.Name, count, w.MaxConcurrent)
			}
		}
	}
}

// pass lets time pass: members are seen, and each upgrade in flight ends sooner
// or later, with the outcome that end draws.
func (h *hub) pass(end func() rollout.Outcome) {
	h.Now = h.Now.Add(tick)
	for i := range h.Members {
		h.Members[i].ObservedAt = h.Now
	}
	for i := range h.Upgrades {
		u := &h.Upgrades[i]
		if u.Outcome != rollout.Running || h.draw("goes on", 0, 2) == 0 {
			continue
		}
		u.Outcome, u.EndedAt = end(), h.Now
		f := slices.IndexFunc(h.Fleets, func(f rollout.Fleet) bool { return f.UID == u.FleetUID })
		m := slices.IndexFunc(h.Members, func(m rollout.Member) bool { return m.Name == u.Member })
		if u.Outcome == rollout.Done && h.Fleets[f].Revision == u.Revision {
			h.Members[m].Oldest = h.Fleets[f].Release.Target
		}
	}
}

// owners are the waves that select a member.
func (h *hub) owners(name string) int {
	count := 0
	for _, f := range h.Fleets {
		for _, w := range f.Waves {
			for _, member := range w.Members {
				if member == name {
					count++
				}
			}
		}
	}
	return count
}

// TestEveryFleetEnds: where nothing fails, every member of one wave comes to its
// fleet's release, and then nothing moves any more.
func TestEveryFleetEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHub(t, 0)
		for range 20 * (len(h.Members) + 1) {
			before := len(h.Upgrades)
			h.decide()
			h.bounds(before)
			h.pass(func() rollout.Outcome { return rollout.Done })
		}
		for _, f := range h.Fleets {
			for _, w := range f.Waves {
				for _, name := range w.Members {
					m := h.Members[slices.IndexFunc(h.Members, func(m rollout.Member) bool { return m.Name == name })]
					if h.owners(name) == 1 && m.Oldest.Less(f.Release.Target) {
						t.Errorf("member %s of %s is at %s; wanted is %s", name, f.Name, m.Oldest, f.Release.Target)
					}
				}
			}
		}
		if d := h.decide(); len(d.Start) > 0 {
			t.Errorf("at the end %d more start", len(d.Start))
		}
		for _, m := range h.Members {
			count := 0
			for _, u := range h.Upgrades {
				if u.Member == m.Name {
					count++
				}
			}
			if count > 1 {
				t.Errorf("member %s was upgraded %d times", m.Name, count)
			}
		}
	})
}

// TestTroubledFleets: upgrades fail and are superseded, members fall sick and
// out of sight and are moved back, releases and limits change, members come and
// go. No bound is broken; a failure halts its fleet until a person acts.
func TestTroubledFleets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHub(t, 5)
		for range rapid.IntRange(1, 40).Draw(t, "turns") {
			before := len(h.Upgrades)
			failed := h.failedRevisions()
			h.decide()
			h.bounds(before)
			for _, u := range h.Upgrades[before:] {
				if failed[fmt.Sprint(u.FleetUID, u.Revision)] > h.tolerated(u.FleetUID) && len(h.Approvals) == 0 {
					t.Fatalf("member %s starts in a fleet that failed", u.Member)
				}
			}
			h.pass(func() rollout.Outcome {
				return rapid.SampledFrom([]rollout.Outcome{rollout.Done, rollout.Done, rollout.Superseded, rollout.Failed, rollout.Aborted}).Draw(t, "outcome")
			})
			h.trouble()
		}
	})
}

// TestFreezesEnd: as long as a freeze holds, nothing that it covers starts; when
// all have ended, everything comes to its release.
func TestFreezesEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHub(t, 0)
		for range 40 + 20*len(h.Members) {
			if before := len(h.Upgrades); len(h.Members) > 0 && h.Now.Before(now.Add(20*tick)) {
				if h.draw("freezes", 0, 2) == 0 {
					h.freeze(h.Fleets[0].Name, h.Members[h.draw("member", 0, len(h.Members)-1)].Name)
				}
				h.decide()
				h.bounds(before)
			} else {
				h.decide()
			}
			h.pass(func() rollout.Outcome { return rollout.Done })
		}
		d := h.decide()
		for name, reason := range d.Waiting {
			if reason.Code != fleet.AtRelease {
				t.Errorf("member %s waits at the end: %+v", name, reason)
			}
		}
	})
}

// tolerated is how many failures a fleet tolerates.
func (h *hub) tolerated(uid string) int {
	return h.Fleets[slices.IndexFunc(h.Fleets, func(f rollout.Fleet) bool { return f.UID == uid })].MaxFailures
}

// failedRevisions counts those that failed last, by fleet and revision.
func (h *hub) failedRevisions() map[string]int {
	newest := map[string]rollout.Upgrade{}
	for _, u := range h.Upgrades {
		if u.N > newest[u.Member].N {
			newest[u.Member] = u
		}
	}
	failed := map[string]int{}
	for _, f := range h.Fleets {
		for _, w := range f.Waves {
			for _, name := range w.Members {
				if u := newest[name]; u.Outcome == rollout.Failed && u.FleetUID == f.UID {
					failed[fmt.Sprint(u.FleetUID, u.Revision)]++
				}
			}
		}
	}
	return failed
}

func (h *hub) trouble() {
	if len(h.Members) == 0 {
		return
	}
	m := &h.Members[h.draw("member", 0, len(h.Members)-1)]
	f := &h.Fleets[h.draw("fleet", 0, len(h.Fleets)-1)]
	w := &f.Waves[h.draw("wave", 0, len(f.Waves)-1)]
	switch h.draw("trouble", 0, 17) {
	case 0:
		m.Ready = !m.Ready
	case 1:
		m.ObservedAt = m.ObservedAt.Add(-time.Duration(h.draw("minutes", 20, 30)) * time.Minute)
	case 2:
		m.Oldest = h.version()
	case 3:
		m.Oldest = fleet.Version{}
	case 4:
		roll(f, h.version())
	case 5:
		roll(f, fleet.Version{})
	case 6:
		w.MaxConcurrent = h.draw("concurrent", 1, 4)
	case 7:
		relabel(f, w, m.Name)
	case 8:
		h.Now = h.Now.Add(time.Duration(h.draw("hours", 1, 30)) * time.Hour)
	case 13:
		h.Skew = time.Duration(h.draw("skew", -40, 40)) * time.Second
	case 14:
		m.Cluster = fmt.Sprintf("cluster-%d", h.draw("cluster", 0, 3))
	case 15:
		f.Release.Withdrawn = []string{"", "it eats data"}[h.draw("withdrawn", 0, 1)]
	case 16:
		h.slow()
	case 17:
		h.says = rapid.SampledFrom([]fleet.Answer{fleet.Yes, fleet.No, fleet.Unknown, ""}).Draw(h.t, "answer")
	case 9, 10:
		h.freeze(f.Name, m.Name)
	case 11, 12:
		h.Approvals = append(h.Approvals, rollout.Approval{
			Name: fmt.Sprintf("yes-%d", len(h.Approvals)), Fleet: f.Name, Revision: f.Revision, Member: m.Name, At: h.Now,
			Subject: rapid.SampledFrom([]rollout.Subject{rollout.Resume, rollout.Retry}).Draw(h.t, "subject"),
			Until:   h.Now.Add(time.Duration(h.draw("minutes", 1, 30)) * time.Minute),
		})
	}
}

// relabel moves a member out of a wave, or into it: in a fleet it is in one at most.
func relabel(f *rollout.Fleet, w *rollout.Wave, name string) {
	here := slices.Contains(w.Members, name)
	for i := range f.Waves {
		f.Waves[i].Members = slices.DeleteFunc(slices.Clone(f.Waves[i].Members), func(other string) bool { return other == name })
	}
	if !here {
		w.Members = append(w.Members, name)
	}
}

// slow lets an upgrade in flight be in a step since long ago.
func (h *hub) slow() {
	for i, u := range h.Upgrades {
		if u.Outcome == rollout.Running {
			h.Upgrades[i].Step = rapid.SampledFrom([]rollout.Step{rollout.ControlPlane, rollout.Nodes, ""}).Draw(h.t, "step")
			h.Upgrades[i].Nodes = h.draw("nodes", 0, 9)
			h.Upgrades[i].Since = h.Now.Add(-time.Duration(h.draw("minutes", 0, 300)) * time.Minute)
			return
		}
	}
}

// freeze draws a no to a fleet, a member, both or everything, that ends.
func (h *hub) freeze(fleetName, member string) {
	from := h.Now.Add(time.Duration(h.draw("from", -5, 5)) * tick)
	freeze := rollout.Freeze{
		Name: fmt.Sprintf("no-%d", len(h.Freezes)), Fleet: fleetName, Member: member, Reason: "a drill",
		Stops: rapid.SampledFrom([]rollout.Stops{rollout.Starts, rollout.Skip}).Draw(h.t, "stops"),
		From:  from, Until: from.Add(time.Duration(h.draw("ticks", 1, 20)) * tick),
	}
	if h.draw("of every fleet", 0, 3) == 0 {
		freeze.Fleet = ""
	}
	if freeze.Stops == rollout.Starts && h.draw("of every member", 0, 1) == 0 {
		freeze.Member = ""
	}
	h.Freezes = append(h.Freezes, freeze)
}

// TestDecideIgnoresOrder: maps and lists of the hub come in any order.
func TestDecideIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHub(t, 5)
		for range rapid.IntRange(0, 10).Draw(t, "turns") {
			h.decide()
			h.pass(func() rollout.Outcome {
				return rapid.SampledFrom([]rollout.Outcome{rollout.Done, rollout.Superseded, rollout.Failed}).Draw(t, "outcome")
			})
		}
		want := rollout.Decide(h.Input)
		shuffled := h.Input
		shuffled.Members = rapid.Permutation(h.Members).Draw(t, "members")
		shuffled.Fleets = rapid.Permutation(h.Fleets).Draw(t, "fleets")
		shuffled.Upgrades = rapid.Permutation(h.Upgrades).Draw(t, "upgrades")
		for i := range shuffled.Fleets {
			waves := slices.Clone(shuffled.Fleets[i].Waves)
			for j := range waves {
				waves[j].Members = rapid.Permutation(waves[j].Members).Draw(t, "wave")
			}
			shuffled.Fleets[i].Waves = waves
		}
		if diff := cmp.Diff(want, rollout.Decide(shuffled)); diff != "" {
			t.Errorf("in another order (-want +got):\n%s", diff)
		}
	})
}

// TestNothingChangesBeforeTheRecheck: until then, the same hub gives the same
// decision.
func TestNothingChangesBeforeTheRecheck(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHub(t, 5)
		for range rapid.IntRange(0, 10).Draw(t, "turns") {
			h.decide()
			h.pass(func() rollout.Outcome { return rollout.Done })
			h.trouble()
		}
		h.remember(rollout.Decide(h.Input))
		first := rollout.Decide(h.Input)
		later := h.Input
		later.Now = first.Recheck.Add(-time.Nanosecond)
		if first.Recheck.IsZero() {
			later.Now = h.Now.Add(1000 * time.Hour)
		}
		if diff := cmp.Diff(first, rollout.Decide(later)); diff != "" {
			t.Errorf("at %s, before the recheck (-now +then):\n%s", later.Now, diff)
		}
	})
}
