package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Fleet is a set of members kept at a release, and the rules by which change
// rolls through it. Change spec.release, and it rolls.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=refit
// +kubebuilder:printcolumn:name="Release",type=string,JSONPath=`.spec.release`
// +kubebuilder:printcolumn:name="Members",type=integer,JSONPath=`.status.members.total`
// +kubebuilder:printcolumn:name="Done",type=integer,JSONPath=`.status.members.done`
// +kubebuilder:printcolumn:name="Running",type=integer,JSONPath=`.status.members.running`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.members.failed`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type Fleet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec FleetSpec `json:"spec"`
	// +optional
	Status FleetStatus `json:"status,omitzero"`
}

// FleetSpec is the desired state.
type FleetSpec struct {
	// selector picks the members, by label, in the fleet's namespace. An empty
	// selector picks all.
	// +required
	Selector Selector `json:"selector"`
	// release is the name of the Release that the members are kept at.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release"`
	// waves are the ordered parts of the fleet; there is one, with all members.
	// +optional
	// +kubebuilder:default={{name: "all"}}
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1
	Waves []Wave `json:"waves,omitempty"`
	// settle is how long a cluster must be seen healthy before anything is
	// changed, and again at the end.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="settle is between 0s and 24h"
	Settle metav1.Duration `json:"settle,omitempty"`
	// bake is the time between control plane and nodes.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="bake is between 0s and 168h (a week)"
	Bake metav1.Duration `json:"bake,omitempty"`
	// nodes says how nodes are replaced.
	// +optional
	// +kubebuilder:default={maxSurge: "10%", maxUnavailable: 0}
	Nodes NodePolicy `json:"nodes,omitzero"`
}

// Wave is an ordered part of a fleet.
type Wave struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// maxConcurrent is how many members are in flight at once: a number, or a
	// percentage of the wave's members, rounded up.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self.matches('^([1-9]|[1-9][0-9]|100)%$')",message="maxConcurrent is a number of at least 1, or a percentage from 1% to 100%"
	MaxConcurrent intstr.IntOrString `json:"maxConcurrent,omitempty"`
}

// NodePolicy says how the nodes of a pool are replaced.
//
// +kubebuilder:validation:XValidation:rule="!(string(self.maxSurge) in ['0', '0%'] && string(self.maxUnavailable) in ['0', '0%'])",message="maxSurge and maxUnavailable cannot both be 0: no node could ever be replaced"
type NodePolicy struct {
	// maxSurge is how many nodes a pool may have above its size: a number, or
	// a percentage of the size, rounded up.
	// +optional
	// +kubebuilder:default="10%"
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^([0-9]|[1-9][0-9]|100)%$')",message="maxSurge is a number of at least 0, or a percentage from 0% to 100%"
	MaxSurge intstr.IntOrString `json:"maxSurge,omitempty"`
	// maxUnavailable is how many nodes a pool may lack below its size: a
	// number, or a percentage of the size, rounded down.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^([0-9]|[1-9][0-9]|100)%$')",message="maxUnavailable is a number of at least 0, or a percentage from 0% to 100%"
	MaxUnavailable intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// FleetStatus is where the fleet is. The Fleets loop is its only writer.
type FleetStatus struct {
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// revision counts the releases that this fleet rolled.
	// +optional
	Revision int64 `json:"revision,omitempty"`
	// release that the revision rolls.
	// +optional
	Release *ReleaseRef `json:"release,omitempty"`
	// +optional
	Members MemberCounts `json:"members,omitzero"`
	// +optional
	// +listType=map
	// +listMapKey=name
	Waves []WaveStatus `json:"waves,omitempty"`
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// WaveStatus is where one wave is.
type WaveStatus struct {
	// +required
	Name         string `json:"name"`
	MemberCounts `json:",inline"`
}

// MemberCounts counts members by where they are.
type MemberCounts struct {
	// +optional
	Total int32 `json:"total"`
	// done are at the release.
	// +optional
	Done int32 `json:"done"`
	// running have an upgrade under way.
	// +optional
	Running int32 `json:"running"`
	// waiting could start, but for a reason that "refit why" tells.
	// +optional
	Waiting int32 `json:"waiting"`
	// failed in this revision.
	// +optional
	Failed int32 `json:"failed"`
	// skipped are left out by a Freeze: nobody waits for them.
	// +optional
	Skipped int32 `json:"skipped,omitempty"`
}

// FleetList is a list of Fleets.
//
// +kubebuilder:object:root=true
type FleetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Fleet `json:"items"`
}
