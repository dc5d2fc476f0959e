package contract

import (
	"context"
	"errors"
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

func asFault(err error) (*provider.Fault, bool) {
	var fault *provider.Fault
	return fault, errors.As(err, &fault)
}

func contains(codes []string, code string) bool { return slices.Contains(codes, code) }

// observing are the promises about looking.
func observing() []testCase {
	return []testCase{
		{name: "observing changes nothing", still: true, run: func(w *trial) {
			for range 3 {
				w.observe()
			}
		}},
		{name: "an unknown cluster is Stop", still: true, run: unknownCluster},
		{name: "the UID is the cluster's own, and stays", run: uids},
		{name: "offers are sorted, and have what runs", still: true, run: offers, lacking: catalogue},
		{name: "limits are declared", still: true, run: func(w *trial) {
			if got := w.observe().Limits; got != w.limits {
				w.Errorf("limits = %+v, want %+v", got, w.limits)
			}
		}},
		{name: "pools show size, template and instances", still: true, run: pools},
		{name: "the config of Connect reaches the cluster", still: true, run: reaches},
		{name: "a cancelled call returns at once, and changes nothing", still: true, run: cancelled},
	}
}

func unknownCluster(w *trial) {
	nobody := provider.Ref{Name: "nobody"}
	_, observing := w.Provider.Observe(w.Context(), nobody)
	_, connecting := w.Provider.Connect(w.Context(), nobody)
	_, changing := w.Provider.Ensure(w.Context(), nobody, w.control(w.Versions.Old, w.Versions.Next, "t"))
	errs := []error{observing, connecting, changing}
	if !w.rolls() {
		errs = append(errs,
			w.nodes().AddNode(w.Context(), nobody, provider.NodeAddition{Pool: "a", Token: "t"}),
			w.nodes().RemoveNode(w.Context(), nobody, provider.NodeRemoval{Pool: "a", Instance: "i"}))
	}
	for _, err := range errs {
		w.fault(err, provider.Stop, provider.CodeUnknownCluster)
	}
}

func uids(w *trial) {
	first := w.observe().UID
	w.upgrade()
	if got := w.observe().UID; got != first || first == "" {
		w.Errorf("UID = %q, then %q; want one that stays", first, got)
	}
	w.ref = w.Cluster("two")
	if other := w.observe().UID; other == first || other == "" {
		w.Errorf("another cluster has UID %q, the first has %q", other, first)
	}
}

func offers(w *trial) {
	seen := w.observe()
	if !slices.IsSortedFunc(seen.Offers, fleet.Version.Compare) {
		w.Errorf("offers %v are not sorted, oldest first", seen.Offers)
	}
	if !slices.Contains(seen.Offers, seen.ControlPlane.Oldest) || seen.ControlPlane.Oldest != w.Versions.Old {
		w.Errorf("offers %v, control plane at %s; want %s, and that it is offered", seen.Offers, seen.ControlPlane.Oldest, w.Versions.Old)
	}
	if !slices.Contains(seen.Offers, w.Versions.Next) {
		w.Errorf("offers %v lack %s", seen.Offers, w.Versions.Next)
	}
}

func pools(w *trial) {
	seen := w.observe()
	if w.rolls() {
		w.rolledPools(seen)
		return
	}
	ids, names := map[string]bool{}, map[string]bool{}
	for name, size := range map[string]int{"a": 3, "b": 1} {
		pool := w.pool(seen, name)
		if pool.Size != size || len(pool.Instances) != size || pool.Template.Version != w.Versions.Old || pool.RolledBy != fleet.ByRefit {
			w.Errorf("pool = %+v, want %d instances of %s, rolled by Refit", pool, size, w.Versions.Old)
		}
		for _, instance := range pool.Instances {
			ids[instance.ID], names[instance.Node] = true, true
			if instance.State.Version != w.Versions.Old || instance.ID == "" || instance.Node == "" {
				w.Errorf("instance = %+v, want an ID, a node, and %s", instance, w.Versions.Old)
			}
		}
	}
	if len(ids) != 4 || len(names) != 4 {
		w.Errorf("IDs %v, nodes %v; want four of each", ids, names)
	}
}

// rolledPools have instances that the provider need not list, where a label is on
// their nodes.
func (w *trial) rolledPools(seen provider.Observation) {
	for name, size := range map[string]int{"a": 3, "b": 1} {
		pool := w.pool(seen, name)
		if pool.Size != size || pool.Template.Version != w.Versions.Old || pool.RolledBy != fleet.ByProvider ||
			pool.NodeLabel.Key == "" && len(pool.Instances) != size {
			w.Errorf("pool = %+v, want %d nodes of %s, listed or with a label, rolled by the provider", pool, size, w.Versions.Old)
		}
		if nodes := w.nodesIn(pool); len(nodes) != size {
			w.Errorf("nodes of pool %s = %v, want %d", name, nodes, size)
		}
	}
}

func reaches(w *trial) {
	served, err := w.client().Discovery().ServerVersion()
	if err != nil {
		w.Fatal(err)
	}
	version, _ := fleet.ParseVersion(served.GitVersion)
	if want := w.observe().ControlPlane; !w.at(version, want.Oldest) || want.Oldest != want.Newest || !want.Ready {
		w.Errorf("the cluster answers %s, its provider says %+v", served.GitVersion, want)
	}
	seen := w.observe()
	if w.rolls() {
		return // that its nodes have their labels is seen with the pools
	}
	w.untilNodes("those of the instances", func(nodes []string) bool {
		return slices.Equal(nodes, nodesOf(w.pool(seen, "a"), w.pool(seen, "b")))
	})
}

// cancelled gives a call a second, in which a provider would wait for an answer.
func cancelled(w *trial) {
	ctx, cancel := context.WithCancel(w.Context())
	cancel()
	begun := time.Now()
	_, observing := w.Provider.Observe(ctx, w.ref)
	_, changing := w.Provider.Ensure(ctx, w.ref, w.control(w.Versions.Old, w.Versions.Next, "t"))
	errs := []error{observing, changing}
	if !w.rolls() {
		errs = append(errs,
			w.nodes().AddNode(ctx, w.ref, provider.NodeAddition{Pool: "a", Token: "t"}),
			w.nodes().RemoveNode(ctx, w.ref, provider.NodeRemoval{Pool: "a", Instance: w.pool(w.observe(), "a").Instances[0].ID}))
	}
	for _, err := range errs {
		w.fault(err, provider.Retry, provider.CodeUnreachable)
	}
	_, _ = w.Provider.Connect(ctx, w.ref) // may need no call
	if took := time.Since(begun); took > 5*time.Second {
		w.Errorf("five cancelled calls took %s", took)
	}
}
