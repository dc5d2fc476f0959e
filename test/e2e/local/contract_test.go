//go:build e2e && long

package local_test

import (
	"testing"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/contract"
	"refit.dev/refit/internal/provider/local"
)

// TestContract runs on real control planes what internal/provider/local runs on
// made-up parts: what a real API server takes its time for shows here. It is for "make
// long": see decision 0025.
func TestContract(t *testing.T) {
	contract.Run(t, contract.Subject{
		Name: "local",
		Lacks: contract.Lacks{ // as there: both are compared with docs/providers.md
			OneVersion:   "the new API server serves before what follows it is healthy",
			Throttling:   "a supervisor answers as often as it is asked",
			Expiry:       "the certificate that was made with the member outlives it",
			PartialPools: "the supervisor makes the node of every machine",
			Rolling:      "the supervisor adds and removes nodes, and rolls no pool",
		},
		Make: contractWorld,
	})
}

func contractWorld(t *testing.T) contract.World {
	t.Helper()
	w := newLocalWorld(t)
	w.provider.ReadyLimit = time.Minute
	at := func(text string) fleet.Version { return parse(t, text) }
	w.provider.Offers = func() []fleet.Version { return []fleet.Version{at(v137), at(v136)} }
	return contract.World{
		Provider: w.provider,
		Versions: contract.Versions{Old: at(v136), Next: at(v137), Elsewhere: at(neverReady), Skipping: at("v1.38.0"), Back: at("v1.35.9")},
		Cluster: func(name string) provider.Ref {
			w.create(t, name, v136, local.PoolSpec{Name: "a", Size: 3}, local.PoolSpec{Name: "b", Size: 1})
			return provider.Ref{Name: name}
		},
		Pass: func() { <-time.After(100 * time.Millisecond) },
		// A request without a token is what a person's own tools would send.
		Foreign: func(ref provider.Ref, to fleet.Version) {
			foreign := change(t, v136, to.String())
			foreign.Token = ""
			if _, err := w.provider.Ensure(t.Context(), ref, foreign); err != nil {
				t.Fatal(err)
			}
		},
		Failing: func(provider.Ref) fleet.Version { return at(exitsAtOnce) },
		Missing: func(provider.Ref) fleet.Version { return at(missing) },
	}
}
