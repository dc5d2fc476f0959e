package observe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
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
