// Package v1alpha1 holds the kinds that people and Refit's loops meet in.
//
// A MemberCluster says how to reach one cluster, a Release what clusters
// should run, a Fleet which clusters are kept at which release and how change
// rolls through them; a ClusterUpgrade is one member's move to one release.
// A Freeze is a person's no, an Approval a person's yes. Spec is people's; each
// status has one loop as its only writer.
//
// Validation is CEL on the types: what the API server refuses, no loop needs
// to handle.
//
// +kubebuilder:object:generate=true
// +groupName=refit.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "refit.dev", Version: "v1alpha1"} //nolint:gochecknoglobals // a constant in all but the language

// AddToScheme makes the kinds known to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&MemberCluster{}, &MemberClusterList{},
		&Release{}, &ReleaseList{},
		&Fleet{}, &FleetList{},
		&ClusterUpgrade{}, &ClusterUpgradeList{},
		&Freeze{}, &FreezeList{},
		&Approval{}, &ApprovalList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
