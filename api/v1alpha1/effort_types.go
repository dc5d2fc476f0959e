package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Act is a kind of thing that a person does about a fleet.
type Act string

// The acts. Refit itself does none of them.
const (
	ActRelease  Act = "Release"  // the fleet's release was chosen, or made anew
	ActEdit     Act = "Edit"     // the fleet's spec was changed otherwise
	ActWithdraw Act = "Withdraw" // the fleet's release was withdrawn
	ActPause    Act = "Pause"    // a Freeze was made that stops Starts or Everything
	ActSkip     Act = "Skip"     // a Freeze was made that leaves a member out
	ActResume   Act = "Resume"   // an Approval was made, of that subject
	ActRetry    Act = "Retry"    // as Resume
	ActTakeOver Act = "TakeOver" // as Resume
	ActTakeBack Act = "TakeBack" // a Freeze or an Approval was deleted
	ActAbort    Act = "Abort"    // an upgrade under way was ended, or deleted
	ActForget   Act = "Forget"   // a member was deleted that nobody will reach again
)

// FleetEffort is what people did about a fleet, counted revision by revision from
// the objects that they wrote.
type FleetEffort struct {
	// since when it is counted.
	// +required
	Since metav1.Time `json:"since"`
	// revisions, the newest last.
	// +optional
	// +listType=map
	// +listMapKey=revision
	// +kubebuilder:validation:MaxItems=8
	Revisions []RevisionEffort `json:"revisions,omitempty"`
	// counted are the things that were counted and are still there, packed: four
	// bytes each, of a hash of an object's UID. No UID comes again, so that what is
	// gone need not be remembered.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Counted []byte `json:"counted,omitempty"`
	// uncounted is how many more things there are that there was no room for.
	// +optional
	Uncounted int32 `json:"uncounted,omitempty"`
}

// RevisionEffort is what people did about one revision.
type RevisionEffort struct {
	// +required
	Revision int64 `json:"revision"`
	// release that it rolls.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Release string `json:"release"`
	// began is when the Fleets loop first planned it; left out where that was
	// before it counted.
	// +optional
	Began *metav1.Time `json:"began,omitempty"`
	// reached is when all members were at the release for the first time.
	// +optional
	Reached *metav1.Time `json:"reached,omitempty"`
	// ended is when another one began.
	// +optional
	Ended *metav1.Time `json:"ended,omitempty"`
	// members that there were when it ended.
	// +optional
	Members int32 `json:"members,omitempty"`
	// done of them were at the release then.
	// +optional
	Done int32 `json:"done,omitempty"`
	// people who did something, in the order in which they first did.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	People []PersonEffort `json:"people,omitempty"`
	// others is what was done by more people than there is room for.
	// +optional
	Others map[Act]int32 `json:"others,omitempty"`
	// unknown is what was done by somebody whom no object names.
	// +optional
	Unknown map[Act]int32 `json:"unknown,omitempty"`
	// pruned is the work of upgrades that are not kept any more.
	// +optional
	Pruned Work `json:"pruned,omitzero"`
}

// PersonEffort is what one person did, or a service account.
type PersonEffort struct {
	// by is their name, as the API server knows them.
	// +required
	// +kubebuilder:validation:MaxLength=64
	By string `json:"by"`
	// acts are how often they did what.
	// +required
	Acts map[Act]int32 `json:"acts"`
}

// Work is what Refit did.
type Work struct {
	// done, failed, aborted and superseded are upgrades, by how they ended.
	// +optional
	Done int32 `json:"done,omitempty"`
	// +optional
	Failed int32 `json:"failed,omitempty"`
	// +optional
	Aborted int32 `json:"aborted,omitempty"`
	// +optional
	Superseded int32 `json:"superseded,omitempty"`
	// controlPlanes were taken to the version of a pass, as often as that was done.
	// +optional
	ControlPlanes int32 `json:"controlPlanes,omitempty"`
	// nodes were replaced.
	// +optional
	Nodes int32 `json:"nodes,omitempty"`
	// addOns were changed.
	// +optional
	AddOns int32 `json:"addOns,omitempty"`
}

// ForeignChanges are those of a member's versions that no upgrade of this hub made.
type ForeignChanges struct {
	// count of all of them.
	// +required
	Count int32 `json:"count"`
	// last of them, the newest last.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	Last []ForeignChange `json:"last,omitempty"`
}

// ForeignChange is a part of a cluster that was seen at another version, with no
// upgrade under way since it was last seen.
type ForeignChange struct {
	// at is when it was seen.
	// +required
	At metav1.Time `json:"at"`
	// what changed, as in "pool a v1.37.2 → v1.36.3".
	// +required
	// +kubebuilder:validation:MaxLength=80
	What string `json:"what"`
}
