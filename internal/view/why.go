package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/rollout"
)

// Why is everything that can be said of why one member is where it is.
type Why struct {
	Member  Member `json:"member"`
	Fleet   string `json:"fleet,omitempty"`
	Release string `json:"release,omitempty"`
	Upgrade string `json:"upgrade,omitempty"`
	// Failure is what the upgrade of a member failed of that is left out.
	Failure string       `json:"failure,omitempty"`
	Steps   []StepTime   `json:"steps,omitempty"`
	Finding []v1.Finding `json:"findings,omitempty"`
	// Conditions are all between the member and its release, in order.
	Conditions []Condition `json:"conditions"`
	// Parts are what the cluster was last seen to be made of.
	Parts []Part `json:"parts,omitempty"`
	// Upgrades are the last ones, the newest first.
	Upgrades []Past `json:"upgrades,omitempty"`
}

// StepTime is when a step was entered, and left, or the upgrade ended in it.
type StepTime struct {
	Hop      string    `json:"hop"`
	Step     string    `json:"step"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
}

// WhyOf finds a member in a hub; false where there is no such member. Held is
// why nothing of the hub acts; zero where it may.
func WhyOf(hub observe.Hub, held fleet.Reason, name string, now time.Time) (Why, bool) {
	status := Held(hub, held, now)
	why, found := status.find(name)
	if !found {
		return Why{}, false
	}
	p := newPainter(hub, rollout.Decision{})
	why.Conditions = p.conditions(why.Member, why.Fleet, held, now)
	why.Parts, why.Upgrades = p.parts(name, why.Release), p.past(name)
	up := p.newest(name)
	if up == nil {
		return why, true
	}
	why.Upgrade = up.Name
	if why.Member.State != Done {
		why.Finding = up.Status.Findings
	}
	ended := endOf(up)
	if why.Member.State == Skipped && ended != nil && ended.Reason == string(rollout.Failed) {
		failure := whyOf(up)
		why.Failure = failure.Code + ": " + failure.Message
	}
	for _, step := range up.Status.Steps {
		if ended != nil && !step.Started.IsZero() && step.Finished.IsZero() { // the step ended with the upgrade
			step.Finished = ended.LastTransitionTime
		}
		why.Steps = append(why.Steps, StepTime{Hop: step.Hop, Step: step.Name, Started: step.Started.UTC(), Finished: step.Finished.UTC()})
	}
	return why, true
}

func (s Status) find(name string) (Why, bool) {
	for _, f := range s.Fleets {
		for _, w := range f.Waves {
			for _, m := range w.Members {
				if m.Name == name {
					return Why{Member: m, Fleet: f.Name, Release: f.Release}, true
				}
			}
		}
	}
	for _, m := range s.Unassigned {
		if m.Name == name {
			return Why{Member: m}, true
		}
	}
	return Why{}, false
}

// Text prints it for people: what is so, since when, and what to do.
func (w Why) Text(style Style) string {
	var out strings.Builder
	line := func(label, format string, args ...any) {
		whole := fmt.Sprintf("%-9s %s", label, fmt.Sprintf(format, args...))
		out.WriteString(strings.Join(style.wrap(whole, strings.Repeat(" ", 10)), "\n") + "\n")
	}
	m := w.Member
	line("member", "%s", known(style.bold(m.Name), m.Version, label("nodes", m.Nodes)))
	if w.Fleet != "" {
		line("fleet", "%s, release %s", w.Fleet, w.Release)
	}
	if w.Upgrade != "" && m.State != Done {
		line("upgrade", "%s", known(w.Upgrade, label("hop", m.Hop), label("step", strings.TrimSpace(m.Step+" "+nodes(m)))))
	}
	line("state", "%s", m.State)
	line("why", "%s: %s", style.bold(m.Why.Code), m.Why.Message)
	if m.Why.Object != "" {
		line("object", "%s", m.Why.Object)
	}
	if !m.Why.Since.IsZero() {
		line("since", "%s (%s)", m.Why.Since.UTC().Format(time.RFC3339), style.Now.Sub(m.Why.Since).Round(time.Second))
	}
	if m.Why.Fix != "" {
		line("to do", "%s", m.Why.Fix)
	}
	if w.Failure != "" {
		line("failed", "%s", w.Failure)
	}
	return out.String() + "\n" + strings.Join(w.conditions(style), "\n") + "\n"
}

// known is a list of what is known.
func known(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ", ")
}

func label(name, value string) string {
	if value == "" {
		return ""
	}
	return name + " " + value
}
