package fake_test

import (
	"slices"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/contract"
	"refit.dev/refit/internal/provider/fake"
)

// TestContract runs on every kind of cloud that can be made up.
func TestContract(t *testing.T) {
	const (
		oneAtATime = "the cloud has one operation at a time, and takes no token with it"
		byRefit    = "the pools are Refit's to roll"
		byItself   = "the cloud rolls its pools itself"
	)
	for _, c := range []struct {
		name   string
		mode   fake.Mode
		suffix string
		rolled fleet.RolledBy
		lacks  contract.Lacks
	}{
		{"fake", fake.Mode{}, "", fleet.ByRefit, contract.Lacks{Rolling: byRefit}},
		{"fake of a vendor", fake.Mode{MaxNodeSkew: 2}, "-gke.1200", fleet.ByRefit, contract.Lacks{Rolling: byRefit}},
		{"fake that lags", fake.Mode{Lag: 5 * time.Second}, "", fleet.ByRefit, contract.Lacks{Rolling: byRefit}},
		{"fake without tokens", fake.Mode{NoTokens: true}, "", fleet.ByRefit, contract.Lacks{Tokens: oneAtATime, Rolling: byRefit}},
		{"fake that picks patches", fake.Mode{PicksPatch: true, NoTokens: true}, "-eks-3a1b2c", fleet.ByRefit, contract.Lacks{Tokens: oneAtATime, Rolling: byRefit}},
		{"fake that rolls pools", fake.Mode{}, "", fleet.ByProvider, contract.Lacks{Nodes: byItself, PartialPools: byItself}},
	} {
		contract.Run(t, contract.Subject{
			Name: c.name, Lacks: c.lacks,
			Limits: provider.Limits{MaxNodeSkew: c.mode.MaxNodeSkew, PicksPatch: c.mode.PicksPatch},
			Make:   func(t *testing.T) contract.World { return newWorld(t, c.mode, c.suffix, c.rolled) },
		})
	}
}

func parse(t *testing.T, text string) fleet.Version {
	t.Helper()
	v, ok := fleet.ParseVersion(text)
	if !ok {
		t.Fatalf("%q is no version", text)
	}
	return v
}

// start is when made-up worlds begin.
func start() time.Time { return time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC) }

// newWorld is a cloud whose time passes by seconds, when the case says so.
func newWorld(t *testing.T, mode fake.Mode, suffix string, rolled fleet.RolledBy) contract.World {
	t.Helper()
	at := func(text string) fleet.Version { return parse(t, text+suffix) }
	clock := clocktesting.NewFakeClock(start())
	cloud := &fake.Cloud{Clock: clock, Mode: mode}
	made := map[provider.Ref]*fake.Cluster{}
	versions := contract.Versions{
		Old: at("v1.36.3"), Next: at("v1.37.2"), Elsewhere: at("v1.36.6"), Skipping: at("v1.38.0"), Back: at("v1.35.9"),
	}
	verbs := map[contract.Call]fake.Verb{
		contract.Upgrade: fake.UpgradeControlPlane, contract.SetTemplate: fake.SetPoolTemplate,
		contract.AddNode: fake.AddNode, contract.RemoveNode: fake.RemoveNode,
	}
	return contract.World{
		Provider: cloud, Versions: versions,
		Cluster: func(name string) provider.Ref {
			ref := provider.Ref{Name: name}
			made[ref] = cloud.Add(name, fake.Shape{
				Version: versions.Old, Offers: []fleet.Version{versions.Old, versions.Elsewhere, at("v1.37.0"), versions.Next},
				Pools: []fake.PoolShape{{Name: "a", Size: 3, RolledBy: rolled}, {Name: "b", Size: 1, RolledBy: rolled}}, Pods: 4, Floor: 3,
			})
			return ref
		},
		Pass:    func() { clock.Step(time.Second) },
		Foreign: func(ref provider.Ref, to fleet.Version) { made[ref].Begin(to, time.Minute) },
		Failing: func(ref provider.Ref) fleet.Version {
			made[ref].Inject(fake.Fault{Verb: fake.UpgradeControlPlane, Mishap: fake.OperationFails})
			return versions.Next
		},
		Missing: func(ref provider.Ref) fleet.Version {
			made[ref].Change(func(s *fake.State) { s.Offers = slices.DeleteFunc(s.Offers, versions.Next.SameMinor) })
			return versions.Next
		},
		Lose: func(ref provider.Ref, call contract.Call) {
			made[ref].Inject(fake.Fault{Verb: verbs[call], Mishap: fake.Lost})
		},
		Throttle: func(ref provider.Ref) {
			made[ref].Inject(fake.Fault{Verb: fake.UpgradeControlPlane, Mishap: fake.Throttled, After: time.Minute})
		},
		Expire: func(ref provider.Ref) { made[ref].Change(func(s *fake.State) { s.Expired = true }) },
		Renew:  func(ref provider.Ref) { made[ref].Change(func(s *fake.State) { s.Expired = false }) },
		Stunt:  func(ref provider.Ref) { made[ref].Inject(fake.Fault{Verb: fake.AddNode, Mishap: fake.NeverJoins}) },
	}
}
