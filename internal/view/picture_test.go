package view_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v1 "refit.dev/refit/api/v1alpha1"
	core "refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/view"
)

// A picture is what the commands print, drawn later.
func TestPictureIsWhatCommandsPrint(t *testing.T) {
	picture := view.Seen(busy(), restored, now)
	if diff := cmp.Diff(view.Held(busy(), restored, now), picture.Status()); diff != "" {
		t.Errorf("status (-commands +picture):\n%s", diff)
	}
	want, _ := view.WhyOf(busy(), restored, "eu-5", now)
	got, found := picture.Why("eu-5")
	if diff := cmp.Diff(want, got); diff != "" || !found {
		t.Errorf("why, found: %t (-commands +picture):\n%s", found, diff)
	}
	if held := picture.Held(); held.Code != "RestoredHub" {
		t.Errorf("held by %+v", held)
	}
}

func TestNext(t *testing.T) {
	wave := func(name string, passed bool, why core.Code, members ...view.Member) view.Wave {
		w := view.Wave{Name: name, Members: members, Opened: now, Why: view.Reason{Code: string(why), Message: "until noon"}}
		if why == "" {
			w.Why = view.Reason{}
		}
		if passed {
			w.Passed = now
		}
		return w
	}
	in := func(name string, state view.State, why core.Code) view.Member {
		return view.Member{Name: name, State: state, Why: view.Reason{Code: string(why), Message: "so it is"}}
	}
	for _, test := range []struct {
		fleet view.Fleet
		want  string
	}{
		{view.Fleet{}, "nothing: everybody is at the release"},
		{view.Fleet{Waves: []view.Wave{wave("a", true, "", in("one", view.Done, ""))}}, "nothing: everybody is at the release"},
		{view.Fleet{Waves: []view.Wave{wave("a", false, "", in("one", view.Waiting, core.Starting))}}, "one starts now"},
		{view.Fleet{Waves: []view.Wave{wave("a", false, "", in("one", view.Waiting, core.Starting), in("two", view.Waiting, core.Starting))}}, "one, two start now"},
		{
			view.Fleet{Waves: []view.Wave{wave("a", false, core.WaveRolling, in("one", view.Running, ""), in("two", view.Waiting, core.WaveFull))}},
			"as soon as a slot is free, two starts",
		},
		{view.Fleet{Waves: []view.Wave{wave("a", false, core.WaveRolling, in("one", view.Running, ""))}}, "1 under way; nobody waits"},
		{
			view.Fleet{Waves: []view.Wave{wave("a", true, ""), wave("b", false, core.Soaking, in("one", view.Done, "")), wave("c", false, "", in("two", view.Waiting, core.WaveClosed))}},
			"wave c comes after b: until noon",
		},
		{view.Fleet{Waves: []view.Wave{wave("a", false, "", in("one", view.Waiting, core.NotReady))}}, "nothing starts now; one waits: so it is"},
		{view.Fleet{Waves: []view.Wave{wave("a", false, "", in("one", view.Failed, core.OperationFailed))}}, "nothing, until a person lets those start again that failed or were aborted"},
		{view.Fleet{Halt: view.Reason{Code: "Halted"}, Waves: []view.Wave{wave("a", false, "", in("one", view.Failed, ""))}}, "nobody starts as long as it is halted"},
		{view.Fleet{Halt: view.Reason{Code: "Halted"}, Waves: []view.Wave{wave("a", false, "", in("one", view.Running, ""))}}, "nobody starts as long as it is halted; 1 under way"},
	} {
		if got := test.fleet.Next(); got != test.want {
			t.Errorf("next of %+v\ngot  %s\nwant %s", test.fleet, got, test.want)
		}
	}
	many := view.Wave{Name: "a"}
	for i := range 5 {
		many.Members = append(many.Members, in(fmt.Sprintf("eu-%d", i), view.Waiting, core.Starting))
	}
	if got, want := (view.Fleet{Waves: []view.Wave{many}}).Next(), "eu-0, eu-1, eu-2 and 2 more start now"; got != want {
		t.Errorf("next of many: %s, want %s", got, want)
	}
}

func TestStage(t *testing.T) {
	for _, test := range []struct {
		wave view.Wave
		want view.Stage
	}{
		{view.Wave{}, view.Closed},
		{view.Wave{Opened: now, Why: view.Reason{Code: "WaveRolling"}}, view.Open},
		{view.Wave{Opened: now, Why: view.Reason{Code: "Soaking"}}, view.Soaking},
		{view.Wave{Opened: now, Passed: now}, view.Passed},
	} {
		if got := test.wave.Stage(); got != test.want {
			t.Errorf("%+v is %s, want %s", test.wave, got, test.want)
		}
	}
}

// What a cluster is made of, and what the release has for it.
func TestPartsAndPast(t *testing.T) {
	hub := busy()
	hub.Members[2].Status.Pools = []v1.PoolStatus{{Name: "a", Version: "v1.36.4", Nodes: 20}}
	hub.Releases[0].Spec.Bundle.AddOns = []v1.AddOn{
		{Name: "ingress", Versions: map[string]v1.ChartVersion{"1.37": "4.15.0"}}, {Name: "old", Versions: map[string]v1.ChartVersion{"1.36": "1.0.0"}},
	}
	hub.Upgrades[2].Spec.Release.Name = "2026.11"
	why, _ := view.WhyOf(hub, core.Reason{}, "eu-2", now)
	parts := []view.Part{
		{Kind: "ControlPlane", Version: "v1.37.2", Wanted: "v1.37.2"},
		{Kind: "Pool", Name: "a", Version: "v1.36.4", Wanted: "v1.37.2", Nodes: 20},
		{Kind: "AddOn", Name: "ingress", Wanted: "4.15.0"},
		{Kind: "AddOn", Name: "old"},
	}
	if diff := cmp.Diff(parts, why.Parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	begun, ended := now.Add(-time.Hour), now.Add(-48*time.Minute)
	past := []view.Past{
		{Name: "eu-2.10", Release: "2026.11", From: "v1.36.4", To: "v1.37.2", Started: begun},
		{Name: "eu-2.9", Release: "2026.11", Outcome: "Superseded", Started: begun, Ended: ended},
	}
	if diff := cmp.Diff(past, why.Upgrades); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}
	for n := 11; n < 30; n++ {
		hub.Upgrades = append(hub.Upgrades, upgrade("eu-2", n, "Done", v1.ClusterUpgradeStatus{}))
	}
	why, _ = view.WhyOf(hub, core.Reason{}, "eu-2", now)
	if len(why.Upgrades) != 10 || why.Upgrades[0].Name != "eu-2.29" {
		t.Errorf("of many upgrades %d are told, first %s", len(why.Upgrades), why.Upgrades[0].Name)
	}
	if none, _ := view.WhyOf(busy(), core.Reason{}, "us-1", now); len(none.Parts) != 1 || none.Parts[0].Wanted != "" || len(none.Upgrades) != 0 {
		t.Errorf("of a member of no fleet: %+v %+v", none.Parts, none.Upgrades)
	}
}

// Every standing has a sign of its own, whatever the colour.
func TestStanding(t *testing.T) {
	why, _ := view.WhyOf(busy(), core.Reason{}, "eu-2", now)
	stands := map[string]view.Standing{}
	for _, c := range why.Conditions {
		stands[c.Group()+" "+c.Name] = why.Standing(c)
	}
	for name, want := range map[string]view.Standing{"asked Started": view.Met, "v1.37.2 Bake": view.Met, "v1.37.2 Nodes": view.At, "end Settle": view.Unseen} {
		if stands[name] != want {
			t.Errorf("%s is %s, want %s", name, stands[name], want)
		}
	}
	signs := map[string]bool{}
	for _, s := range []view.Standing{view.Met, view.At, view.Unmet, view.Unseen} {
		signs[s.Mark()] = true
	}
	if len(signs) != 4 {
		t.Errorf("signs: %v", signs)
	}
}

// Who can do something about a reason, and the commands to do so.
func TestReasonIsWhose(t *testing.T) {
	r := view.Reason{Code: "BudgetExhausted", Fix: `let it allow a disruption: kubectl edit poddisruptionbudget -n shop web; see "refit why eu-2"`}
	if got := r.Whose(); got != "whoever runs the workload" {
		t.Errorf("it is for %s", got)
	}
	if diff := cmp.Diff([]string{"kubectl edit poddisruptionbudget -n shop web", "refit why eu-2"}, r.Commands()); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}
