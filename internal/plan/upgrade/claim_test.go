package upgrade_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/upgrade"
)

// TestClaim: the claim comes before the first change, is kept alive, and goes at
// the end; what another hub has claimed is left alone.
func TestClaim(t *testing.T) {
	const (
		settled  = "v1.37.2 Settle 1m"
		changing = `ControlPlane v1.37.2
				upgrade control plane v1.36.3 → v1.37.2
				OperationRunning: control plane goes from v1.36.3 to v1.37.2
				again in 2s`
		claiming = `ControlPlane v1.37.2
				claim the member for hub uid-of-hub
				OperationRunning: control plane goes from v1.36.3 to v1.37.2
				again in 20ms`
		atWork = `ControlPlane v1.37.2
				ClaimedElsewhere: hub uid-of-other is at work in the member: nothing is done here until it has ended
				again in 15s`
		expired = `ControlPlane v1.37.2
				ClaimedElsewhere: hub uid-of-other has claimed the member, and was not heard of since 2026-11-03 21:55:00 UTC
				again in 15s`
	)
	steps{
		{name: "nobody's is made first", situation: situation{memory: settled, claim: "nobody"}, want: claiming},
		{name: "ours lets the change be", situation: situation{memory: settled, claim: hub + " " + us + " 58s"}, want: changing},
		{name: "ours is renewed first", situation: situation{memory: settled, claim: hub + " " + us + " 60s"}, want: claiming},
		{name: "also where it has expired", situation: situation{memory: settled, claim: hub + " " + us + " 1h"}, want: claiming},
		{name: "that of an earlier upgrade of this hub is made ours", situation: situation{memory: settled, claim: hub + " uid-of-eu-1.0 1s"}, want: claiming},
		{name: "another hub's is left alone", situation: situation{memory: settled, claim: "uid-of-other " + us + " 4m59s"}, want: atWork},
		{name: "whatever anybody said", situation: situation{memory: settled, claim: "uid-of-other theirs 4m59s", takeOver: "1m"}, want: atWork},
		{name: "one that has expired too", situation: situation{memory: settled, claim: "uid-of-other theirs 5m"}, want: expired},
		{name: "until a person says so", situation: situation{memory: settled, claim: "uid-of-other theirs 5m", takeOver: "4m59s"}, want: claiming},
		{name: "after it was last heard of", situation: situation{memory: settled, claim: "uid-of-other theirs 5m", takeOver: "5m"}, want: expired},
		{name: "and of this hub, not of a third", situation: situation{memory: settled, claim: "uid-of-third theirs 5m", takeOver: "1m"}, want: `ControlPlane v1.37.2
				ClaimedElsewhere: hub uid-of-third has claimed the member, and was not heard of since 2026-11-03 21:55:00 UTC
				again in 15s`},
		{
			name:      "what was not seen is not free",
			situation: situation{from: "v1.36.3", memory: "v1.37.2 Settle 2m 1m\n v1.37.2 ControlPlane 1m", silent: "connection refused", claim: "unseen"},
			want: `ControlPlane v1.37.2
				Unreachable: control plane: connection refused
				again in 15s`,
		},
		{
			name: "who only waits needs none", situation: situation{claim: "nobody"},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name: "but who has one looks when it is to be renewed", situation: situation{claim: hub + " " + us + " 50s"},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 10s`,
		},
		{
			name: "nor to see whose it is", situation: situation{claim: "unseen"},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
		{
			name: "but says whose it is", situation: situation{claim: "uid-of-other theirs 1m"},
			want: `Settle v1.37.2
				ClaimedElsewhere: hub uid-of-other is at work in the member: nothing is done here until it has ended
				again in 15s`,
		},
		{
			name:      "is renewed while it waits",
			situation: situation{from: "v1.36.3", memory: "v1.37.2 ControlPlane 1m 30s\n v1.37.2 Bake 20s", controlPlane: "v1.37.2", claim: hub + " " + us + " 1m"},
			want: `Bake v1.37.2
				claim the member for hub uid-of-hub
				Baking: control plane is at v1.37.2; nodes follow at 22:04:40 UTC
				again in 15s`,
		},
		{
			name: "a hub that only watches does nothing with its own", situation: situation{memory: settled, held: true},
			want: `ControlPlane v1.37.2
				RestoredHub: this hub only watches
				again in 15s`,
		},
		{
			name: "and ends nothing", situation: situation{superseded: true, held: true, claim: "nobody"},
			want: `Settle unknown
				RestoredHub: this hub only watches
				again in 15s`,
		},
	}.run(t)
}

// A claim lasts five minutes, and says which version of it is replaced.
func TestClaimLasts(t *testing.T) {
	step := upgrade.Next(situation{memory: "v1.37.2 Settle 1m", claim: hub + " " + us + " 60s"}.input())
	want := []plan.Action{plan.Claim{
		Holder: fleet.Holder{Hub: hub, Upgrade: us}, Lasts: 5 * time.Minute, UID: "uid-of-claim", ResourceVersion: "7",
	}}
	if diff := cmp.Diff(want, step.Actions); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

// Every end lets the claim go first, if it is seen to be this upgrade's, and
// does not wait for what it cannot let go.
func TestClaimEnds(t *testing.T) {
	done := "v1.37.2 Nodes 2m 1m\n end Settle 1m"
	for name, s := range map[string]situation{
		"Done":       {from: "v1.36.3", memory: done, controlPlane: "v1.37.2", nodes: "v1.37.2"},
		"Failed":     {refused: true},
		"Superseded": {superseded: true},
	} {
		t.Run(name, func(t *testing.T) {
			step := upgrade.Next(s.input())
			want := []plan.Action{plan.Release{Holder: fleet.Holder{Hub: hub, Upgrade: us}, UID: "uid-of-claim", ResourceVersion: "7"}}
			if diff := cmp.Diff(want, step.Actions); diff != "" || step.Outcome != upgrade.Going || step.Name == "" {
				t.Errorf("step %q, outcome %q, actions (-want +got):\n%s", step.Name, step.Outcome, diff)
			}
			if soon := step.Recheck.Sub(now); soon <= 0 || soon > time.Second {
				t.Errorf("looks again after %s, want at once", soon)
			}
			for _, claim := range []string{"nobody", "unseen", "uid-of-other theirs 1s", hub + " uid-of-eu-1.0 1s"} {
				s.claim = claim
				if step := upgrade.Next(s.input()); string(step.Outcome) != name || len(step.Actions) > 0 {
					t.Errorf("claimed by %s: outcome %q, actions %v; want the end", claim, step.Outcome, step.Actions)
				}
			}
		})
	}
}

// Who ends an upgrade early leaves no claim behind because the member is silent;
// one that failed ends, for others must know.
func TestClaimIsNotLeftBehind(t *testing.T) {
	for name, s := range map[string]situation{
		"Superseded": {superseded: true},
		"Aborted":    {aborted: true},
		"Failed":     {refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			s.from, s.memory, s.controlPlane = "v1.36.3", "v1.37.2 ControlPlane 9m 5m", "v1.37.2"
			s.silent, s.claim = "connection refused", "unseen"
			step := upgrade.Next(s.input())
			waits := step.Outcome == upgrade.Going && step.Why.Code == fleet.Unreachable && step.Recheck.After(now)
			if ends := string(step.Outcome) == name; waits == (name == "Failed") || ends != (name == "Failed") {
				t.Errorf("outcome %q, waits for %+v", step.Outcome, step.Why)
			}
			s.silent, s.claim = "", "nobody"
			if step := upgrade.Next(s.input()); string(step.Outcome) != name {
				t.Errorf("seen to be free it ends %q", step.Outcome)
			}
		})
	}
}

// What is about to be done, and then is not, is not remembered as begun.
func TestClaimRemembersNothing(t *testing.T) {
	for _, claim := range []string{"nobody", "unseen", "uid-of-other theirs 1s"} {
		step := upgrade.Next(situation{memory: "v1.37.2 Settle 1m", claim: claim}.input())
		if got := told(step.Memory); got != "v1.37.2 Settle 1m0s" {
			t.Errorf("claimed by %s: it remembers %s", claim, got)
		}
	}
}

// What is only seen while nothing may be done is remembered; an end that must
// wait is not.
func TestStandingRemembersWhatIsSeen(t *testing.T) {
	seen := upgrade.Next(situation{claim: "uid-of-other theirs 1s"}.input())
	if got, want := told(seen.Memory), "v1.37.2 Settle 0s"; got != want {
		t.Errorf("seen healthy in another's hands, it remembers %q, want %q", got, want)
	}
	done := situation{from: "v1.36.3", memory: "v1.37.2 Nodes 2m 1m\n end Settle 1m", controlPlane: "v1.37.2", nodes: "v1.37.2", held: true}
	if got, want := told(upgrade.Next(done.input()).Memory), "v1.37.2 Nodes 2m0s 1m0s\nend Settle 1m0s"; got != want {
		t.Errorf("with its end held, it remembers %q, want %q", got, want)
	}
}

// TestAnotherHubTakesOver: from the moment another hub has the member, nothing
// is done to it, also where that is seen late; when it is free again, the
// upgrade goes on to its end.
func TestAnotherHubTakesOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun(t)
		for range rapid.IntRange(0, 60).Draw(t, "turns before") {
			step := r.turn(r.stormy())
			if step.Outcome != upgrade.Going {
				return
			}
			r.help(step.Why)
			r.world.Tick()
		}
		r.world.TakenBy("uid-of-other")
		before := r.world.Counts()
		late := r.stormy()
		for i := range rapid.IntRange(1, 10).Draw(t, "turns of the other") {
			step := r.turn(late)
			late = calm()
			if i > 0 && len(step.Actions) > 0 {
				r.fail("with the member in another's hands: %v", step.Actions)
			}
			if step.Outcome != upgrade.Going {
				return // nothing was left to do
			}
			r.world.Tick()
		}
		if after := r.world.Counts(); after != before {
			r.fail("with the member in another's hands, %+v became %+v", before, after)
		}
		r.world.TakenBy("")
		if end := r.until(2*r.patience(), calm); end.Outcome != upgrade.Done {
			r.fail("ended %s: %+v", end.Outcome, end.Why)
		}
		r.arrived()
	})
}
