package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Release is a bundle of versions that clusters are brought to together.
// What it bundles never changes: a change is a new Release.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=refit
// +kubebuilder:printcolumn:name="Kubernetes",type=string,JSONPath=`.spec.bundle.kubernetes`
// +kubebuilder:printcolumn:name="Hash",type=string,JSONPath=`.status.hash`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Release struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec ReleaseSpec `json:"spec"`
	// +optional
	Status ReleaseStatus `json:"status,omitzero"`
}

// ReleaseSpec is what a release bundles.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.withdrawn) || has(self.withdrawn)",message="a release that was withdrawn stays so: create a new Release"
type ReleaseSpec struct {
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a release's bundle never changes, for clusters were brought to it: create a new Release and set the Fleet's spec.release to it"
	Bundle Bundle `json:"bundle"`
	// withdrawn is the kill switch: nobody is brought to the release any more, and
	// what is on its way stops where that is safe. It is never taken back.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a release that was withdrawn stays so, and why does too"
	Withdrawn *Withdrawal `json:"withdrawn,omitempty"`
}

// Withdrawal says why a release is not to be used.
type Withdrawal struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('[^ ]') && !self.matches('[[:cntrl:]]')",message="reason is one line that says why"
	Reason string `json:"reason"`
}

// Bundle is the versions that belong together.
//
// +kubebuilder:validation:XValidation:rule="!has(self.hops) || self.hops.all(minor, minor.matches('^[0-9]+[.][0-9]+$') && self.hops[minor].startsWith('v' + minor + '.'))",message="hops maps a minor to a version of that minor, as in \"1.36\": v1.36.3"
type Bundle struct {
	// kubernetes is a floor within its minor, as in v1.37.2: a cluster at or
	// past it has reached the release.
	// +required
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^v[1-9][0-9]{0,3}([.](0|[1-9][0-9]{0,3})){2}([-+][0-9A-Za-z][-+.0-9A-Za-z]*)?$')",message="kubernetes is a full version, as in v1.37.2: three numbers of at most four digits, without leading zeros, and perhaps a vendor's suffix"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^v[0-9.]+-(alpha|beta|rc)[-+.]*[0-9]')",message="kubernetes is a released version: alpha, beta and rc are not kept compatible"
	Kubernetes string `json:"kubernetes"`
	// hops names the patch to pass through, by minor, as in "1.36": v1.36.3.
	// Without it the first member that needs one pins the lowest patch that its
	// provider offers: see status.pins of the Fleet.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Hops map[string]HopVersion `json:"hops,omitempty"`
}

// HopVersion is a full Kubernetes version that is passed through. Its rules are
// those of Bundle.kubernetes; testdata/versions.txt holds both to what package
// fleet reads.
//
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^v[1-9][0-9]{0,3}([.](0|[1-9][0-9]{0,3})){2}([-+][0-9A-Za-z][-+.0-9A-Za-z]*)?$')",message="a hop is a full version, as in v1.36.3: three numbers of at most four digits, without leading zeros, and perhaps a vendor's suffix"
// +kubebuilder:validation:XValidation:rule="!self.matches('^v[0-9.]+-(alpha|beta|rc)[-+.]*[0-9]')",message="a hop is a released version: alpha, beta and rc are not kept compatible"
type HopVersion string

// ReleaseStatus is derived from the spec. The Fleets loop is its only writer.
type ReleaseStatus struct {
	// hash of the bundle: fleets and upgrades name a release by name and hash.
	// +optional
	Hash string `json:"hash,omitempty"`
}

// ReleaseRef names a release and what it bundled at the time.
type ReleaseRef struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Hash string `json:"hash"`
}

// ReleaseList is a list of Releases.
//
// +kubebuilder:object:root=true
type ReleaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Release `json:"items"`
}
