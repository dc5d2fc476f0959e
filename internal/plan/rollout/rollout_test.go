package rollout_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
)

var now = time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC)

func version(text string) fleet.Version {
	v, ok := fleet.ParseVersion(text)
	if !ok {
		panic("no version: " + text)
	}
	return v
}

// members reads one member a word: "eu-1=v1.36.3" was seen a minute ago and is
// healthy; "!" after it says it is not, "?" that it was last seen 26 minutes
// ago, and a version that is missing that it is not known.
func members(text string) []rollout.Member {
	var list []rollout.Member
	for word := range strings.FieldsSeq(text) {
		name, rest, _ := strings.Cut(word, "=")
		m := rollout.Member{Name: name, ObservedAt: now.Add(-time.Minute), Ready: true}
		if strings.HasSuffix(rest, "!") {
			m.Ready, m.Message = false, "2 of 3 nodes are not Ready"
		}
		if strings.HasSuffix(rest, "?") {
			m.ObservedAt, m.Message = now.Add(-26*time.Minute), "connection refused"
		}
		if rest = strings.TrimRight(rest, "!?"); rest != "" {
			m.Oldest = version(rest)
		}
		list = append(list, m)
	}
	return list
}

// main is a fleet at revision 3 that wants v1.37.2 of its members.
func main(concurrent int, names ...string) rollout.Fleet {
	return rollout.Fleet{
		Name: "main", UID: "uid-of-main", Revision: 3,
		Release: rollout.Release{Name: "2026.11", Hash: "c0ffee", Target: version("v1.37.2")},
		Waves:   []rollout.Wave{{Name: "all", MaxConcurrent: concurrent, Members: names, OpenedAt: now.Add(-time.Hour)}},
	}
}

// upgrade is one of the fleet main's present revision.
func upgrade(member string, n int, outcome rollout.Outcome, ago time.Duration) rollout.Upgrade {
	u := rollout.Upgrade{Member: member, N: n, FleetUID: "uid-of-main", Revision: 3, Outcome: outcome}
	if outcome != rollout.Running {
		u.EndedAt = now.Add(-ago)
	}
	return u
}

// told is a decision in words: what starts, why the rest waits, and where
// fleets halt.
func told(d rollout.Decision) string {
	var lines []string
	for _, s := range d.Start {
		lines = append(lines, fmt.Sprintf("start %s.%d for %s/%s revision %d at %s", s.Member, s.N, s.Fleet, s.Wave, s.Revision, s.Release.Name))
	}
	var waiting []string
	for name, reason := range d.Waiting {
		waiting = append(waiting, fmt.Sprintf("%s %s: %s", name, reason.Code, reason.Message))
	}
	slices.Sort(waiting)
	lines = append(lines, waiting...)
	for _, f := range d.Fleets {
		if !f.Halt.IsZero() {
			lines = append(lines, fmt.Sprintf("fleet %s %s: %s", f.Name, f.Halt.Code, f.Halt.Message))
		}
	}
	return strings.Join(lines, "\n")
}

// text is a wanted text without the indentation it is written with.
func text(indented string) string {
	var lines []string
	for line := range strings.Lines(indented) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func TestDecide(t *testing.T) {
	noRelease := main(1, "eu-1")
	noRelease.Release = rollout.Release{Name: "2026.12"}
	other := rollout.Fleet{
		Name: "lab", UID: "uid-of-lab", Revision: 1, Release: rollout.Release{Name: "2026.10", Target: version("v1.36.3")},
		Waves: []rollout.Wave{{Name: "all", MaxConcurrent: 5, Members: []string{"eu-1"}}},
	}
	twice := main(5, "eu-1")
	twice.Waves = append(twice.Waves, rollout.Wave{Name: "prod", MaxConcurrent: 5, Members: []string{"eu-1"}})
	for _, test := range []struct {
		name     string
		members  string
		fleets   []rollout.Fleet
		upgrades []rollout.Upgrade
		want     string
	}{
		{name: "nothing", want: ""},
		{
			name: "who is behind starts", members: "eu-1=v1.36.3", fleets: []rollout.Fleet{main(1, "eu-1")},
			want: "start eu-1.1 for main/all revision 3 at 2026.11",
		},
		{
			name: "who is there does not", members: "eu-1=v1.37.2", fleets: []rollout.Fleet{main(1, "eu-1")},
			want: "eu-1 AtRelease: at v1.37.2 or ahead",
		},
		{
			name: "ahead counts as there", members: "eu-1=v1.38.0 eu-2=v1.37.2-gke.1", fleets: []rollout.Fleet{main(5, "eu-1", "eu-2")},
			want: `eu-1 AtRelease: at v1.37.2 or ahead
				eu-2 AtRelease: at v1.37.2 or ahead`,
		},
		{
			name: "also where it is not healthy", members: "eu-1=v1.37.2!", fleets: []rollout.Fleet{main(1, "eu-1")},
			want: "eu-1 AtRelease: at v1.37.2 or ahead",
		},
		{
			name: "as many as there are slots, in the order of their names", members: "eu-1=v1.36.3 eu-2=v1.36.3 eu-3=v1.36.3",
			fleets: []rollout.Fleet{main(2, "eu-3", "eu-2", "eu-1")},
			want: `start eu-1.1 for main/all revision 3 at 2026.11
				start eu-2.1 for main/all revision 3 at 2026.11
				eu-3 WaveFull: 2 of 2 in flight in wave all`,
		},
		{
			name: "the longest way first", members: "eu-1=v1.36.3 eu-2=v1.34.9 eu-3=v1.35.1",
			fleets: []rollout.Fleet{main(2, "eu-1", "eu-2", "eu-3")},
			want: `start eu-2.1 for main/all revision 3 at 2026.11
				start eu-3.1 for main/all revision 3 at 2026.11
				eu-1 WaveFull: 2 of 2 in flight in wave all`,
		},
		{
			name: "an upgrade that has not ended is a slot", members: "eu-1=v1.36.3 eu-2=v1.36.3 eu-3=v1.36.3",
			fleets:   []rollout.Fleet{main(2, "eu-1", "eu-2", "eu-3")},
			upgrades: []rollout.Upgrade{upgrade("eu-2", 4, rollout.Running, 0)},
			want: `start eu-1.1 for main/all revision 3 at 2026.11
				eu-2 InFlight: its upgrade is under way
				eu-3 WaveFull: 2 of 2 in flight in wave all`,
		},
		{
			name: "so it is when it is another revision's, or another fleet's", members: "eu-1=v1.36.3 eu-2=v1.37.2 eu-3=v1.36.3",
			fleets: []rollout.Fleet{main(2, "eu-1", "eu-2", "eu-3")},
			upgrades: []rollout.Upgrade{
				{Member: "eu-1", N: 1, FleetUID: "uid-of-main", Revision: 2}, {Member: "eu-2", N: 1, FleetUID: "uid-of-lab", Revision: 9},
			},
			want: `eu-1 InFlight: its upgrade is under way
				eu-2 InFlight: its upgrade is under way
				eu-3 WaveFull: 2 of 2 in flight in wave all`,
		},
		{
			name: "a limit that was lowered is told as it is", members: "eu-1=v1.36.3 eu-2=v1.36.3 eu-3=v1.36.3",
			fleets:   []rollout.Fleet{main(1, "eu-1", "eu-2", "eu-3")},
			upgrades: []rollout.Upgrade{upgrade("eu-1", 1, rollout.Running, 0), upgrade("eu-2", 1, rollout.Running, 0)},
			want: `eu-1 InFlight: its upgrade is under way
				eu-2 InFlight: its upgrade is under way
				eu-3 WaveFull: 2 of 1 in flight in wave all`,
		},
		{
			name: "the number follows the highest, whatever came first in the list", members: "eu-1=v1.36.3",
			fleets:   []rollout.Fleet{main(1, "eu-1")},
			upgrades: []rollout.Upgrade{upgrade("eu-1", 10, rollout.Superseded, time.Hour), upgrade("eu-1", 9, rollout.Done, time.Hour), upgrade("eu-2", 30, rollout.Done, 0)},
			want:     "start eu-1.11 for main/all revision 3 at 2026.11",
		},
		{
			name: "superseded starts again", members: "eu-1=v1.36.3", fleets: []rollout.Fleet{main(1, "eu-1")},
			upgrades: []rollout.Upgrade{upgrade("eu-1", 1, rollout.Superseded, time.Second)},
			want:     "start eu-1.2 for main/all revision 3 at 2026.11",
		},
		{
			name: "a failure halts the fleet", members: "eu-1=v1.36.3 eu-2=v1.36.3 eu-3=v1.36.3 eu-4=v1.37.2",
			fleets:   []rollout.Fleet{main(5, "eu-1", "eu-2", "eu-3", "eu-4")},
			upgrades: []rollout.Upgrade{upgrade("eu-1", 1, rollout.Failed, time.Hour), upgrade("eu-3", 1, rollout.Failed, time.Hour)},
			want: `eu-1 EndedFailed: its upgrade failed in this revision
				eu-2 Halted: 2 failed (eu-1, eu-3), 0 tolerated
				eu-3 EndedFailed: its upgrade failed in this revision
				eu-4 AtRelease: at v1.37.2 or ahead
				fleet main Halted: 2 failed (eu-1, eu-3), 0 tolerated`,
		},
		{
			name: "a failure of the revision before does not, nor one of another fleet", members: "eu-1=v1.36.3 eu-2=v1.36.3",
			fleets: []rollout.Fleet{main(5, "eu-1", "eu-2")},
			upgrades: []rollout.Upgrade{
				{Member: "eu-1", N: 1, FleetUID: "uid-of-main", Revision: 2, Outcome: rollout.Failed},
				{Member: "eu-2", N: 1, FleetUID: "uid-of-lab", Revision: 3, Outcome: rollout.Failed},
			},
			want: `start eu-1.2 for main/all revision 3 at 2026.11
				start eu-2.2 for main/all revision 3 at 2026.11`,
		},
		{
			name: "nor one of a member that is not the fleet's any more", members: "eu-1=v1.36.3 eu-2=v1.36.3",
			fleets:   []rollout.Fleet{main(5, "eu-2")},
			upgrades: []rollout.Upgrade{upgrade("eu-1", 1, rollout.Failed, time.Hour)},
			want:     "start eu-2.1 for main/all revision 3 at 2026.11",
		},
		{
			name: "no such release", members: "eu-1=v1.36.3", fleets: []rollout.Fleet{noRelease},
			want: `eu-1 NoRelease: release "2026.12" does not exist
				fleet main NoRelease: release "2026.12" does not exist`,
		},
		{
			name: "not seen lately", members: "eu-1=v1.36.3? eu-2= eu-3=v1.37.2?", fleets: []rollout.Fleet{main(5, "eu-1", "eu-2", "eu-3", "eu-4")},
			want: `eu-1 Unobserved: not observed lately: connection refused
				eu-2 Unobserved: not observed lately: no answer
				eu-3 Unobserved: not observed lately: connection refused
				eu-4 Unobserved: not observed lately: no answer`,
		},
		{
			name: "not healthy", members: "eu-1=v1.36.3! eu-2=v1.36.3", fleets: []rollout.Fleet{main(1, "eu-1", "eu-2")},
			want: `start eu-2.1 for main/all revision 3 at 2026.11
				eu-1 NotReady: not healthy: 2 of 3 nodes are not Ready`,
		},
		{
			name: "or at once for another revision", members: "eu-1=v1.36.3", fleets: []rollout.Fleet{main(1, "eu-1")},
			upgrades: []rollout.Upgrade{{Member: "eu-1", N: 2, FleetUID: "uid-of-main", Revision: 2, Outcome: rollout.Done, EndedAt: now}},
			want:     "start eu-1.3 for main/all revision 3 at 2026.11",
		},
		{
			name: "two fleets select it", members: "eu-1=v1.35.1", fleets: []rollout.Fleet{main(5, "eu-1"), other},
			want: "eu-1 Overlap: selected by wave all of fleet lab and wave all of fleet main",
		},
		{
			name: "which is told, though it is where one of them wants it", members: "eu-1=v1.36.3", fleets: []rollout.Fleet{main(5, "eu-1"), other},
			want: "eu-1 Overlap: selected by wave all of fleet lab and wave all of fleet main",
		},
		{
			name: "two waves of one fleet select it", members: "eu-1=v1.36.3", fleets: []rollout.Fleet{twice},
			want: "eu-1 Overlap: selected by wave all of fleet main and wave prod of fleet main",
		},
		{
			name: "overlap is told before the halt", members: "eu-1=v1.36.3 eu-2=v1.36.3", fleets: []rollout.Fleet{main(5, "eu-1", "eu-2"), other},
			upgrades: []rollout.Upgrade{upgrade("eu-2", 1, rollout.Failed, time.Hour)},
			want: `eu-1 Overlap: selected by wave all of fleet lab and wave all of fleet main
				eu-2 EndedFailed: its upgrade failed in this revision
				fleet main Halted: 1 failed (eu-2), 0 tolerated`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := rollout.Input{Now: now, Members: members(test.members), Fleets: test.fleets, Upgrades: test.upgrades}
			if diff := cmp.Diff(text(test.want), told(rollout.Decide(in))); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStart holds everything that its execution needs.
func TestStart(t *testing.T) {
	in := rollout.Input{Now: now, Members: members("eu-1=v1.36.3"), Fleets: []rollout.Fleet{main(1, "eu-1")}}
	want := []rollout.Start{{
		Member: "eu-1", N: 1, Fleet: "main", FleetUID: "uid-of-main", Revision: 3, Wave: "all",
		Release: rollout.Release{Name: "2026.11", Hash: "c0ffee", Target: version("v1.37.2")},
	}}
	if diff := cmp.Diff(want, rollout.Decide(in).Start); diff != "" {
		t.Errorf("starts (-want +got):\n%s", diff)
	}
}

// remembered is what a decision wants to be remembered of fleets and waves.
var remembered = cmp.Options{
	cmpopts.IgnoreFields(rollout.FleetState{}, "Roster", "ShrankAt"),
	cmpopts.IgnoreFields(rollout.WaveState{}, "OpenedAt", "PassedAt", "Why"),
}

// TestStanding is where each fleet stands, fleets by name and members by name.
func TestStanding(t *testing.T) {
	second := main(1)
	second.Name, second.UID, second.Waves = "alpha", "uid-of-alpha", nil
	first := main(1, "eu-5", "eu-2", "eu-1")
	first.Waves = append(first.Waves, rollout.Wave{Name: "prod", MaxConcurrent: 1, Members: []string{"eu-4", "eu-3"}})
	in := rollout.Input{
		Now: now, Members: members("eu-1=v1.37.2 eu-2=v1.36.3 eu-3=v1.36.3 eu-4=v1.37.2 eu-5=v1.36.3"),
		Fleets:   []rollout.Fleet{first, second},
		Upgrades: []rollout.Upgrade{upgrade("eu-2", 1, rollout.Running, 0), upgrade("eu-3", 1, rollout.Failed, 0)},
	}
	want := []rollout.FleetState{
		{Name: "alpha"},
		{
			Name: "main",
			Waves: []rollout.WaveState{
				{Name: "all", Done: []string{"eu-1"}, Running: []string{"eu-2"}, Waiting: []string{"eu-5"}},
				{Name: "prod", Done: []string{"eu-4"}, Failed: []string{"eu-3"}},
			},
			Halt: fleet.Reason{
				Code: fleet.Halted, Object: "member eu-3", Message: "1 failed (eu-3), 0 tolerated", Since: now,
				Fix: "see refit why eu-3; then set the fleet's spec.release to a release that mends it, or let it go on: refit resume main --reason …",
			},
		},
	}
	if diff := cmp.Diff(want, rollout.Decide(in).Fleets, remembered); diff != "" {
		t.Errorf("fleets (-want +got):\n%s", diff)
	}
}

// TestReasons: what a person reads names what is in the way, and what to do.
func TestReasons(t *testing.T) {
	noRelease := main(5, "eu-1")
	noRelease.Release = rollout.Release{Name: "2026.12"}
	seen := now.Add(-26 * time.Minute)
	for _, test := range []struct {
		name     string
		members  string
		fleet    rollout.Fleet
		upgrades []rollout.Upgrade
		want     fleet.Reason
	}{
		{
			name: "in flight", members: "eu-1=v1.36.3", fleet: main(5, "eu-1"), upgrades: []rollout.Upgrade{upgrade("eu-1", 7, rollout.Running, 0)},
			want: fleet.Reason{Code: fleet.InFlight, Message: "its upgrade is under way", Object: "clusterupgrade eu-1.7"},
		},
		{
			name: "failed", members: "eu-1=v1.36.3", fleet: main(5, "eu-1"), upgrades: []rollout.Upgrade{upgrade("eu-1", 7, rollout.Failed, 0)},
			want: fleet.Reason{
				Code: fleet.EndedFailed, Message: "its upgrade failed in this revision", Object: "clusterupgrade eu-1.7", Since: now,
				Fix: "repair the cause, then let it start again: refit retry eu-1 --reason …",
			},
		},
		{
			name: "overlap", members: "eu-1=v1.36.3", fleet: main(5, "eu-1", "eu-1"),
			want: fleet.Reason{
				Code: fleet.Overlap, Message: "selected by wave all of fleet main and wave all of fleet main", Object: "member eu-1",
				Fix: "change labels or a selector so that one wave of one fleet selects it",
			},
		},
		{
			name: "unobserved", members: "eu-1=v1.36.3?", fleet: main(5, "eu-1"),
			want: fleet.Reason{
				Code: fleet.Unobserved, Message: "not observed lately: connection refused", Object: "member eu-1", Since: seen,
				Fix: "see that its provider and API server answer",
			},
		},
		{
			name: "not ready", members: "eu-1=v1.36.3!", fleet: main(5, "eu-1"),
			want: fleet.Reason{
				Code: fleet.NotReady, Message: "not healthy: 2 of 3 nodes are not Ready", Object: "member eu-1", Fix: "repair it; it starts by itself",
			},
		},
		{
			name: "no release", members: "eu-1=v1.36.3", fleet: noRelease,
			want: fleet.Reason{
				Code: fleet.NoRelease, Message: `release "2026.12" does not exist`, Object: "release 2026.12",
				Fix: "create it, or set the fleet's spec.release to one that exists: kubectl get releases",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := rollout.Input{Now: now, Members: members(test.members), Fleets: []rollout.Fleet{test.fleet}, Upgrades: test.upgrades}
			if diff := cmp.Diff(test.want, rollout.Decide(in).Waiting["eu-1"]); diff != "" {
				t.Errorf("reason (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRecheck is when time alone changes a decision.
func TestRecheck(t *testing.T) {
	stale := now.Add(24 * time.Minute) // members were seen a minute ago
	for _, test := range []struct {
		name     string
		members  string
		upgrades []rollout.Upgrade
		want     time.Time
	}{
		{name: "a member that is seen no more is unknown some time", members: "eu-1=v1.37.2", want: stale},
		{name: "so is one that waits", members: "eu-1=v1.36.3!", want: stale},
		{name: "one that is unknown already stays so", members: "eu-1=v1.36.3?", want: time.Time{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := rollout.Input{Now: now, Members: members(test.members), Fleets: []rollout.Fleet{main(5, "eu-1")}, Upgrades: test.upgrades}
			if got := rollout.Decide(in).Recheck; !got.Equal(test.want) {
				t.Errorf("recheck at %s; want %s", got, test.want)
			}
		})
	}
}

// TestStaleness is right to the second.
func TestStaleness(t *testing.T) {
	for age, want := range map[time.Duration]fleet.Code{
		25*time.Minute - time.Second: fleet.AtRelease,
		25 * time.Minute:             fleet.Unobserved,
	} {
		in := rollout.Input{Now: now, Members: members("eu-1=v1.37.2"), Fleets: []rollout.Fleet{main(5, "eu-1")}}
		in.Members[0].ObservedAt = now.Add(-age)
		if got := rollout.Decide(in).Waiting["eu-1"].Code; got != want {
			t.Errorf("observed %s ago: %s; want %s", age, got, want)
		}
	}
}
