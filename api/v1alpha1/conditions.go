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

// ConditionSourceDrift of a MemberCluster tells whether the file that declares its
// version says another one than it runs.
const ConditionSourceDrift = "SourceDrift"

// SafePointFinalizer keeps an upgrade, its member and its fleet until the upgrade
// has come to a safe point: no operation runs, nothing is left to undo.
const SafePointFinalizer = "refit.dev/safe-point"

// ForgetAnnotation on a MemberCluster that is being deleted says why its upgrade is
// not waited for: nobody will reach the cluster any more.
const ForgetAnnotation = "refit.dev/forget"

// What is kept on the bindings that give a person a role: why they got it, and
// when their certificate ends.
const (
	ReasonAnnotation  = "refit.dev/reason"
	ExpiresAnnotation = "refit.dev/expires"
)
