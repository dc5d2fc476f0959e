package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

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
	// addOns are what runs beside Kubernetes, and goes with it. Those of one place
	// are changed in the order given, one after the other. An add-on that is not
	// named is left alone.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	AddOns []AddOn `json:"addOns,omitempty"`
}

// AddOn is a Helm release that every cluster has.
type AddOn struct {
	// name of the add-on, and of its Helm release where that has no other.
	// +required
	// +kubebuilder:validation:MaxLength=53
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// when it is changed: before the control plane, between control plane and nodes,
	// or after the nodes.
	// +optional
	// +kubebuilder:default=BetweenControlPlaneAndNodes
	When AddOnPlace `json:"when,omitempty"`
	// versions of the chart, by the minor of Kubernetes that they are for, as in
	// "1.37": 1.12.0. On the way to a minor that has none, the add-on is left as it is.
	// +required
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(minor, minor.matches('^[1-9][0-9]{0,3}[.](0|[1-9][0-9]{0,3})$'))",message="versions maps a minor of Kubernetes to a version of the chart, as in \"1.37\": 1.12.0"
	Versions map[string]ChartVersion `json:"versions"`
	// +required
	Helm HelmRelease `json:"helm"`
	// healthyWithin is how long it may take to become healthy; then it is taken back,
	// and the upgrade has failed.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="healthyWithin is between 1s and 24h"
	HealthyWithin metav1.Duration `json:"healthyWithin,omitzero"`
}

// AddOnPlace is an add-on's place in an upgrade.
//
// +kubebuilder:validation:Enum=BeforeControlPlane;BetweenControlPlaneAndNodes;AfterNodes
type AddOnPlace string

// ChartVersion is a version of a chart, as its index has it.
//
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^v?(0|[1-9][0-9]{0,4})([.](0|[1-9][0-9]{0,4})){2}([-+][0-9A-Za-z][-+.0-9A-Za-z]*)?$')",message="a chart's version is exact, as in 1.12.0: three numbers, without leading zeros, and perhaps a suffix; ranges are not followed"
type ChartVersion string

// HelmRelease says what a release is made of, and where it goes.
type HelmRelease struct {
	// repository of the chart: the address of an index, or the folder of a registry
	// (oci://…).
	// +required
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^(https?|oci)://[^@? ]+$`
	Repository string `json:"repository"`
	// chart is its name in the repository, where that is not the add-on's.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9][-_.a-zA-Z0-9]*$`
	Chart string `json:"chart,omitempty"`
	// namespace that it goes to, made if it is not there.
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespace string `json:"namespace"`
	// release is the name of the Helm release, where that is not the add-on's.
	// +optional
	// +kubebuilder:validation:MaxLength=53
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Release string `json:"release,omitempty"`
	// values for the chart. They are no place for secrets.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Values *runtime.RawExtension `json:"values,omitempty"`
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
