package rollout

import (
	"cmp"
	"slices"
	"strings"

	"refit.dev/refit/internal/fleet"
)

// maxPins is how many a fleet's status has room for: those of six providers,
// each over ten minors.
const maxPins = 64

// Ask is a version that an upgrade under way needs.
type Ask struct {
	Member, Provider string
	FleetUID         string
	Revision         int64
	Version          fleet.Version
}

// pins are a fleet's pins, and those that are needed now. Of several versions of
// a minor that are asked for at once the lowest is pinned, and of several members
// the first by name is told; from then on it stays.
func (p *planner) pins(f Fleet) []fleet.Pin {
	pins := slices.Clone(f.Pins)
	asks := slices.SortedFunc(slices.Values(p.asks), func(a, b Ask) int {
		return cmp.Or(a.Version.Compare(b.Version), strings.Compare(a.Member, b.Member))
	})
	for _, ask := range asks {
		ours := ask.FleetUID == f.UID && ask.Revision == f.Revision
		pinned := slices.ContainsFunc(pins, func(pin fleet.Pin) bool {
			return pin.Provider == ask.Provider && pin.Version.SameMinor(ask.Version)
		})
		if ours && !pinned && len(pins) < maxPins {
			pins = append(pins, fleet.Pin{Provider: ask.Provider, Version: ask.Version, Member: ask.Member})
		}
	}
	slices.SortFunc(pins, func(a, b fleet.Pin) int {
		return cmp.Or(strings.Compare(a.Provider, b.Provider), a.Version.Compare(b.Version))
	})
	return pins
}
