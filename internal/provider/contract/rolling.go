package contract

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// rolling are the promises of who rolls pools itself.
func rolling() []testCase {
	itself := func(l Lacks) string { return l.Rolling }
	return []testCase{
		{name: "a pool's change replaces its nodes, and no others", run: rollsNodes, lacking: itself},
		{name: "a pool's change is one operation", run: rollsOnce, lacking: itself},
		{name: "a pool is not changed while its control plane is", run: rollsAfter, lacking: itself},
	}
}

// nodesIn are the names of a pool's nodes and their kubelets' versions, by what the
// cluster itself says.
func (w *trial) nodesIn(pool provider.Pool) map[string]fleet.Version {
	w.Helper()
	list, err := w.client().CoreV1().Nodes().List(w.Context(), metav1.ListOptions{})
	if err != nil {
		w.Fatal(err)
	}
	listed := nodesOf(pool)
	nodes := map[string]fleet.Version{}
	for _, node := range list.Items {
		value, labelled := node.Labels[pool.NodeLabel.Key]
		if !slices.Contains(listed, node.Name) && !(labelled && value == pool.NodeLabel.Value) {
			continue
		}
		version, _ := fleet.ParseVersion(node.Status.NodeInfo.KubeletVersion)
		nodes[node.Name] = version
	}
	return nodes
}

// rolled waits for the end of an operation of pool a.
func (w *trial) rolled() provider.Operation {
	w.Helper()
	seen := w.until("an operation of pool a that has ended", func(o provider.Observation) bool {
		all := operations(o, poolA())
		return len(all) > 0 && all[0].Phase != provider.Running
	})
	return operations(seen, poolA())[0]
}

func rollsNodes(w *trial) {
	w.upgrade()
	seen := w.observe()
	before, others := w.nodesIn(w.pool(seen, "a")), w.nodesIn(w.pool(seen, "b"))
	op := w.ensure(w.template(w.Versions.Old, w.Versions.Next, "t"))
	if op.Phase != provider.Running || op.Part != poolA() || op.ID == "" || !w.at(op.To.Version, w.Versions.Next) {
		w.Errorf("operation = %+v, want one of pool a that runs to %s", op, w.Versions.Next)
	}
	if op := w.rolled(); op.Phase != provider.Succeeded {
		w.Fatalf("operation = %+v, want that it has succeeded", op)
	}
	seen = w.untilTemplate(w.Versions.Next)
	after := w.nodesIn(w.pool(seen, "a"))
	for name, version := range after {
		if _, there := before[name]; there || !w.at(version, w.Versions.Next) {
			w.Errorf("node %s of pool a is at %s, want a new one at %s", name, version, w.Versions.Next)
		}
	}
	if len(after) != len(before) {
		w.Errorf("nodes of pool a were %v, and are %v; want as many", before, after)
	}
	for name, version := range w.nodesIn(w.pool(seen, "b")) {
		if others[name] != version {
			w.Errorf("node %s of pool b is at %s, and was at %s", name, version, others[name])
		}
	}
}

func rollsOnce(w *trial) {
	w.upgrade()
	change := w.template(w.Versions.Old, w.Versions.Next, "t")
	first := w.ensure(change)
	for _, token := range []string{"t", "another"} {
		change.Token = token
		if again := w.ensure(change); again.ID != first.ID {
			w.Errorf("operations %+v, then %+v with token %s; want one", first, again, token)
		}
	}
	w.rolled()
	w.untilTemplate(w.Versions.Next)
	if op := w.ensure(change); op.Phase != provider.Succeeded {
		w.Errorf("operation = %+v, want that it is done", op)
	}
	all := operations(w.observe(), poolA())
	if len(all) != 1 || all[0].ID != first.ID {
		w.Errorf("operations = %+v, want %s alone", all, first.ID)
	}
}

func rollsAfter(w *trial) {
	w.ensure(w.control(w.Versions.Old, w.Versions.Next, "t"))
	op, err := w.Provider.Ensure(w.Context(), w.ref, w.template(w.Versions.Old, w.Versions.Next, "pool"))
	if err == nil {
		w.Fatalf("operation = %+v, want that it is refused or waited for", op)
	}
	if fault, ok := asFault(err); !ok || !slices.Contains([]string{provider.CodeInProgress, provider.CodeInvalid}, fault.Code) {
		w.Errorf("error = %v, want %s or %s", err, provider.CodeInProgress, provider.CodeInvalid)
	}
	w.ended()
	if all := operations(w.observe(), poolA()); len(all) != 0 {
		w.Errorf("operations of pool a = %+v, want none", all)
	}
}
