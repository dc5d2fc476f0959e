package control

import (
	"cmp"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
)

// How old may be what was read of a source; it is read again after half of that. An
// upgrade decides by it, and drift is in no hurry.
const (
	sourceOfUpgrade = time.Minute
	sourceOfMember  = 20 * time.Minute
)

// setSource writes what a member's source says, and how that differs from what the
// cluster was last seen to run. As long as it is being read, what was known stays.
func setSource(mc *v1.MemberCluster, cluster fleet.Cluster, now time.Time) {
	seen := cluster.Source
	if seen.Mode == "" {
		mc.Status.Source = v1.SourceStatus{}
		meta.RemoveStatusCondition(&mc.Status.Conditions, v1.ConditionSourceDrift)
		return
	}
	if seen.Says != "" {
		mc.Status.Source = v1.SourceStatus{
			Declared: clip(string(seen.Says), declaredRoom), File: seen.File, Line: int32(min(seen.Line, 1<<30)), Commit: seen.Commit,
		}
	} else if mc.Status.Source.File != seen.File {
		mc.Status.Source = v1.SourceStatus{}
	}
	if seen.Says == "" && seen.At.IsZero() && seen.Why.Code == fleet.SourceUnreachable {
		return
	}
	condition := driftOf(mc, cluster)
	condition.Type, condition.ObservedGeneration, condition.LastTransitionTime = v1.ConditionSourceDrift, mc.Generation, metav1.NewTime(now)
	condition.Message = clip(condition.Message, driftRoom)
	meta.SetStatusCondition(&mc.Status.Conditions, condition)
}

// driftOf compares by what was seen now, or else by what is known from before.
func driftOf(mc *v1.MemberCluster, cluster fleet.Cluster) metav1.Condition {
	known, _ := fleet.ParseVersion(mc.Status.ControlPlane.Version) // zero: not known
	runs := cmp.Or(cluster.ControlPlane.Oldest, known)
	drift := cluster.Drift(runs)
	switch {
	case cluster.Source.Says == "":
		return metav1.Condition{Status: metav1.ConditionUnknown, Reason: string(cluster.Source.Why.Code), Message: cluster.Source.Why.Message}
	case runs.IsZero():
		return metav1.Condition{Status: metav1.ConditionUnknown, Reason: string(fleet.Unreachable), Message: "what the cluster runs is not known"}
	case !drift.IsZero():
		return metav1.Condition{Status: metav1.ConditionTrue, Reason: string(drift.Code), Message: drift.Message}
	}
	return metav1.Condition{Status: metav1.ConditionFalse, Reason: string(fleet.SourceAgrees), Message: cluster.Source.Place() + " says what the cluster runs"}
}
