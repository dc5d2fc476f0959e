package rollout_test

import (
	"fmt"
	"testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
)

// BenchmarkDecide10000 is a fleet of ten thousand members in three waves, each
// with a history, a tenth of which may be in flight.
func BenchmarkDecide10000(b *testing.B) {
	in := rollout.Input{Now: now}
	f := rollout.Fleet{
		Name: "main", UID: "uid-of-main", Revision: 3,
		Release: rollout.Release{Name: "2026.11", Target: fleet.Version{Major: 1, Minor: 37, Patch: 2}},
		Waves:   []rollout.Wave{{Name: "a", MaxConcurrent: 200}, {Name: "b", MaxConcurrent: 200}, {Name: "c", MaxConcurrent: 600}},
	}
	for i := range 10_000 {
		name := fmt.Sprintf("cluster-%05d", i)
		w := &f.Waves[i%3]
		w.Members = append(w.Members, name)
		in.Members = append(in.Members, rollout.Member{
			Name: name, ObservedAt: now, Ready: i%50 != 0, Oldest: fleet.Version{Major: 1, Minor: 35 + i%3, Patch: i % 5},
		})
		for n := 1; n <= 5; n++ {
			in.Upgrades = append(in.Upgrades, rollout.Upgrade{Member: name, N: n, FleetUID: "uid-of-main", Revision: 2, Outcome: rollout.Done, EndedAt: now})
		}
		if i%20 == 0 {
			in.Upgrades = append(in.Upgrades, rollout.Upgrade{Member: name, N: 6, FleetUID: "uid-of-main", Revision: 3})
		}
	}
	in.Fleets = []rollout.Fleet{f}
	b.ReportAllocs()
	for b.Loop() {
		if d := rollout.Decide(in); len(d.Start) == 0 || len(d.Start)+len(d.Waiting) != 10_000 {
			b.Fatalf("%d start, %d wait", len(d.Start), len(d.Waiting))
		}
	}
}
