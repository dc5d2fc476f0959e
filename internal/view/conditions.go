package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/hold"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/upgrade"
)

// Condition is one of those between a member and its release: what is asked
// before it starts, a step of its upgrade, or the answer of a check.
type Condition struct {
	Name string `json:"name"`
	// Hop of the pass that a step, or the check that it asks, belongs to.
	Hop string `json:"hop,omitempty"`
	// Step that asks a check.
	Step    string        `json:"step,omitempty"`
	Holds   rollout.Truth `json:"holds"`
	Code    string        `json:"code,omitempty"`
	Message string        `json:"message"`
	Object  string        `json:"object,omitempty"`
	Since   time.Time     `json:"since,omitzero"`
	// Took is how long a step took.
	Took metav1.Duration `json:"took,omitzero"`
	// Who can change what does not hold, and what to do: in words, and the commands
	// in them.
	Who      fleet.Who `json:"who,omitempty"`
	Fix      string    `json:"fix,omitempty"`
	Commands []string  `json:"commands,omitempty"`
}

// conditions are all of one member, in the order in which they are met. What its
// last upgrade went through comes before what a new one needs.
func (p painter) conditions(m Member, fleetName string, held fleet.Reason, now time.Time) []Condition {
	asked := []Condition{}
	for _, c := range hold.Conditions(rollout.Conditions(observe.Rollout(p.hub, now), m.Name), held) {
		if c.Name == rollout.ClockRight && c.Holds == rollout.True {
			c = p.clock(c, fleetName)
		}
		asked = append(asked, conditionOf(c))
	}
	up := p.newest(m.Name)
	switch {
	case up == nil || m.State == Waiting || m.State == Skipped:
		return asked
	case m.State == Running:
		return append(asked, p.course(up)...)
	default:
		return append(p.course(up), asked...)
	}
}

func conditionOf(c rollout.Condition) Condition {
	if c.Holds == rollout.False {
		return broken(Condition{Name: string(c.Name)}, c.Why)
	}
	return Condition{Name: string(c.Name), Holds: c.Holds, Message: c.Message, Since: c.Since.UTC()}
}

// broken is a condition that does not hold, for a reason.
func broken(c Condition, why fleet.Reason) Condition {
	c.Holds, c.Code, c.Message, c.Object, c.Since = rollout.False, string(why.Code), why.Message, why.Object, why.Since.UTC()
	c.Who, c.Fix, c.Commands = why.Who(), why.Fix, commandsOf(why.Fix)
	return c
}

// clock is what the loop has found of its clock: nobody else can know.
func (p painter) clock(c rollout.Condition, fleetName string) rollout.Condition {
	for i := range p.hub.Fleets {
		stalled := meta.FindStatusCondition(p.hub.Fleets[i].Status.Conditions, v1.ConditionStalled)
		if p.hub.Fleets[i].Name != fleetName || stalled == nil {
			continue
		}
		if stalled.Reason == string(fleet.ClockSkew) {
			c.Holds, c.Message = rollout.False, ""
			c.Why = fleet.Reason{Code: fleet.ClockSkew, Message: stalled.Message, Since: stalled.LastTransitionTime.Time, Fix: "set both clocks by NTP"}
		}
		return c
	}
	return rollout.Condition{Name: c.Name, Holds: rollout.Unknown, Message: "asked by refit up, which has not looked yet"}
}

// course are the steps of an upgrade: those it has passed, the one it is in or
// ended in, and those to come.
func (p painter) course(up *v1.ClusterUpgrade) []Condition {
	way := p.way(up)
	var course []Condition
	for _, place := range upgrade.Course(way) {
		c := Condition{Name: string(place.Step)}
		if !place.Hop.IsZero() {
			c.Hop = place.Hop.String()
		}
		switch place.Stands {
		case upgrade.Passed:
			course = append(course, passed(c, place.Record))
		case upgrade.Here:
			course = append(course, standsAt(c, place, way, up)...)
		case upgrade.Ahead:
			if place.Hop != way.Target && !place.Hop.IsZero() && place.Hop != way.Hop {
				c.Hop = place.Hop.MinorName() // of which version, the pass will tell
			}
			c.Holds, c.Message = rollout.Unknown, "to come"
			course = append(course, c)
		}
	}
	return course
}

// way is an upgrade as its status tells. One that was not looked at yet goes from
// what its member runs to its release.
func (p painter) way(up *v1.ClusterUpgrade) upgrade.Way {
	way := upgrade.Way{Memory: observe.Memory(up.Status), Step: upgrade.StepName(up.Status.Step)}
	way.Hop, _ = fleet.ParseVersion(up.Status.Hop)   // zero: none
	way.Target, _ = fleet.ParseVersion(up.Status.To) // zero: not known
	if way.Target.IsZero() {
		release, _ := p.hub.Release(up.Spec.Release.Name)
		way.Target = release.Target
	}
	way.AddOns = p.hub.AddOns(up.Spec.Release.Name)
	for i := range p.hub.Members {
		if mc := &p.hub.Members[i]; mc.Name == up.Spec.Member && way.Memory.From.IsZero() {
			way.Memory.From, _ = fleet.ParseVersion(mc.Status.ControlPlane.Version)
		}
		if mc := &p.hub.Members[i]; mc.Name == up.Spec.Member && mc.Spec.Source != nil {
			way.WritesBack = mc.Spec.Source.Mode == string(fleet.WriteBack)
		}
	}
	if ended := endOf(up); ended != nil {
		way.Outcome = upgrade.Outcome(ended.Reason)
	}
	return way
}

// endOf is the end of an upgrade; nil where it has not ended.
func endOf(up *v1.ClusterUpgrade) *metav1.Condition {
	if !observe.Ended(up) {
		return nil
	}
	return meta.FindStatusCondition(up.Status.Conditions, v1.ConditionEnded)
}

// passed is a step that is behind. One that had nothing to wait for was passed at
// once, and nothing of it is remembered.
func passed(c Condition, record upgrade.Record) Condition {
	c.Holds, c.Message = rollout.True, "passed at once"
	if took := record.Finished.Sub(record.Entered); !record.Entered.IsZero() && took > 0 {
		c.Took.Duration = took
		c.Message = fmt.Sprintf("passed in %s", took)
	}
	c.Since = record.Finished.UTC()
	return c
}

// standsAt is the step that an upgrade is in, or ended in, and what its checks
// found.
func standsAt(c Condition, place upgrade.Place, way upgrade.Way, up *v1.ClusterUpgrade) []Condition {
	why := observe.Reason(up.Status.Why)
	if why.IsZero() {
		why = fleet.Reason{Code: fleet.Starting, Message: "it goes on"}
	}
	c = broken(c, why)
	c.Since = cmp.Or(c.Since, place.Entered.UTC())
	if ended := endOf(up); ended != nil {
		c = endedAt(c, place, ended.LastTransitionTime.Time, way.Outcome)
	}
	all := []Condition{c}
	if place.Step != upgrade.Preflight {
		return all
	}
	for _, f := range up.Status.Findings {
		finding := Condition{Name: f.Check, Hop: c.Hop, Step: c.Name}
		finding = broken(finding, fleet.Reason{Code: fleet.PreflightBlocked, Message: f.Message, Fix: f.Fix, Since: why.Since})
		if f.Evidence != "" {
			finding.Message += " (" + f.Evidence + ")"
		}
		all = append(all, finding)
	}
	return all
}

// endedAt is the step that an upgrade ended in: it ended with it.
func endedAt(c Condition, place upgrade.Place, at time.Time, outcome upgrade.Outcome) Condition {
	how := "ended"
	switch outcome {
	case upgrade.Failed:
		how = "failed"
	case upgrade.Aborted, upgrade.Superseded:
		how = "was " + strings.ToLower(string(outcome))
	case upgrade.Going, upgrade.Done:
	}
	c.Since = at.UTC()
	if took := at.Sub(place.Entered); !place.Entered.IsZero() && took > 0 {
		c.Took.Duration = took
		how += fmt.Sprintf(" after %s", took)
	}
	c.Message = fmt.Sprintf("the upgrade %s in it: %s", how, c.Message)
	return c
}

// commandsOf are the commands in a sentence, as a person would copy them.
func commandsOf(text string) []string {
	var commands []string
	last := 0
	for _, w := range wordsOf(text) {
		if w.command == 0 {
			continue
		}
		bare := strings.Trim(w.text, "\"(;,)")
		if w.command != last {
			last, commands = w.command, append(commands, bare)
			continue
		}
		commands[len(commands)-1] += " " + bare
	}
	return commands
}

// whose says in words who can change what does not hold.
func whose(who fleet.Who) string {
	switch who {
	case fleet.Refit:
		return "passes by itself"
	case fleet.FleetOwner:
		return "whoever may change the fleet"
	case fleet.ClusterOwner:
		return "whoever runs the cluster"
	case fleet.WorkloadOwner:
		return "whoever runs the workload"
	case fleet.FreezeAuthor:
		return "whoever made the freeze"
	case fleet.HubOwner:
		return "whoever runs this hub"
	}
	return "it is not known who"
}

// conditions prints the list: what is asked, and pass by pass the steps.
func (w Why) conditions(style Style) []string {
	width := 0
	for _, c := range w.Conditions {
		width = max(width, len(c.title()))
	}
	var lines []string
	last := ""
	for _, c := range w.Conditions {
		label := ""
		if group := c.group(); group != last {
			label, last = group, group
		}
		lines = append(lines, w.condition(style, c, label, width)...)
	}
	return lines
}

// group is what a condition is listed under.
func (c Condition) group() string {
	switch {
	case c.Hop != "":
		return c.Hop
	case c.isStep():
		return "end"
	}
	return "asked"
}

// title is the name: a check's, below its step.
func (c Condition) title() string {
	if c.Step != "" {
		return "  " + c.Name
	}
	return c.Name
}

func (c Condition) isStep() bool {
	return c.Step == "" && slices.Contains(upgrade.Steps(), upgrade.StepName(c.Name))
}

// condition prints one of them, with what to do in a line of its own.
func (w Why) condition(style Style, c Condition, label string, width int) []string {
	hang := strings.Repeat(" ", 14+width)
	lines := style.wrap(fmt.Sprintf("%-9s %s %-*s  %s", label, w.mark(style, c), width, c.title(), style.evidence(c)), hang)
	if c.Holds != rollout.False {
		return lines
	}
	advice := whose(c.Who)
	if c.Fix != "" {
		advice = fmt.Sprintf("for %s: %s", advice, c.Fix)
	}
	if style.Width > 0 {
		hang = hang[:min(len(hang), max(style.Width, narrowest)/3)]
	}
	return append(lines, style.wrap(hang+advice, hang)...)
}

// Standing is where a member stands at a condition.
type Standing string

// The standings.
const (
	Met    Standing = "Met"
	At     Standing = "At" // the step that a running upgrade is in
	Unmet  Standing = "Unmet"
	Unseen Standing = "Unseen" // not asked yet, or to come
)

// Standing at a condition.
func (w Why) Standing(c Condition) Standing {
	switch {
	case c.Holds == rollout.True:
		return Met
	case c.Holds == rollout.Unknown:
		return Unseen
	case c.isStep() && w.Member.State == Running:
		return At
	}
	return Unmet
}

// Mark is its sign, also where there is no colour.
func (s Standing) Mark() string {
	switch s {
	case Met:
		return Done.Mark()
	case At:
		return Running.Mark()
	case Unmet:
		return Failed.Mark()
	case Unseen:
		return Waiting.Mark()
	}
	return " "
}

func (w Why) mark(style Style, c Condition) string {
	standing := w.Standing(c)
	switch standing {
	case Met:
		return style.paint("32", standing.Mark())
	case At:
		return style.mark(Running)
	case Unmet:
		return style.paint("31", standing.Mark())
	case Unseen:
	}
	return standing.Mark()
}

// evidence is what is said of a condition, and since when it is so.
func (style Style) evidence(c Condition) string {
	switch {
	case c.Holds == rollout.False && c.Step != "":
		return c.Message // of which code and time are told with the step
	case c.Holds == rollout.False:
		return style.bold(c.Code) + ": " + c.Message + style.since(Reason{Since: c.Since})
	case c.Since.IsZero():
		return c.Message
	case c.isStep():
		return fmt.Sprintf("%s, at %s", c.Message, style.when(c.Since))
	}
	return fmt.Sprintf("%s, since %s", c.Message, style.when(c.Since))
}

// when is a time: of another day, with its date.
func (style Style) when(t time.Time) string {
	if t.UTC().Format(time.DateOnly) == style.Now.UTC().Format(time.DateOnly) {
		return t.UTC().Format(time.TimeOnly)
	}
	return t.UTC().Format(time.DateTime)
}
