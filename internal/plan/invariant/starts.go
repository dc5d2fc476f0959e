package invariant

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"refit.dev/refit/internal/plan/rollout"
)

// Starts judges a decision over all fleets; each sentence is a violation.
func Starts(in rollout.Input, decision rollout.Decision) []string {
	h := newHub(in)
	for _, start := range decision.Start {
		h.start(start)
	}
	h.waves(decision)
	for _, state := range decision.Fleets {
		h.order(state)
	}
	return h.broken
}

// hub is what a decision is judged by, as it would be after the starts.
type hub struct {
	rollout.Input
	broken []string
	// newest upgrade of each member, and the members that are in flight.
	newest map[string]rollout.Upgrade
	flying map[string]bool
	// owners are the waves that select a member, as fleet/wave.
	owners map[string][]string
}

func newHub(in rollout.Input) *hub {
	h := &hub{Input: in, newest: map[string]rollout.Upgrade{}, flying: map[string]bool{}, owners: map[string][]string{}}
	for _, u := range in.Upgrades {
		if u.N > h.newest[u.Member].N {
			h.newest[u.Member] = u
		}
		if u.Outcome == rollout.Running {
			h.flying[u.Member] = true
		}
	}
	for _, f := range in.Fleets {
		for _, w := range f.Waves {
			for _, name := range w.Members {
				h.owners[name] = append(h.owners[name], f.Name+"/"+w.Name)
			}
		}
	}
	return h
}

func (h *hub) breaks(format string, args ...any) {
	h.broken = append(h.broken, fmt.Sprintf(format, args...))
}

func (h *hub) start(start rollout.Start) {
	if h.flying[start.Member] {
		h.breaks("member %s would be in flight twice", start.Member)
	}
	h.flying[start.Member] = true
	last := h.newest[start.Member]
	if start.N != last.N+1 {
		h.breaks("upgrade %s.%d does not follow %d", start.Member, start.N, last.N)
	}
	h.again(start, last)
	if owners := h.owners[start.Member]; len(owners) != 1 || owners[0] != start.Fleet+"/"+start.Wave {
		h.breaks("member %s would start for %s/%s; it is selected by %v", start.Member, start.Fleet, start.Wave, owners)
	}
	for _, freeze := range h.Freezes {
		if h.frozen(freeze, start) {
			h.breaks("member %s would start against freeze %s", start.Member, freeze.Name)
		}
	}
	h.member(start)
	h.fleet(start)
}

// again judges the start of a member that was there already in this revision:
// it is brought back once a day, if at all, and not before it was looked at.
func (h *hub) again(start rollout.Start, last rollout.Upgrade) {
	if !h.same(start, last) {
		return
	}
	if last.Outcome == rollout.Aborted && !h.agreed(start, last) {
		h.breaks("member %s would start again after it was aborted", start.Member)
	}
	if last.Outcome != rollout.Done {
		return
	}
	if h.done(start) > 1 && h.Now.Sub(last.StartedAt) < 24*time.Hour {
		h.breaks("member %s would be brought back twice within a day, last at %s", start.Member, last.StartedAt.UTC().Format(time.DateTime))
	}
	if slices.ContainsFunc(h.Members, func(m rollout.Member) bool { return m.Name == start.Member && !last.EndedAt.Before(m.ObservedAt) }) {
		h.breaks("member %s would start again without a look since it was done", start.Member)
	}
	if slices.ContainsFunc(h.Fleets, func(f rollout.Fleet) bool { return f.UID == start.FleetUID && f.ReportDrift }) {
		h.breaks("member %s would be brought back, of which only drift is to be reported", start.Member)
	}
}

// done counts how often the member was brought to what a start is of.
func (h *hub) done(start rollout.Start) int {
	times := 0
	for _, u := range h.Upgrades {
		if u.Member == start.Member && u.Outcome == rollout.Done && h.same(start, u) {
			times++
		}
	}
	return times
}

// same tells whether an upgrade is of the revision that a start is of.
func (h *hub) same(start rollout.Start, u rollout.Upgrade) bool {
	return u.FleetUID == start.FleetUID && u.Revision == start.Revision
}

// frozen tells whether a freeze holds now, and of what would start.
func (h *hub) frozen(freeze rollout.Freeze, start rollout.Start) bool {
	begun, ended := !h.Now.Before(freeze.From), !freeze.Until.IsZero() && !h.Now.Before(freeze.Until)
	elsewhere := freeze.Fleet != "" && freeze.Fleet != start.Fleet || freeze.Member != "" && freeze.Member != start.Member
	return begun && !ended && !elsewhere
}

// member must be seen, healthy and behind.
func (h *hub) member(start rollout.Start) {
	i := slices.IndexFunc(h.Members, func(m rollout.Member) bool { return m.Name == start.Member })
	if i < 0 {
		h.breaks("member %s would start, which does not exist", start.Member)
		return
	}
	m := h.Members[i]
	if m.Oldest.IsZero() || h.Now.After(m.ObservedAt.Add(25*time.Minute)) {
		h.breaks("member %s would start unobserved", m.Name)
	}
	if !m.Ready {
		h.breaks("member %s would start unhealthy", m.Name)
	}
	for _, other := range h.Members {
		if other.Name != m.Name && m.Cluster != "" && other.Cluster == m.Cluster {
			h.breaks("member %s would start, and is the same cluster as %s", m.Name, other.Name)
		}
	}
	if runs(m, start.Release) && (!start.Release.AddOns || h.brought(start)) {
		h.breaks("member %s would start at %s, with %s wanted", m.Name, m.Oldest, start.Release.Target)
	}
}

// runs tells whether a member runs a release's Kubernetes, or a newer one: of whom
// its provider gives a patch of its own choice any patch of that minor will do.
func runs(m rollout.Member, release rollout.Release) bool {
	if m.PicksPatch && m.Oldest.SameMinor(release.Target) {
		return true
	}
	return !m.Oldest.Less(release.Target)
}

// brought tells whether a member has been brought to what its fleet wants.
func (h *hub) brought(start rollout.Start) bool {
	return slices.ContainsFunc(h.Upgrades, func(u rollout.Upgrade) bool {
		return u.Member == start.Member && u.FleetUID == start.FleetUID && u.Revision == start.Revision && u.Outcome == rollout.Done
	})
}

// fleet must want just this, and have no failure in this revision.
func (h *hub) fleet(start rollout.Start) {
	i := slices.IndexFunc(h.Fleets, func(f rollout.Fleet) bool { return f.UID == start.FleetUID })
	if i < 0 {
		h.breaks("member %s would start for fleet %s, which does not exist", start.Member, start.Fleet)
		return
	}
	f := h.Fleets[i]
	if f.Name != start.Fleet || f.Revision != start.Revision || f.Release != start.Release || f.Release.Target.IsZero() {
		h.breaks("member %s would start for revision %d at release %q; fleet %s wants revision %d at %q",
			start.Member, start.Revision, start.Release.Name, f.Name, f.Revision, f.Release.Name)
	}
	if f.Release.Withdrawn != "" {
		h.breaks("member %s would start for release %s, which was withdrawn", start.Member, f.Release.Name)
	}
	if h.Skew < -30*time.Second || h.Skew > 30*time.Second {
		h.breaks("member %s would start by a clock that is %s off", start.Member, h.Skew)
	}
	h.failures(start, f)
	for _, w := range f.Waves {
		for _, g := range w.Gates {
			if h.stands(f, w, g) {
				h.breaks("member %s would start after gate %s of wave %s failed", start.Member, g.Name, w.Name)
			}
		}
	}
}

// failures of a fleet, and of each of its waves, are no more than it tolerates.
// Those that a person agreed to since are not counted.
func (h *hub) failures(start rollout.Start, f rollout.Fleet) {
	all := h.failed(start, f, func(string) bool { return true })
	if own, failed := all[start.Member]; failed && own.Outcome == rollout.Failed && own.N == h.newest[start.Member].N {
		h.tooMany(start, map[string]rollout.Upgrade{start.Member: own}, 0)
		return
	}
	if h.tooMany(start, all, f.MaxFailures) {
		return
	}
	for _, w := range f.Waves {
		in := func(wave string) bool { return wave == w.Name }
		if w.MaxFailures != nil && h.tooMany(start, h.failed(start, f, in), *w.MaxFailures) {
			return
		}
	}
}

// failed are the failures of a fleet's members in some of its waves, by member.
func (h *hub) failed(start rollout.Start, f rollout.Fleet, in func(wave string) bool) map[string]rollout.Upgrade {
	failed := map[string]rollout.Upgrade{}
	for _, u := range h.Upgrades {
		bad := u.FleetUID == f.UID && u.Revision == f.Revision && (u.Outcome == rollout.Failed || h.stuck(u))
		ours := slices.ContainsFunc(h.owners[u.Member], func(owner string) bool {
			wave, found := strings.CutPrefix(owner, f.Name+"/")
			return found && in(wave)
		})
		if bad && ours && !h.agreed(start, u) {
			failed[u.Member] = u
		}
	}
	return failed
}

// tooMany tells whether more failed than are tolerated, and says so.
func (h *hub) tooMany(start rollout.Start, failed map[string]rollout.Upgrade, tolerated int) bool {
	if len(failed) <= tolerated {
		return false
	}
	first := failed[slices.Sorted(maps.Keys(failed))[0]]
	h.breaks("member %s would start after %s.%d failed in the same revision", start.Member, first.Member, first.N)
	return true
}

// stuck tells whether a control plane has taken more than an hour and a half, or
// nodes more than half an hour each.
func (h *hub) stuck(u rollout.Upgrade) bool {
	limit := time.Duration(max(u.Nodes, 1)) * 30 * time.Minute
	if u.Step == rollout.ControlPlane {
		limit = 90 * time.Minute
	}
	return u.Outcome == rollout.Running && u.Step != "" && h.Now.Sub(u.Since) >= limit
}

// agreed tells whether a person has said, after a failure, that this start may
// be all the same: the fleet may go on, or this member, which failed, may start
// again. Who failed last does not start because the fleet goes on.
func (h *hub) agreed(start rollout.Start, failure rollout.Upgrade) bool {
	own := h.newest[start.Member]
	again := (own.Outcome == rollout.Failed || own.Outcome == rollout.Aborted) && h.same(start, own)
	for _, a := range h.Approvals {
		expired := !a.Until.IsZero() && !h.Now.Before(a.Until)
		if a.Fleet != start.Fleet || a.Revision != start.Revision || expired || a.At.After(h.Now) || !a.At.After(h.failedAt(failure)) {
			continue
		}
		if a.Subject == rollout.Retry && a.Member == start.Member && again {
			return true
		}
		if a.Subject == rollout.Resume && failure != own {
			return true
		}
	}
	return false
}

// failedAt is when an upgrade ended, or was stuck.
func (h *hub) failedAt(u rollout.Upgrade) time.Time {
	switch {
	case u.Outcome != rollout.Running:
		return u.EndedAt
	case u.Step == rollout.ControlPlane:
		return u.Since.Add(90 * time.Minute)
	default:
		return u.Since.Add(time.Duration(max(u.Nodes, 1)) * 30 * time.Minute)
	}
}

// waves counts who is in flight in each wave that somebody starts in.
func (h *hub) waves(decision rollout.Decision) {
	starts := map[string]bool{}
	for _, start := range decision.Start {
		starts[start.Fleet+"/"+start.Wave] = true
	}
	for _, f := range h.Fleets {
		for _, w := range f.Waves {
			inFlight := 0
			for _, name := range w.Members {
				if h.flying[name] {
					inFlight++
				}
			}
			for _, u := range h.Upgrades {
				if u.Outcome == rollout.Running && u.FleetUID == f.UID && u.Wave == w.Name && !slices.Contains(w.Members, u.Member) {
					inFlight++
				}
			}
			if starts[f.Name+"/"+w.Name] && inFlight > w.MaxConcurrent {
				h.breaks("wave %s of fleet %s would have %d in flight; %d are allowed", w.Name, f.Name, inFlight, w.MaxConcurrent)
			}
		}
	}
}

// order: a wave opens when the ones before it have passed, and a wave passes when
// enough of those it opened with are there and healthy, and it has soaked.
func (h *hub) order(state rollout.FleetState) {
	i := slices.IndexFunc(h.Fleets, func(f rollout.Fleet) bool { return f.Name == state.Name })
	f := h.Fleets[i]
	h.pins(f, state)
	passed := true
	for j, w := range f.Waves {
		now := state.Waves[j]
		if w.OpenedAt.IsZero() && !now.OpenedAt.IsZero() && !passed {
			h.breaks("wave %s of fleet %s would open before its turn", w.Name, f.Name)
		}
		if w.PassedAt.IsZero() && !now.PassedAt.IsZero() {
			h.passes(f, w, state)
		}
		if !w.OpenedAt.IsZero() && !now.OpenedAt.Equal(w.OpenedAt) || !w.PassedAt.IsZero() && !now.PassedAt.Equal(w.PassedAt) {
			h.breaks("wave %s of fleet %s would open or pass once more", w.Name, f.Name)
		}
		passed = passed && !now.PassedAt.IsZero()
		h.remembers(f, w, now)
	}
}

// passes judges a wave that passes now.
func (h *hub) passes(f rollout.Fleet, w rollout.Wave, state rollout.FleetState) {
	total, there := 0, 0
	for _, m := range h.Members {
		if !slices.Contains(w.Members, m.Name) || !opened(state.Roster, w, m) || h.leftOut(f, m) {
			continue
		}
		total++
		seen := m.Ready && h.Now.Before(m.ObservedAt.Add(25*time.Minute)) && runs(m, f.Release)
		if seen && !h.flying[m.Name] {
			there++
		}
		h.soaked(f, w, m)
	}
	if len(w.Members) == 0 && !w.AllowEmpty {
		h.breaks("wave %s of fleet %s would pass, which selects nobody", w.Name, f.Name)
	}
	if there < w.MinSuccess.Up(total) {
		h.breaks("wave %s of fleet %s would pass with %d of %d there", w.Name, f.Name, there, total)
	}
	h.seenGood(f, w, state)
}

// opened tells whether a wave had a member when it opened.
func opened(roster rollout.Roster, w rollout.Wave, m rollout.Member) bool {
	return slices.Contains(roster.Seats, rollout.Seat{ID: rollout.SeatOf(m), Wave: w.Name, Cohort: true})
}

// soaked: who was brought there in this revision has been there for the soak.
func (h *hub) soaked(f rollout.Fleet, w rollout.Wave, m rollout.Member) {
	for _, u := range h.Upgrades {
		ours := u.Member == m.Name && u.FleetUID == f.UID && u.Revision == f.Revision
		if ours && u.Outcome == rollout.Done && h.Now.Before(u.EndedAt.Add(w.Soak)) {
			h.breaks("wave %s of fleet %s would pass though %s has soaked for %s", w.Name, f.Name, m.Name, h.Now.Sub(u.EndedAt))
		}
	}
}

// leftOut tells whether a person leaves a member out.
func (h *hub) leftOut(f rollout.Fleet, m rollout.Member) bool {
	return slices.ContainsFunc(h.Freezes, func(freeze rollout.Freeze) bool {
		return freeze.Stops == rollout.Skip && h.frozen(freeze, rollout.Start{Fleet: f.Name, Member: m.Name})
	})
}
