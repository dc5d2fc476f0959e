package control_test

import (
	"fmt"
	"testing"
	"time"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/provider/fake"
)

// mishaps befall calls of every verb, each with its share.
func mishaps(seed uint64, share float64) fake.Script {
	script := fake.Script{Seed: seed}
	for _, verb := range []fake.Verb{
		fake.Observe, fake.Connect, fake.UpgradeControlPlane, fake.SetPoolTemplate, fake.AddNode, fake.RemoveNode, fake.PatchNode, fake.EvictPod,
		fake.WriteLease, fake.DeleteLease,
	} {
		for _, mishap := range []fake.Mishap{fake.Refused, fake.Lost, fake.Throttled, fake.Expired} {
			script.Faults = append(script.Faults, fake.Fault{
				Verb: verb, Mishap: mishap, Times: fake.Always, Share: share, After: 10 * time.Second,
			})
		}
	}
	return script
}

// On whatever cloud an upgrade ends Done, by one operation a hop and one node
// for another, whatever goes wrong on the way. The cluster judges every call.
func TestUpgradesOnEveryCloud(t *testing.T) {
	type world struct {
		name   string
		mode   fake.Mode
		suffix string
		script fake.Script
	}
	worlds := []world{
		{name: "without tokens", mode: fake.Mode{NoTokens: true}},
		{name: "that lags", mode: fake.Mode{Lag: 7 * time.Second}},
		{name: "that picks patches", mode: fake.Mode{NoTokens: true, PicksPatch: true}, suffix: "-eks-3a1b2c"},
		{name: "of a vendor", suffix: "-gke.1200"},
		{name: "with credentials that expire", mode: fake.Mode{Credentials: 30 * time.Second}},
	}
	for seed := range uint64(2) {
		script := mishaps(seed, 0.1)
		worlds = append(worlds,
			world{name: fmt.Sprintf("where much goes wrong, %d", seed), script: script},
			world{name: fmt.Sprintf("without tokens, where much goes wrong, %d", seed), mode: fake.Mode{NoTokens: true}, script: script},
			world{name: fmt.Sprintf("that lags, where much goes wrong, %d", seed), mode: fake.Mode{Lag: 7 * time.Second}, script: script},
		)
	}
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			l := newLoops(t)
			l.cloud.Mode, l.cloud.Script = w.mode, w.script
			var offered []string
			for _, offer := range offers {
				offered = append(offered, offer+w.suffix)
			}
			c := l.addMember("eu-1", shape{version: "v1.35.4" + w.suffix, offers: offered, pools: map[string]int{"a": 3}, pods: 4, floor: 3})
			c.surge = 1
			l.addRelease("2026.11", "v1.37.2")
			l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) { spec.Settle.Duration = 0 })
			l.until("done", l.ended("eu-1.1", "Done"))

			failed := 0
			for _, call := range c.Calls("") {
				if call.Err != nil {
					failed++
				}
			}
			if wrong := len(w.script.Faults) > 0; wrong && failed < 3 {
				t.Errorf("%d of %d calls went wrong, want more", failed, len(c.Calls("")))
			}
			s := c.Look()
			want := version(t, "v1.37.2"+w.suffix)
			if w.mode.PicksPatch {
				want = version(t, "v1.37.3"+w.suffix)
			}
			if s.Version != want || c.count(want.String()) != 3 || len(s.Machines) != 3 || len(c.cordoned()) > 0 {
				t.Errorf("at %s with machines %v, cordoned %v; want %s everywhere, 3 machines, none cordoned", s.Version, c.versions(), c.cordoned(), want)
			}
			if n := len(c.operations()); n != 2 {
				t.Errorf("%d operations of the control plane, want one a hop: %+v", n, c.operations())
			}
		})
	}
}
