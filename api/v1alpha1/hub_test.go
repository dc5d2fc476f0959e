package v1alpha1_test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/deploy/chart"
	"refit.dev/refit/internal/hub"
)

func judgeRefusal(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("admitted; want it refused with %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("refused with %q; want %q in it", err, want)
	}
}

// newHub is a client of a real API server with the kinds installed.
func newHub(t *testing.T) client.Client {
	t.Helper()
	return as(t, startHub(t), "", "")
}

// as is a client of somebody of a group; of the superuser where nobody is named.
func as(t *testing.T, config *rest.Config, name, group string) client.Client {
	t.Helper()
	config = rest.CopyConfig(config)
	if name != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: []string{group}}
	}
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// startHub is a real API server with the kinds installed, and how to reach it.
func startHub(t *testing.T) *rest.Config {
	t.Helper()
	h, err := hub.Start(context.Background(), hub.Options{DataDir: t.TempDir(), Version: "v0.0.0-test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
	})
	crds, err := chart.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	if err := hub.InstallCRDs(t.Context(), h.Config(), crds); err != nil {
		t.Fatal(err)
	}
	err = as(t, h.Config(), "", "").Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "refit"}})
	if err != nil {
		t.Fatal(err)
	}
	return h.Config()
}

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
		t.Fatal(err)
	}
	if object.GroupVersionKind().GroupVersion() != v1.GroupVersion {
		t.Fatalf("%s is no kind of ours", object.GroupVersionKind())
	}
	return object
}

func setPath(t *testing.T, object *unstructured.Unstructured, path, text string) {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	if number, ok := value.(float64); ok {
		value = int64(number)
	}
	if err := unstructured.SetNestedField(object.Object, value, strings.Split(path, ".")...); err != nil {
		t.Fatal(err)
	}
}
