package observe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/upgrade"
)

// TestOffersCanBeNamed: what no status has room for is not offered, or the hub
// would refuse the pin for good.
func TestOffersCanBeNamed(t *testing.T) {
	fits := fleet.Version{Major: 1, Minor: 37, Patch: 2, Suffix: "-" + strings.Repeat("g", 56)}
	long := fleet.Version{Major: 1, Minor: 37, Patch: 2, Suffix: "-" + strings.Repeat("g", 57)}
	odd := fleet.Version{Major: 1, Minor: 37, Patch: 2, Suffix: "-g<e"}
	if diff := cmp.Diff([]fleet.Version{fits}, namable([]fleet.Version{long, fits, odd})); diff != "" {
		t.Errorf("offers (-want +got):\n%s", diff)
	}
}

// TestOffersOfAnyVersion: who goes to whatever it is told offers what people have
// named, and nothing that they have not.
func TestOffersOfAnyVersion(t *testing.T) {
	in := upgrade.Input{Target: v1372, Hops: map[string]fleet.Version{"1.36": v1364}, Pins: []fleet.Pin{{Version: v1364}, {Version: v1359}}}
	in.Cluster.Offers = []fleet.Version{v1364}
	if diff := cmp.Diff([]fleet.Version{v1364}, Offers(in)); diff != "" {
		t.Errorf("who tells what there is offers (-want +got):\n%s", diff)
	}
	in.Cluster.AnyVersion, in.Cluster.Offers = true, nil
	if diff := cmp.Diff([]fleet.Version{v1359, v1364, v1372}, Offers(in)); diff != "" {
		t.Errorf("who does not offers (-want +got):\n%s", diff)
	}
}
