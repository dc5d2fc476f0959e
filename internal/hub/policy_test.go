package hub

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// onConfigMaps limits a policy to one namespace's config maps, so that parallel tests do not meet.
func onConfigMaps(ns string) *admissionregistrationv1.MatchResources {
	return &admissionregistrationv1.MatchResources{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: ns}},
		ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
		}}},
	}
}

func testMutatingPolicy(t *testing.T, h runningHub) {
	ns := h.newNamespace(t)
	h.bind(t, ns, "bob", "ClusterRole", "cluster-admin")
	policies := h.client.AdmissionregistrationV1()
	policy := &admissionregistrationv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "stamp"},
		Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
			MatchConstraints:   onConfigMaps(ns),
			ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
			Mutations: []admissionregistrationv1.Mutation{{
				PatchType: admissionregistrationv1.PatchTypeApplyConfiguration,
				ApplyConfiguration: &admissionregistrationv1.ApplyConfiguration{
					Expression: `Object{metadata: Object.metadata{annotations: {"refit.dev/by": request.userInfo.username}}}`,
				},
			}},
		},
	}
	if _, err := policies.MutatingAdmissionPolicies().Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
		t.Fatalf("make policy: %v", err)
	}
	binding := &admissionregistrationv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "stamp"},
		Spec:       admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{PolicyName: "stamp"},
	}
	if _, err := policies.MutatingAdmissionPolicyBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatalf("bind policy: %v", err)
	}
	bob := h.as(t, "bob").CoreV1().ConfigMaps(ns)
	eventually(t, "bob's name is on what he makes, whatever he claims", func(ctx context.Context) error {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			GenerateName: "by-bob-", Annotations: map[string]string{"refit.dev/by": "somebody else"},
		}}
		made, err := bob.Create(ctx, object, metav1.CreateOptions{})
		if err == nil && made.Annotations["refit.dev/by"] != "bob" {
			return fmt.Errorf("annotations %q", made.Annotations)
		}
		return err
	})
}

func testValidatingPolicy(t *testing.T, h runningHub) {
	ns := h.newNamespace(t)
	policies := h.client.AdmissionregistrationV1()
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "small"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: onConfigMaps(ns),
			Validations:      []admissionregistrationv1.Validation{{Expression: "!has(object.data) || size(object.data) < 2", Message: "one key at most"}},
		},
	}
	if _, err := policies.ValidatingAdmissionPolicies().Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
		t.Fatalf("make policy: %v", err)
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "small"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: "small", ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	}
	if _, err := policies.ValidatingAdmissionPolicyBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatalf("bind policy: %v", err)
	}
	eventually(t, "a big config map is refused", func(ctx context.Context) error {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "big-"}, Data: map[string]string{"a": "1", "b": "2"}}
		_, err := h.client.CoreV1().ConfigMaps(ns).Create(ctx, object, metav1.CreateOptions{})
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "one key at most") {
			return fmt.Errorf("it is not: %w", err)
		}
		return nil
	})
}

func writeAuditPolicy(t *testing.T) Audit {
	t.Helper()
	dir := t.TempDir()
	audit := Audit{Policy: filepath.Join(dir, "policy.yaml"), Log: filepath.Join(dir, "audit.log")}
	const policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata, verbs: [create]}]\n"
	if err := os.WriteFile(audit.Policy, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	return audit
}

// testAudit looks for what the other tests have done. The log is written before a request is answered.
func testAudit(t *testing.T, audit Audit) {
	t.Helper()
	data, err := os.ReadFile(audit.Log)
	if err != nil {
		t.Fatalf("read audit log: %v", err)
	}
	for _, want := range []string{`"username":"` + ControllerUser + `"`, `"impersonatedUser":{"username":"bob"`, `"resource":"secrets"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("audit log has no %s", want)
		}
	}
}
