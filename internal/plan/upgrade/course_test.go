package upgrade_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/upgrade"
)

// courseTold is a course in words: a line a pass, "+" before what was passed, ">"
// before where it is.
func courseTold(course []upgrade.Place) string {
	var lines []string
	last := "nothing"
	for _, place := range course {
		hop := "end"
		if !place.Hop.IsZero() {
			hop = place.Hop.String()
		}
		if hop != last {
			lines, last = append(lines, hop+":"), hop
		}
		mark := map[upgrade.Standing]string{upgrade.Passed: "+", upgrade.Here: ">", upgrade.Ahead: ""}[place.Stands]
		lines[len(lines)-1] += " " + mark + string(place.Step)
	}
	return strings.Join(lines, "\n")
}

func TestCourse(t *testing.T) {
	v := func(text string) fleet.Version {
		version, _ := fleet.ParseVersion(text) // zero: none
		return version
	}
	begin := time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC)
	// records reads "v1.36.6/Settle" a word; "…" after it says that it was not left.
	records := func(text string) []upgrade.Record {
		var list []upgrade.Record
		for i, word := range strings.Fields(text) {
			hop, step, _ := strings.Cut(strings.TrimSuffix(word, "…"), "/")
			r := upgrade.Record{Hop: v(hop), Step: upgrade.StepName(step), Entered: begin.Add(time.Duration(i) * time.Minute)}
			if !strings.HasSuffix(word, "…") {
				r.Finished = r.Entered.Add(time.Minute)
			}
			list = append(list, r)
		}
		return list
	}
	for _, test := range []struct {
		name, records, hop, step string
		outcome                  upgrade.Outcome
		want                     []string
	}{
		{name: "not looked at", want: []string{
			"v1.36.0: Settle Preflight ControlPlane Bake Nodes", "v1.37.2: Settle Preflight ControlPlane Bake Nodes", "end: Settle",
		}},
		{name: "at the beginning", records: "v1.36.6/Settle…", hop: "v1.36.6", step: "Settle", want: []string{
			"v1.36.6: >Settle Preflight ControlPlane Bake Nodes", "v1.37.2: Settle Preflight ControlPlane Bake Nodes", "end: Settle",
		}},
		{name: "no version is offered", step: "Preflight", want: []string{
			"v1.36.0: +Settle >Preflight ControlPlane Bake Nodes", "v1.37.2: Settle Preflight ControlPlane Bake Nodes", "end: Settle",
		}},
		{name: "no version is offered any more", records: "v1.36.6/Settle v1.36.6/ControlPlane", step: "Preflight", want: []string{
			"v1.36.6: +Settle +Preflight +ControlPlane +Bake +Nodes", "v1.37.2: +Settle >Preflight ControlPlane Bake Nodes", "end: Settle",
		}},
		{name: "the release's version is not offered any more", records: "v1.37.2/Settle", step: "Preflight", want: []string{
			"v1.37.2: +Settle >Preflight ControlPlane Bake Nodes", "end: Settle",
		}},
		{name: "back at an earlier step", records: "v1.36.6/ControlPlane v1.36.6/Nodes", hop: "v1.36.6", step: "ControlPlane", want: []string{
			"v1.36.6: +Settle +Preflight >ControlPlane Bake +Nodes", "v1.37.2: Settle Preflight ControlPlane Bake Nodes", "end: Settle",
		}},
		{name: "back in an earlier pass", records: "v1.36.6/ControlPlane v1.37.2/Settle…", hop: "v1.36.6", step: "ControlPlane", want: []string{
			"v1.36.6: +Settle +Preflight >ControlPlane Bake Nodes", "v1.37.2: Settle Preflight ControlPlane Bake Nodes", "end: Settle",
		}},
		{name: "in the last pass", records: "v1.36.6/Settle v1.36.6/ControlPlane v1.36.6/Bake v1.37.2/Settle v1.37.2/ControlPlane…", hop: "v1.37.2", step: "ControlPlane", want: []string{
			"v1.36.6: +Settle +Preflight +ControlPlane +Bake +Nodes", "v1.37.2: +Settle +Preflight >ControlPlane Bake Nodes", "end: Settle",
		}},
		{name: "asked to end, with a change on its way", records: "v1.36.6/Settle v1.36.6/ControlPlane…", step: "ControlPlane", want: []string{
			"v1.36.6: +Settle +Preflight >ControlPlane Bake Nodes", "v1.37.2: Settle Preflight ControlPlane Bake Nodes", "end: Settle",
		}},
		{name: "at the very end", records: "v1.36.6/ControlPlane v1.37.2/ControlPlane v1.37.2/Nodes /Settle…", hop: "v1.37.2", step: "Settle", want: []string{
			"v1.36.6: +Settle +Preflight +ControlPlane +Bake +Nodes", "v1.37.2: +Settle +Preflight +ControlPlane +Bake +Nodes", "end: >Settle",
		}},
		{name: "back from the very end", records: "v1.37.2/Nodes /Settle…", hop: "v1.37.2", step: "Nodes", want: []string{
			"v1.37.2: +Settle +Preflight +ControlPlane +Bake >Nodes", "end: Settle",
		}},
		{name: "another version of the minor than at first", records: "v1.36.6/Settle", hop: "v1.36.5", step: "Settle", want: []string{
			"v1.36.5: >Settle Preflight ControlPlane Bake Nodes", "v1.37.2: Settle Preflight ControlPlane Bake Nodes", "end: Settle",
		}},
		{name: "nodes first", records: "v1.35.9/Nodes", hop: "v1.36.6", step: "Settle", want: []string{
			"v1.35.9: +Settle +Preflight +ControlPlane +Bake +Nodes", "v1.36.6: >Settle Preflight ControlPlane Bake Nodes",
			"v1.37.2: Settle Preflight ControlPlane Bake Nodes", "end: Settle",
		}},
		{name: "failed", records: "v1.36.6/Settle v1.36.6/ControlPlane…", outcome: upgrade.Failed, want: []string{"v1.36.6: +Settle +Preflight >ControlPlane"}},
		{name: "aborted, with its nodes given back", records: "v1.36.6/Nodes", outcome: upgrade.Aborted, want: []string{"v1.36.6: +Settle +Preflight +ControlPlane +Bake >Nodes"}},
		{name: "ended at the very end", records: "v1.37.2/Nodes /Settle…", outcome: upgrade.Superseded, want: []string{
			"v1.37.2: +Settle +Preflight +ControlPlane +Bake +Nodes", "end: >Settle",
		}},
		{name: "ended before it began", outcome: upgrade.Superseded},
		{name: "done", records: "v1.37.2/Settle v1.37.2/ControlPlane /Settle", hop: "v1.37.2", step: "Settle", outcome: upgrade.Done, want: []string{
			"v1.37.2: +Settle +Preflight +ControlPlane +Bake +Nodes", "end: +Settle",
		}},
		{name: "done, and nothing is remembered", outcome: upgrade.Done},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := upgrade.Course(upgrade.Way{
				Memory: upgrade.Memory{From: v("v1.35.9"), Records: records(test.records)}, Target: v("v1.37.2"),
				Hop: v(test.hop), Step: upgrade.StepName(test.step), Outcome: test.outcome,
			})
			if diff := cmp.Diff(strings.Join(test.want, "\n"), courseTold(got)); diff != "" {
				t.Errorf("course (-want +got):\n%s", diff)
			}
		})
	}
}

// Of a release that is gone, what was done is told.
func TestCourseOfNoRelease(t *testing.T) {
	to := fleet.Version{Major: 1, Minor: 36, Patch: 6}
	memory := upgrade.Memory{Records: []upgrade.Record{{Hop: to, Step: upgrade.Nodes, Entered: time.Unix(1, 0)}}}
	got := courseTold(upgrade.Course(upgrade.Way{Memory: memory, Hop: to, Step: upgrade.Nodes}))
	if want := "v1.36.6: +Settle +Preflight +ControlPlane +Bake >Nodes\nend: Settle"; got != want {
		t.Errorf("course:\n%s\nwant\n%s", got, want)
	}
	if got := courseTold(upgrade.Course(upgrade.Way{})); got != "end: Settle" {
		t.Errorf("course of nothing: %s", got)
	}
}

func TestSteps(t *testing.T) {
	want := []upgrade.StepName{
		upgrade.Settle, upgrade.Preflight, upgrade.AddOnsBefore, upgrade.ControlPlane, upgrade.Bake, upgrade.AddOns, upgrade.Nodes, upgrade.AddOnsAfter,
		upgrade.WriteBack,
	}
	if got := upgrade.Steps(); !slices.Equal(got, want) {
		t.Error(fmt.Sprint("steps: ", got))
	}
}

// position orders steps by pass and recipe. The Settle at the very end counts as
// the last step: what is before it is looked at anew as long as it lasts.
func position(step upgrade.Step) int {
	names := []upgrade.StepName{
		upgrade.Settle, upgrade.Preflight, upgrade.AddOnsBefore, upgrade.ControlPlane, upgrade.Bake, upgrade.AddOns, upgrade.Nodes, upgrade.AddOnsAfter,
		upgrade.WriteBack,
	}
	at := slices.Index(names, step.Name)
	if slices.ContainsFunc(step.Memory.Records, func(r upgrade.Record) bool { return r.Hop.IsZero() }) {
		at = len(names) - 1
	}
	return 10*step.Hop.Minor + at
}
