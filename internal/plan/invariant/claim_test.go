package invariant_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/hold"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/upgrade"
)

// claimedBy is a cluster about to change, that a hub has claimed so long ago.
func claimedBy(hub, upgradeUID string, ago time.Duration) upgrade.Input {
	return changed(before(), func(in *upgrade.Input) {
		in.Cluster.Claim.Holder, in.Cluster.Claim.Renewed = fleet.Holder{Hub: hub, Upgrade: upgradeUID}, now.Add(-ago)
	})
}

// agreed is an input with a person's yes to a take-over, given so long ago.
func agreed(in upgrade.Input, from string, ago time.Duration) upgrade.Input {
	in.TakeOvers = []fleet.TakeOver{{From: from, At: now.Add(-ago)}}
	return in
}

func TestRights(t *testing.T) {
	free := changed(before(), func(in *upgrade.Input) { in.Cluster.Claim = fleet.Claim{Seen: true} })
	unseen := changed(before(), func(in *upgrade.Input) { in.Cluster.Claim.Seen = false })
	watching := changed(before(), func(in *upgrade.Input) { in.Held = fleet.Reason{Code: fleet.RestoredHub} })
	nameless := changed(claimedBy("", us, 0), func(in *upgrade.Input) { in.Hub = "" })
	change := []plan.Action{toMinor("v1.37.2")}
	refused := func(hub, upgrade string) []string {
		return []string{"upgrade control plane v1.36.3 → v1.37.2: the member is not claimed for this upgrade, but by hub \"" + hub + "\", upgrade \"" + upgrade + "\""}
	}
	judged{
		{name: "a change of what is claimed", in: before(), actions: change},
		{name: "of what nobody has claimed", in: free, actions: change, want: refused("", "")},
		{name: "of what was not seen", in: unseen, actions: change, want: refused(hubUID, us)},
		{name: "of another hub's", in: claimedBy("other", us, 0), actions: change, want: refused("other", us)},
		{name: "of another hub's that is dead", in: claimedBy("other", us, time.Hour), actions: change, want: refused("other", us)},
		{name: "of another upgrade's", in: claimedBy(hubUID, "up-0", 0), actions: change, want: refused(hubUID, "up-0")},
		{name: "by a hub that does not know who it is", in: nameless, actions: change, want: refused("", us)},
		{name: "nothing, while the hub only watches", in: watching},
		{
			name: "a change, while the hub only watches", in: watching, actions: change,
			want: []string{`a hub that only watches would act: 1 actions, outcome ""`},
		},
		{
			name: "an end, while the hub only watches", in: unwanted(watching), outcome: upgrade.Superseded,
			want: []string{`a hub that only watches would act: 0 actions, outcome "Superseded"`},
		},
	}.run(t)
}

// take is a claim that follows on what the input shows.
func take(in upgrade.Input) []plan.Action {
	return []plan.Action{plan.Claim{
		Holder: fleet.Holder{Hub: hubUID, Upgrade: us}, UID: in.Cluster.Claim.UID, ResourceVersion: in.Cluster.Claim.ResourceVersion,
	}}
}

func TestClaims(t *testing.T) {
	free := changed(before(), func(in *upgrade.Input) { in.Cluster.Claim = fleet.Claim{Seen: true} })
	unseen := changed(before(), func(in *upgrade.Input) { in.Cluster.Claim = fleet.Claim{} })
	live, dead := claimedBy("other", "theirs", 299*time.Second), claimedBy("other", "theirs", 300*time.Second)
	namesNoHub, namesNoUpgrade := claimedBy("", "theirs", time.Hour), claimedBy("other", "", time.Hour)
	nobodySaid := "the member would be taken from hub other, and nobody has said so"
	forOther := take(free)[0].(plan.Claim)
	forOther.Hub = "other"
	forAnother := take(free)[0].(plan.Claim)
	forAnother.Upgrade = "up-0"
	nameless := changed(free, func(in *upgrade.Input) { in.Hub = "" })
	forNobody := take(free)[0].(plan.Claim)
	forNobody.Hub = ""
	madeAnew, changedSince := take(before())[0].(plan.Claim), take(before())[0].(plan.Claim)
	madeAnew.UID, changedSince.ResourceVersion = "uid-of-another", "8"
	release := plan.Release{Holder: fleet.Holder{Hub: hubUID, Upgrade: us}, UID: "uid-of-claim", ResourceVersion: "7"}
	judged{
		{name: "of nobody's", in: free, actions: take(free)},
		{name: "of our own", in: before(), actions: take(before())},
		{name: "of our own hub's", in: claimedBy(hubUID, "up-0", 0), actions: take(before())},
		{
			name: "of what was not seen", in: unseen, actions: take(unseen),
			want: []string{"the member would be claimed over another claim than was observed"},
		},
		{
			name: "over another than was seen", in: free, actions: take(before()),
			want: []string{"the member would be claimed over another claim than was observed"},
		},
		{
			name: "over one that was made anew", in: before(), actions: []plan.Action{madeAnew},
			want: []string{"the member would be claimed over another claim than was observed"},
		},
		{
			name: "over one that was changed since", in: before(), actions: []plan.Action{changedSince},
			want: []string{"the member would be claimed over another claim than was observed"},
		},
		{
			name: "for somebody else", in: free, actions: []plan.Action{forOther},
			want: []string{`the member would be claimed for hub "other", upgrade "uid-of-eu-1.1"`},
		},
		{
			name: "for another upgrade", in: free, actions: []plan.Action{forAnother},
			want: []string{`the member would be claimed for hub "uid-of-hub", upgrade "up-0"`},
		},
		{
			name: "by a hub that does not know who it is", in: nameless, actions: []plan.Action{forNobody},
			want: []string{`the member would be claimed for hub "", upgrade "uid-of-eu-1.1"`},
		},
		{
			name: "of another hub that is at work", in: agreed(live, "other", time.Second), actions: take(live),
			want: []string{"the member would be taken from hub other, which is at work in it"},
		},
		{
			name: "of a dead one that names no hub", in: namesNoHub, actions: take(namesNoHub),
			want: []string{"the member would be taken from hub , and nobody has said so"},
		},
		{name: "of a dead one that names no upgrade", in: namesNoUpgrade, actions: take(namesNoUpgrade), want: []string{nobodySaid}},
		{name: "of a dead one", in: dead, actions: take(dead), want: []string{nobodySaid}},
		{name: "of a dead one, and a person said so", in: agreed(dead, "other", time.Second), actions: take(dead)},
		{name: "of a dead one, said so before it was last heard of", in: agreed(dead, "other", 300*time.Second), actions: take(dead), want: []string{nobodySaid}},
		{name: "of a dead one, said so of a third", in: agreed(dead, "third", time.Second), actions: take(dead), want: []string{nobodySaid}},
		{
			name: "together with a change", in: before(), actions: append(take(before()), toMinor("v1.37.2")),
			want: []string{"control plane would change together with 1 other actions", "the claim would change together with 1 other actions"},
		},
		{name: "a release of ours", in: before(), actions: []plan.Action{release}},
		{
			name: "a release of another's", in: claimedBy("other", us, 0), actions: []plan.Action{release},
			want: []string{`the claim of hub "other" would be released, which is not this upgrade's`},
		},
		{
			name: "a release of another upgrade's", in: claimedBy(hubUID, "up-0", 0), actions: []plan.Action{release},
			want: []string{`the claim of hub "uid-of-hub" would be released, which is not this upgrade's`},
		},
		{
			name: "a release of one that was made anew", in: before(),
			actions: []plan.Action{plan.Release{Holder: release.Holder, UID: "uid-of-another", ResourceVersion: "7"}},
			want:    []string{`the claim of hub "uid-of-hub" would be released, which is not this upgrade's`},
		},
		{
			name: "a release of one that was changed since", in: before(),
			actions: []plan.Action{plan.Release{Holder: release.Holder, UID: "uid-of-claim", ResourceVersion: "8"}},
			want:    []string{`the claim of hub "uid-of-hub" would be released, which is not this upgrade's`},
		},
		{
			name: "a release of another hub's, in its name", in: claimedBy("other", us, 0),
			actions: []plan.Action{plan.Release{Holder: fleet.Holder{Hub: "other", Upgrade: us}, UID: "uid-of-claim", ResourceVersion: "7"}},
			want:    []string{`the claim of hub "other" would be released, which is not this upgrade's`},
		},
		{
			name: "a release of another upgrade's, in its name", in: claimedBy(hubUID, "up-0", 0),
			actions: []plan.Action{plan.Release{Holder: fleet.Holder{Hub: hubUID, Upgrade: "up-0"}, UID: "uid-of-claim", ResourceVersion: "7"}},
			want:    []string{`the claim of hub "uid-of-hub" would be released, which is not this upgrade's`},
		},
		{
			name: "a release in the name of another", in: before(),
			actions: []plan.Action{plan.Release{Holder: fleet.Holder{Hub: hubUID, Upgrade: "up-0"}, UID: "uid-of-claim", ResourceVersion: "7"}},
			want:    []string{`the claim of hub "uid-of-hub" would be released, which is not this upgrade's`},
		},
	}.run(t)
}

func TestHeld(t *testing.T) {
	starts := []rollout.Start{{Member: "eu-1"}}
	for _, test := range []struct {
		name   string
		in     hold.Input
		starts []rollout.Start
		want   []string
	}{
		{"its own life", hold.Input{Hub: "a", Lives: []string{"a"}}, starts, nil},
		{"none yet", hold.Input{Hub: "a"}, starts, nil},
		{"another's", hold.Input{Hub: "a", Lives: []string{"a", "b"}}, starts, []string{"1 members would start on what hub b held"}},
		{"another's, and nothing starts", hold.Input{Hub: "a", Lives: []string{"b"}}, nil, nil},
		{"another's, taken over", hold.Input{Hub: "a", Lives: []string{"b"}, TakeOvers: []fleet.TakeOver{{From: "b"}}}, starts, nil},
	} {
		if diff := cmp.Diff(test.want, invariant.Held(test.in, test.starts)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}
