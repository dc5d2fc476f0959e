package fleet

import "slices"

// Pin is the version of one minor that the members of one provider go to in one
// revision of a fleet: what came first is what all others get.
type Pin struct {
	// Provider is the kind of it, as "local".
	Provider string
	Version  Version
	// Member that needed it first.
	Member string
}

// Pinned finds the pin of a version's minor among those of one provider; the
// zero Pin where there is none.
func Pinned(pins []Pin, minor Version) Pin {
	i := slices.IndexFunc(pins, func(p Pin) bool { return p.Version.SameMinor(minor) })
	if i < 0 {
		return Pin{}
	}
	return pins[i]
}
