package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "refit.dev/refit/api/v1alpha1"
)

// A grant is what a person is to be given.
type grant struct {
	name, role, reason string
	out                string // where their kubeconfig is to go
	group              string
	until              time.Time
}

// rights are the ClusterRoles of a role: one is bound in Refit's namespace, the
// other everywhere, for a Release is in no namespace.
type rights struct{ role, inNamespace, ofCluster string }

// allRights are the roles, least first, as deploy/chart/roles has them.
func allRights() []rights {
	return []rights{
		{"viewer", "refit-viewer", "refit-viewer-cluster"},
		{"operator", "refit-operator", "refit-viewer-cluster"},
		{"admin", "refit-admin", "refit-admin-cluster"},
	}
}

func roleNames() []string {
	var names []string
	for _, r := range allRights() {
		names = append(names, r.role)
	}
	return names
}

// rightsOf a role that is known to be one.
func rightsOf(role string) rights {
	all := allRights()
	return all[slices.IndexFunc(all, func(r rights) bool { return r.role == role })]
}

// newGroup is a group that one certificate alone has. Rights are bound to it, not
// to the person's name: a certificate that was taken back stays without rights,
// also when the same person gets another one.
func newGroup(role string) string { return "refit:" + role + ":" + rand.Text() }

// userPrefix begins the names of all bindings of people.
const userPrefix = "refit:user:"

func bindingName(name string) string { return userPrefix + name }

// clusterBindingName has the namespace too: one hub may hold Refit's objects in
// several, with people of their own.
func clusterBindingName(namespace, name string) string { return userPrefix + namespace + ":" + name }

// bindings are the objects that a grant is.
func (h *hub) bindings(g grant) (*rbacv1.RoleBinding, *rbacv1.ClusterRoleBinding) {
	r := rightsOf(g.role)
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: g.group}}
	annotations := map[string]string{v1.ReasonAnnotation: g.reason, v1.ExpiresAnnotation: g.until.Format(time.RFC3339)}
	ref := func(name string) rbacv1.RoleRef {
		return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
	}
	kind := func(name string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: name}
	}
	inNamespace := &rbacv1.RoleBinding{
		TypeMeta:   kind("RoleBinding"),
		ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: bindingName(g.name), Annotations: annotations},
		Subjects:   subjects, RoleRef: ref(r.inNamespace),
	}
	ofCluster := &rbacv1.ClusterRoleBinding{
		TypeMeta:   kind("ClusterRoleBinding"),
		ObjectMeta: metav1.ObjectMeta{Name: clusterBindingName(h.namespace, g.name), Annotations: annotations},
		Subjects:   subjects, RoleRef: ref(r.ofCluster),
	}
	return inNamespace, ofCluster
}

// bind creates the bindings, both or none, and returns them as people write them.
func (h *hub) bind(ctx context.Context, g grant) ([]byte, error) {
	inNamespace, ofCluster := h.bindings(g)
	var texts [][]byte
	for _, object := range []client.Object{inNamespace, ofCluster} {
		text, err := yaml.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("write the bindings of %s: %w", g.name, err)
		}
		texts = append(texts, text)
	}
	var made []client.Object
	for _, object := range []client.Object{inNamespace, ofCluster} {
		err := h.client.Create(ctx, object)
		if err == nil {
			made = append(made, object)
			continue
		}
		if apierrors.IsAlreadyExists(err) {
			err = fmt.Errorf("user %s is there already; take from their kubeconfig what it may do, then add them again: refit user remove %s", g.name, g.name)
		} else {
			made = append(made, object) // perhaps: only the answer may have been lost
			err = fmt.Errorf("bind the role of %s: %w; is the hub running? see \"refit up\"", g.name, err)
		}
		return nil, errors.Join(err, h.takeBack(ctx, made))
	}
	return bytes.Join(texts, []byte("---\n")), nil
}

// takeBack deletes what was created, also where whoever asked for it is gone.
func (h *hub) takeBack(ctx context.Context, made []client.Object) error {
	var left []error
	for _, object := range made {
		if err := h.client.Delete(context.WithoutCancel(ctx), object); client.IgnoreNotFound(err) != nil {
			left = append(left, fmt.Errorf("take back %s: %w", object.GetName(), err))
		}
	}
	return errors.Join(left...)
}

// A user is somebody who was given a role.
type user struct {
	name, role      string
	since           time.Time
	expires, reason string // empty where they are not known
}

// users are read from the bindings in the namespace, those that people wrote by
// hand too.
func (h *hub) users(ctx context.Context) ([]user, error) {
	var all rbacv1.RoleBindingList
	if err := h.client.List(ctx, &all, client.InNamespace(h.namespace)); err != nil {
		return nil, fmt.Errorf("list the bindings of users: %w; is the hub running? see \"refit up\"", err)
	}
	var users []user
	for i := range all.Items {
		b := &all.Items[i]
		if name, ok := strings.CutPrefix(b.Name, userPrefix); ok {
			users = append(users, user{
				name: name, role: roleOf(b.RoleRef.Name), since: b.CreationTimestamp.Time,
				expires: b.Annotations[v1.ExpiresAnnotation], reason: b.Annotations[v1.ReasonAnnotation],
			})
		}
	}
	return users, nil
}

// roleOf a ClusterRole; its own name where it is none of ours.
func roleOf(clusterRole string) string {
	for _, r := range allRights() {
		if r.inNamespace == clusterRole {
			return r.role
		}
	}
	return clusterRole
}

// unbind deletes the bindings of a person, also where only one of them is left, and
// tells when their certificate expires.
func (h *hub) unbind(ctx context.Context, name string) (string, error) {
	inNamespace := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: bindingName(name)}}
	ofCluster := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: clusterBindingName(h.namespace, name)}}
	found, expires := false, "it expires"
	for _, object := range []client.Object{inNamespace, ofCluster} {
		err := h.client.Get(ctx, client.ObjectKeyFromObject(object), object)
		if client.IgnoreNotFound(err) != nil {
			return "", fmt.Errorf("read the bindings of %s: %w; is the hub running? see \"refit up\"", name, err)
		}
		if err != nil {
			continue
		}
		found = true
		if at := object.GetAnnotations()[v1.ExpiresAnnotation]; at != "" {
			expires = at
		}
		if err := client.IgnoreNotFound(h.client.Delete(ctx, object)); err != nil {
			return "", fmt.Errorf("delete the binding of %s: %w", name, err)
		}
	}
	if !found {
		return "", h.noUser(ctx, name)
	}
	return expires, nil
}

func (h *hub) noUser(ctx context.Context, name string) error {
	all, err := h.users(ctx)
	if err != nil {
		return err
	}
	names := []string{"none"}
	if len(all) > 0 {
		names = nil
	}
	for _, u := range all {
		names = append(names, u.name)
	}
	return fmt.Errorf("no user %q; there are: %s", name, strings.Join(names, ", "))
}
