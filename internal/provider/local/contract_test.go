package local

import (
	"testing"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/kube/controlplane/fakepart"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/contract"
)

// TestContract runs on real supervisors with made-up parts; test/e2e/local runs
// it on real control planes.
func TestContract(t *testing.T) {
	contract.Run(t, contract.Subject{
		Name: "local",
		Lacks: contract.Lacks{
			OneVersion:   "the new API server serves before what follows it is healthy",
			Throttling:   "a supervisor answers as often as it is asked",
			Expiry:       "the certificate that was made with the member outlives it",
			Rolling:      "the supervisor adds and removes nodes, and rolls no pool",
			PartialPools: "the supervisor makes the node of every machine",
		},
		Make: contractWorld,
	})
}

func contractWorld(t *testing.T) contract.World {
	t.Helper()
	w := newWorld(t)
	w.provider.ReadyLimit = time.Minute
	at := func(text string) fleet.Version { return parse(t, text) }
	w.provider.Offers = func() []fleet.Version { return []fleet.Version{at(newer), at(older)} } // unsorted, as a folder is
	return contract.World{
		Provider: w.provider,
		Versions: contract.Versions{
			Old: at(older), Next: at(newer), Elsewhere: at(fakepart.NeverReady), Skipping: at("v1.38.0"), Back: at("v1.35.9"),
		},
		Cluster: func(name string) provider.Ref { return w.create(t, name, PoolSpec{"a", 3}, PoolSpec{"b", 1}) },
		Pass:    func() { <-time.After(10 * time.Millisecond) },
		// A request without a token is what a person's own tools would send.
		Foreign: func(ref provider.Ref, to fleet.Version) {
			if _, err := w.provider.Ensure(t.Context(), ref, controlPlaneChange(t, older, to.String(), "")); err != nil {
				t.Fatal(err)
			}
		},
		Failing: func(provider.Ref) fleet.Version { return at(fakepart.ExitsAtOnce) },
		Missing: func(provider.Ref) fleet.Version { return at(missing) },
	}
}
