package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
)

// note adds to the timeline what is different on a hub: where upgrades are and
// how they ended, which waves opened and passed, and how fleets sum up.
func (h *Hub) note(ctx context.Context) {
	if !h.touched {
		return
	}
	h.touched = false
	all := h.all(ctx)
	there := map[string]bool{}
	say := func(about, line string) {
		there[about] = true
		if line != "" && h.said[about] != line {
			h.said[about] = line
			h.world.tell("%s%s", h.prefix(), line)
		}
	}
	for i := range all.Upgrades {
		up := &all.Upgrades[i]
		say("upgrade "+up.Name, upgradeLine(up))
		if up.Status.Why != nil && up.Status.Why.Code == string(fleet.InvariantViolated) {
			h.world.breaks("%s: %s", up.Name, up.Status.Why.Message)
		}
	}
	for i := range all.Fleets {
		f := &all.Fleets[i]
		for _, wave := range f.Status.Waves {
			opened, passed := "", ""
			if wave.OpenedAt != nil {
				opened = fmt.Sprintf("fleet %s: revision %d: wave %s opens", f.Name, f.Status.Revision, wave.Name)
			}
			if wave.PassedAt != nil {
				passed = fmt.Sprintf("fleet %s: revision %d: wave %s passes", f.Name, f.Status.Revision, wave.Name)
			}
			say("opening of "+f.Name+"/"+wave.Name, opened)
			say("passing of "+f.Name+"/"+wave.Name, passed)
		}
		say("fleet "+f.Name, fleetLine(f))
	}
	h.gone(there)
}

// gone tells which upgrades and fleets there are no more.
func (h *Hub) gone(there map[string]bool) {
	var left []string
	for about := range h.said {
		if !there[about] {
			left = append(left, about)
		}
	}
	slices.Sort(left)
	for _, about := range left {
		delete(h.said, about)
		if strings.HasPrefix(about, "upgrade ") || strings.HasPrefix(about, "fleet ") {
			h.world.tell("%s%s is gone", h.prefix(), about)
		}
	}
}

// prefix names the hub where there is another one.
func (h *Hub) prefix() string {
	if len(h.world.hubs) == 1 {
		return ""
	}
	return "on " + h.name + ": "
}

func upgradeLine(up *v1.ClusterUpgrade) string {
	code := "not looked at yet"
	if up.Status.Why != nil {
		code = up.Status.Why.Code
	}
	if rolling(code) {
		code = string(fleet.NodeReplacing) // which of them it is changes with every pod
	}
	if outcome := Outcome(up); outcome != "" {
		if code != outcome {
			outcome += ", " + code
		}
		return fmt.Sprintf("%s ended: %s", up.Name, outcome)
	}
	where := strings.TrimSpace(up.Status.Hop + " " + up.Status.Step)
	if where == "" {
		return fmt.Sprintf("%s begins, to %s in wave %s", up.Name, up.Spec.Release.Name, up.Spec.Wave)
	}
	return fmt.Sprintf("%s %s: %s", up.Name, where, code)
}

// rolling tells whether a reason is one of those that a roll of nodes goes through
// by itself.
func rolling(code string) bool {
	return slices.Contains([]fleet.Code{fleet.NodesJoining, fleet.NodesDraining, fleet.PodTerminating}, fleet.Code(code))
}

// fleetLine is what a fleet's conditions say, but for how many are where.
func fleetLine(f *v1.Fleet) string {
	ready := meta.FindStatusCondition(f.Status.Conditions, v1.ConditionReady)
	if ready == nil {
		return ""
	}
	is := map[string]string{}
	for _, condition := range f.Status.Conditions {
		is[condition.Type] = string(condition.Status)
	}
	state := "waits"
	switch "True" {
	case is[v1.ConditionReady]:
		state = "is ready"
	case is[v1.ConditionStalled]:
		state = "stalls"
	case is[v1.ConditionProgressing]:
		state = "progresses"
	}
	return fmt.Sprintf("fleet %s %s: %s", f.Name, state, ready.Reason)
}

// End is how everything stands, a line each: what people have in the end,
// whatever the order in which it came about.
func (w *World) End(ctx context.Context) []string {
	var lines []string
	for _, h := range w.hubs {
		all := h.all(ctx)
		for i := range all.Upgrades {
			lines = append(lines, h.prefix()+upgradeLine(&all.Upgrades[i]))
		}
		for i := range all.Fleets {
			lines = append(lines, h.prefix()+fleetLine(&all.Fleets[i]))
			lines = append(lines, h.effortLines(&all.Fleets[i], all)...)
		}
	}
	names := make([]string, 0, len(w.clusters))
	for name := range w.clusters {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		e := w.Effects(name)
		line := fmt.Sprintf("%s runs %s, nodes %v, operations %v, %d machines ever", name, e.Version, e.Nodes, e.Operations, e.Made)
		if len(e.Left) > 0 {
			line += ", left: " + strings.Join(e.Left, "; ")
		}
		lines = append(lines, line)
	}
	for _, h := range w.hubs {
		for _, mc := range h.all(ctx).Members {
			if foreign := mc.Status.Foreign; foreign != nil {
				lines = append(lines, fmt.Sprintf("%s%s: %d foreign changes, last %s", h.prefix(), mc.Name, foreign.Count, foreign.Last[len(foreign.Last)-1].What))
			}
		}
	}
	return lines
}

// effortLines are what people did about a fleet, and what Refit did, a line for each
// revision.
func (h *Hub) effortLines(f *v1.Fleet, all observe.Hub) []string {
	if f.Status.Effort == nil {
		return nil
	}
	var lines []string
	for _, r := range f.Status.Effort.Revisions {
		var line strings.Builder
		fmt.Fprintf(&line, "%sfleet %s: revision %d:", h.prefix(), f.Name, r.Revision)
		for _, person := range r.People {
			fmt.Fprintf(&line, " %s %v", person.By, person.Acts)
		}
		if len(r.Unknown) > 0 {
			fmt.Fprintf(&line, " somebody %v", r.Unknown)
		}
		work := r.Pruned
		for i := range all.Upgrades {
			if up := &all.Upgrades[i]; up.Spec.FleetUID == string(f.UID) && up.Spec.Revision == r.Revision {
				work = observe.AddWork(work, observe.WorkOf(up))
			}
		}
		fmt.Fprintf(&line, "; Refit: %d control planes, %d nodes", work.ControlPlanes, work.Nodes)
		lines = append(lines, line.String())
	}
	return lines
}
