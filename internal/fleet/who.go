package fleet

// Who names those who can change what a reason tells of.
type Who string

// Those who can. They are the parts that people play, not people: one may play
// all of them.
const (
	Refit         Who = "Refit"         // nobody needs to: it passes by itself
	FleetOwner    Who = "FleetOwner"    // whoever may change the fleet, its releases, and approve
	ClusterOwner  Who = "ClusterOwner"  // whoever runs the cluster, and keeps its MemberCluster
	WorkloadOwner Who = "WorkloadOwner" // whoever runs what is on the cluster
	FreezeAuthor  Who = "FreezeAuthor"  // whoever made the freeze
	HubOwner      Who = "HubOwner"      // whoever runs Refit and its hub
)

// Who can change what the reason tells of. Where an earlier wave or the next look
// is all that is waited for, there is nothing to do, and nobody needs to.
func (r Reason) Who() Who {
	switch r.Code {
	case AtRelease, InFlight, WaveFull, Soaking, Starting, Settling, OperationRunning, Baking, NodesJoining, NodesDraining, NodeReplacing,
		FleetMovedOn, MemberGone, Done, UpgradeSuperseded, Healthy, Pinning, AddOnChanging, SourceWriting,
		SourceAgrees:
		return Refit
	case WaveClosed, WaveRolling, GateWaiting:
		return r.unlessItPasses(FleetOwner)
	case Unobserved, AddOnUnhealthy, SourceUnreachable:
		return r.unlessItPasses(ClusterOwner)
	case Halted, GateFailed, Overlap, EndedFailed, EndedAborted, Stranded, Stuck, Behind, NoWave, InventoryShrank, Withdrawn, NoRelease, EmptyWave,
		NoFleet, NotOffered, UpgradeFailed, UpgradeAborted, AddOnFailed:
		return FleetOwner
	case NotReady, Contested, Duplicate, Unhealthy, Unreachable, PreflightBlocked, ForeignOperation, OperationFailed, NodeCordoned,
		PoolRolledByOther, ProviderFault, AddOnPending, SourceRefused, SourceChanged, SourceDrift:
		return ClusterOwner
	case BudgetExhausted, SeveralBudgets, PodWithoutOwner, PodTerminating:
		return WorkloadOwner
	case Frozen, Skipped:
		return FreezeAuthor
	case ClockSkew, RestoredHub, ClaimedElsewhere, InvariantViolated:
		return HubOwner
	}
	return ""
}

// unlessItPasses is who, where there is something to do.
func (r Reason) unlessItPasses(who Who) Who {
	if r.Fix == "" {
		return Refit
	}
	return who
}
