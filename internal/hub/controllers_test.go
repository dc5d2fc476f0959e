package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
)

var errStillThere = errors.New("still there")

// gone waits for an object's end.
func gone(t *testing.T, what string, get func(context.Context) error) {
	t.Helper()
	eventually(t, what+" is gone", func(ctx context.Context) error {
		if err := get(ctx); !apierrors.IsNotFound(err) {
			return errors.Join(errStillThere, err)
		}
		return nil
	})
}

func testNamespaceDeletion(t *testing.T, h runningHub) {
	ns := h.newNamespace(t)
	h.newConfigMap(t, ns, "content", nil)
	if err := h.client.CoreV1().Namespaces().Delete(t.Context(), ns, metav1.DeleteOptions{}); err != nil {
		t.Fatalf("delete namespace: %v", err)
	}
	gone(t, "config map in it", func(ctx context.Context) error {
		_, err := h.client.CoreV1().ConfigMaps(ns).Get(ctx, "content", metav1.GetOptions{})
		return err
	})
	gone(t, "namespace", func(ctx context.Context) error {
		_, err := h.client.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{})
		return err
	})
}

func (h runningHub) newConfigMap(t *testing.T, ns, name string, owner *corev1.ConfigMap) *corev1.ConfigMap {
	t.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if owner != nil {
		reference := metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("ConfigMap"))
		object.OwnerReferences = []metav1.OwnerReference{*reference}
	}
	made, err := h.client.CoreV1().ConfigMaps(ns).Create(t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("make config map %s: %v", name, err)
	}
	return made
}

func testOwnerReferences(t *testing.T, h runningHub) {
	for _, policy := range []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			ns := h.newNamespace(t)
			maps := h.client.CoreV1().ConfigMaps(ns)
			owner := h.newConfigMap(t, ns, "owner", nil)
			h.newConfigMap(t, ns, "owned", owner)
			if err := maps.Delete(t.Context(), "owner", metav1.DeleteOptions{PropagationPolicy: &policy}); err != nil {
				t.Fatalf("delete owner: %v", err)
			}
			gone(t, "owner", func(ctx context.Context) error {
				_, err := maps.Get(ctx, "owner", metav1.GetOptions{})
				return err
			})
			if policy != metav1.DeletePropagationOrphan {
				gone(t, "owned", func(ctx context.Context) error {
					_, err := maps.Get(ctx, "owned", metav1.GetOptions{})
					return err
				})
				return
			}
			// The owner goes only after its name was struck out, so there is nothing to wait for.
			if owned, err := maps.Get(t.Context(), "owned", metav1.GetOptions{}); err != nil || len(owned.OwnerReferences) > 0 {
				t.Errorf("orphan: %v, %v", owned, err)
			}
		})
	}
}

// as reaches the hub as somebody without any rights but those that the test gives.
func (h runningHub) as(t *testing.T, user string) kubernetes.Interface {
	t.Helper()
	config := h.Config()
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	return clientFor(t, config)
}

func testRBAC(t *testing.T, h runningHub) {
	ns := h.newNamespace(t)
	const user = "ann"
	reviewOf := func(verb, resource string) *authorizationv1.SubjectAccessReview {
		return &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               user,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: ns, Verb: verb, Resource: resource},
		}}
	}
	if _, err := h.as(t, user).CoreV1().ConfigMaps(ns).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("%s without rights lists config maps: %v, want Forbidden", user, err)
	}
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list"}}},
	}
	if _, err := h.client.RbacV1().Roles(ns).Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatalf("make role: %v", err)
	}
	h.bind(t, ns, user, "Role", "reader")
	eventually(t, user+" may list config maps", func(ctx context.Context) error {
		review, err := h.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, reviewOf("list", "configmaps"), metav1.CreateOptions{})
		if err == nil && !review.Status.Allowed {
			return errors.New(review.Status.Reason)
		}
		return err
	})
	if _, err := h.as(t, user).CoreV1().ConfigMaps(ns).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("%s lists config maps: %v", user, err)
	}
	for _, denied := range []*authorizationv1.SubjectAccessReview{reviewOf("delete", "configmaps"), reviewOf("list", "secrets")} {
		review, err := h.client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), denied, metav1.CreateOptions{})
		if err != nil || review.Status.Allowed {
			t.Errorf("%s may %s %s: %v, %v", user, denied.Spec.ResourceAttributes.Verb, denied.Spec.ResourceAttributes.Resource, review, err)
		}
	}
}

func (h runningHub) bind(t *testing.T, ns, user, roleKind, role string) {
	t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: roleKind, Name: role},
	}
	if _, err := h.client.RbacV1().RoleBindings(ns).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatalf("bind %s to %s: %v", user, role, err)
	}
}

// testDefaultRoles finds roles that need no waiting for.
func testDefaultRoles(t *testing.T, h runningHub) {
	for _, name := range []string{"cluster-admin", "admin", "edit", "view", "system:discovery"} {
		if _, err := h.client.RbacV1().ClusterRoles().Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
	binding, err := h.client.RbacV1().ClusterRoleBindings().Get(t.Context(), "cluster-admin", metav1.GetOptions{})
	if err != nil || len(binding.Subjects) != 1 || binding.Subjects[0].Name != "system:masters" {
		t.Errorf("cluster-admin is bound to %v, %v", binding, err)
	}
}

// testAggregatedRoles grants one of Kubernetes' own roles, whose rules are put together from others.
func testAggregatedRoles(t *testing.T, h runningHub) {
	ns := h.newNamespace(t)
	h.bind(t, ns, "viewer", "ClusterRole", "view")
	eventually(t, "viewer sees config maps", func(ctx context.Context) error {
		_, err := h.as(t, "viewer").CoreV1().ConfigMaps(ns).List(ctx, metav1.ListOptions{})
		return err
	})
	if _, err := h.as(t, "viewer").CoreV1().Secrets(ns).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("viewer lists secrets: %v, want Forbidden", err)
	}
}

func testServiceAccountToken(t *testing.T, h runningHub) {
	ns := h.newNamespace(t)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}
	if _, err := h.client.CoreV1().ServiceAccounts(ns).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatalf("make service account: %v", err)
	}
	token := h.newToken(t, ns, "robot")
	// The authenticator looks the account up in a cache.
	eventually(t, "the token is good", func(ctx context.Context) error {
		return h.authenticatesAs(ctx, t, token, "system:serviceaccount:"+ns+":robot")
	})
}

func (h runningHub) newToken(t *testing.T, ns, account string) string {
	t.Helper()
	request, err := h.client.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("request a token: %v", err)
	}
	return request.Status.Token
}

func (h runningHub) authenticatesAs(ctx context.Context, t *testing.T, token, user string) error {
	t.Helper()
	config := rest.AnonymousClientConfig(h.Config())
	config.BearerToken = token
	review, err := clientFor(t, config).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err == nil && review.Status.UserInfo.Username != user {
		return fmt.Errorf("it is %q's", review.Status.UserInfo.Username)
	}
	return err
}

func testEvents(t *testing.T, h runningHub) {
	ns := h.newNamespace(t)
	about := h.newConfigMap(t, ns, "about", nil)
	broadcaster := record.NewBroadcaster()
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: h.client.CoreV1().Events("")})
	recorder := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "test"})
	recorder.Event(about, corev1.EventTypeNormal, "Tested", "this is a test")
	eventually(t, "the event is listed by both its APIs", func(ctx context.Context) error {
		old, err := h.client.CoreV1().Events(ns).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=about"})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(old.Items, func(e corev1.Event) bool { return e.Reason == "Tested" }) {
			return fmt.Errorf("events: %v", old.Items)
		}
		events, err := h.client.EventsV1().Events(ns).List(ctx, metav1.ListOptions{})
		if err == nil && len(events.Items) != 1 {
			return fmt.Errorf("events.k8s.io: %v", events.Items)
		}
		return err
	})
}

func testLeases(t *testing.T, h runningHub) {
	leases := h.client.CoordinationV1().Leases(h.newNamespace(t))
	holder := func(name string) coordinationv1.LeaseSpec { return coordinationv1.LeaseSpec{HolderIdentity: &name} }
	lease, err := leases.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "l"}, Spec: holder("a")}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("make lease: %v", err)
	}
	late := lease.DeepCopy()
	lease.Spec = holder("b")
	if _, err := leases.Update(t.Context(), lease, metav1.UpdateOptions{}); err != nil {
		t.Fatalf("take lease over: %v", err)
	}
	late.Spec = holder("c")
	if _, err := leases.Update(t.Context(), late, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("late update of the lease: %v, want Conflict", err)
	}
}
