package v1alpha1_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	v1 "refit.dev/refit/api/v1alpha1"
)

// TestPrinterColumns shows what kubectl get prints of each kind. Every field of
// a status has a value of its own, so that a column of the wrong one is seen.
func TestPrinterColumns(t *testing.T) {
	config := startHub(t)
	c := as(t, config, "", "")
	for _, test := range []struct {
		name, object, status, path string
		header                     []string
		cells                      []any
	}{
		{
			"a member", goodMember, fmt.Sprintf(`
observedGeneration: 7
uid: u-1
controlPlane: {version: v1.36.4, newest: v1.37.2}
nodes: {total: 5, ready: 4, oldest: v1.35.9}
pools: [{name: a, version: v1.35.8, nodes: 3}]
observedAt: %q
conditions: [%s, %s]
`, time.Now().Add(-10*24*time.Hour-time.Hour).UTC().Format(time.RFC3339),
				condition("Stalled", "Unknown", "Other", "not this"), condition("Ready", "False", "Unhealthy", "node a-2 is not Ready")),
			"namespaces/refit/memberclusters/payments-eu-1",
			[]string{"Name", "Version", "Nodes", "Ready", "Why", "Observed"},
			[]any{"payments-eu-1", "v1.36.4", "v1.35.9", "False", "node a-2 is not Ready", "10d"},
		},
		{
			"a release", goodRelease, "hash: 3ecd23a959c2", "releases/2026.11",
			[]string{"Name", "Kubernetes", "Hash", "Age"},
			[]any{"2026.11", "v1.37.2", "3ecd23a959c2", "seconds"},
		},
		{
			"a fleet", goodFleet, fmt.Sprintf(`
observedGeneration: 7
revision: 8
release: {name: other, hash: abc}
members: {total: 21, done: 11, running: 5, waiting: 3, failed: 2}
waves: [{name: all, total: 22, done: 12, running: 6, waiting: 4, failed: 1}]
conditions: [%s, %s]
`, condition("Stalled", "Unknown", "Other", "not this"), condition("Ready", "False", "Halted", "2 failed, 0 tolerated")),
			"namespaces/refit/fleets/main",
			[]string{"Name", "Release", "Members", "Done", "Running", "Failed", "Ready", "Why"},
			[]any{"main", "2026.11", int64(21), int64(11), int64(5), int64(2), "False", "2 failed, 0 tolerated"},
		},
		{
			"an upgrade", goodUpgrade, fmt.Sprintf(`
observedGeneration: 7
from: v1.35.4
to: v1.37.2
hop: v1.36.3
step: ControlPlane
why: {code: Settling, message: seen healthy, object: member x, fix: wait, since: "2026-11-03T22:00:00Z"}
refused: {code: ProviderFault, message: refused, object: member y, fix: ask, since: "2026-11-03T22:00:00Z"}
steps: [{hop: v1.36.4, name: Bake}]
conditions: [%s, %s]
`, condition("Ready", "Unknown", "Other", "not this"), condition("Ended", "True", "Superseded", "the fleet moved on")),
			"namespaces/refit/clusterupgrades/payments-eu-1.1",
			[]string{"Name", "Member", "From", "To", "Hop", "Step", "Why", "Ended", "Age"},
			[]any{"payments-eu-1.1", "payments-eu-1", "v1.35.4", "v1.37.2", "v1.36.3", "ControlPlane", "seen healthy", "Superseded", "seconds"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := parse(t, test.object)
			if err := c.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
			setPath(t, object, "status", test.status)
			if err := c.Status().Update(t.Context(), object); err != nil {
				t.Fatal(err)
			}
			header, cells := printed(t, config, test.path)
			if diff := cmp.Diff(test.header, header); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.cells, cells); diff != "" {
				t.Errorf("cells (-want +got):\n%s", diff)
			}
		})
	}
}

func condition(kind, status, reason, message string) string {
	return fmt.Sprintf(`{type: %s, status: %q, reason: %s, message: %q, lastTransitionTime: "2026-11-03T22:00:00Z"}`, kind, status, reason, message)
}

var secondsOld = regexp.MustCompile(`^[0-9]+s$`)

// printed is the one row of the table that the API server makes for kubectl.
// How many seconds old something is, is "seconds".
func printed(t *testing.T, config *rest.Config, path string) (header []string, cells []any) {
	t.Helper()
	config = rest.CopyConfig(config)
	config.GroupVersion, config.APIPath = &v1.GroupVersion, "/apis"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	c, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	err = c.Get().AbsPath("/apis", v1.GroupVersion.String(), path).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").
		Do(t.Context()).Into(&table)
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Rows) != 1 {
		t.Fatalf("%d rows, want one", len(table.Rows))
	}
	for _, column := range table.ColumnDefinitions {
		header = append(header, column.Name)
	}
	for _, cell := range table.Rows[0].Cells {
		if text, ok := cell.(string); ok && secondsOld.MatchString(text) {
			cell = "seconds"
		}
		cells = append(cells, cell)
	}
	return header, cells
}
