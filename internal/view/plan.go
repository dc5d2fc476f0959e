package view

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/hold"
	"refit.dev/refit/internal/plan/rollout"
)

// Plan is what would start now, and why the rest would wait.
type Plan struct {
	Fleets  []PlannedFleet `json:"fleets"`
	Start   []Start        `json:"start"`
	Waiting []Waiter       `json:"waiting"`
}

// PlannedFleet is what a fleet rolls.
type PlannedFleet struct {
	Name       string `json:"name"`
	Revision   int64  `json:"revision"`
	Release    string `json:"release"`
	Kubernetes string `json:"kubernetes,omitempty"`
}

// Start is a member that would start now.
type Start struct {
	Member string `json:"member"`
	Fleet  string `json:"fleet"`
	Wave   string `json:"wave"`
	// Path is the way: the version it runs, those in between, and the release's; what
	// is in between, and not pinned yet, is a minor.
	Path []string `json:"path"`
}

// Waiter is a member that would not start now.
type Waiter struct {
	Member string `json:"member"`
	Why    Reason `json:"why"`
}

// PlanOf asks the planner what it would do, as far as the hub as a whole may act.
func PlanOf(hub observe.Hub, held fleet.Reason, now time.Time) Plan {
	in := observe.Rollout(hub, now)
	decision := hold.Starts(rollout.Decide(in), held)
	plan := Plan{Fleets: []PlannedFleet{}, Start: []Start{}, Waiting: []Waiter{}}
	versions := map[string]fleet.Version{}
	for _, m := range in.Members {
		versions[m.Name] = m.Oldest
	}
	for _, f := range in.Fleets {
		planned := PlannedFleet{Name: f.Name, Revision: f.Revision, Release: f.Release.Name}
		if !f.Release.Target.IsZero() {
			planned.Kubernetes = f.Release.Target.String()
		}
		plan.Fleets = append(plan.Fleets, planned)
	}
	for _, start := range decision.Start {
		plan.Start = append(plan.Start, Start{
			Member: start.Member, Fleet: start.Fleet, Wave: start.Wave, Path: path(versions[start.Member], start.Release.Target, pinsFor(hub, in, start)),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(decision.Waiting)) {
		plan.Waiting = append(plan.Waiting, Waiter{Member: name, Why: reasonOf(decision.Waiting[name])})
	}
	return plan
}

// path is the way in minors: a control plane skips none. Of those that are pinned
// it has the version.
func path(from, to fleet.Version, pins []fleet.Pin) []string {
	hops := []string{from.String()}
	for minor := from.Minor + 1; minor < to.Minor; minor++ {
		hop := fleet.Version{Major: to.Major, Minor: minor}
		name := hop.MinorName()
		if pin := fleet.Pinned(pins, hop); pin != (fleet.Pin{}) {
			name = pin.Version.String()
		}
		hops = append(hops, name)
	}
	if pin := fleet.Pinned(pins, to); pin.Version.Reaches(to) {
		to = pin.Version
	}
	return append(hops, to.String())
}

// pinsFor are the pins of a fleet that count for a member that starts.
func pinsFor(hub observe.Hub, in rollout.Input, start rollout.Start) []fleet.Pin {
	f := slices.IndexFunc(in.Fleets, func(f rollout.Fleet) bool { return f.Name == start.Fleet })
	mc := slices.IndexFunc(hub.Members, func(mc v1.MemberCluster) bool { return mc.Name == start.Member })
	kind := hub.Members[mc].Spec.Provider.Kind()
	return slices.DeleteFunc(slices.Clone(in.Fleets[f].Pins), func(pin fleet.Pin) bool { return pin.Provider != kind })
}

// Text prints it for people.
func (p Plan) Text(style Style) string {
	var lines []string
	for _, f := range p.Fleets {
		line := fmt.Sprintf("fleet %s, revision %d, release %s (%s)", f.Name, f.Revision, f.Release, f.version())
		lines = append(lines, style.wrap(style.bold(line), "  ")...)
	}
	width := 0
	for _, s := range p.Start {
		width = max(width, utf8.RuneCountInString(s.Member))
	}
	for _, w := range p.Waiting {
		width = max(width, utf8.RuneCountInString(w.Member))
	}
	hang := fmt.Sprintf("%9s%*s  ", "", width, "")
	for _, s := range p.Start {
		lines = append(lines, style.wrap(fmt.Sprintf("  start  %-*s  %s", width, s.Member, strings.Join(s.Path, " → ")), hang)...)
	}
	for _, w := range p.Waiting {
		lines = append(lines, style.wrap(fmt.Sprintf("  wait   %-*s  %s: %s", width, w.Member, w.Why.Code, w.Why.Message), hang)...)
	}
	if len(p.Start)+len(p.Waiting) == 0 {
		lines = append(lines, style.wrap("nothing to plan: no fleet selects a member", "")...)
	}
	return strings.Join(lines, "\n") + "\n"
}

func (f PlannedFleet) version() string {
	if f.Kubernetes == "" {
		return noRelease
	}
	return f.Kubernetes
}

// noRelease stands for the version of a release that does not exist.
const noRelease = "no such release"
