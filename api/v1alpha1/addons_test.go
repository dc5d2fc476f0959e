package v1alpha1_test

import (
	"encoding/json"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "refit.dev/refit/api/v1alpha1"
)

// wholeAddOn has every field.
const wholeAddOn = `[{
  name: dns, when: AfterNodes, versions: {"1.36": v1.11.3-rc.1, "1.37": 1.12.0+build.7}, healthyWithin: 5m,
  helm: {repository: "oci://registry.example/charts", chart: coredns, namespace: kube-system, release: coredns, values: {a: {b: [1, x]}}}
}]`

// addOns are good ones, each with some fields set.
func addOns(changes ...string) string {
	var all []map[string]any
	for _, change := range changes {
		helm := map[string]any{"repository": "https://charts.example", "namespace": "kube-system"}
		one := map[string]any{"name": "dns", "versions": map[string]string{"1.37": "1.12.0"}, "helm": helm}
		set := map[string]any{}
		if err := yaml.Unmarshal([]byte("{"+change+"}"), &set); err != nil {
			panic(err)
		}
		for name, value := range set {
			if slices.Contains([]string{"repository", "namespace", "release", "values"}, name) {
				helm[name] = value
			} else {
				one[name] = value
			}
		}
		all = append(all, one)
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// admitAddOns asks the API server about the add-ons of a release.
func admitAddOns(t *testing.T, c client.Client) {
	for _, test := range []struct{ name, set, want string }{
		{"an add-on", addOns(""), ""},
		{"an add-on with everything", wholeAddOn, ""},
		{"two add-ons of a name", addOns("", ""), "Duplicate value"},
		{"an add-on without versions", addOns("versions: {}"), "should have at least 1 properties"},
		{"an add-on of a range", addOns(`versions: {"1.37": ^1.12}`), "a chart's version is exact, as in 1.12.0"},
		{"an add-on for a patch", addOns(`versions: {"1.37.2": 1.12.0}`), "versions maps a minor of Kubernetes to a version of the chart"},
		{"an add-on in no place", addOns("when: Later"), "spec.bundle.addOns[0].when: Unsupported value"},
		{"an add-on that is healthy at once", addOns("healthyWithin: 0s"), "healthyWithin is between 1s and 24h"},
		{"an add-on from a folder", addOns("repository: /charts"), "spec.bundle.addOns[0].helm.repository in body should match"},
		{"an add-on with a password", addOns("repository: 'https://me:pw@charts.example'"), "spec.bundle.addOns[0].helm.repository in body should match"},
		{"an add-on of a word as values", addOns("values: many"), "spec.bundle.addOns[0].helm.values"},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := parse(t, goodRelease)
			setPath(t, object, "spec.bundle.addOns", test.set)
			judgeRefusal(t, c.Create(t.Context(), object, client.DryRunAll), test.want)
		})
	}
}

// TestHashOfValues: the order of keys and spaces say nothing, what they hold does.
func TestHashOfValues(t *testing.T) {
	hash := func(values string) string {
		bundle := v1.Bundle{Kubernetes: "v1.37.2", AddOns: []v1.AddOn{{Name: "dns"}}}
		if values != "" {
			bundle.AddOns[0].Helm.Values = &runtime.RawExtension{Raw: []byte(values)}
		}
		return bundle.Hash()
	}
	same := hash(`{"a":1,"b":{"c":[1,2],"d":"x"}}`)
	if got := hash(`{ "b": {"d":"x", "c":[1, 2]}, "a": 1 }`); got != same {
		t.Errorf("hash = %s, want %s", got, same)
	}
	for _, other := range []string{"", "{}", `{"a":1,"b":{"c":[2,1],"d":"x"}}`, `{"a":"1","b":{"c":[1,2],"d":"x"}}`} {
		if hash(other) == same {
			t.Errorf("values %q have the hash of others", other)
		}
	}
	if plain := (v1.Bundle{Kubernetes: "v1.37.2"}).Hash(); plain == hash("") {
		t.Errorf("a bundle with an add-on has the hash of one without, %s", plain)
	}
}
