package rollout_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
)

// pinsOf reads pins, a word each: "local/v1.37.2/eu-1".
func pinsOf(text string) []fleet.Pin {
	var pins []fleet.Pin
	for word := range strings.FieldsSeq(text) {
		part := strings.Split(word, "/")
		pins = append(pins, fleet.Pin{Provider: part[0], Version: version(part[1]), Member: part[2]})
	}
	return pins
}

// asksOf are those of upgrades under way of the fleet main's present revision.
func asksOf(text string) []rollout.Ask {
	var asks []rollout.Ask
	for _, pin := range pinsOf(text) {
		asks = append(asks, rollout.Ask{
			Member: pin.Member, Provider: pin.Provider, Version: pin.Version, FleetUID: "uid-of-main", Revision: 3,
		})
	}
	return asks
}

func pinsInWords(pins []fleet.Pin) string {
	var words []string
	for _, pin := range pins {
		words = append(words, fmt.Sprintf("%s/%s/%s", pin.Provider, pin.Version, pin.Member))
	}
	return strings.Join(words, " ")
}

func TestPins(t *testing.T) {
	others := slices.Concat(asksOf("local/v1.37.2/eu-1"), asksOf("local/v1.37.2/eu-1"))
	others[0].Revision, others[1].FleetUID = 2, "uid-of-lab"
	for _, test := range []struct {
		name   string
		pinned string
		asks   []rollout.Ask
		want   string
	}{
		{name: "none"},
		{name: "what the first needs", asks: asksOf("local/v1.36.6/eu-1 local/v1.37.2/eu-1"), want: "local/v1.36.6/eu-1 local/v1.37.2/eu-1"},
		{name: "the lowest of what is asked for at once", asks: asksOf("local/v1.37.4/eu-1 local/v1.37.2/eu-3 local/v1.37.3/eu-2"), want: "local/v1.37.2/eu-3"},
		{name: "of those who ask for it the first by name", asks: asksOf("local/v1.37.2/eu-2 local/v1.37.2/eu-1"), want: "local/v1.37.2/eu-1"},
		{name: "a vendor's builds have an order too", asks: asksOf("local/v1.37.2-gke.1200/eu-1 local/v1.37.2-gke.900/eu-2"), want: "local/v1.37.2-gke.900/eu-2"},
		{
			name: "what is pinned stays, also where a lower one is asked for", pinned: "local/v1.37.4/eu-0",
			asks: asksOf("local/v1.37.2/eu-1 local/v1.36.6/eu-1"), want: "local/v1.36.6/eu-1 local/v1.37.4/eu-0",
		},
		{name: "and where nobody asks", pinned: "local/v1.37.4/eu-0", want: "local/v1.37.4/eu-0"},
		{name: "each provider has its own", pinned: "local/v1.37.4/eu-0", asks: asksOf("fake/v1.37.2/eu-1"), want: "fake/v1.37.2/eu-1 local/v1.37.4/eu-0"},
		{name: "other revisions and fleets have theirs", asks: others},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := main(2, "eu-1", "eu-2", "eu-3")
			f.Pins = pinsOf(test.pinned)
			in := rollout.Input{Now: now, Fleets: []rollout.Fleet{f}, Asks: test.asks}
			backwards := in
			backwards.Asks = slices.Clone(in.Asks)
			slices.Reverse(backwards.Asks)
			for _, in := range []rollout.Input{in, backwards} {
				if diff := cmp.Diff(test.want, pinsInWords(rollout.Decide(in).Fleets[0].Pins)); diff != "" {
					t.Errorf("pins (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestPinsAreBounded: what has no room waits for another revision.
func TestPinsAreBounded(t *testing.T) {
	f := main(2)
	var asks []string
	for minor := range 100 {
		asks = append(asks, fmt.Sprintf("local/v1.%d.0/eu-1", minor))
	}
	pins := rollout.Decide(rollout.Input{Now: now, Fleets: []rollout.Fleet{f}, Asks: asksOf(strings.Join(asks, " "))}).Fleets[0].Pins
	if len(pins) != 64 || pins[63].Version != version("v1.63.0") {
		t.Errorf("%d are pinned, the last is %v; want the lowest 64", len(pins), pins[len(pins)-1])
	}
}

// TestPicksPatch: a member whose provider picks the patch is at the release when its
// minor is; any other is behind by a patch.
func TestPicksPatch(t *testing.T) {
	s := tell(t, "all: eu-1 eu-2")
	for _, name := range []string{"eu-1", "eu-2"} {
		s.member(name).Oldest, s.member(name).ControlPlane = version("v1.37.0"), version("v1.37.0")
	}
	s.member("eu-1").PicksPatch = true
	s.decide("eu-2=start")
}
