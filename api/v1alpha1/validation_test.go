package v1alpha1_test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/deploy/chart"
	"refit.dev/refit/internal/hub"
)

// The objects that each case below changes in one place.
const (
	goodMember = `
apiVersion: refit.dev/v1alpha1
kind: MemberCluster
metadata: {name: payments-eu-1, namespace: refit}
spec: {provider: {local: {name: payments-eu-1}}}
`
	goodRelease = `
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: "2026.11"}
spec: {bundle: {kubernetes: v1.37.2, hops: {"1.36": v1.36.3}}}
`
	goodFleet = `
apiVersion: refit.dev/v1alpha1
kind: Fleet
metadata: {name: main, namespace: refit}
spec: {selector: {}, release: "2026.11"}
`
	goodUpgrade = `
apiVersion: refit.dev/v1alpha1
kind: ClusterUpgrade
metadata: {name: payments-eu-1.1, namespace: refit}
spec: {member: payments-eu-1, release: {name: "2026.11", hash: abc}, fleet: main, fleetUID: u1, revision: 1, wave: all}
`
)

// TestAdmission shows what a real API server admits, and what it refuses and
// with which words.
func TestAdmission(t *testing.T) {
	c := newHub(t)
	for _, test := range []struct {
		name, object string
		// set is a path in the object, and the YAML that stands there.
		path, set string
		// want is part of the refusal; empty where the object is admitted.
		want string
	}{
		{"a member", goodMember, "", "", ""},
		{"a member named with 50 characters", goodMember, "metadata.name", strings.Repeat("a", 50), ""},
		{"a member named with 51 characters", goodMember, "metadata.name", strings.Repeat("a", 51), "at most 50 characters"},
		{"a member named with a dot", goodMember, "metadata.name", "a.b", "lower-case letters, digits and hyphens"},
		{"a member without a provider", goodMember, "spec.provider", "{}", "name exactly one provider: local"},
		{"a member of a nameless local cluster", goodMember, "spec.provider.local.name", `""`, "should be at least 1 chars long"},
		{"a member of a local cluster with a long name", goodMember, "spec.provider.local.name", strings.Repeat("a", 51), "may not be more than 50"},

		{"a release", goodRelease, "", "", ""},
		{"a release of a vendor's version", goodRelease, "spec.bundle.kubernetes", "v1.37.2-gke.1200", ""},
		{"a release of a minor", goodRelease, "spec.bundle.kubernetes", "v1.37", "kubernetes is a full version, as in v1.37.2"},
		{"a release without v", goodRelease, "spec.bundle.kubernetes", "1.37.2", "kubernetes is a full version, as in v1.37.2"},
		{"a release of a release candidate", goodRelease, "spec.bundle.kubernetes", "v1.37.0-rc.1", "alpha, beta and rc are not kept compatible"},
		{"a release without kubernetes", goodRelease, "spec.bundle", "{}", "kubernetes: Required value"},
		{"a hop of another minor", goodRelease, "spec.bundle.hops", `{"1.36": v1.35.4}`, "hops maps a minor to a version of that minor"},
		{"a hop that is a minor", goodRelease, "spec.bundle.hops", `{"1.36": "v1.36."}`, "a hop is a full version, as in v1.36.3"},

		{"a fleet", goodFleet, "", "", ""},
		{"a fleet without a selector", goodFleet, "spec", `{release: x}`, "spec.selector: Required value"},
		{"a fleet without a release", goodFleet, "spec.release", `""`, "spec.release"},
		{"two waves", goodFleet, "spec.waves", `[{name: a}, {name: b}]`, "must have at most 1 item"},
		{"no wave", goodFleet, "spec.waves", `[]`, "should have at least 1 items"},
		{"a nameless wave", goodFleet, "spec.waves", `[{name: ""}]`, "should be at least 1 chars long"},
		{"half of a wave at once", goodFleet, "spec.waves", `[{name: a, maxConcurrent: 50%}]`, ""},
		{"none of a wave at once", goodFleet, "spec.waves", `[{name: a, maxConcurrent: 0}]`, "maxConcurrent is a number of at least 1, or a percentage from 1% to 100%"},
		{"0% of a wave at once", goodFleet, "spec.waves", `[{name: a, maxConcurrent: 0%}]`, "maxConcurrent is a number of at least 1, or a percentage from 1% to 100%"},
		{"101% of a wave at once", goodFleet, "spec.waves", `[{name: a, maxConcurrent: 101%}]`, "maxConcurrent is a number of at least 1, or a percentage from 1% to 100%"},
		{"a day of settling", goodFleet, "spec.settle", "24h", ""},
		{"more than a day of settling", goodFleet, "spec.settle", "25h", "settle is between 0s and 24h"},
		{"settling backwards", goodFleet, "spec.settle", "-1s", "settle is between 0s and 24h"},
		{"a week of baking", goodFleet, "spec.bake", "168h", ""},
		{"more than a week of baking", goodFleet, "spec.bake", "169h", "bake is between 0s and 168h"},
		{"no surge, one unavailable", goodFleet, "spec.nodes", "{maxSurge: 0, maxUnavailable: 1}", ""},
		{"no surge, none unavailable", goodFleet, "spec.nodes", "{maxSurge: 0}", "no node could ever be replaced"},
		{"0% of surge, 0% unavailable", goodFleet, "spec.nodes", "{maxSurge: 0%, maxUnavailable: 0%}", "no node could ever be replaced"},
		{"a negative surge", goodFleet, "spec.nodes", "{maxSurge: -1}", "maxSurge is a number of at least 0"},
		{"a surge in words", goodFleet, "spec.nodes", "{maxSurge: some}", "maxSurge is a number of at least 0"},
		{"a negative unavailability", goodFleet, "spec.nodes", "{maxUnavailable: -1}", "maxUnavailable is a number of at least 0"},

		{"an upgrade", goodUpgrade, "", "", ""},
		{"an upgrade of another member's name", goodUpgrade, "metadata.name", "payments-eu-2.1", "an upgrade is named <member>.<n>"},
		{"an upgrade without a number", goodUpgrade, "metadata.name", "payments-eu-1", "an upgrade is named <member>.<n>"},
		{"upgrade number 0", goodUpgrade, "metadata.name", "payments-eu-1.0", "an upgrade is named <member>.<n>"},
		{"an upgrade of revision 0", goodUpgrade, "spec.revision", "0", "greater than or equal to 1"},
		{"an upgrade without a release's hash", goodUpgrade, "spec.release", "{name: x}", "hash: Required value"},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := parse(t, test.object)
			if test.path != "" {
				setPath(t, object, test.path, test.set)
			}
			err := c.Create(t.Context(), object, client.DryRunAll)
			judgeRefusal(t, err, test.want)
		})
	}
}

// TestImmutability shows what cannot be changed once it was created.
func TestImmutability(t *testing.T) {
	c := newHub(t)
	for _, test := range []struct {
		name, object, path, set, want string
	}{
		{"a member's provider", goodMember, "spec.provider.local.name", "other", "a member's provider cannot change"},
		{"a release's bundle", goodRelease, "spec.bundle.kubernetes", "v1.37.3", "a release's bundle never changes"},
		{"an upgrade's release", goodUpgrade, "spec.release.hash", "other", "an upgrade's spec never changes"},
		{"a fleet's release", goodFleet, "spec.release", `"2026.12"`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := parse(t, test.object)
			if err := c.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
			setPath(t, object, test.path, test.set)
			judgeRefusal(t, c.Update(t.Context(), object), test.want)
		})
	}
}

// TestDefaults shows what a fleet is that says no more than it must.
func TestDefaults(t *testing.T) {
	c := newHub(t)
	object := parse(t, goodFleet)
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	spec, err := yaml.Marshal(object.Object["spec"])
	if err != nil {
		t.Fatal(err)
	}
	want := `bake: 10m
nodes:
  maxSurge: 10%
  maxUnavailable: 0
release: "2026.11"
selector: {}
settle: 1m
waves:
- maxConcurrent: 1
  name: all
`
	if string(spec) != want {
		t.Errorf("spec with defaults:\n%s\nwant:\n%s", spec, want)
	}
}

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

// newHub is a real API server with the kinds installed.
func newHub(t *testing.T) client.Client {
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
	c, err := client.New(h.Config(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "refit"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
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
