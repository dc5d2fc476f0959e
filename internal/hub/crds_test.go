package hub

import (
	"context"
	"errors"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

const testGroup = "test.refit.dev"

// newCRD is a kind with the given integer fields in its spec.
func newCRD(plural, kind string, fields ...string) *apiextensionsv1.CustomResourceDefinition {
	spec := apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{}}
	for _, field := range fields {
		spec.Properties[field] = apiextensionsv1.JSONSchemaProps{Type: "integer"}
	}
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + testGroup},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: testGroup,
			Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: plural, Singular: strings.ToLower(kind), Kind: kind, ListKind: kind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"spec": spec},
				}},
			}},
		},
	}
}

func testInstallCRDs(t *testing.T, h runningHub) {
	ns := h.newNamespace(t)
	client, err := dynamic.NewForConfig(h.Config())
	if err != nil {
		t.Fatal(err)
	}
	widgets := client.Resource(schema.GroupVersionResource{Group: testGroup, Version: "v1", Resource: "widgets"}).Namespace(ns)
	widget := func(name string, spec map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": testGroup + "/v1", "kind": "Widget", "metadata": map[string]any{"name": name}, "spec": spec,
		}}
	}

	install := []*apiextensionsv1.CustomResourceDefinition{newCRD("widgets", "Widget", "size"), newCRD("gadgets", "Gadget")}
	if err := InstallCRDs(t.Context(), h.Config(), install); err != nil {
		t.Fatalf("install: %v", err)
	}
	// No waiting and no retry: what is installed is served.
	if _, err := widgets.Create(t.Context(), widget("a", map[string]any{"size": int64(3)}), metav1.CreateOptions{}); err != nil {
		t.Fatalf("make a widget: %v", err)
	}
	if _, err := widgets.Create(t.Context(), widget("b", map[string]any{"size": "three"}), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("make a widget against its schema: %v, want Invalid", err)
	}
	if err := InstallCRDs(t.Context(), h.Config(), install); err != nil {
		t.Errorf("install once more: %v", err)
	}
	install[0] = newCRD("widgets", "Widget", "size", "weight")
	if err := InstallCRDs(t.Context(), h.Config(), install); err != nil {
		t.Fatalf("install a new field: %v", err)
	}
	eventually(t, "the new field is kept", func(ctx context.Context) error {
		changed, err := widgets.Apply(ctx, "a", widget("a", map[string]any{"weight": int64(7)}), metav1.ApplyOptions{FieldManager: "test"})
		if err != nil {
			return err
		}
		if weight, _, _ := unstructured.NestedInt64(changed.Object, "spec", "weight"); weight != 7 {
			return errors.New("dropped")
		}
		return nil
	})
	got, err := widgets.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if size, _, _ := unstructured.NestedInt64(got.Object, "spec", "size"); size != 3 {
		t.Errorf("size of the widget is %d after the kind's update, want 3", size)
	}
}

func testInstallCRDsRefused(t *testing.T, h runningHub) {
	bad := newCRD("bads", "Bad")
	bad.Spec.Versions[0].Storage = false
	err := InstallCRDs(t.Context(), h.Config(), []*apiextensionsv1.CustomResourceDefinition{newCRD("goods", "Good"), bad})
	if err == nil || !strings.Contains(err.Error(), "install kind bads.test.refit.dev: ") {
		t.Errorf("install a bad kind: %v, want an error that names it", err)
	}
	client, err := apiextensions.NewForConfig(h.Config())
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.ApiextensionsV1().CustomResourceDefinitions().Get(t.Context(), "goods."+testGroup, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the good kind beside it: %v, want NotFound", err)
	}

	// A name that another kind has is no error to the API server: the second kind is there and never served.
	if err := InstallCRDs(t.Context(), h.Config(), []*apiextensionsv1.CustomResourceDefinition{newCRD("firsts", "Same")}); err != nil {
		t.Fatal(err)
	}
	err = InstallCRDs(t.Context(), h.Config(), []*apiextensionsv1.CustomResourceDefinition{newCRD("seconds", "Same")})
	if err == nil || !strings.Contains(err.Error(), "is already in use") {
		t.Errorf("install a kind under a taken name: %v", err)
	}
}
