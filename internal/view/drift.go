package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
)

// Drift is how members differ from what is declared, by member.
type Drift struct {
	Drifts []Drifted `json:"drifts"`
	// Unknown are the sources that were not read, and why not.
	Unknown []Drifted `json:"unknown,omitempty"`
}

// Drifted is one difference.
type Drifted struct {
	Member string    `json:"member"`
	Drift  DriftKind `json:"drift"`
	What   string    `json:"what"`
	// File and Line that say so, of a source.
	File  string    `json:"file,omitempty"`
	Line  int32     `json:"line,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// DriftKind is the name of a difference.
type DriftKind string

// The differences that can be told from what is recorded.
const (
	Behind DriftKind = "Behind" // it was at its fleet's release, and is behind again
	Ahead  DriftKind = "Ahead"  // it runs a later minor than its fleet's release
	Source DriftKind = "Source" // the file that declares its version says another one
)

// DriftOf lists the differences of one member, or of all where the name is empty.
func DriftOf(hub observe.Hub, name string, now time.Time) Drift {
	drift := Drift{Drifts: []Drifted{}}
	status := Of(hub, now)
	for i := range hub.Members {
		mc := &hub.Members[i]
		if name != "" && mc.Name != name {
			continue
		}
		drift.Drifts = append(drift.Drifts, fromRelease(status, mc)...)
		condition := meta.FindStatusCondition(mc.Status.Conditions, v1.ConditionSourceDrift)
		if condition == nil {
			continue
		}
		found := Drifted{
			Member: mc.Name, Drift: Source, What: condition.Message, File: mc.Status.Source.File, Line: mc.Status.Source.Line,
			Since: condition.LastTransitionTime.UTC(),
		}
		switch condition.Status {
		case metav1.ConditionTrue:
			drift.Drifts = append(drift.Drifts, found)
		case metav1.ConditionUnknown:
			found.File, found.Line = "", 0 // of an earlier look
			drift.Unknown = append(drift.Unknown, found)
		case metav1.ConditionFalse:
		}
	}
	return drift
}

// fromRelease is how a member differs from its fleet's release.
func fromRelease(status Status, mc *v1.MemberCluster) []Drifted {
	why, _ := status.find(mc.Name)
	i := slices.IndexFunc(status.Fleets, func(f Fleet) bool { return f.Name == why.Fleet })
	if i < 0 {
		return nil
	}
	if code := fleet.Code(why.Member.Why.Code); code == fleet.Behind || code == fleet.Contested {
		return []Drifted{{Member: mc.Name, Drift: Behind, What: why.Member.Why.Message, Since: why.Member.Why.Since}}
	}
	runs, _ := fleet.ParseVersion(mc.Status.ControlPlane.Version) // zero: not known, and not ahead
	target, known := fleet.ParseVersion(status.Fleets[i].Kubernetes)
	if next := (fleet.Version{Major: target.Major, Minor: target.Minor + 1}); known && runs.Reaches(next) {
		what := fmt.Sprintf("the cluster runs %s, release %s has %s", runs, why.Release, target)
		return []Drifted{{Member: mc.Name, Drift: Ahead, What: what}}
	}
	return nil
}

// Place is file and line, as an editor takes them; empty where there is none.
func (d Drifted) Place() string {
	if d.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", d.File, d.Line)
}

// Text prints it for people.
func (d Drift) Text(style Style) string {
	var lines []string
	if len(d.Drifts) == 0 {
		lines = append(lines, "no drift is known")
	} else {
		lines = append(lines, driftTable(style, d.Drifts)...)
	}
	for _, u := range d.Unknown {
		lines = append(lines, style.wrap(fmt.Sprintf("not known of %s: %s", u.Member, u.What), "  ")...)
	}
	return strings.Join(lines, "\n") + "\n"
}

// driftTable is a line each. What is too long for its line goes on in the next.
func driftTable(style Style, drifts []Drifted) []string {
	rows := [][3]string{{"MEMBER", "DRIFT", "FILE:LINE"}}
	for _, d := range drifts {
		rows = append(rows, [3]string{d.Member, string(d.Drift), d.Place()})
	}
	var width [3]int
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], columnsOf(cell))
		}
	}
	var lines []string
	for i, row := range rows {
		what := "WHAT"
		if i > 0 {
			what = drifts[i-1].What
		}
		head := fmt.Sprintf("%-*s  %-*s  %-*s  ", width[0], row[0], width[1], row[1], width[2], row[2])
		lines = append(lines, style.wrap(head+what, strings.Repeat(" ", columnsOf(head)))...)
	}
	return lines
}
