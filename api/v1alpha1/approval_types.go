package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Approval is a person's yes to one thing of one revision of a fleet, or to a
// hub's taking the place of another. It never changes; deleting it takes it back.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=refit
// +kubebuilder:printcolumn:name="Fleet",type=string,JSONPath=`.spec.fleet`
// +kubebuilder:printcolumn:name="Revision",type=integer,JSONPath=`.spec.revision`
// +kubebuilder:printcolumn:name="Subject",type=string,JSONPath=`.spec.subject`
// +kubebuilder:printcolumn:name="Name",type=string,JSONPath=`.spec.name`
// +kubebuilder:printcolumn:name="Until",type=string,JSONPath=`.spec.until`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.metadata.annotations.refit\.dev/by`
type Approval struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an approval never changes: delete it, and create another"
	Spec ApprovalSpec `json:"spec"`
}

// ApprovalSpec says what is approved.
//
// +kubebuilder:validation:XValidation:rule="self.subject == 'TakeOver' || has(self.fleet)",message="name the fleet that it is about in fleet"
// +kubebuilder:validation:XValidation:rule="self.subject == 'TakeOver' || has(self.revision)",message="name the fleet's revision that it is about in revision"
// +kubebuilder:validation:XValidation:rule="(self.subject == 'TakeOver') == has(self.hub)",message="TakeOver is of this hub: name its UID in hub; others have no hub"
// +kubebuilder:validation:XValidation:rule="self.subject != 'TakeOver' || (has(self.name) && !has(self.fleet) && !has(self.revision) && !has(self.until))",message="TakeOver is from another hub, for good: name its UID in name, and leave out fleet, revision and until"
// +kubebuilder:validation:XValidation:rule="self.subject != 'Retry' || has(self.name)",message="Retry is of one member: name it in name"
// +kubebuilder:validation:XValidation:rule="self.subject != 'Resume' || !has(self.name)",message="Resume is of the whole fleet: leave name out, or use subject: Retry for one member"
type ApprovalSpec struct {
	// fleet that it is about.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Fleet string `json:"fleet,omitempty"`
	// revision of the fleet that it is about; see the fleet's status.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Revision int64 `json:"revision,omitempty"`
	// subject is what is approved: Resume lets the fleet go on after the
	// failures that there were before the approval; Retry lets a member start
	// again whose upgrade failed before it; TakeOver lets this hub take the
	// place of another one, that has not been heard of since.
	// +required
	// +kubebuilder:validation:Enum=Resume;Retry;TakeOver
	Subject string `json:"subject"`
	// hub that takes over, by its UID: an approval that was restored elsewhere
	// is of another hub, and counts for nothing.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Hub string `json:"hub,omitempty"`
	// name of what it is about: the member of a Retry; the hub, by its UID,
	// whose place is taken.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// until when it holds; until it is deleted where there is none.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
	// reason is what people are told who ask later.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('[^ ]') && !self.matches('[[:cntrl:]]')",message="reason is one line that says why"
	Reason string `json:"reason"`
}

// What an approval is about.
const (
	SubjectResume   = "Resume"
	SubjectRetry    = "Retry"
	SubjectTakeOver = "TakeOver"
)

// ApprovalList is a list of Approvals.
//
// +kubebuilder:object:root=true
type ApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Approval `json:"items"`
}
