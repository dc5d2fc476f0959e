package invariant

import (
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/hold"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/upgrade"
)

// Held judges the starts of a hub: one that holds what another hub made, whose
// place nobody has said it takes, starts nothing.
func Held(in hold.Input, starts []rollout.Start) []string {
	taken := map[string]bool{in.Hub: true}
	for _, t := range in.TakeOvers {
		taken[t.From] = true
	}
	j := &judge{}
	for _, life := range in.Lives {
		if !taken[life] && len(starts) > 0 {
			j.breaks("%d members would start on what hub %s held", len(starts), life)
		}
	}
	return j.broken
}

// rights judges whether the member may be changed at all: only by whom it says
// itself, and by nobody while the hub only watches.
func (j *judge) rights(step upgrade.Step) {
	if !j.Input.Held.IsZero() && (len(step.Actions) > 0 || step.Outcome != upgrade.Going) {
		j.breaks("a hub that only watches would act: %d actions, outcome %q", len(step.Actions), step.Outcome)
	}
	held := j.Cluster.Claim
	for _, action := range step.Actions {
		switch action.(type) {
		case plan.Claim, plan.Release:
			if len(step.Actions) > 1 {
				j.breaks("the claim would change together with %d other actions", len(step.Actions)-1)
			}
		default:
			if !held.Seen || held.Hub == "" || held.Hub != j.Hub || held.Upgrade != j.UID {
				j.breaks("%s: the member is not claimed for this upgrade, but by hub %q, upgrade %q", action, held.Hub, held.Upgrade)
			}
		}
	}
}

// claim may follow on nobody's, on this hub's own, and on a dead one of a hub
// whose place a person has said this one takes, after it was last heard of.
func (j *judge) claim(a plan.Claim) {
	held := j.Cluster.Claim
	if a.Hub == "" || a.Hub != j.Hub || a.Upgrade != j.UID {
		j.breaks("the member would be claimed for hub %q, upgrade %q", a.Hub, a.Upgrade)
	}
	if !held.Seen || a.UID != held.UID || a.ResourceVersion != held.ResourceVersion {
		j.breaks("the member would be claimed over another claim than was observed")
	}
	if held.Hub == "" && held.Upgrade == "" || held.Hub == j.Hub {
		return
	}
	if j.Now.Sub(held.Renewed) < held.Lasts {
		j.breaks("the member would be taken from hub %s, which is at work in it", held.Hub)
	}
	for _, t := range j.TakeOvers {
		if t.From == held.Hub && t.At.After(held.Renewed) {
			return
		}
	}
	j.breaks("the member would be taken from hub %s, and nobody has said so", held.Hub)
}

func (j *judge) release(a plan.Release) {
	held := j.Cluster.Claim
	if held.Hub != j.Hub || held.Upgrade != j.UID || a.Holder != held.Holder || a.UID != held.UID || a.ResourceVersion != held.ResourceVersion {
		j.breaks("the claim of hub %q would be released, which is not this upgrade's", held.Hub)
	}
}
