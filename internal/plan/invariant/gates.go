package invariant

import (
	"slices"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
)

// seenGood: every gate of a wave that passes was found good, lately, and by a look
// that began when the wave had been as it is for its soak.
func (h *hub) seenGood(f rollout.Fleet, w rollout.Wave, state rollout.FleetState) {
	for _, g := range w.Gates {
		look, looked := h.Heard[g.Question]
		if !looked || look.Answer != fleet.Yes {
			h.breaks("wave %s of fleet %s would pass though gate %s is not seen to be good", w.Name, f.Name, g.Name)
			continue
		}
		if h.Now.Sub(look.AskedAt) >= 2*g.Question.Interval {
			h.breaks("wave %s of fleet %s would pass by what gate %s said %s ago", w.Name, f.Name, g.Name, h.Now.Sub(look.AskedAt))
		}
		for _, u := range h.Upgrades {
			ours := slices.ContainsFunc(h.Members, func(m rollout.Member) bool {
				return m.Name == u.Member && slices.Contains(w.Members, m.Name) && opened(state.Roster, w, m) && !h.leftOut(f, m)
			})
			done := u.Outcome == rollout.Done && u.FleetUID == f.UID && u.Revision == f.Revision
			if ours && done && look.AskedAt.Sub(u.EndedAt) < w.Soak {
				h.breaks("wave %s of fleet %s would pass by what gate %s said before %s had soaked", w.Name, f.Name, g.Name, u.Member)
			}
		}
		if h.stands(f, w, g) {
			h.breaks("wave %s of fleet %s would pass after its gate %s failed", w.Name, f.Name, g.Name)
		}
	}
}

// stands tells whether a gate has failed of a wave that is rolled now, and nobody has
// let the fleet go on since.
func (h *hub) stands(f rollout.Fleet, w rollout.Wave, g rollout.Gate) bool {
	if g.Memory.FailedAt.IsZero() || w.OpenedAt.IsZero() || !w.PassedAt.IsZero() {
		return false
	}
	return !slices.ContainsFunc(h.Approvals, func(a rollout.Approval) bool {
		expired := !a.Until.IsZero() && !h.Now.Before(a.Until)
		return a.Subject == rollout.Resume && a.Fleet == f.Name && a.Revision == f.Revision && !expired && !a.At.After(h.Now) && a.At.After(g.Memory.FailedAt)
	})
}

// remembers: that a gate failed is not forgotten until a person agrees, and one that
// has no yes is given no more time than it has.
func (h *hub) remembers(f rollout.Fleet, w rollout.Wave, now rollout.WaveState) {
	if w.OpenedAt.IsZero() || !w.PassedAt.IsZero() {
		return
	}
	for _, g := range w.Gates {
		i := slices.IndexFunc(now.Gates, func(s rollout.GateState) bool { return s.Name == g.Name })
		if h.stands(f, w, g) && (i < 0 || !now.Gates[i].Memory.FailedAt.Equal(g.Memory.FailedAt)) {
			h.breaks("that gate %s of wave %s of fleet %s failed would be forgotten", g.Name, w.Name, f.Name)
		}
		look := h.Heard[g.Question]
		if look.AskedAt.IsZero() || look.Answer == fleet.Yes || g.Memory.NoYesSince.IsZero() || !g.Memory.FailedAt.IsZero() {
			continue
		}
		if h.Now.Sub(g.Memory.NoYesSince) >= g.Patience() && (i < 0 || now.Gates[i].Memory.FailedAt.IsZero()) {
			h.breaks("gate %s of wave %s of fleet %s has said no yes for %s and would not have failed", g.Name, w.Name, f.Name, h.Now.Sub(g.Memory.NoYesSince))
		}
	}
}
