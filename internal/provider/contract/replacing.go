package contract

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// replacing are the promises about pools and their nodes.
func replacing() []testCase {
	return []testCase{
		{name: "a pool's change sets its template alone", run: setsTemplate, lacking: oneByOne},
		{name: "a template set after a lost reply is set once", run: lostTemplate},
		{name: "a template from what no longer holds is Stop", run: templateMoved},
		{name: "nodes are never newer than the control plane", still: true, run: func(w *trial) {
			w.refused(w.template(w.Versions.Old, w.Versions.Next, "t"), provider.Stop, provider.CodeInvalid)
		}},
		{name: "a pool that does not exist is Stop", still: true, run: noSuchPool},
		{name: "a node is made from the template", run: addsFromTemplate, lacking: oneByOne},
		{name: "a token adds one node", run: addsOnce, lacking: oneByOne},
		{name: "a node added after a lost reply is one node", run: lostAddition, lacking: oneByOne},
		{name: "a token whose node is gone adds no other", run: addsNoOther, lacking: oneByOne},
		{name: "a node is added with a token", still: true, lacking: oneByOne, run: func(w *trial) {
			w.fault(w.nodes().AddNode(w.Context(), w.ref, provider.NodeAddition{Pool: "a"}), provider.Stop, provider.CodeInvalid)
		}},
		{name: "an instance that never joins is shown", run: showsPartialPool, lacking: func(l Lacks) string { return l.PartialPools }},
		{name: "removing a node removes its object", run: removes, lacking: oneByOne},
		{name: "removing after a lost reply is no error", run: lostRemoval, lacking: oneByOne},
		{name: "removing what is gone is no error", still: true, lacking: oneByOne, run: func(w *trial) {
			if err := w.nodes().RemoveNode(w.Context(), w.ref, provider.NodeRemoval{Pool: "a", Instance: "gone"}); err != nil {
				w.Error(err)
			}
		}},
		{name: "a node of another pool is not removed", still: true, lacking: oneByOne, run: func(w *trial) {
			instance := w.pool(w.observe(), "a").Instances[0].ID
			err := w.nodes().RemoveNode(w.Context(), w.ref, provider.NodeRemoval{Pool: "b", Instance: instance})
			w.fault(err, provider.Stop, provider.CodeInvalid)
		}},
	}
}

func oneByOne(l Lacks) string { return l.Nodes }

// nodesOf are the nodes that pools have or will have.
func nodesOf(pools ...provider.Pool) []string {
	var names []string
	for _, pool := range pools {
		for _, instance := range pool.Instances {
			names = append(names, instance.Node)
		}
	}
	slices.Sort(names)
	return names
}

// untilNodes asks the cluster itself for its nodes, by name, until they are so.
func (w *trial) untilNodes(what string, met func([]string) bool) {
	w.Helper()
	client := w.client()
	var names []string
	w.until("nodes: "+what, func(provider.Observation) bool {
		names = nil
		list, err := client.CoreV1().Nodes().List(w.Context(), metav1.ListOptions{})
		if err != nil {
			return false
		}
		for _, node := range list.Items {
			names = append(names, node.Name)
		}
		slices.Sort(names)
		return met(names)
	})
}

// count waits for a number of instances in pool a, and sees that it stays.
func (w *trial) count(want int) provider.Pool {
	w.Helper()
	so := func(o provider.Observation) bool { return len(w.pool(o, "a").Instances) == want }
	w.until("the instances", so)
	for range 5 {
		w.Pass()
	}
	seen := w.observe()
	if !so(seen) {
		w.Fatalf("pool = %+v, want %d instances", w.pool(seen, "a"), want)
	}
	return w.pool(seen, "a")
}

func (w *trial) add(add provider.NodeAddition) {
	w.Helper()
	if err := w.nodes().AddNode(w.Context(), w.ref, add); err != nil {
		w.Fatal(err)
	}
}

// template of pool a is seen to be of a version.
func (w *trial) untilTemplate(want fleet.Version) provider.Observation {
	w.Helper()
	return w.until("the template", func(o provider.Observation) bool { return w.at(w.pool(o, "a").Template.Version, want) })
}

func setsTemplate(w *trial) {
	w.upgrade()
	op := w.ensure(w.template(w.Versions.Old, w.Versions.Next, "t"))
	if op.Phase == provider.Failed || op.Part != poolA() || op.ID == "" {
		w.Errorf("operation = %+v, want one of pool a that has not failed", op)
	}
	seen := w.untilTemplate(w.Versions.Next)
	for _, instance := range slices.Concat(w.pool(seen, "a").Instances, w.pool(seen, "b").Instances) {
		if instance.State.Version != w.Versions.Old {
			w.Errorf("instance = %+v, want that it stays at %s", instance, w.Versions.Old)
		}
	}
	if got := w.pool(seen, "b").Template.Version; got != w.Versions.Old {
		w.Errorf("template of pool b = %s, want %s", got, w.Versions.Old)
	}
}

func lostTemplate(w *trial) {
	w.upgrade()
	change := w.template(w.Versions.Old, w.Versions.Next, "t")
	w.lost(SetTemplate, func() error {
		_, err := w.Provider.Ensure(w.Context(), w.ref, change)
		return err
	})
	if op := w.ensure(change); op.Phase != provider.Succeeded && !w.rolls() {
		w.Errorf("operation = %+v, want that it has succeeded", op)
	}
	if all := operations(w.untilTemplate(w.Versions.Next), poolA()); len(all) != 1 {
		w.Errorf("operations of pool a = %+v, want one", all)
	}
}

func templateMoved(w *trial) {
	w.upgrade()
	w.ensure(w.template(w.Versions.Old, w.Versions.Next, "t"))
	w.untilTemplate(w.Versions.Next)
	if w.rolls() {
		w.rolled() // until then it is under way, and waited for
	}
	w.refused(w.template(w.Versions.Old, w.Versions.Back, "late"), provider.Stop, provider.CodeChanged)
	if got := w.pool(w.observe(), "a").Template.Version; !w.at(got, w.Versions.Next) {
		w.Errorf("template = %s, want %s", got, w.Versions.Next)
	}
}

func noSuchPool(w *trial) {
	change := w.template(w.Versions.Old, w.Versions.Old, "t")
	change.Part.Pool = "none"
	w.refused(change, provider.Stop, provider.CodeInvalid)
	if !w.rolls() {
		w.fault(w.nodes().AddNode(w.Context(), w.ref, provider.NodeAddition{Pool: "none", Token: "t"}), provider.Stop, provider.CodeInvalid)
	}
}

func addsFromTemplate(w *trial) {
	w.upgrade()
	w.ensure(w.template(w.Versions.Old, w.Versions.Next, "t"))
	w.untilTemplate(w.Versions.Next)
	replaced := w.pool(w.observe(), "a").Instances[1].ID
	w.add(provider.NodeAddition{Pool: "a", Replaces: replaced, Token: "node"})
	pool := w.count(4)
	i := slices.IndexFunc(pool.Instances, func(i provider.Instance) bool { return i.Replaces != "" })
	if i < 0 {
		w.Fatalf("instances = %+v, want one that replaces %s", pool.Instances, replaced)
	}
	added := pool.Instances[i]
	if !w.at(added.State.Version, w.Versions.Next) || added.State.Version != pool.Template.Version || added.Replaces != replaced {
		w.Errorf("instance = %+v, want one of %s that replaces %s", added, pool.Template.Version, replaced)
	}
	if pool.Size != 3 {
		w.Errorf("size = %d, want 3: a node that replaces another is surge", pool.Size)
	}
	w.untilNodes("the new one", func(nodes []string) bool { return slices.Contains(nodes, added.Node) })
}

func addsOnce(w *trial) {
	for range 2 {
		w.add(provider.NodeAddition{Pool: "a", Token: "node"})
	}
	w.count(4)
	w.add(provider.NodeAddition{Pool: "a", Token: "node"})
	w.count(4)
	w.add(provider.NodeAddition{Pool: "a", Token: "other"})
	w.count(5)
}

func lostAddition(w *trial) {
	add := provider.NodeAddition{Pool: "a", Token: "node"}
	w.lost(AddNode, func() error { return w.nodes().AddNode(w.Context(), w.ref, add) })
	w.add(add)
	w.count(4)
}

func addsNoOther(w *trial) {
	known := w.pool(w.observe(), "a").Instances
	w.add(provider.NodeAddition{Pool: "a", Token: "node"})
	pool := w.count(4)
	added := slices.DeleteFunc(slices.Clone(pool.Instances), func(i provider.Instance) bool { return slices.Contains(known, i) })[0]
	w.remove(added.ID)
	w.count(3)
	w.add(provider.NodeAddition{Pool: "a", Token: "node"})
	w.count(3)
}

// showsPartialPool: the instance is there, and the node that it should be is not,
// long after another has joined.
func showsPartialPool(w *trial) {
	known := w.pool(w.observe(), "a").Instances
	w.Stunt(w.ref)
	w.add(provider.NodeAddition{Pool: "a", Token: "stunted"})
	w.count(4)
	w.add(provider.NodeAddition{Pool: "a", Token: "sound"})
	var added []string
	for _, instance := range w.count(5).Instances {
		if !slices.Contains(known, instance) {
			added = append(added, instance.Node)
		}
	}
	joined := func(nodes []string) int {
		return len(slices.DeleteFunc(slices.Clone(added), func(name string) bool { return !slices.Contains(nodes, name) }))
	}
	w.untilNodes("one of the two", func(nodes []string) bool { return joined(nodes) >= 1 })
	for range 20 {
		w.Pass()
	}
	w.untilNodes("no more than one of the two", func(nodes []string) bool {
		if joined(nodes) != 1 {
			w.Errorf("nodes are %v, want one of %v", nodes, added)
		}
		return true
	})
}

func (w *trial) remove(instance string) {
	w.Helper()
	if err := w.nodes().RemoveNode(w.Context(), w.ref, provider.NodeRemoval{Pool: "a", Instance: instance}); err != nil {
		w.Fatal(err)
	}
}

func removes(w *trial) {
	removed := w.pool(w.observe(), "a").Instances[0]
	w.untilNodes("all", func(nodes []string) bool { return len(nodes) == 4 })
	w.remove(removed.ID)
	left := w.count(2)
	if slices.Contains(left.Instances, removed) {
		w.Errorf("instances = %+v, want that %s is gone", left.Instances, removed.ID)
	}
	w.untilNodes("all but the removed one", func(nodes []string) bool { return len(nodes) == 3 && !slices.Contains(nodes, removed.Node) })
}

func lostRemoval(w *trial) {
	removed := w.pool(w.observe(), "a").Instances[0].ID
	w.lost(RemoveNode, func() error {
		return w.nodes().RemoveNode(w.Context(), w.ref, provider.NodeRemoval{Pool: "a", Instance: removed})
	})
	w.remove(removed)
	w.count(2)
}
