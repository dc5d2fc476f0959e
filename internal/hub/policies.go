package hub

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// InstallPolicies makes any Kubernetes API keep the admission policies, as they are given. Policies that write are
// left out where the API server knows none: before v1.36 (https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/).
func InstallPolicies(ctx context.Context, config *rest.Config, policies []*unstructured.Unstructured) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("install policies: %w", err)
	}
	for _, policy := range policies {
		resource, known := policyResource(policy.GetKind())
		if !known {
			return fmt.Errorf("install policy %s: kind %q is none", policy.GetName(), policy.GetKind())
		}
		_, err := client.Resource(resource).Apply(ctx, policy.GetName(), policy, metav1.ApplyOptions{FieldManager: crdFieldManager, Force: true})
		if optional := policy.GetKind() == mutating || policy.GetKind() == mutating+"Binding"; optional && apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("install %s %s: %w", policy.GetKind(), policy.GetName(), err)
		}
	}
	return nil
}

const mutating = "MutatingAdmissionPolicy"

// policyResource is the resource of a kind of policy; false where it is none.
func policyResource(kind string) (schema.GroupVersionResource, bool) {
	plural, known := map[string]string{
		mutating:                           "mutatingadmissionpolicies",
		mutating + "Binding":               "mutatingadmissionpolicybindings",
		"ValidatingAdmissionPolicy":        "validatingadmissionpolicies",
		"ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
	}[kind]
	return schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: plural}, known
}
