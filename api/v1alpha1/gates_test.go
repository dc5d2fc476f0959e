package v1alpha1_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// gates is a wave with a gate that asks an URL, with more said of its query and of
// itself.
func gates(url, query, more string) string {
	return `[{name: a, gates: [{name: errors, ` + more + ` prometheus: {url: "` + url + `", query: up, ` + query + `}}]}]`
}

// admitGates asks the API server about the gates of a fleet.
func admitGates(t *testing.T, c client.Client) {
	const url = "http://prometheus.monitoring:9090"
	const noURL = "url is http:// or https://, a host, and perhaps a path: without user, query and fragment"
	long := strings.Repeat("q", 400)
	full := "[" + strings.Join(counted(`{name: w%d, gates: [{name: a, prometheus: {url: "http://p/`+long[:100]+`", query: `+long+
		`, min: "-1.5", max: "123456789012345678901.25"}}, {name: b, prometheus: {url: "http://p", query: up, max: "0"}}]}`, 8), ", ") + "]"
	for _, test := range []struct{ name, set, want string }{
		{"a gate", gates(url, `min: "1"`, ""), ""},
		{"a gate with everything", gates("https://thanos.example/a/b", `min: "-0.5", max: "99.9"`, "interval: 1s, failures: 100,"), ""},
		{"as many as there may be", full, ""},
		{"three gates of a wave", `[{name: a, gates: [{name: a, prometheus: {url: "http://p", query: up, max: "0"}}, {name: b, prometheus: {url: "http://p", query: up, max: "0"}}, {name: c, prometheus: {url: "http://p", query: up, max: "0"}}]}]`, "must have at most 2 items"},
		{"two of a name", `[{name: a, gates: [{name: a, prometheus: {url: "http://p", query: up, max: "0"}}, {name: a, prometheus: {url: "http://p", query: up, max: "0"}}]}]`, "Duplicate value"},
		{"a gate named in words", strings.Replace(gates(url, `min: "1"`, ""), "errors", "No errors", 1), "spec.waves[0].gates[0].name in body should match"},
		{"a gate that asks nobody", `[{name: a, gates: [{name: errors}]}]`, "spec.waves[0].gates[0].prometheus: Required value"},
		{"a gate that asks nothing", strings.Replace(gates(url, `min: "1"`, ""), "query: up", `query: ""`, 1), "prometheus.query in body should be at least 1 chars long"},
		{"anything is good", gates(url, "", ""), "say what is good: min, max, or both"},
		{"nothing is good", gates(url, `min: "2", max: "1"`, ""), "min is at most max"},
		{"one number is good", gates(url, `min: "2", max: "2.0"`, ""), ""},
		{"a least in words", gates(url, `min: some`, ""), `min is a decimal number, as in "0.99"`},
		{"a most of nothing", gates(url, `max: .5`, ""), "spec.waves[0].gates[0].prometheus.max"},
		{"a most in percent", gates(url, `max: 5%`, ""), `max is a decimal number, as in "0.01"`},
		{"a host without a scheme", gates("prometheus:9090", `min: "1"`, ""), noURL},
		{"another scheme", gates("file:///etc/passwd", `min: "1"`, ""), noURL},
		{"a user", gates("http://me:pw@prometheus", `min: "1"`, ""), noURL},
		{"a query in the URL", gates("http://prometheus/?a=b", `min: "1"`, ""), noURL},
		{"a fragment", gates("http://prometheus/#a", `min: "1"`, ""), noURL},
		{"a port in words", gates("http://prometheus:web", `min: "1"`, ""), noURL},
		{"asked all the time", gates(url, `min: "1"`, "interval: 999ms,"), "interval is between 1s and 1h"},
		{"asked once a day", gates(url, `min: "1"`, "interval: 24h,"), "interval is between 1s and 1h"},
		{"no failure at all", gates(url, `min: "1"`, "failures: 0,"), "failures in body should be greater than or equal to 1"},
		{"101 failures", gates(url, `min: "1"`, "failures: 101,"), "failures in body should be less than or equal to 100"},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := parse(t, goodFleet)
			setPath(t, object, "spec.waves", test.set)
			judgeRefusal(t, c.Create(t.Context(), object, client.DryRunAll), test.want)
		})
	}
}
