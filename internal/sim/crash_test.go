package sim_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/world"
	"refit.dev/refit/internal/provider/fake"
	"refit.dev/refit/internal/sim"
)

// strategy is a way of upgrading one member, on one kind of cloud.
type strategy struct {
	name   string
	mode   fake.Mode
	from   string
	suffix string
	pools  []fake.PoolShape
	nodes  v1.NodePolicy
	surge  int
	lack   int
	// addOns are there, at 1.11.0, and wanted at 1.12.0.
	addOns []v1.AddOn
	// source says this, and is written; commits are what becomes of it.
	source  fleet.Declared
	commits []string
	// work is what Refit counts of an upgrade that nothing disturbs.
	work v1.Work
}

// quick is a cloud where nothing takes long: what is tried is the order of
// things, not their duration.
var quick = fake.Latency{
	Operation: 4 * time.Second, Silence: time.Second, Joining: time.Second, Ready: time.Second, PodStart: time.Second, PodGrace: time.Second,
}

func strategies() []strategy {
	two := []fake.PoolShape{{Name: "a", Size: 2}}
	rolled := []fake.PoolShape{{Name: "a", Size: 2, RolledBy: fleet.ByProvider}, {Name: "b", Size: 1}}
	bySurge := v1.NodePolicy{MaxSurge: intstr.FromInt32(1), MaxUnavailable: intstr.FromInt32(0)}
	inPlace := v1.NodePolicy{MaxSurge: intstr.FromInt32(0), MaxUnavailable: intstr.FromInt32(1)}
	return []strategy{
		{name: "surge", from: "v1.36.3", pools: two, nodes: bySurge, surge: 1},
		{name: "unavailable", from: "v1.36.3", pools: two, nodes: inPlace, lack: 1},
		{name: "two minors", from: "v1.35.4", pools: two, nodes: bySurge, surge: 1},
		{name: "no tokens", mode: fake.Mode{NoTokens: true}, from: "v1.36.3", pools: two, nodes: bySurge, surge: 1},
		{name: "rolled by the provider", from: "v1.36.3", pools: rolled, nodes: bySurge, surge: 1},
		{name: "add-ons", from: "v1.36.3", pools: two[:1:1], nodes: bySurge, surge: 1, addOns: []v1.AddOn{
			addOn("policies", fleet.BeforeControlPlane), addOn("dns", fleet.BetweenControlPlaneAndNodes), addOn("agent", fleet.AfterNodes),
		}},
		{name: "source", from: "v1.36.3", pools: two[:1:1], nodes: bySurge, surge: 1, source: "v1.36", commits: []string{"v1.36 → v1.37"}},
		{name: "lags", mode: fake.Mode{Lag: 3 * time.Second}, from: "v1.36.3", suffix: "-gke.900", pools: two, nodes: bySurge, surge: 1},
	}
}

func addOn(name string, when fleet.When) v1.AddOn {
	return v1.AddOn{
		Name: name, When: v1.AddOnPlace(when), Versions: map[string]v1.ChartVersion{"1.36": "1.11.0", "1.37": "1.12.0"},
		HealthyWithin: metav1.Duration{Duration: 10 * time.Minute},
		Helm:          v1.HelmRelease{Repository: "https://charts.example.com", Chart: name, Namespace: "kube-system"},
	}
}

// world makes the world of a strategy: one member, and a fleet that wants it at a
// release.
func (s strategy) world(t *testing.T) (*sim.World, *sim.Hub) {
	t.Helper()
	s.mode.Latency = quick
	w := sim.New(0, s.mode)
	shape := fake.Shape{Version: version(t, s.from+s.suffix), Pools: s.pools, Pods: 3, Floor: 2}
	for _, offer := range []string{"v1.35.4", "v1.36.3", "v1.37.2", "v1.37.3"} {
		shape.Offers = append(shape.Offers, version(t, offer+s.suffix))
	}
	w.AddCluster("eu-1", shape, s.surge, s.lack)
	for _, a := range s.addOns {
		w.AddAddOn("eu-1", world.AddOn{Name: a.Name, At: version(t, "1.11.0"), Values: "{}"})
	}
	w.Declare(place(), s.source)
	hub, err := w.AddHub("main")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		hub.Add(t.Context(), &v1.MemberCluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: sim.Namespace, Name: "eu-1"},
			Spec:       v1.MemberClusterSpec{Provider: v1.MemberProvider{Fake: &v1.FakeProvider{}}, Source: s.declared()},
		}),
		hub.Add(t.Context(), &v1.Release{ObjectMeta: metav1.ObjectMeta{Name: "2026.11"}, Spec: v1.ReleaseSpec{Bundle: v1.Bundle{Kubernetes: "v1.37.2", AddOns: s.addOns}}}),
		hub.Add(t.Context(), &v1.Fleet{
			ObjectMeta: metav1.ObjectMeta{Namespace: sim.Namespace, Name: "main"},
			Spec: v1.FleetSpec{
				Release: "2026.11", Waves: []v1.Wave{{Name: "all", MaxConcurrent: intstr.FromInt32(1)}}, Nodes: s.nodes,
				Bake: metav1.Duration{Duration: 5 * time.Second},
			},
		}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return w, hub
}

// place is where the member's version is declared.
func place() fleet.SourceRef {
	return fleet.SourceRef{URL: "https://git.example/infra", File: "eks.tf", Attribute: "module.eu_1.version"}
}

// declared is the member's source, where the strategy has one.
func (s strategy) declared() *v1.MemberSource {
	if s.source == "" {
		return nil
	}
	at := place()
	return &v1.MemberSource{Mode: string(fleet.WriteBack), Git: v1.GitSource{URL: at.URL}, Terraform: v1.TerraformSource{File: at.File, Attribute: at.Attribute}}
}

// run upgrades the member, and is what became of it.
func (s strategy) run(t *testing.T, w *sim.World, hub *sim.Hub) sim.Effects {
	t.Helper()
	ended := func() bool { return sim.Outcome(hub.Upgrade(t.Context(), "eu-1.1")) != "" }
	if !w.Until(t.Context(), time.Hour, ended) {
		t.Errorf("no end within an hour: %v", w.Timeline())
	}
	w.Run(t.Context(), time.Minute) // what comes late, comes
	return w.Effects("eu-1")
}

func version(t *testing.T, text string) fleet.Version {
	t.Helper()
	v, ok := fleet.ParseVersion(text)
	if !ok {
		t.Fatalf("%q is no version", text)
	}
	return v
}

// TestCrashMatrix lets every write and call of an upgrade go wrong in every way,
// one at a time: the process dies before it or after it, its answer is lost, it is
// delivered three times, or what it changed shows late. The end is the same, each
// effect is there once, and nothing is left behind.
func TestCrashMatrix(t *testing.T) {
	var total atomic.Int64
	t.Cleanup(func() { t.Logf("%d cases", total.Load()) })
	for _, s := range strategies() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w, hub := s.world(t)
			want := s.run(t, w, hub)
			s.work = observe.WorkOf(hub.Upgrade(t.Context(), "eu-1.1"))
			if s.work.Nodes < 1 || s.work.ControlPlanes < 1 || int(s.work.AddOns) != len(s.addOns) {
				t.Errorf("undisturbed, Refit counts %+v", s.work)
			}
			if len(want.Left) > 0 || want.Version != version(t, "v1.37.2"+s.suffix).String() || len(w.Broken()) > 0 {
				t.Fatalf("undisturbed, it comes to %+v; broken: %v", want, w.Broken())
			}
			boundaries := len(w.Crossings())
			for _, mode := range sim.Modes() {
				for n := 1; n <= boundaries; n++ {
					total.Add(1)
					s.crash(t, n, mode, want)
				}
			}
			t.Logf("%s: %d boundaries × %d modes = %d cases, %d looks undisturbed", s.name, boundaries, len(sim.Modes()), boundaries*len(sim.Modes()), w.Looks())
		})
	}
}

func (s strategy) crash(t *testing.T, n int, mode sim.Mode, want sim.Effects) {
	t.Helper()
	w, hub := s.world(t)
	w.Befall(n, mode)
	got := s.run(t, w, hub)
	name := fmt.Sprintf("%s at %d (%s)", mode, n, w.Crossings()[min(n, len(w.Crossings()))-1])
	if !w.Befell() {
		t.Errorf("%s: it did not come to that", name)
	}
	if outcome := sim.Outcome(hub.Upgrade(t.Context(), "eu-1.1")); outcome != "Done" {
		t.Errorf("%s: ended %q: %s", name, outcome, tail(w.Timeline()))
	}
	if hub.Upgrade(t.Context(), "eu-1.2") != nil {
		t.Errorf("%s: it was upgraded again", name)
	}
	if diff := cmp.Diff(s.work, observe.WorkOf(hub.Upgrade(t.Context(), "eu-1.1"))); diff != "" {
		t.Errorf("%s: what Refit counts of its work (-undisturbed +now):\n%s", name, diff)
	}
	if acts := actsOf(t, hub); acts != "map[Release:1]" {
		t.Errorf("%s: people did %s, want one release", name, acts)
	}
	got.Evicted, want.Evicted = 0, 0 // pods may move to where they must leave again
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: (-undisturbed +now):\n%s\n%s", name, diff, tail(w.Timeline()))
	}
	if diff := cmp.Diff(s.commits, w.Commits(place())); diff != "" {
		t.Errorf("%s: commits (-want +got):\n%s", name, diff)
	}
	for _, sentence := range w.Broken() {
		t.Errorf("%s: %s", name, sentence)
	}
}

// actsOf are those of people about fleet main, of whom no object tells.
func actsOf(t *testing.T, hub *sim.Hub) string {
	t.Helper()
	f := &v1.Fleet{}
	if err := hub.Client.Get(t.Context(), client.ObjectKey{Namespace: sim.Namespace, Name: "main"}, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(f.Status.Effort.Revisions[0].Unknown)
}

func tail(lines []string) string {
	var text string
	for _, line := range slices.Clone(lines[max(0, len(lines)-15):]) {
		text += "\n\t" + line
	}
	return text
}
