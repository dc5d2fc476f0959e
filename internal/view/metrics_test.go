package view_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/view"
)

// numbers are the metrics of a hub, as text.
func numbers(t *testing.T, hub observe.Hub) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(view.NewMetrics(func(context.Context) (view.Status, error) { return view.Of(hub, now), nil }))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

// TestMetrics: the picture as numbers.
func TestMetrics(t *testing.T) {
	golden(t, "metrics.busy.txt", numbers(t, busy()))
	golden(t, "metrics.halted.txt", numbers(t, halted()))
}

// TestMetricsUnread: who asks while the hub cannot be read is told so.
func TestMetricsUnread(t *testing.T) {
	m := view.NewMetrics(func(context.Context) (view.Status, error) { return view.Status{}, errors.New("the hub is away") })
	if _, err := testutil.CollectAndLint(m); err == nil || !strings.Contains(err.Error(), "the hub is away") {
		t.Errorf("error %v", err)
	}
}

// TestMetricsAreDocumented, with their labels, and none is that is not there.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(refit_fleet_[a-z_]+|refit_member_[a-z_]+)` \\| [^|]* \\| ([^|]*) \\|").FindAllStringSubmatch(string(page), -1) {
		rows[row[1]] = strings.NewReplacer("`", "", ",", "").Replace(row[2])
	}
	seen := map[string]string{}
	described := make(chan *prometheus.Desc, 16)
	view.NewMetrics(nil).Describe(described)
	close(described)
	for desc := range described {
		parts := regexp.MustCompile(`fqName: "([^"]*)".*variableLabels: \{([^}]*)\}`).FindStringSubmatch(desc.String())
		seen[parts[1]] = strings.ReplaceAll(parts[2], ",", " ")
	}
	if diff := cmp.Diff(seen, rows); diff != "" {
		t.Errorf("docs/metrics.md (-is +says):\n%s", diff)
	}
}
