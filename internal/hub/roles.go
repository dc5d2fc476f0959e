package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/component-helpers/auth/rbac/reconciliation"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

// ensureRoles gives the hub Kubernetes' default roles and bindings, and new versions of them what they have gained;
// what people have added to them stays. The API server has a hook for that, which is not used: it sleeps for a second
// first, it adds the roles of some forty controllers that do not run here, and a hub that is stopped early cannot stop
// it: half a minute later it ends the process.
func ensureRoles(ctx context.Context, client kubernetes.Interface) error {
	for _, role := range bootstrappolicy.ClusterRoles() {
		if err := errors.Join(context.Cause(ctx), ensureRole(client, &role)); err != nil {
			return fmt.Errorf("bring role %s up to date: %w", role.Name, err)
		}
	}
	for _, binding := range bootstrappolicy.ClusterRoleBindings() {
		if err := errors.Join(context.Cause(ctx), ensureBinding(client, &binding)); err != nil {
			return fmt.Errorf("bring role binding %s up to date: %w", binding.Name, err)
		}
	}
	return nil
}

func ensureRole(client kubernetes.Interface, role *rbacv1.ClusterRole) error {
	_, err := (&reconciliation.ReconcileRoleOptions{
		Role:    reconciliation.ClusterRoleRuleOwner{ClusterRole: role},
		Client:  reconciliation.ClusterRoleModifier{Client: client.RbacV1().ClusterRoles()},
		Confirm: true,
	}).Run()
	return err
}

func ensureBinding(client kubernetes.Interface, binding *rbacv1.ClusterRoleBinding) error {
	_, err := (&reconciliation.ReconcileRoleBindingOptions{
		RoleBinding: reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: binding},
		Client:      reconciliation.ClusterRoleBindingClientAdapter{Client: client.RbacV1().ClusterRoleBindings()},
		Confirm:     true,
	}).Run()
	return err
}

// InstallRoles makes any Kubernetes API have the roles, as they are given: what people have added to one is gone.
func InstallRoles(ctx context.Context, config *rest.Config, roles []*rbacv1.ClusterRole) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("install roles: %w", err)
	}
	force := true
	for _, role := range roles {
		patch, err := json.Marshal(role)
		if err != nil {
			return fmt.Errorf("install role %s: %w", role.Name, err)
		}
		options := metav1.PatchOptions{FieldManager: crdFieldManager, Force: &force}
		if _, err := client.RbacV1().ClusterRoles().Patch(ctx, role.Name, types.ApplyPatchType, patch, options); err != nil {
			return fmt.Errorf("install role %s: %w", role.Name, err)
		}
	}
	return nil
}
