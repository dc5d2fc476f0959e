package control

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/act"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/upgrade"
)

// record writes a decision on the upgrade before anything of it is done. A
// conflict means that the decision was made on an old picture.
func (u *Upgrades) record(ctx context.Context, up *v1.ClusterUpgrade, in upgrade.Input, step upgrade.Step) error {
	now, before := metav1.NewTime(u.Clock.Now()), up.Status.DeepCopy()
	return u.update(ctx, up, func(status *v1.ClusterUpgradeStatus) {
		status.ObservedGeneration = up.Generation
		status.To = text(in.Target)
		status.From = text(step.Memory.From)
		status.Declared = clip(string(step.Memory.Declared), declaredRoom)
		status.Path = pathOf(step.Path)
		status.Hop = text(step.Hop)
		status.Step = string(step.Name)
		status.Steps = stepsOf(step.Memory)
		if in.Cluster.ControlPlane.Ready && !in.Target.IsZero() {
			status.Nodes = nodesOf(in, step, before)
			status.AddOns = max(status.AddOns, addOnsOf(in))
		}
		status.Intents = intentsOf(step.Actions, now)
		status.Findings = findingsOf(step)
		setWhy(status, step.Why, now)
		setUpgradeConditions(up, step.Outcome, step.Why, now)
	})
}

// wait records why nothing happens, and nothing else.
func (u *Upgrades) wait(ctx context.Context, up *v1.ClusterUpgrade, reason fleet.Reason) error {
	now := metav1.NewTime(u.Clock.Now())
	return u.update(ctx, up, func(status *v1.ClusterUpgradeStatus) {
		setWhy(status, reason, now)
		setUpgradeConditions(up, upgrade.Going, reason, now)
	})
}

// end records the end of an upgrade.
func (u *Upgrades) end(ctx context.Context, up *v1.ClusterUpgrade, outcome upgrade.Outcome, reason fleet.Reason) error {
	now := metav1.NewTime(u.Clock.Now())
	return u.update(ctx, up, func(status *v1.ClusterUpgradeStatus) {
		setWhy(status, reason, now)
		setUpgradeConditions(up, outcome, reason, now)
	})
}

// text is a version as a status has it: nothing where it is not known.
func text(v fleet.Version) string {
	if v.IsZero() {
		return ""
	}
	return v.String()
}

// pathOf are versions as a status has them, as many as it has room for: the
// others are in it when they are next.
func pathOf(versions []fleet.Version) []string {
	var path []string
	for _, version := range versions[:min(keptPath, len(versions))] {
		path = append(path, version.String())
	}
	return path
}

func stepsOf(memory upgrade.Memory) []v1.StepStatus {
	var steps []v1.StepStatus
	for _, record := range memory.Records[max(0, len(memory.Records)-keptSteps):] {
		steps = append(steps, v1.StepStatus{
			Hop: text(record.Hop), Name: string(record.Step),
			Started: timeOf(record.Entered), Finished: timeOf(record.Finished),
		})
	}
	return steps
}

func timeOf(t time.Time) metav1.Time { return metav1.NewTime(t) }

// nodesOf counts the nodes against the release, and those that were replaced.
func nodesOf(in upgrade.Input, step upgrade.Step, before *v1.ClusterUpgradeStatus) v1.UpgradeNodes {
	counts := replaced(in, step, before)
	for _, pool := range in.Cluster.Pools {
		done := int32(0)
		for _, node := range pool.Nodes {
			if node.Ready && in.Cluster.Reaches(node.Version, in.Target) {
				done++
			}
		}
		size := int32(pool.Size)
		counts.Total += size
		counts.Done += min(done, size)
	}
	return counts
}

// replaced counts the old nodes that went since the last look, once the pass rolls
// them. The fewest that were seen count: a look at what was before brings none back.
func replaced(in upgrade.Input, step upgrade.Step, before *v1.ClusterUpgradeStatus) v1.UpgradeNodes {
	counts := v1.UpgradeNodes{Old: before.Nodes.Old, Replaced: before.Nodes.Replaced}
	was, _ := fleet.ParseVersion(before.Hop) // zero: no pass yet
	rolls := rollsNodes(in, was)
	if left := oldNodes(in.Cluster, was); rolls && left < counts.Old {
		counts.Replaced += counts.Old - left
		counts.Old = left
	}
	if !rolls || step.Hop != was && !step.Hop.IsZero() {
		counts.Old = oldNodes(in.Cluster, step.Hop)
	}
	return counts
}

// rollsNodes tells whether a pass has come to where nodes are replaced: some go along
// with the control plane.
func rollsNodes(in upgrade.Input, hop fleet.Version) bool {
	along := slices.ContainsFunc(in.Cluster.Pools, func(pool fleet.Pool) bool { return pool.RolledBy == fleet.WithControlPlane })
	return slices.ContainsFunc(in.Memory.Records, func(r upgrade.Record) bool {
		return r.Hop == hop && (r.Step == upgrade.Nodes || along && r.Step == upgrade.ControlPlane)
	})
}

// oldNodes are those that a pass to a version has yet to replace. A machine that has
// not joined has no version, and is not old.
func oldNodes(c fleet.Cluster, to fleet.Version) int32 {
	n := int32(0)
	for _, node := range c.Nodes() {
		if !to.IsZero() && !node.Version.IsZero() && !c.Reaches(node.Version, to) {
			n++
		}
	}
	return n
}

// addOnsOf are the add-ons that are seen to be as this upgrade brought them.
func addOnsOf(in upgrade.Input) int32 {
	n := int32(0)
	for _, want := range in.AddOns {
		if seen := in.Cluster.AddOn(want.Name); seen.By == in.UID && !seen.TakenBack {
			n++
		}
	}
	return n
}

// intentsOf are the actions that go to the provider: those that a crash could
// lose sight of. What goes to the member is guarded by UIDs there.
func intentsOf(actions []plan.Action, now metav1.Time) []v1.Intent {
	var intents []v1.Intent
	for _, action := range actions {
		token := ""
		switch a := action.(type) {
		case plan.UpgradeControlPlane:
			token = a.Token
		case plan.SetPoolTemplate:
			token = a.Token
		case plan.UpgradePool:
			token = a.Token
		case plan.AddNode:
			token = a.Token
		case plan.RemoveNode:
			token = a.Instance
		case plan.Cordon, plan.Evict, plan.Restore, plan.Claim, plan.Release, plan.UpgradeAddOn, plan.TakeBackAddOn, plan.UnlockAddOn,
			plan.WriteSource:
			continue
		}
		if len(intents) < keptIntents {
			intents = append(intents, v1.Intent{Change: clip(action.String(), intentRoom), Token: token, At: now})
		}
	}
	return intents
}

func findingsOf(step upgrade.Step) []v1.Finding {
	var findings []v1.Finding
	for _, f := range step.Findings {
		if len(findings) < keptFindings {
			findings = append(findings, v1.Finding{
				Check: f.Check, Message: clip(f.Message, findingRoom), Evidence: clip(f.Evidence, evidenceRoom), Fix: clip(f.Fix, findingRoom),
			})
		}
	}
	return findings
}

// setWhy keeps since when a reason holds, as long as it is the same about the
// same object.
func setWhy(status *v1.ClusterUpgradeStatus, reason fleet.Reason, now metav1.Time) {
	if reason.IsZero() {
		status.Why = nil
		return
	}
	why := whyOf(reason, now)
	switch before := status.Why; {
	case !reason.Since.IsZero():
		why.Since = metav1.NewTime(reason.Since).Rfc3339Copy() // as it will be read back: more is no change
	case before != nil && before.Code == why.Code && before.Object == why.Object:
		why.Since = before.Since
	}
	status.Why = why
}

func whyOf(reason fleet.Reason, now metav1.Time) *v1.Why {
	return &v1.Why{
		Code: string(reason.Code), Message: clip(reason.Message, whyRoom), Object: clip(reason.Object, objectRoom), Fix: clip(reason.Fix, fixRoom), Since: now,
	}
}

func setUpgradeConditions(up *v1.ClusterUpgrade, outcome upgrade.Outcome, reason fleet.Reason, now metav1.Time) {
	code := reason.Code
	if outcome != upgrade.Going {
		code = fleet.Code(outcome)
	}
	for _, condition := range []struct {
		kind string
		is   bool
	}{
		{v1.ConditionReady, outcome == upgrade.Done},
		{v1.ConditionProgressing, outcome == upgrade.Going},
		{v1.ConditionStalled, outcome == upgrade.Failed || reason.Fix != ""},
		{v1.ConditionEnded, outcome != upgrade.Going},
	} {
		status := metav1.ConditionFalse
		if condition.is {
			status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&up.Status.Conditions, metav1.Condition{
			Type: condition.kind, Status: status, Reason: string(code), Message: clip(sentence(reason), conditionRoom),
			ObservedGeneration: up.Generation, LastTransitionTime: now,
		})
	}
}

func countEviction(evictions *v1.Evictions, action plan.Action, result act.Result) {
	if _, ok := action.(plan.Evict); !ok {
		return
	}
	switch result {
	case act.Accepted:
		evictions.Accepted++
	case act.Refused:
		evictions.Refused++
	case act.Outdated, act.NotClaimed:
	}
}
