package v1alpha1

// The conditions. Ready, Progressing and Stalled mean the same on every kind:
//
//	Ready        it is as declared: a member healthy, a fleet at its release, an upgrade done
//	Progressing  work is under way; the reason is what it is waiting for or busy with
//	Stalled      it will not go on by itself: a person must act
//
// Reasons are codes of package fleet. Planners give them, and the loops where
// nothing is planned; docs/reasons.md has a line for each.
const (
	ConditionReady       = "Ready"
	ConditionProgressing = "Progressing"
	ConditionStalled     = "Stalled"

	// ConditionEnded is a ClusterUpgrade's last: nothing more will be done for
	// it, and its reason is the outcome. It never becomes False again.
	ConditionEnded = "Ended"
)
