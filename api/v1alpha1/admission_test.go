package v1alpha1_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/deploy/chart"
	"refit.dev/refit/internal/hub"
)

// admitVersions asks the API server about the texts that package fleet is asked
// about: what it admits must be read there, and what is a pre-release to one is
// one to the other.
func admitVersions(t *testing.T, c client.Client) {
	for text, want := range admittedVersions(t) {
		// A hop's key is the minor of its value, so that the version alone decides.
		numbers := strings.SplitN(strings.TrimPrefix(text, "v"), ".", 3)
		minor := strings.Join(numbers[:min(2, len(numbers))], ".")
		for field, bundle := range map[string]map[string]any{
			"kubernetes": {"kubernetes": text},
			"a hop":      {"kubernetes": "v1.99.0", "hops": map[string]any{minor: text}},
		} {
			t.Run(fmt.Sprintf("%s %q", field, text), func(t *testing.T) {
				object := parse(t, goodRelease)
				if err := unstructured.SetNestedMap(object.Object, bundle, "spec", "bundle"); err != nil {
					t.Fatal(err)
				}
				words, known := map[string]string{
					"admitted":    "",
					"malformed":   field + " is a full version, as in v1.3",
					"pre-release": field + " is a released version: alpha, beta and rc are not kept compatible",
				}[want]
				if !known {
					t.Fatalf("nobody answers %q", want)
				}
				judgeRefusal(t, c.Create(t.Context(), object, client.DryRunAll), words)
			})
		}
	}
}

// admittedVersions are the texts of testdata/versions.txt, and the API server's
// word on each.
func admittedVersions(t *testing.T) map[string]string {
	t.Helper()
	file, err := os.Open("testdata/versions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	versions := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		text, _ := strconv.Unquote(quoted) // quoted, as was just seen
		answers := strings.Fields(line[len(quoted):])
		if len(answers) != 2 {
			t.Fatalf("%s: want two answers", line)
		}
		versions[text] = answers[0]
	}
	if err := lines.Err(); err != nil || len(versions) == 0 {
		t.Fatalf("%d versions read, %v", len(versions), err)
	}
	return versions
}

// keepSelectors: the schema that selector_schema.go describes keeps everything
// that programs read of a selector.
func keepSelectors(t *testing.T, c client.Client) {
	want := v1.Selector{
		MatchLabels: map[string]string{"env": "prod"},
		MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "tier", Operator: metav1.LabelSelectorOpIn, Values: []string{"a", "b"}},
			{Key: "owner", Operator: metav1.LabelSelectorOpExists},
		},
	}
	selector, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&want)
	if err != nil {
		t.Fatal(err)
	}
	object := parse(t, goodFleet)
	if err := unstructured.SetNestedMap(object.Object, selector, "spec", "selector"); err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), object, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	var fleet v1.Fleet
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &fleet); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, fleet.Spec.Selector); diff != "" {
		t.Errorf("selector as stored (-want +got):\n%s", diff)
	}
}

// writeOlderFleet: a fleet whose selector was admitted before there were rules on
// it can still be given a status. That is where people see that it selects
// nobody, and a status that is refused would hold up the loop for all fleets.
func writeOlderFleet(t *testing.T, c client.Client, config *rest.Config) {
	older := parse(t, goodFleet)
	setPath(t, older, "spec.selector", "{matchExpressions: [{key: env, operator: Eq, values: [prod]}]}")
	younger := older.DeepCopy()
	younger.SetName("younger")
	isAdmitted := func(ctx context.Context) (bool, error) {
		return c.Create(ctx, younger.DeepCopy(), client.DryRunAll) == nil, nil
	}
	isRefused := func(ctx context.Context) (bool, error) {
		return apierrors.IsInvalid(c.Create(ctx, younger.DeepCopy(), client.DryRunAll)), nil
	}

	crds, err := chart.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	for _, crd := range crds {
		if crd.Spec.Names.Kind == "Fleet" {
			spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
			spec.Properties["selector"] = apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}
		}
	}
	install(t, config, crds, isAdmitted)
	if err := c.Create(t.Context(), older); err != nil {
		t.Fatal(err)
	}
	if crds, err = chart.CRDs(); err != nil {
		t.Fatal(err)
	}
	install(t, config, crds, isRefused)

	setPath(t, older, "status", "{revision: 1}")
	if err := c.Status().Update(t.Context(), older); err != nil {
		t.Errorf("status of the older fleet: %v", err)
	}
	if err := c.Delete(t.Context(), older); err != nil {
		t.Fatal(err)
	}
}

// install changes the kinds, and waits until the change is in force.
func install(t *testing.T, config *rest.Config, crds []*apiextensionsv1.CustomResourceDefinition, inForce wait.ConditionWithContextFunc) {
	t.Helper()
	if err := hub.InstallCRDs(t.Context(), config, crds); err != nil {
		t.Fatal(err)
	}
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, inForce); err != nil {
		t.Fatalf("the changed kinds are not in force: %v", err)
	}
}
