package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Freeze is a person's no: what it covers does not start as long as it holds.
// Deleting it ends it, as does its time.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=refit
// +kubebuilder:printcolumn:name="Fleet",type=string,JSONPath=`.spec.fleet`
// +kubebuilder:printcolumn:name="Member",type=string,JSONPath=`.spec.member`
// +kubebuilder:printcolumn:name="Stops",type=string,JSONPath=`.spec.stops`
// +kubebuilder:printcolumn:name="From",type=string,JSONPath=`.spec.from`
// +kubebuilder:printcolumn:name="Until",type=string,JSONPath=`.spec.until`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.metadata.annotations.refit\.dev/by`
type Freeze struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a freeze never changes, so that what people agreed on holds: delete it, and create another"
	Spec FreezeSpec `json:"spec"`
}

// FreezeSpec says what is frozen, when, and why.
//
// +kubebuilder:validation:XValidation:rule="!has(self.from) || !has(self.until) || self.from < self.until",message="until is after from"
// +kubebuilder:validation:XValidation:rule="self.stops != 'Skip' || has(self.member)",message="Skip leaves one member out: name it in member; to hold a fleet use stops: Starts"
type FreezeSpec struct {
	// fleet that is frozen; every fleet of the namespace where there is none.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Fleet string `json:"fleet,omitempty"`
	// member that is frozen; every member where there is none.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	Member string `json:"member,omitempty"`
	// from when it holds; at once where there is none.
	// +optional
	From *metav1.Time `json:"from,omitempty"`
	// until when it holds; until it is deleted where there is none.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
	// reason is what people are told who ask why.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('[^ ]') && !self.matches('[[:cntrl:]]')",message="reason is one line that says why"
	Reason string `json:"reason"`
	// stops says how much: Starts lets no upgrade begin; Everything also holds what
	// is under way, as soon as that is safe; Skip leaves the member out of the
	// fleet's count as well, so that nobody waits for it.
	// +optional
	// +kubebuilder:default=Starts
	// +kubebuilder:validation:Enum=Starts;Everything;Skip
	Stops string `json:"stops,omitempty"`
}

// ByAnnotation says who created a Freeze or an Approval, ended a ClusterUpgrade, had
// a member forgotten, or was the last to change the spec of a Fleet or a Release.
const ByAnnotation = "refit.dev/by"

// What a freeze stops.
const (
	StopsStarts     = "Starts"
	StopsEverything = "Everything"
	StopsSkip       = "Skip"
)

// FreezeList is a list of Freezes.
//
// +kubebuilder:object:root=true
type FreezeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Freeze `json:"items"`
}
