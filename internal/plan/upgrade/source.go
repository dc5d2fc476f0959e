package upgrade

import (
	"fmt"
	"slices"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
)

// writeBack has the member's source say what the cluster runs by now. What was there
// when the upgrade began to change the cluster is replaced, and nothing else: a value
// that somebody has changed since is theirs.
func writeBack(in Input, _ pass) (Step, bool) {
	seen := in.Cluster.Source
	if seen.Mode != fleet.WriteBack {
		return Step{}, true
	}
	runs := in.Cluster.ControlPlane.Oldest
	if !in.Cluster.Reaches(runs, in.Target) {
		runs = in.Target
	}
	to, why := seen.Wants(runs)
	soon, later := in.Now.Add(pollRunning), in.Now.Add(pollWaiting)
	switch {
	case !seen.Why.IsZero():
		return Step{Why: seen.Why, Recheck: soon}, false
	case in.Cluster.Declares(seen.Says, in.Target) >= 0: // what runs may be ahead since: that is drift
		return Step{}, true
	case !why.IsZero():
		return Step{Why: why, Recheck: later}, false
	case seen.Says != in.Memory.Declared:
		return Step{Why: sourceChanged(in, to), Recheck: later}, false
	case !in.Cluster.ControlPlane.Ready:
		return Step{Why: unreachable(in.Cluster.ControlPlane), Recheck: soon}, false
	}
	return Step{
		Actions: []plan.Action{plan.WriteSource{Source: seen.SourceRef, From: seen.Says, To: to, Message: commitMessage(in, to)}},
		Recheck: soon,
		Why: fleet.Reason{
			Code: fleet.SourceWriting, Object: "source " + seen.Place(),
			Message: fmt.Sprintf("%s is to say %q instead of %q", seen.Place(), to, seen.Says),
		},
	}, false
}

// commitMessage tells whoever reads the history what was done, and by which release.
func commitMessage(in Input, to fleet.Declared) string {
	return fmt.Sprintf("Upgrade %s to Kubernetes %s\n\nMember: %s\nRelease: %s\nControl plane: %s, from %s\n",
		in.Cluster.Name, to, in.Cluster.Name, in.Release, in.Cluster.ControlPlane.Oldest, in.Memory.From)
}

func sourceChanged(in Input, to fleet.Declared) fleet.Reason {
	seen := in.Cluster.Source
	return fleet.Reason{
		Code: fleet.SourceChanged, Object: "source " + seen.Place(),
		Message: fmt.Sprintf("%s said %q when the upgrade began, and says %q by now: it is not made %q", seen.Place(), in.Memory.Declared, seen.Says, to),
		Fix:     fmt.Sprintf("set it to %q; or to %q again, and it is written; the upgrade goes on by itself", to, in.Memory.Declared),
	}
}

// holdWriteBack keeps the source from being written while a person holds what is
// under way. A release that was withdrawn is no reason: the cluster runs it.
func holdWriteBack(in Input, step Step) (Step, bool) {
	asks := slices.ContainsFunc(step.Actions, func(a plan.Action) bool { _, ok := a.(plan.WriteSource); return ok })
	if !asks || in.Frozen.IsZero() {
		return Step{}, false
	}
	return Step{Why: in.Frozen, Recheck: in.Now.Add(pollWaiting)}, true
}

// declare remembers what the source said when the upgrade began to change the cluster.
func (m Memory) declare(in Input) Memory {
	begun := slices.ContainsFunc(m.Records, func(r Record) bool { return r.Step.changes() })
	if says := in.Cluster.Source.Says; says != "" && (m.Declared == "" || !begun) {
		m.Declared = says
	}
	return m
}
