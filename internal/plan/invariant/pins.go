package invariant

import (
	"slices"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/upgrade"
)

// pinned judges a version that is new to a part of the cluster: all members of
// one provider go to the same, unless it chooses itself. Who has begun to go to
// another, which nobody had pinned then, is to arrive.
func (j *judge) pinned(part string, to fleet.Version) {
	if j.Cluster.PicksPatch {
		return
	}
	for _, pin := range j.Pins {
		if pin.Version == to {
			return
		}
	}
	for _, r := range j.Memory.Records {
		if r.Hop == to && (r.Step == upgrade.ControlPlane || r.Step == upgrade.Bake || r.Step == upgrade.Nodes) {
			return
		}
	}
	j.breaks("%s would go to %s, which is none of what is pinned: %v", part, to, j.Pins)
}

// pins: what is pinned stays so for the revision, there is one of each provider
// and minor, and what is new is what an upgrade under way needs.
func (h *hub) pins(f rollout.Fleet, state rollout.FleetState) {
	for _, was := range f.Pins {
		if !slices.Contains(state.Pins, was) {
			h.breaks("fleet %s would give up the pin %s of %s", f.Name, was.Version, was.Provider)
		}
	}
	seen := map[string]bool{}
	for _, pin := range state.Pins {
		key := pin.Provider + " " + pin.Version.MinorName()
		if seen[key] {
			h.breaks("fleet %s would pin two versions for %s", f.Name, key)
		}
		seen[key] = true
		if !slices.Contains(f.Pins, pin) && !h.asked(f, pin) {
			h.breaks("fleet %s would pin %s of %s, which nobody needs", f.Name, pin.Version, pin.Provider)
		}
	}
}

func (h *hub) asked(f rollout.Fleet, pin fleet.Pin) bool {
	return slices.Contains(h.Asks, rollout.Ask{
		Member: pin.Member, Provider: pin.Provider, FleetUID: f.UID, Revision: f.Revision, Version: pin.Version,
	})
}
