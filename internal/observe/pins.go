package observe

import (
	"maps"
	"slices"
	"strings"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/upgrade"
)

// pinsOf are a fleet's pins of one revision: a new one begins without.
func pinsOf(f *v1.Fleet, revision int64) []fleet.Pin {
	if revision != f.Status.Revision {
		return nil
	}
	var pins []fleet.Pin
	for _, pin := range f.Status.Pins {
		version, _ := fleet.ParseVersion(pin.Version) // written by us
		pins = append(pins, fleet.Pin{Provider: pin.Provider, Version: version, Member: pin.Member})
	}
	return pins
}

// Pins are those of a fleet that count for an upgrade: of its revision, and of
// its member's provider.
func Pins(f *v1.Fleet, up *v1.ClusterUpgrade, mc *v1.MemberCluster) []fleet.Pin {
	return slices.DeleteFunc(pinsOf(f, up.Spec.Revision), func(pin fleet.Pin) bool { return pin.Provider != mc.Spec.Provider.Kind() })
}

// pinned are pins as a status has them.
func pinned(pins []fleet.Pin) []v1.Pin {
	var list []v1.Pin
	for _, pin := range pins {
		list = append(list, v1.Pin{
			Provider: pin.Provider, Minor: pin.Version.MinorName(), Version: pin.Version.String(), Member: pin.Member,
		})
	}
	return list
}

// asksOf are the versions that an upgrade under way needs.
func asksOf(up *v1.ClusterUpgrade, hub Hub) []rollout.Ask {
	if len(up.Status.Path) == 0 || Ended(up) {
		return nil
	}
	i := slices.IndexFunc(hub.Members, func(mc v1.MemberCluster) bool { return mc.Name == up.Spec.Member })
	if i < 0 {
		return nil
	}
	var asks []rollout.Ask
	for _, text := range up.Status.Path {
		if version, ok := fleet.ParseVersion(text); ok {
			asks = append(asks, rollout.Ask{
				Member: up.Spec.Member, Provider: hub.Members[i].Spec.Provider.Kind(),
				FleetUID: up.Spec.FleetUID, Revision: up.Spec.Revision, Version: version,
			})
		}
	}
	return asks
}

// longestVersion is what the kinds have room for, of a release's as of a pin's.
const longestVersion = 64

// namable are the versions that can be asked for: one that no release could name,
// for its length or its letters, is as good as not offered.
func namable(offers []fleet.Version) []fleet.Version {
	const letters = "-+.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	return slices.DeleteFunc(slices.Clone(offers), func(v fleet.Version) bool {
		return len(v.String()) > longestVersion || strings.Trim(v.Suffix, letters) != ""
	})
}

// Offers are the versions that a cluster can go to. Where its provider goes to
// whatever it is told, and knows of no list, these are what people have named: the
// release, and the fleet's pins.
func Offers(in upgrade.Input) []fleet.Version {
	if !in.Cluster.AnyVersion {
		return in.Cluster.Offers
	}
	offers := []fleet.Version{in.Target}
	for _, pin := range in.Pins {
		offers = append(offers, pin.Version)
	}
	offers = slices.AppendSeq(offers, maps.Values(in.Hops))
	slices.SortFunc(offers, fleet.Version.Compare)
	return namable(slices.Compact(offers))
}
