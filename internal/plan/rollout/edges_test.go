package rollout_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/plan/rollout"
)

// TestFullWaveAndSickMember: what a member lacks itself counts more than that its
// wave is full.
func TestFullWaveAndSickMember(t *testing.T) {
	got := rollout.Decide(rollout.Input{Now: now, Members: members("eu-1=v1.36.3 eu-2=v1.36.3!"), Fleets: []rollout.Fleet{main(1, "eu-1", "eu-2")}})
	if diff := cmp.Diff(text(`start eu-1.1 for main/all revision 3 at 2026.11
		eu-2 NotReady: not healthy: 2 of 3 nodes are not Ready`), told(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
