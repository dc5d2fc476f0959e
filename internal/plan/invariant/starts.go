package invariant

import (
	"fmt"
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
	again := last.Outcome == rollout.Done && last.FleetUID == start.FleetUID && last.Revision == start.Revision
	if again && h.Now.Before(last.EndedAt.Add(24*time.Hour)) {
		h.breaks("member %s would start again after it was done at %s", start.Member, last.EndedAt.UTC().Format(time.DateTime))
	}
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
	if !m.Oldest.Less(start.Release.Target) {
		h.breaks("member %s would start at %s, with %s wanted", m.Name, m.Oldest, start.Release.Target)
	}
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
	for _, u := range h.Upgrades {
		ours := u.FleetUID == f.UID && u.Revision == f.Revision && slices.ContainsFunc(h.owners[u.Member], func(owner string) bool { return strings.HasPrefix(owner, f.Name+"/") })
		if ours && u.Outcome == rollout.Failed && !h.agreed(start, u) {
			h.breaks("member %s would start after %s.%d failed in the same revision", start.Member, u.Member, u.N)
		}
	}
}

// agreed tells whether a person has said, after a failure, that this start may
// be all the same: the fleet may go on, or this member, which failed, may start
// again. Who failed last does not start because the fleet goes on.
func (h *hub) agreed(start rollout.Start, failure rollout.Upgrade) bool {
	own := h.newest[start.Member]
	again := own.Outcome == rollout.Failed && own.FleetUID == start.FleetUID && own.Revision == start.Revision
	for _, a := range h.Approvals {
		expired := !a.Until.IsZero() && !h.Now.Before(a.Until)
		if a.Fleet != start.Fleet || a.Revision != start.Revision || expired || a.At.After(h.Now) || !a.At.After(failure.EndedAt) {
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
			if starts[f.Name+"/"+w.Name] && inFlight > w.MaxConcurrent {
				h.breaks("wave %s of fleet %s would have %d in flight; %d are allowed", w.Name, f.Name, inFlight, w.MaxConcurrent)
			}
		}
	}
}
