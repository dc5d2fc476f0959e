package invariant_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/rollout"
)

// hub is a fleet of four members, of which eu-1 is in flight. Two may be.
func hub() rollout.Input {
	in := rollout.Input{
		Now: now,
		Fleets: []rollout.Fleet{{
			Name: "main", UID: "uid-of-main", Revision: 3,
			Release: rollout.Release{Name: "2026.11", Hash: "c0ffee", Target: version("v1.37.2")},
			Waves:   []rollout.Wave{{Name: "all", MaxConcurrent: 2, Members: []string{"eu-1", "eu-2", "eu-3", "eu-4"}}},
		}},
		Upgrades: []rollout.Upgrade{
			{Member: "eu-1", N: 1, FleetUID: "uid-of-main", Revision: 3},
			{Member: "eu-2", N: 6, FleetUID: "uid-of-main", Revision: 2, Outcome: rollout.Failed, EndedAt: now},
			{Member: "eu-2", N: 4, FleetUID: "uid-of-main", Revision: 1, Outcome: rollout.Done, EndedAt: now},
		},
	}
	for _, name := range in.Fleets[0].Waves[0].Members {
		in.Members = append(in.Members, rollout.Member{Name: name, ObservedAt: now.Add(-time.Minute), Ready: true, Oldest: version("v1.36.3")})
	}
	return in
}

func start(member string, n int) rollout.Start {
	return rollout.Start{
		Member: member, N: n, Fleet: "main", FleetUID: "uid-of-main", Revision: 3, Wave: "all",
		Release: rollout.Release{Name: "2026.11", Hash: "c0ffee", Target: version("v1.37.2")},
	}
}

func TestStarts(t *testing.T) {
	changed := func(how func(*rollout.Input)) rollout.Input {
		in := hub()
		how(&in)
		return in
	}
	spoilt := func(s rollout.Start, how func(*rollout.Start)) []rollout.Start {
		how(&s)
		return []rollout.Start{s}
	}
	good := []rollout.Start{start("eu-2", 7)}
	other := rollout.Fleet{
		Name: "lab", UID: "uid-of-lab", Revision: 1, Release: rollout.Release{Name: "2026.11", Target: version("v1.37.2")},
		Waves: []rollout.Wave{{Name: "all", MaxConcurrent: 1, Members: []string{"eu-2"}}},
	}
	for _, test := range []struct {
		name   string
		in     rollout.Input
		starts []rollout.Start
		want   []string
	}{
		{name: "nothing", in: hub()},
		{name: "one beside the one in flight", in: hub(), starts: good},
		{
			name: "one too many", in: hub(), starts: []rollout.Start{start("eu-2", 7), start("eu-3", 1)},
			want: []string{"wave all of fleet main would have 3 in flight; 2 are allowed"},
		},
		{
			name: "what was too many before is not blamed on who starts elsewhere", starts: good,
			in: changed(func(in *rollout.Input) {
				in.Fleets = append(in.Fleets, other)
				in.Fleets[0].Waves = []rollout.Wave{
					{Name: "canary", Members: []string{"eu-1"}}, {Name: "all", MaxConcurrent: 1, Members: []string{"eu-2"}},
				}
				in.Fleets[1].Waves = nil
			}),
		},
		{
			name: "a member twice", in: hub(), starts: []rollout.Start{start("eu-2", 7), start("eu-2", 7)},
			want: []string{"member eu-2 would be in flight twice"},
		},
		{
			name: "a member in flight", in: hub(), starts: []rollout.Start{start("eu-1", 2)},
			want: []string{"member eu-1 would be in flight twice"},
		},
		{
			name: "a number that was used", in: hub(), starts: []rollout.Start{start("eu-2", 6)},
			want: []string{"upgrade eu-2.6 does not follow 6"},
		},
		{
			name: "a number left out", in: hub(), starts: []rollout.Start{start("eu-3", 2)},
			want: []string{"upgrade eu-3.2 does not follow 0"},
		},
		{
			name: "a member of two fleets", in: changed(func(in *rollout.Input) { in.Fleets = append(in.Fleets, other) }), starts: good,
			want: []string{"member eu-2 would start for main/all; it is selected by [main/all lab/all]"},
		},
		{
			name: "in another's wave", in: hub(), starts: spoilt(start("eu-2", 7), func(s *rollout.Start) { s.Wave = "prod" }),
			want: []string{"member eu-2 would start for main/prod; it is selected by [main/all]"},
		},
		{
			name: "a member of none", in: changed(func(in *rollout.Input) { in.Fleets[0].Waves[0].Members = []string{"eu-1"} }), starts: good,
			want: []string{"member eu-2 would start for main/all; it is selected by []"},
		},
		{
			name: "a member that does not exist", in: changed(func(in *rollout.Input) { in.Members = in.Members[2:] }), starts: good,
			want: []string{"member eu-2 would start, which does not exist"},
		},
		{
			name: "sick", in: changed(func(in *rollout.Input) { in.Members[1].Ready = false }), starts: good,
			want: []string{"member eu-2 would start unhealthy"},
		},
		{
			name: "not seen for too long", in: changed(func(in *rollout.Input) { in.Members[1].ObservedAt = now.Add(-25*time.Minute - 1) }), starts: good,
			want: []string{"member eu-2 would start unobserved"},
		},
		{
			name: "of unknown version", in: changed(func(in *rollout.Input) { in.Members[1].Oldest = fleet.Version{} }), starts: good,
			want: []string{"member eu-2 would start unobserved"},
		},
		{
			name: "there already", in: changed(func(in *rollout.Input) { in.Members[1].Oldest = version("v1.37.2") }), starts: good,
			want: []string{"member eu-2 would start at v1.37.2, with v1.37.2 wanted"},
		},
		{
			name: "there already, by its provider's choice of the patch", starts: good,
			in:   changed(func(in *rollout.Input) { in.Members[1].Oldest, in.Members[1].PicksPatch = version("v1.37.0"), true }),
			want: []string{"member eu-2 would start at v1.37.0, with v1.37.2 wanted"},
		},
		{
			name: "for a fleet that is gone", in: hub(), starts: spoilt(start("eu-2", 7), func(s *rollout.Start) { s.FleetUID = "uid-of-another" }),
			want: []string{"member eu-2 would start for fleet main, which does not exist"},
		},
		{
			name: "for another revision", in: hub(), starts: spoilt(start("eu-2", 7), func(s *rollout.Start) { s.Revision = 2 }),
			want: []string{`member eu-2 would start for revision 2 at release "2026.11"; fleet main wants revision 3 at "2026.11"`},
		},
		{
			name: "for another release", in: hub(), starts: spoilt(start("eu-2", 7), func(s *rollout.Start) { s.Release.Hash = "beef" }),
			want: []string{`member eu-2 would start for revision 3 at release "2026.11"; fleet main wants revision 3 at "2026.11"`},
		},
		{
			name: "for no release", in: changed(func(in *rollout.Input) { in.Fleets[0].Release = rollout.Release{} }),
			starts: spoilt(start("eu-2", 7), func(s *rollout.Start) { s.Release = rollout.Release{} }),
			want: []string{
				"member eu-2 would start at v1.36.3, with unknown wanted",
				`member eu-2 would start for revision 3 at release ""; fleet main wants revision 3 at ""`,
			},
		},
		{
			name: "after a failure in this revision", in: changed(func(in *rollout.Input) { in.Upgrades[1].Revision = 3 }), starts: []rollout.Start{start("eu-3", 1)},
			want: []string{"member eu-3 would start after eu-2.6 failed in the same revision"},
		},
		{
			name: "of a member that has been upgraded since", starts: []rollout.Start{start("eu-3", 1)},
			in:   changed(func(in *rollout.Input) { in.Upgrades[2].Revision, in.Upgrades[2].Outcome = 3, rollout.Failed }),
			want: []string{"member eu-3 would start after eu-2.4 failed in the same revision"},
		},
		{
			name: "which is over when the member has left the fleet", starts: []rollout.Start{start("eu-3", 1)},
			in: changed(func(in *rollout.Input) { in.Upgrades[1].Revision, in.Fleets[0].Waves[0].Members = 3, []string{"eu-3"} }),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := invariant.Starts(test.in, rollout.Decision{Start: test.starts})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStartsFrozen: nothing starts that a freeze covers.
func TestStartsFrozen(t *testing.T) {
	broken := []string{"member eu-2 would start against freeze no"}
	for _, test := range []struct {
		name   string
		freeze rollout.Freeze
		want   []string
	}{
		{"everything", rollout.Freeze{}, broken},
		{"the fleet", rollout.Freeze{Fleet: "main"}, broken},
		{"the member", rollout.Freeze{Member: "eu-2"}, broken},
		{"the member in the fleet", rollout.Freeze{Fleet: "main", Member: "eu-2"}, broken},
		{"the member, that is left out", rollout.Freeze{Member: "eu-2", Stops: rollout.Skip}, broken},
		{"from now on", rollout.Freeze{From: now}, broken},
		{"until in a moment", rollout.Freeze{From: now.Add(-time.Hour), Until: now.Add(1)}, broken},
		{"another fleet", rollout.Freeze{Fleet: "lab"}, nil},
		{"another member", rollout.Freeze{Fleet: "main", Member: "eu-3"}, nil},
		{"the member in another fleet", rollout.Freeze{Fleet: "lab", Member: "eu-2"}, nil},
		{"from a moment on", rollout.Freeze{From: now.Add(1)}, nil},
		{"until now", rollout.Freeze{Until: now}, nil},
	} {
		in := hub()
		test.freeze.Name = "no"
		in.Freezes = []rollout.Freeze{test.freeze}
		got := invariant.Starts(in, rollout.Decision{Start: []rollout.Start{start("eu-2", 7)}})
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s is frozen: violations (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestStartsAgreed: after the failure of eu-2 an hour ago nothing starts, but
// for what a person has agreed to since.
func TestStartsAgreed(t *testing.T) {
	resume := rollout.Approval{Fleet: "main", Revision: 3, Subject: rollout.Resume, At: now.Add(-time.Minute)}
	retry := rollout.Approval{Fleet: "main", Revision: 3, Subject: rollout.Retry, Member: "eu-2", At: now.Add(-time.Minute)}
	with := func(a rollout.Approval, change func(*rollout.Approval)) []rollout.Approval {
		change(&a)
		return []rollout.Approval{a}
	}
	agreed := func(approvals ...rollout.Approval) []rollout.Approval { return approvals }
	another, again := start("eu-3", 1), start("eu-2", 7)
	const broken, brokenAgain = "member eu-3 would start after eu-2.6 failed in the same revision", "member eu-2 would start after eu-2.6 failed in the same revision"
	for _, test := range []struct {
		name      string
		start     rollout.Start
		approvals []rollout.Approval
		want      string
	}{
		{"another, unasked", another, nil, broken},
		{"the same, unasked", again, nil, brokenAgain},
		{"another, resumed", another, agreed(resume), ""},
		{"the same, resumed only", again, agreed(resume), brokenAgain},
		{"the same, retried", again, agreed(retry), ""},
		{"another, though only the one is retried", another, agreed(retry), broken},
		{"another, retried though it has not failed", another, with(retry, func(a *rollout.Approval) { a.Member = "eu-3" }), broken},
		{"the same, another retried", again, with(retry, func(a *rollout.Approval) { a.Member = "eu-3" }), brokenAgain},
		{"the same, resumed by its name", again, with(resume, func(a *rollout.Approval) { a.Member = "eu-2" }), brokenAgain},
		{"resumed in another fleet", another, with(resume, func(a *rollout.Approval) { a.Fleet = "lab" }), broken},
		{"retried in another fleet", again, with(retry, func(a *rollout.Approval) { a.Fleet = "lab" }), brokenAgain},
		{"resumed in another revision", another, with(resume, func(a *rollout.Approval) { a.Revision = 2 }), broken},
		{"retried in another revision", again, with(retry, func(a *rollout.Approval) { a.Revision = 4 }), brokenAgain},
		{"resumed too early", another, with(resume, func(a *rollout.Approval) { a.At = now.Add(-time.Hour) }), broken},
		{"retried too early", again, with(retry, func(a *rollout.Approval) { a.At = now.Add(-time.Hour) }), brokenAgain},
		{"resumed right after it", another, with(resume, func(a *rollout.Approval) { a.At = now.Add(1 - time.Hour) }), ""},
		{"resumed in a moment", another, with(resume, func(a *rollout.Approval) { a.At = now.Add(1) }), broken},
		{"resumed until now", another, with(resume, func(a *rollout.Approval) { a.Until = now }), broken},
		{"resumed until in a moment", another, with(resume, func(a *rollout.Approval) { a.Until = now.Add(1) }), ""},
		{"retried until now", again, with(retry, func(a *rollout.Approval) { a.Until = now }), brokenAgain},
	} {
		in := hub()
		in.Upgrades[1].Revision, in.Upgrades[1].EndedAt, in.Approvals = 3, now.Add(-time.Hour), test.approvals
		var want []string
		if test.want != "" {
			want = []string{test.want}
		}
		got := invariant.Starts(in, rollout.Decision{Start: []rollout.Start{test.start}})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: violations (-want +got):\n%s", test.name, diff)
		}
	}

	// A retry is of who failed in what the fleet rolls now, and of nobody else.
	for _, own := range []rollout.Upgrade{
		{FleetUID: "uid-of-main", Revision: 2, Outcome: rollout.Failed},
		{FleetUID: "uid-of-lab", Revision: 3, Outcome: rollout.Failed},
		{FleetUID: "uid-of-main", Revision: 3, Outcome: rollout.Superseded},
	} {
		in := hub()
		own.Member, own.N, own.EndedAt = "eu-2", 6, now.Add(-2*time.Hour)
		in.Upgrades[1], in.Approvals = own, agreed(retry)
		in.Upgrades = append(in.Upgrades, rollout.Upgrade{Member: "eu-4", N: 1, FleetUID: "uid-of-main", Revision: 3, Outcome: rollout.Failed, EndedAt: now.Add(-time.Hour)})
		want := []string{"member eu-2 would start after eu-4.1 failed in the same revision"}
		if diff := cmp.Diff(want, invariant.Starts(in, rollout.Decision{Start: []rollout.Start{again}})); diff != "" {
			t.Errorf("after %+v: violations (-want +got):\n%s", own, diff)
		}
	}

	// Who retried eu-2 before eu-4 failed knew nothing of that; who let the
	// fleet go on afterwards did.
	in := hub()
	in.Upgrades[1].Revision, in.Upgrades[1].EndedAt = 3, now.Add(-time.Hour)
	in.Upgrades = append(in.Upgrades, rollout.Upgrade{Member: "eu-4", N: 1, FleetUID: "uid-of-main", Revision: 3, Outcome: rollout.Failed, EndedAt: now.Add(-2 * time.Minute)})
	in.Approvals = with(retry, func(a *rollout.Approval) { a.At = now.Add(-3 * time.Minute) })
	want := []string{"member eu-2 would start after eu-4.1 failed in the same revision"}
	if diff := cmp.Diff(want, invariant.Starts(in, rollout.Decision{Start: []rollout.Start{again}})); diff != "" {
		t.Errorf("retried before another failed: violations (-want +got):\n%s", diff)
	}
	in.Approvals = append(in.Approvals, resume)
	if got := invariant.Starts(in, rollout.Decision{Start: []rollout.Start{again}}); got != nil {
		t.Errorf("retried before another failed, and resumed since: violations %q", got)
	}
}
