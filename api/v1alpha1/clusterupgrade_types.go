package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ClusterUpgrade is one member's move to one release. Creating <member>.<n> is
// the lock on the member: n is one more than the member's highest, and is
// created only when all lower ones have ended.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=refit
// +kubebuilder:printcolumn:name="Member",type=string,JSONPath=`.spec.member`
// +kubebuilder:printcolumn:name="From",type=string,JSONPath=`.status.from`
// +kubebuilder:printcolumn:name="To",type=string,JSONPath=`.status.to`
// +kubebuilder:printcolumn:name="Hop",type=string,JSONPath=`.status.hop`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.step`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.status.why.message`
// +kubebuilder:printcolumn:name="Ended",type=string,JSONPath=`.status.conditions[?(@.type=="Ended")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9-]+[.][1-9][0-9]*$') && self.metadata.name.startsWith(self.spec.member + '.')",message="an upgrade is named <member>.<n>: its name is the lock on the member"
type ClusterUpgrade struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	// +kubebuilder:validation:XValidation:rule="self.member == oldSelf.member && self.release == oldSelf.release && self.fleet == oldSelf.fleet && self.fleetUID == oldSelf.fleetUID && self.revision == oldSelf.revision && self.wave == oldSelf.wave",message="an upgrade's spec never changes, but for its end: it is what the member was locked for"
	// +kubebuilder:validation:XValidation:rule="!has(oldSelf.end) || has(self.end) && self.end == oldSelf.end && self.endReason == oldSelf.endReason",message="the end of an upgrade is set once"
	// +kubebuilder:validation:XValidation:rule="has(self.end) == has(self.endReason)",message="end and endReason go together: say why"
	Spec ClusterUpgradeSpec `json:"spec"`
	// +optional
	Status ClusterUpgradeStatus `json:"status,omitzero"`
}

// ClusterUpgradeSpec says who goes where, and on whose behalf.
type ClusterUpgradeSpec struct {
	// member is the name of the MemberCluster.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	Member string `json:"member"`
	// +required
	Release ReleaseRef `json:"release"`
	// fleet that asked for it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Fleet string `json:"fleet"`
	// fleetUID tells a fleet from a later one of the same name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	FleetUID string `json:"fleetUID"`
	// revision of the fleet.
	// +required
	// +kubebuilder:validation:Minimum=1
	Revision int64 `json:"revision"`
	// hub that made it, by its UID: a hub that was restored from a backup is
	// another one, and only watches until a person says that it takes the
	// first one's place.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Hub string `json:"hub"`
	// wave that the member was in when the upgrade began.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Wave string `json:"wave"`
	// end is a person's wish to end the upgrade: Abort ends it at the next safe
	// point, with everything undone that was changed for its sake.
	// +optional
	// +kubebuilder:validation:Enum=Abort
	End string `json:"end,omitempty"`
	// endReason is what people are told who ask why.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('[^ ]') && !self.matches('[[:cntrl:]]')",message="endReason is one line that says why"
	EndReason string `json:"endReason,omitempty"`
}

// EndAbort ends an upgrade at the next safe point.
const EndAbort = "Abort"

// ClusterUpgradeStatus is where the upgrade is. The Upgrades loop is its only
// writer. Position is derived from what is observed of the cluster; only what
// cannot be observed is remembered here.
type ClusterUpgradeStatus struct {
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// from is the control plane's version when the upgrade began.
	// +optional
	From string `json:"from,omitempty"`
	// to is the release's version.
	// +optional
	To string `json:"to,omitempty"`
	// declared is what the member's source said when the upgrade began to change the
	// cluster: what else is there later is somebody's, and not written over.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Declared string `json:"declared,omitempty"`
	// path are the versions that are ahead, pass by pass, as far as the fleet pins
	// them. One that it has not pinned yet is asked for by being here.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=64
	Path []string `json:"path,omitempty"`
	// hop is the version that this pass of the recipe goes to.
	// +optional
	Hop string `json:"hop,omitempty"`
	// step of the recipe, for people; nothing reads it back.
	// +optional
	Step string `json:"step,omitempty"`
	// why nothing happens right now, or what is waited for.
	// +optional
	Why *Why `json:"why,omitempty"`
	// refused is the answer to an action that will not get better by itself:
	// what was changed is undone, and the upgrade ends as Failed.
	// +optional
	Refused *Why `json:"refused,omitempty"`
	// intents are the provider calls that this upgrade is about to make:
	// written before each call, so that a crash cannot lose one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Intents []Intent `json:"intents,omitempty"`
	// steps that were entered, oldest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	Steps []StepStatus `json:"steps,omitempty"`
	// nodes that this upgrade replaces.
	// +optional
	Nodes UpgradeNodes `json:"nodes,omitzero"`
	// evictions asked for, and how they were answered.
	// +optional
	Evictions Evictions `json:"evictions,omitzero"`
	// addOns are how many add-ons were seen to be at a version that this upgrade
	// brought.
	// +optional
	AddOns int32 `json:"addOns,omitempty"`
	// findings of the last preflight that stand in the way, the worst first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Findings []Finding `json:"findings,omitempty"`
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Why is a reason: a code and a sentence.
type Why struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// object that is in the way, as kind namespace/name.
	// +optional
	Object string `json:"object,omitempty"`
	// fix is what a person can do about it.
	// +optional
	Fix string `json:"fix,omitempty"`
	// since when this has been the reason.
	Since metav1.Time `json:"since"`
}

// Intent is one provider call that is about to be made.
type Intent struct {
	// change in words, as in "control plane v1.36.3 → v1.37.2".
	Change string `json:"change"`
	// token that makes the call idempotent.
	Token string `json:"token"`
	// at is when it was written; an intent older than a minute is not acted on.
	At metav1.Time `json:"at"`
}

// StepStatus is one step that was entered.
type StepStatus struct {
	// hop of the pass that the step belongs to.
	Hop  string `json:"hop"`
	Name string `json:"name"`
	// +optional
	Started metav1.Time `json:"started,omitzero"`
	// +optional
	Finished metav1.Time `json:"finished,omitzero"`
}

// UpgradeNodes counts the nodes that are to run the release.
type UpgradeNodes struct {
	// +optional
	Total int32 `json:"total,omitempty"`
	// +optional
	Done int32 `json:"done,omitempty"`
	// old are those that the pass under way has yet to replace.
	// +optional
	Old int32 `json:"old,omitempty"`
	// replaced are those that went, of all passes: counted by what is seen of the
	// cluster, so that no crash can lose one.
	// +optional
	Replaced int32 `json:"replaced,omitempty"`
}

// Evictions counts answers of the Eviction API.
type Evictions struct {
	// +optional
	Accepted int32 `json:"accepted,omitempty"`
	// refused because of a budget, and asked again later.
	// +optional
	Refused int32 `json:"refused,omitempty"`
}

// Finding is the answer of one preflight check.
type Finding struct {
	Check    string `json:"check"`
	Message  string `json:"message"`
	Evidence string `json:"evidence,omitempty"`
	Fix      string `json:"fix,omitempty"`
}

// ClusterUpgradeList is a list of ClusterUpgrades.
//
// +kubebuilder:object:root=true
type ClusterUpgradeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterUpgrade `json:"items"`
}
