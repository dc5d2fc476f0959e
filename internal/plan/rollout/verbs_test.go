package rollout_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
)

// TestFreezes: what a person says no to does not start, from then on and until
// then, and is told who said so.
func TestFreezes(t *testing.T) {
	const two = "eu-1=v1.36.3 eu-2=v1.36.3"
	const both = `start eu-1.1 for main/all revision 3 at 2026.11
		start eu-2.1 for main/all revision 3 at 2026.11`
	ago, later := now.Add(-time.Hour), now.Add(time.Hour)
	for _, test := range []struct {
		name    string
		freezes []rollout.Freeze
		want    string
		recheck time.Time
	}{
		{
			name:    "of the fleet",
			freezes: []rollout.Freeze{{Name: "xmas", Fleet: "main", Stops: rollout.Starts, By: "ann", Reason: "holidays"}},
			want: `eu-1 Frozen: frozen by ann: holidays
				eu-2 Frozen: frozen by ann: holidays`,
		},
		{
			name:    "of everything, by somebody whom nobody noted, until a time",
			freezes: []rollout.Freeze{{Name: "xmas", Stops: rollout.Starts, Until: later, Reason: "holidays"}},
			want: `eu-1 Frozen: frozen by somebody until 2026-11-03 23:00:00 UTC: holidays
				eu-2 Frozen: frozen by somebody until 2026-11-03 23:00:00 UTC: holidays`,
			recheck: later,
		},
		{
			name:    "of one member",
			freezes: []rollout.Freeze{{Name: "audit", Member: "eu-1", Stops: rollout.Starts, By: "ann", Reason: "audit"}},
			want: `start eu-2.1 for main/all revision 3 at 2026.11
				eu-1 Frozen: frozen by ann: audit`,
		},
		{
			name:    "of another fleet's member of the name",
			freezes: []rollout.Freeze{{Name: "audit", Fleet: "lab", Member: "eu-1", Stops: rollout.Starts, Reason: "audit"}},
			want:    both,
		},
		{
			name:    "that begins later",
			freezes: []rollout.Freeze{{Name: "xmas", Fleet: "main", Stops: rollout.Starts, From: later, Reason: "holidays"}},
			want:    both, recheck: later,
		},
		{
			name:    "that begins now",
			freezes: []rollout.Freeze{{Name: "xmas", Member: "eu-1", Stops: rollout.Starts, From: now, By: "ann", Reason: "holidays"}},
			want: `start eu-2.1 for main/all revision 3 at 2026.11
				eu-1 Frozen: frozen by ann: holidays`,
		},
		{
			name:    "that ends now",
			freezes: []rollout.Freeze{{Name: "xmas", Fleet: "main", Stops: rollout.Starts, From: ago, Until: now, Reason: "holidays"}},
			want:    both,
		},
		{
			name: "several: the first by name is told, and the next change of any is waited for",
			freezes: []rollout.Freeze{
				{Name: "b", Fleet: "main", Stops: rollout.Starts, Until: later, By: "bob", Reason: "b"},
				{Name: "a", Fleet: "main", Stops: rollout.Starts, Until: later.Add(time.Hour), By: "ann", Reason: "a"},
			},
			want: `eu-1 Frozen: frozen by ann until 2026-11-04 00:00:00 UTC: a
				eu-2 Frozen: frozen by ann until 2026-11-04 00:00:00 UTC: a`,
			recheck: later,
		},
		{
			name: "several, of which the second ends first",
			freezes: []rollout.Freeze{
				{Name: "a", Fleet: "main", Stops: rollout.Starts, Until: later.Add(time.Hour), By: "ann", Reason: "a"},
				{Name: "b", Fleet: "main", Stops: rollout.Starts, Until: later, By: "bob", Reason: "b"},
			},
			want: `eu-1 Frozen: frozen by ann until 2026-11-04 00:00:00 UTC: a
				eu-2 Frozen: frozen by ann until 2026-11-04 00:00:00 UTC: a`,
			recheck: later,
		},
		{
			name:    "that leaves one out",
			freezes: []rollout.Freeze{{Name: "eu-1", Member: "eu-1", Stops: rollout.Skip, By: "ann", Reason: "is to be scrapped"}},
			want: `start eu-2.1 for main/all revision 3 at 2026.11
				eu-1 Skipped: left out by ann: is to be scrapped`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := rollout.Input{Now: now, Members: members(two), Fleets: []rollout.Fleet{main(5, "eu-1", "eu-2")}, Freezes: test.freezes}
			d := rollout.Decide(in)
			if diff := cmp.Diff(text(test.want), told(d)); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
			if !test.recheck.IsZero() && (d.Recheck.IsZero() || d.Recheck.After(test.recheck)) {
				t.Errorf("recheck at %s, want %s at the latest", d.Recheck, test.recheck)
			}
		})
	}
}

// TestFrozenInFlight: a freeze of starts says nothing of what has begun, and who
// is left out counts for nothing but its slot.
func TestFrozenInFlight(t *testing.T) {
	for _, test := range []struct {
		name     string
		stops    rollout.Stops
		upgrades []rollout.Upgrade
		want     rollout.WaveState
	}{
		{"frozen", rollout.Starts, nil, rollout.WaveState{Waiting: []string{"eu-1"}}},
		{"frozen in flight", rollout.Starts, []rollout.Upgrade{upgrade("eu-1", 1, rollout.Running, 0)}, rollout.WaveState{Running: []string{"eu-1"}}},
		{"left out", rollout.Skip, nil, rollout.WaveState{Skipped: []string{"eu-1"}}},
		{"left out in flight", rollout.Skip, []rollout.Upgrade{upgrade("eu-1", 1, rollout.Running, 0)}, rollout.WaveState{Running: []string{"eu-1"}}},
		{"left out after it failed", rollout.Skip, []rollout.Upgrade{upgrade("eu-1", 1, rollout.Failed, time.Hour)}, rollout.WaveState{Skipped: []string{"eu-1"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := rollout.Decide(rollout.Input{
				Now: now, Members: members("eu-1=v1.36.3"), Fleets: []rollout.Fleet{main(1, "eu-1")}, Upgrades: test.upgrades,
				Freezes: []rollout.Freeze{{Name: "no", Member: "eu-1", Stops: test.stops, Reason: "no"}},
			})
			test.want.Name = "all"
			if diff := cmp.Diff(test.want, d.Fleets[0].Waves[0], remembered); diff != "" || len(d.Start) > 0 {
				t.Errorf("starts %v, wave (-want +got):\n%s", d.Start, diff)
			}
		})
	}
}

// TestApprovals: after a failure a fleet goes on, and a member starts again, when
// a person has said so since.
func TestApprovals(t *testing.T) {
	failed := []rollout.Upgrade{upgrade("eu-1", 1, rollout.Failed, time.Hour)}
	resume := rollout.Approval{Name: "go-on", Fleet: "main", Revision: 3, Subject: rollout.Resume, At: now.Add(-time.Minute)}
	retry := rollout.Approval{Name: "again", Fleet: "main", Revision: 3, Subject: rollout.Retry, Member: "eu-1", At: now.Add(-time.Minute)}
	with := func(a rollout.Approval, change func(*rollout.Approval)) rollout.Approval {
		change(&a)
		return a
	}
	const halted = `eu-1 EndedFailed: its upgrade failed in this revision
		eu-2 Halted: 1 failed (eu-1), 0 tolerated
		fleet main Halted: 1 failed (eu-1), 0 tolerated`
	for _, test := range []struct {
		name      string
		upgrades  []rollout.Upgrade
		approvals []rollout.Approval
		want      string
	}{
		{name: "none", upgrades: failed, want: halted},
		{
			name: "resumed: the others start, the one that failed does not", upgrades: failed, approvals: []rollout.Approval{resume},
			want: `start eu-2.1 for main/all revision 3 at 2026.11
				eu-1 EndedFailed: its upgrade failed in this revision`,
		},
		{
			name: "retried: the one starts again, the others wait", upgrades: failed, approvals: []rollout.Approval{retry},
			want: `start eu-1.2 for main/all revision 3 at 2026.11
				eu-2 Halted: 1 failed (eu-1), 0 tolerated
				fleet main Halted: 1 failed (eu-1), 0 tolerated`,
		},
		{
			name: "both", upgrades: failed, approvals: []rollout.Approval{resume, retry},
			want: `start eu-1.2 for main/all revision 3 at 2026.11
				start eu-2.1 for main/all revision 3 at 2026.11`,
		},
		{
			name:     "a failure stays one, though the retry was done",
			upgrades: append(failed, upgrade("eu-1", 2, rollout.Done, 30*time.Second)), approvals: []rollout.Approval{retry},
			want: `eu-1 Halted: 1 failed (eu-1), 0 tolerated
				eu-2 Halted: 1 failed (eu-1), 0 tolerated
				fleet main Halted: 1 failed (eu-1), 0 tolerated`,
		},
		{
			name: "of a failure that came after", upgrades: []rollout.Upgrade{upgrade("eu-1", 1, rollout.Failed, 30*time.Second)},
			approvals: []rollout.Approval{resume, retry}, want: halted,
		},
		{
			name: "of a failure of the same second: nobody can have seen it", upgrades: []rollout.Upgrade{upgrade("eu-1", 1, rollout.Failed, time.Minute)},
			approvals: []rollout.Approval{resume, retry}, want: halted,
		},
		{
			name:      "of a member that failed, before another did: nobody agreed to start it after that",
			upgrades:  append(failed, upgrade("eu-2", 1, rollout.Failed, 30*time.Second)),
			approvals: []rollout.Approval{retry},
			want: `eu-1 Halted: 2 failed (eu-1, eu-2), 0 tolerated
				eu-2 EndedFailed: its upgrade failed in this revision
				fleet main Halted: 2 failed (eu-1, eu-2), 0 tolerated`,
		},
		{
			name:      "of a member that has not failed: it is held as the others are",
			upgrades:  append(failed, upgrade("eu-2", 1, rollout.Superseded, 2*time.Hour)),
			approvals: []rollout.Approval{with(retry, func(a *rollout.Approval) { a.Member = "eu-2" })},
			want:      halted,
		},
		{
			name:      "twice of the same member: it is one that failed",
			upgrades:  append(failed, upgrade("eu-1", 2, rollout.Failed, 30*time.Second)),
			approvals: []rollout.Approval{retry}, want: halted,
		},
		{
			name: "to go on, by the member's name: that does not start it again", upgrades: failed,
			approvals: []rollout.Approval{with(resume, func(a *rollout.Approval) { a.Member = "eu-1" })},
			want: `start eu-2.1 for main/all revision 3 at 2026.11
				eu-1 EndedFailed: its upgrade failed in this revision`,
		},
		{name: "of another revision", upgrades: failed, approvals: []rollout.Approval{
			with(resume, func(a *rollout.Approval) { a.Revision = 2 }), with(retry, func(a *rollout.Approval) { a.Revision = 4 }),
		}, want: halted},
		{name: "of another fleet", upgrades: failed, approvals: []rollout.Approval{
			with(resume, func(a *rollout.Approval) { a.Fleet = "lab" }), with(retry, func(a *rollout.Approval) { a.Fleet = "lab" }),
		}, want: halted},
		{name: "of another member", upgrades: failed, approvals: []rollout.Approval{with(retry, func(a *rollout.Approval) { a.Member = "eu-2" })}, want: halted},
		{name: "that has ended", upgrades: failed, approvals: []rollout.Approval{
			with(resume, func(a *rollout.Approval) { a.Until = now }), with(retry, func(a *rollout.Approval) { a.Until = now }),
		}, want: halted},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := rollout.Decide(rollout.Input{
				Now: now, Members: members("eu-1=v1.36.3 eu-2=v1.36.3"), Fleets: []rollout.Fleet{main(5, "eu-1", "eu-2")},
				Upgrades: test.upgrades, Approvals: test.approvals,
			})
			if diff := cmp.Diff(text(test.want), told(d)); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFreezeReasons: what a person reads has the way out.
func TestFreezeReasons(t *testing.T) {
	d := rollout.Decide(rollout.Input{
		Now: now, Members: members("eu-1=v1.36.3"), Fleets: []rollout.Fleet{main(1, "eu-1")},
		Freezes: []rollout.Freeze{{Name: "xmas", Fleet: "main", Stops: rollout.Starts, From: now.Add(-time.Hour), By: "ann", Reason: "holidays"}},
	})
	want := fleet.Reason{
		Code: fleet.Frozen, Object: "freeze xmas", Since: now.Add(-time.Hour),
		Message: "frozen by ann: holidays", Fix: "if it is not to be: kubectl delete freeze xmas",
	}
	if diff := cmp.Diff(want, d.Waiting["eu-1"]); diff != "" {
		t.Errorf("reason (-want +got):\n%s", diff)
	}
}

// TestFreezeOfAFleet: a fleet says that all of it is frozen, not that one of it
// is.
func TestFreezeOfAFleet(t *testing.T) {
	for _, test := range []struct {
		name   string
		freeze rollout.Freeze
		want   string
	}{
		{"of the fleet", rollout.Freeze{Name: "no", Fleet: "main", Stops: rollout.Starts, By: "ann", Reason: "holidays"}, "frozen by ann: holidays"},
		{"of everything", rollout.Freeze{Name: "no", Stops: rollout.Starts, By: "ann", Reason: "holidays"}, "frozen by ann: holidays"},
		{"of another", rollout.Freeze{Name: "no", Fleet: "lab", Stops: rollout.Starts, Reason: "holidays"}, ""},
		{"of a member", rollout.Freeze{Name: "no", Fleet: "main", Member: "eu-1", Stops: rollout.Starts, Reason: "holidays"}, ""},
		{"of a member that is left out", rollout.Freeze{Name: "no", Member: "eu-1", Stops: rollout.Skip, Reason: "holidays"}, ""},
		{"that has ended", rollout.Freeze{Name: "no", Fleet: "main", Stops: rollout.Starts, Until: now, Reason: "holidays"}, ""},
	} {
		d := rollout.Decide(rollout.Input{
			Now: now, Members: members("eu-1=v1.36.3"), Fleets: []rollout.Fleet{main(1, "eu-1")}, Freezes: []rollout.Freeze{test.freeze},
		})
		if got := d.Fleets[0].Freeze.Message; got != test.want {
			t.Errorf("%s: the fleet says %q, want %q", test.name, got, test.want)
		}
	}
}

// TestHaltEnds: a failure halts a fleet as long as there is something to halt.
func TestHaltEnds(t *testing.T) {
	failed := upgrade("eu-1", 1, rollout.Failed, time.Hour)
	skip := rollout.Freeze{Name: "eu-1", Member: "eu-1", Stops: rollout.Skip, By: "ann", Reason: "is to be scrapped"}
	for _, test := range []struct {
		name, members string
		in            rollout.Input
		want          string
	}{
		{
			"left out, and another waits", "eu-1=v1.36.3 eu-2=v1.36.3",
			rollout.Input{Upgrades: []rollout.Upgrade{failed}, Freezes: []rollout.Freeze{skip}},
			`eu-1 Skipped: left out by ann: is to be scrapped
				eu-2 Halted: 1 failed (eu-1), 0 tolerated
				fleet main Halted: 1 failed (eu-1), 0 tolerated`,
		},
		{
			"left out, and all others are there", "eu-1=v1.36.3 eu-2=v1.37.2",
			rollout.Input{Upgrades: []rollout.Upgrade{failed}, Freezes: []rollout.Freeze{skip}},
			`eu-1 Skipped: left out by ann: is to be scrapped
				eu-2 AtRelease: at v1.37.2 or ahead`,
		},
		{
			"retried, and all are there", "eu-1=v1.37.2 eu-2=v1.37.2",
			rollout.Input{Upgrades: []rollout.Upgrade{failed, upgrade("eu-1", 2, rollout.Done, time.Minute)}},
			`eu-1 AtRelease: at v1.37.2 or ahead
				eu-2 AtRelease: at v1.37.2 or ahead`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.in.Now, test.in.Members, test.in.Fleets = now, members(test.members), []rollout.Fleet{main(5, "eu-1", "eu-2")}
			if diff := cmp.Diff(text(test.want), told(rollout.Decide(test.in))); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHaltOfWaves: what one wave lacks halts the fleet, though the last one is
// settled; and a release that is gone is told whatever else is so.
func TestHaltOfWaves(t *testing.T) {
	failed := []rollout.Upgrade{upgrade("eu-2", 1, rollout.Failed, time.Hour), upgrade("eu-2", 2, rollout.Done, time.Minute)}
	waves := main(5)
	waves.Waves = []rollout.Wave{{Name: "a", MaxConcurrent: 1, Members: []string{"eu-1"}}, {Name: "b", MaxConcurrent: 1, Members: []string{"eu-2"}}}
	d := rollout.Decide(rollout.Input{Now: now, Members: members("eu-1=v1.36.3 eu-2=v1.37.2"), Fleets: []rollout.Fleet{waves}, Upgrades: failed})
	if got := d.Fleets[0].Halt.Code; got != fleet.Halted {
		t.Errorf("with a wave that waits: halt %q, want Halted", got)
	}

	aborted := upgrade("eu-1", 1, rollout.Aborted, time.Hour)
	for revision, list := range map[int64]func(rollout.WaveState) []string{
		3: func(w rollout.WaveState) []string { return w.Aborted },
		2: func(w rollout.WaveState) []string { return w.Waiting }, // that is over
	} {
		aborted.Revision = revision
		d = rollout.Decide(rollout.Input{
			Now: now, Members: members("eu-1=v1.36.3 eu-2=v1.37.2"), Fleets: []rollout.Fleet{waves}, Upgrades: append(slices.Clone(failed), aborted),
		})
		if got := d.Fleets[0].Halt.Code; got != fleet.Halted {
			t.Errorf("with one that was aborted in revision %d: halt %q, want Halted", revision, got)
		}
		if diff := cmp.Diff([]string{"eu-1"}, list(d.Fleets[0].Waves[0])); diff != "" {
			t.Errorf("aborted in revision %d (-want +got):\n%s", revision, diff)
		}
	}

	gone := main(5, "eu-2")
	gone.Release = rollout.Release{Name: "2026.11"}
	d = rollout.Decide(rollout.Input{
		Now: now, Members: members("eu-2=v1.37.2"), Fleets: []rollout.Fleet{gone},
		Freezes: []rollout.Freeze{{Name: "no", Member: "eu-2", Stops: rollout.Skip, Reason: "no"}},
	})
	if got := d.Fleets[0].Halt.Code; got != fleet.NoRelease {
		t.Errorf("with nobody left to start: halt %q, want NoRelease", got)
	}

	d = rollout.Decide(rollout.Input{
		Now: now, Members: members("eu-2=v1.36.3"), Fleets: []rollout.Fleet{gone}, Upgrades: failed[:1],
		Approvals: []rollout.Approval{{Name: "again", Fleet: "main", Revision: 3, Subject: rollout.Retry, Member: "eu-2", At: now}},
	})
	if got := d.Waiting["eu-2"].Code; got != fleet.NoRelease || len(d.Start) > 0 {
		t.Errorf("retried without a release: starts %v, waits for %q; want NoRelease", d.Start, got)
	}
}

// TestHaltNamesAFew: of many that failed, the first five by name are told.
func TestHaltNamesAFew(t *testing.T) {
	for _, test := range []struct {
		failed int
		want   string
	}{
		{5, "5 failed (eu-1, eu-2, eu-3, eu-4, eu-5), 0 tolerated"},
		{7, "7 failed (eu-1, eu-2, eu-3, eu-4, eu-5 and 2 more), 0 tolerated"},
	} {
		in := rollout.Input{Now: now, Members: members("eu-9=v1.36.3"), Fleets: []rollout.Fleet{main(5, "eu-9")}}
		for i := range test.failed {
			name := fmt.Sprintf("eu-%d", i+1)
			in.Fleets[0].Waves[0].Members = append(in.Fleets[0].Waves[0].Members, name)
			in.Members = append(in.Members, members(name+"=v1.36.3")...)
			in.Upgrades = append(in.Upgrades, upgrade(name, 1, rollout.Failed, time.Hour))
		}
		if got := rollout.Decide(in).Fleets[0].Halt.Message; got != test.want {
			t.Errorf("halt: %q, want %q", got, test.want)
		}
	}
}

// TestUpgradesInAnyOrder: the last upgrade of a member is that of the highest
// number, wherever in the list it is.
func TestUpgradesInAnyOrder(t *testing.T) {
	in := rollout.Input{Now: now, Members: members("eu-1=v1.36.3 eu-2=v1.36.3"), Fleets: []rollout.Fleet{main(5, "eu-1", "eu-2")}}
	in.Upgrades = []rollout.Upgrade{
		upgrade("eu-1", 3, rollout.Superseded, time.Hour), upgrade("eu-2", 1, rollout.Superseded, time.Hour),
		upgrade("eu-1", 2, rollout.Superseded, 3*time.Hour), upgrade("eu-1", 1, rollout.Superseded, 2*time.Hour),
	}
	want := text(`start eu-1.4 for main/all revision 3 at 2026.11
		start eu-2.2 for main/all revision 3 at 2026.11`)
	if diff := cmp.Diff(want, told(rollout.Decide(in))); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
}

// TestFreezeAndOverlap: a member that one fleet leaves out and another wants
// still hears that two select it, whichever comes first.
func TestFreezeAndOverlap(t *testing.T) {
	for _, test := range []struct{ other, skips, want string }{
		{"lab", "main", "eu-1 Overlap: selected by wave all of fleet lab and wave all of fleet main"},
		{"lab", "lab", "eu-1 Overlap: selected by wave all of fleet lab and wave all of fleet main"},
		{"prod", "main", "eu-1 Overlap: selected by wave all of fleet main and wave all of fleet prod"},
		{"prod", "prod", "eu-1 Overlap: selected by wave all of fleet main and wave all of fleet prod"},
		{"prod", "", "eu-1 Skipped: left out by ann: is to be scrapped"},
	} {
		other := main(1, "eu-1")
		other.Name, other.UID = test.other, "uid-of-"+test.other
		d := rollout.Decide(rollout.Input{
			Now: now, Members: members("eu-1=v1.36.3"), Fleets: []rollout.Fleet{main(1, "eu-1"), other},
			Freezes: []rollout.Freeze{{Name: "eu-1", Fleet: test.skips, Member: "eu-1", Stops: rollout.Skip, By: "ann", Reason: "is to be scrapped"}},
		})
		if diff := cmp.Diff(text(test.want), told(d)); diff != "" {
			t.Errorf("with %s, left out of %q (-want +got):\n%s", test.other, test.skips, diff)
		}
	}

	// Of two that say the same, the first is told.
	lab := main(1, "eu-1")
	lab.Name, lab.UID = "lab", "uid-of-lab"
	d := rollout.Decide(rollout.Input{
		Now: now, Members: members("eu-1=v1.36.3"), Fleets: []rollout.Fleet{main(1, "eu-1"), lab},
		Freezes: []rollout.Freeze{
			{Name: "a", Fleet: "main", Member: "eu-1", Stops: rollout.Skip, By: "ann", Reason: "a"},
			{Name: "b", Fleet: "lab", Member: "eu-1", Stops: rollout.Skip, By: "bob", Reason: "b"},
		},
	})
	if got, want := d.Waiting["eu-1"].Message, "left out by bob: b"; got != want {
		t.Errorf("left out of both: %q, want %q", got, want)
	}
}
