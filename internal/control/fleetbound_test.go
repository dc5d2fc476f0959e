package control

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	clientfake "sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/rollout"
)

// TestBoundOfAFleet fills a Fleet: 5,000 members, as many waves as there may be,
// pins of the longest versions, and more text than there is room for. What is
// stored of it, spec and status, is within the bound.
func TestBoundOfAFleet(t *testing.T) {
	for name, text := range endless {
		t.Run(name, func(t *testing.T) {
			f := &v1.Fleet{
				ObjectMeta: metav1.ObjectMeta{Namespace: "refit", Name: "main", Generation: 1 << 40},
				Spec:       fullFleetSpec(), Status: v1.FleetStatus{Revision: 1 << 40},
			}
			state := fullFleet(f.Spec, fleet.Reason{Code: fleet.InventoryShrank, Message: text, Object: text, Fix: text})
			scheme := runtime.NewScheme()
			if err := v1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			memory := clientfake.NewClientBuilder().WithScheme(scheme).WithObjects(f).WithStatusSubresource(f).Build()
			loop := &Fleets{Client: memory, Clock: clocktesting.NewFakePassiveClock(ten), Log: slog.New(slog.DiscardHandler)}
			release := v1.Release{ObjectMeta: metav1.ObjectMeta{Name: f.Spec.Release}, Spec: v1.ReleaseSpec{Bundle: v1.Bundle{Kubernetes: "v1.37.2"}}}
			hub := observe.Hub{Releases: []v1.Release{release}}
			if err := loop.recordFleet(t.Context(), f, hub, rollout.Decision{Fleets: []rollout.FleetState{state}}, fullEffort(text)); err != nil {
				t.Fatal(err)
			}
			stored := &v1.Fleet{}
			if err := memory.Get(t.Context(), client.ObjectKeyFromObject(f), stored); err != nil {
				t.Fatal(err)
			}
			s := stored.Status
			if len(s.Waves) != 8 || len(s.Pins) != 64 || len(s.Roster) != 25_000 || len(s.Conditions) != 3 || s.Members.Total != 5000 {
				t.Errorf("kept are %d waves, %d pins, a roster of %d, %d conditions, %d members; want 8, 64, 25000, 3, 5000",
					len(s.Waves), len(s.Pins), len(s.Roster), len(s.Conditions), s.Members.Total)
			}
			if e := s.Effort; len(e.Revisions) != 8 || len(e.Revisions[7].People) != 4 || len(e.Counted) != 4*512 {
				t.Errorf("kept are %d revisions, %d people of the last, %d bytes of things; want 8, 4, 2048",
					len(e.Revisions), len(e.Revisions[7].People), len(e.Counted))
			}
			judgeSize(t, s, fleetBound-8<<10)
			judgeSize(t, struct {
				Spec   v1.FleetSpec
				Status v1.FleetStatus
			}{stored.Spec, s}, fleetBound)
		})
	}
}

// fullFleetSpec has eight waves with the longest names, each of which selects by
// a label and by an expression, and two gates. The schema admits selectors that are
// longer than all bounds, and queries; who writes them pays for it.
func fullFleetSpec() v1.FleetSpec {
	share := intstr.FromString("100%")
	long := strings.Repeat("v", 63)
	selector := v1.Selector{
		MatchLabels:      map[string]string{"example.com/" + long: long},
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "example.com/" + long, Operator: metav1.LabelSelectorOpIn, Values: []string{long, long}}},
	}
	spec := v1.FleetSpec{
		Selector: selector, Release: strings.Repeat("r", 253), MaxFailures: share, Drift: v1.DriftCorrect,
		Settle: metav1.Duration{Duration: 24*time.Hour - 1}, Bake: metav1.Duration{Duration: 24*time.Hour - 1},
		Nodes: v1.NodePolicy{MaxSurge: share, MaxUnavailable: share},
	}
	for i := range 8 {
		spec.Waves = append(spec.Waves, v1.Wave{
			Name: fmt.Sprintf("%063d", i), Selector: &selector, MaxConcurrent: share, MinSuccess: share, MaxFailures: &share,
			Soak: metav1.Duration{Duration: 24*time.Hour - 1}, AllowEmpty: true,
			Gates: []v1.Gate{
				{Name: fmt.Sprintf("%032d", 0), Interval: metav1.Duration{Duration: time.Minute}, Failures: 3, Prometheus: v1.PrometheusQuery{URL: "http://p:9090", Query: "errors", Max: "0"}},
				{Name: fmt.Sprintf("%032d", 1), Interval: metav1.Duration{Duration: time.Minute}, Failures: 3, Prometheus: v1.PrometheusQuery{URL: "http://p:9090", Query: "errors", Max: "0"}},
			},
		})
	}
	return spec
}

// fullFleet is a state of which everything is there at once.
func fullFleet(spec v1.FleetSpec, why fleet.Reason) rollout.FleetState {
	state := rollout.FleetState{Name: "main", Halt: why, Freeze: why, ShrankAt: ten, Roster: rollout.Roster{LossAt: ten}}
	for i, w := range spec.Waves {
		wave := rollout.WaveState{Name: w.Name, OpenedAt: ten, PassedAt: ten, Why: why}
		for _, g := range w.Gates {
			wave.Gates = append(wave.Gates, rollout.GateState{Gate: rollout.Gate{
				Gate: fleet.Gate{Name: g.Name}, Memory: rollout.GateMemory{NoYesSince: ten, FailedAt: ten, Said: why.Message, Fix: why.Fix},
			}})
		}
		for j := range 625 {
			member := fmt.Sprintf("%050d", i*625+j)
			list := []*[]string{&wave.Done, &wave.Running, &wave.Waiting, &wave.Failed, &wave.Aborted, &wave.Skipped}[j%6]
			*list = append(*list, member)
			state.Roster.Seats = append(state.Roster.Seats, rollout.Seat{ID: uint32(i*625+j) * 858_993, Wave: w.Name, Cohort: true})
		}
		state.Waves = append(state.Waves, wave)
	}
	for minor := range 64 {
		version := fleet.Version{Major: 1, Minor: 30 + minor, Patch: 10, Suffix: "-" + strings.Repeat("g", 55)}
		state.Pins = append(state.Pins, fleet.Pin{Provider: "local", Version: version, Member: fmt.Sprintf("%050d", minor)})
	}
	return state
}

// fullEffort is that of more revisions than are kept, about each of which more people
// than are named did everything, and of more things than are remembered.
func fullEffort(name string) *v1.FleetEffort {
	all := []v1.Act{
		v1.ActRelease, v1.ActEdit, v1.ActWithdraw, v1.ActPause, v1.ActSkip, v1.ActResume, v1.ActRetry, v1.ActTakeOver, v1.ActTakeBack, v1.ActAbort, v1.ActForget,
	}
	t := &tally{FleetEffort: &v1.FleetEffort{Since: metav1.NewTime(ten)}, fleet: &v1.Fleet{}, known: map[observe.Thing]bool{}}
	for revision := range 12 {
		t.begin(int64(1+revision), strings.Repeat("r", 253), ten)
		r := t.newest()
		for person := range 9 {
			for _, act := range all {
				book(r, act, fmt.Sprintf("%d%s", person, name), 10_000)
			}
		}
		for _, act := range all {
			book(r, act, "", 10_000)
		}
		r.Reached, r.Members, r.Done = r.Began, 5000, 5000
		r.Pruned = v1.Work{Done: 50_000, Failed: 50_000, Aborted: 50_000, Superseded: 50_000, ControlPlanes: 50_000, Nodes: 5_000_000, AddOns: 500_000}
	}
	for n := range 2 * keptThings {
		t.act(observe.Act{Thing: observe.Thing(1<<31 + n), Kind: v1.ActSkip, By: name})
	}
	t.Counted = observe.Packed(t.things)
	return t.FleetEffort
}
