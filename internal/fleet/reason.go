package fleet

import "time"

// Code names a reason for which something does not happen now. It is the one
// name of that reason in statuses, conditions, commands and documentation.
type Code string

// Reasons why a member's upgrade does not start.
const (
	AtRelease       Code = "AtRelease"       // nothing to do
	InFlight        Code = "InFlight"        // its upgrade is under way
	WaveFull        Code = "WaveFull"        // as many as allowed are in flight
	Halted          Code = "Halted"          // more failures than the fleet tolerates
	GateFailed      Code = "GateFailed"      // a gate has not said yes for too long
	Overlap         Code = "Overlap"         // more than one wave selects it
	Unobserved      Code = "Unobserved"      // not seen lately: unknown is not healthy
	NotReady        Code = "NotReady"        // seen, and not healthy
	EndedFailed     Code = "EndedFailed"     // failed in this revision
	EndedAborted    Code = "EndedAborted"    // aborted in this revision
	Stranded        Code = "Stranded"        // ended on the way: its parts are at different versions
	Stuck           Code = "Stuck"           // in one step for too long
	Behind          Code = "Behind"          // was at the release, is behind again, and drift is reported only
	Contested       Code = "Contested"       // was brought back within a day, and is behind again
	Duplicate       Code = "Duplicate"       // another MemberCluster is the same cluster
	NoWave          Code = "NoWave"          // its fleet selects it, and no wave does
	WaveClosed      Code = "WaveClosed"      // an earlier wave comes first
	WaveRolling     Code = "WaveRolling"     // not enough of the wave has come so far
	Soaking         Code = "Soaking"         // the wave is to stay healthy for a while
	GateWaiting     Code = "GateWaiting"     // the wave has soaked, and a gate has not said yes since
	InventoryShrank Code = "InventoryShrank" // too many members vanished at once
	Withdrawn       Code = "Withdrawn"       // the release was withdrawn
	ClockSkew       Code = "ClockSkew"       // our clock is off the hub's
	NoRelease       Code = "NoRelease"       // the fleet's release does not exist
	EmptyWave       Code = "EmptyWave"       // no member is selected
	NoFleet         Code = "NoFleet"         // no fleet selects it
	Starting        Code = "Starting"        // it starts, or has, and was not looked at yet
	Frozen          Code = "Frozen"          // a Freeze says that nothing starts
	Skipped         Code = "Skipped"         // a Freeze leaves the member out
	RestoredHub     Code = "RestoredHub"     // what the hub holds is of another hub's life
)

// Reasons why an upgrade that has begun waits, or what it waits for.
const (
	Settling          Code = "Settling"          // not yet seen healthy for long enough
	Unhealthy         Code = "Unhealthy"         // the cluster is not healthy
	Unreachable       Code = "Unreachable"       // provider or API server does not answer
	PreflightBlocked  Code = "PreflightBlocked"  // a check says no
	NotOffered        Code = "NotOffered"        // the provider has no version that suffices
	Pinning           Code = "Pinning"           // the fleet is to pin the version first
	OperationRunning  Code = "OperationRunning"  // the provider is at work for us
	ForeignOperation  Code = "ForeignOperation"  // the provider is at work for somebody else
	OperationFailed   Code = "OperationFailed"   // the provider's operation failed
	Baking            Code = "Baking"            // control plane done; nodes not yet
	NodesJoining      Code = "NodesJoining"      // new nodes are not Ready yet
	NodesDraining     Code = "NodesDraining"     // pods are moving
	NodeReplacing     Code = "NodeReplacing"     // nodes are being added and removed
	BudgetExhausted   Code = "BudgetExhausted"   // a PodDisruptionBudget allows no eviction
	SeveralBudgets    Code = "SeveralBudgets"    // more than one budget guards a pod: no eviction ever succeeds
	PodWithoutOwner   Code = "PodWithoutOwner"   // nothing would make the pod anew
	PodTerminating    Code = "PodTerminating"    // evicted, and not gone yet
	NodeCordoned      Code = "NodeCordoned"      // somebody else's cordon is in the way
	PoolRolledByOther Code = "PoolRolledByOther" // Refit does not roll this pool
	AddOnChanging     Code = "AddOnChanging"     // an add-on is being changed, or taken back
	AddOnPending      Code = "AddOnPending"      // somebody else is changing an add-on, or left it half changed
	AddOnUnhealthy    Code = "AddOnUnhealthy"    // an add-on is at its version, and not healthy
	AddOnFailed       Code = "AddOnFailed"       // an add-on did not come to its version
	SourceWriting     Code = "SourceWriting"     // the file that declares the version is being changed
	SourceUnreachable Code = "SourceUnreachable" // the repository that declares the version was not read
	SourceRefused     Code = "SourceRefused"     // what declares the version cannot, or must not, be read or written
	SourceChanged     Code = "SourceChanged"     // somebody changed the declared version meanwhile
	ClaimedElsewhere  Code = "ClaimedElsewhere"  // another hub has claimed the member
	InvariantViolated Code = "InvariantViolated" // Refit planned what must never happen
	ProviderFault     Code = "ProviderFault"     // the provider refused for good
	FleetMovedOn      Code = "FleetMovedOn"      // the fleet wants another release
	MemberGone        Code = "MemberGone"        // its MemberCluster was deleted
	Done              Code = "Done"              // observed at the release, and settled
	UpgradeFailed     Code = "Failed"            // ended without reaching it
	UpgradeAborted    Code = "Aborted"           // ended at a safe point, because a person said so
	UpgradeSuperseded Code = "Superseded"        // ended at a safe point, for another release
)

// What is found of a member's source.
const (
	SourceAgrees Code = "SourceAgrees" // it says what the cluster runs
	SourceDrift  Code = "SourceDrift"  // it says another version than the cluster runs
)

// Healthy is why a member is Ready: nothing is in the way.
const Healthy Code = "Healthy"

// Reason says why something does not happen now: a code, a sentence, what is
// in the way and what to do about it.
type Reason struct {
	Code    Code
	Message string
	// Object in the way, as "kind namespace/name".
	Object string
	// Fix is what a person can do; empty where waiting is all there is.
	Fix string
	// Since when it holds; zero where nobody remembers.
	Since time.Time
}

// IsZero tells that there is no reason.
func (r Reason) IsZero() bool { return r.Code == "" }
