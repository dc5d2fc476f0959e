package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/witness"
)

// An observer has watched a cluster, and tells what it saw.
type observer interface{ Stop() witness.Report }

// summarize prints what happened to each cluster, and fails when any of it fell
// short. Versions, nodes and availability are what the clusters themselves and
// the witnesses say; only times and evictions are Refit's own account.
func (d *Demo) summarize(ctx context.Context, c client.Client, witnesses map[string]observer) error {
	hub, err := observe.ReadHub(ctx, c, d.Namespace)
	if err != nil {
		return err
	}
	var short []error
	table := tabwriter.NewWriter(d.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "\nCLUSTER\tFROM → TO\tTIME\tNODES ROTATED\tEVICTIONS\tREFUSED\tLOWEST AVAILABILITY") // to a tabwriter
	for _, name := range slices.Sorted(maps.Keys(witnesses)) {
		report := witnesses[name].Stop()
		served, err := d.served(ctx, name)
		short = append(short, err, d.judge(name, served, report))
		up := newestOf(hub, name)
		_, _ = fmt.Fprintf(table, "%s\t%s → %s\t%s\t%d of %d\t%d\t%d\t%s\n", // to a tabwriter
			name, up.Status.From, served, took(up), len(report.Removed), d.Nodes,
			up.Status.Evictions.Accepted, up.Status.Evictions.Refused, lowest(report))
	}
	_ = table.Flush() // to the terminal
	begun := map[string]time.Time{}
	for name := range witnesses {
		if begun[name], err = d.begun(name); err != nil {
			short = append(short, err)
		}
	}
	return errors.Join(append(short, canaryFirst(begun))...)
}

// begun is when a cluster's new API server was first started, by the journal that
// its supervisor keeps; the zero time where it never was.
func (d *Demo) begun(name string) (time.Time, error) {
	text, err := os.ReadFile(controlplane.Journal(d.Members.Folder(name)))
	if err != nil {
		return time.Time{}, fmt.Errorf("read which processes %s started: %w", name, err)
	}
	for line := range bytes.Lines(text) {
		var entry process.Entry
		if err := json.Unmarshal(line, &entry); err != nil {
			return time.Time{}, fmt.Errorf("read which processes %s started: %w", name, err)
		}
		if entry.Event == process.Started && entry.Part == string(controlplane.APIServer) && entry.Version == d.To.String() {
			return entry.Time, nil
		}
	}
	return time.Time{}, nil
}

// canaryFirst judges the order: nobody begins before the canary has begun, come to
// its end and soaked. It takes no less than the soak.
func canaryFirst(begun map[string]time.Time) error {
	names := slices.Sorted(maps.Keys(begun))
	var short []error
	for i, name := range names {
		if i == 0 || begun[name].IsZero() {
			continue // the canary; and who never began is told of by its version
		}
		if after := begun[name].Sub(begun[names[0]]); begun[names[0]].IsZero() || after < soak {
			short = append(short, fmt.Errorf("%s began %s after the canary %s, which soaks for %s", name, after.Round(time.Millisecond), names[0], soak))
		}
	}
	return errors.Join(short...)
}

// served is the version that the API server itself tells.
func (d *Demo) served(ctx context.Context, name string) (string, error) {
	config, err := d.Provider.Connect(ctx, provider.Ref{Name: name})
	if err != nil {
		return "", err
	}
	api, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", name, err)
	}
	info, err := api.ServerVersion()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", name, err)
	}
	return info.GitVersion, nil
}

// judge compares what the witness saw with what was promised.
func (d *Demo) judge(name, served string, report witness.Report) error {
	var short []error
	fail := func(format string, args ...any) {
		short = append(short, fmt.Errorf(name+": "+format, args...))
	}
	if served != "" && served != d.To.String() { // who did not answer was told before
		fail("its API server serves %s, not %s", served, d.To)
	}
	if len(report.Budgets) == 0 {
		fail("no budget was seen, so none can have been kept")
	}
	for _, gap := range report.Gaps {
		fail("gap in the observation: %s", gap)
	}
	for _, budget := range report.Budgets {
		if budget.Broken() {
			fail("budget %s saw %d available, %d are its floor", budget.Key, budget.Lowest, budget.Floor)
		}
	}
	if len(report.Removed) != d.Nodes || len(report.Created) != d.Nodes {
		fail("%d nodes created and %d removed, %d were to be rotated", len(report.Created), len(report.Removed), d.Nodes)
	}
	for _, node := range report.Nodes {
		if node.Version != d.To.String() {
			fail("node %s runs %s", node.Name, node.Version)
		}
	}
	return errors.Join(short...)
}

func newestOf(hub observe.Hub, member string) *v1.ClusterUpgrade {
	newest := &v1.ClusterUpgrade{}
	for i := range hub.Upgrades {
		if up := &hub.Upgrades[i]; up.Spec.Member == member && observe.Number(up) > observe.Number(newest) {
			newest = up
		}
	}
	return newest
}

func took(up *v1.ClusterUpgrade) time.Duration {
	ended := meta.FindStatusCondition(up.Status.Conditions, v1.ConditionEnded)
	if ended == nil {
		return 0
	}
	return ended.LastTransitionTime.Sub(up.CreationTimestamp.Time)
}

// lowest is each workload's lowest availability, of the most it had.
func lowest(report witness.Report) string {
	var texts []string
	for _, b := range report.Budgets {
		texts = append(texts, fmt.Sprintf("%s %d/%d (floor %d)", strings.TrimPrefix(b.Key, "default/"), b.Lowest, b.Most, b.Floor))
	}
	return strings.Join(texts, ", ")
}
