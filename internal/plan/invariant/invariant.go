// Package invariant restates what must never happen, in other words than the
// planners', and judges every decision by it before it is acted on.
//
// It shares no arithmetic with the planners on purpose: where both agree, two
// people would have to have made the same mistake.
package invariant

import (
	"fmt"
	"slices"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/upgrade"
)

// Step judges one upgrade's next step; each sentence is a violation.
func Step(in upgrade.Input, step upgrade.Step) []string {
	j := newJudge(in)
	for _, action := range step.Actions {
		j.action(action)
	}
	j.sums()
	j.mixture(step.Actions)
	j.rights(step)
	if step.Outcome != upgrade.Going {
		j.end(step)
	}
	return j.broken
}

// judge reads a decision action by action, and counts what they come to.
type judge struct {
	upgrade.Input
	broken []string
	pools  map[string]*census
	// allowed is what each budget still allows.
	allowed map[string]int
	// replaced are the instances for which another one exists or was asked for.
	replaced map[string]bool
	// changed counts the add-ons that are.
	changed int
}

// census counts a pool's machines as they would be after the actions.
type census struct {
	fleet.Pool
	machines int
	// taking are the nodes that take pods, and open those that would if all were
	// Ready, by name; before are their numbers before.
	taking, open map[string]bool
	before       struct{ taking, open int }
}

func newJudge(in upgrade.Input) *judge {
	j := &judge{Input: in, pools: map[string]*census{}, allowed: map[string]int{}, replaced: map[string]bool{}}
	for _, budget := range in.Cluster.Budgets {
		j.allowed[budget.Key()] = budget.Allowed
	}
	for _, pool := range in.Cluster.Pools {
		n := &census{Pool: pool, machines: len(pool.Nodes), taking: map[string]bool{}, open: map[string]bool{}}
		for _, node := range pool.Nodes {
			if node.Ready && !node.Cordoned {
				n.taking[node.Name] = true
			}
			if node.UID != "" && !node.Cordoned {
				n.open[node.Name] = true
			}
			if node.Replaces != "" {
				j.replaced[node.Replaces] = true
			}
		}
		n.before.taking, n.before.open = len(n.taking), len(n.open)
		j.pools[pool.Name] = n
	}
	return j
}

func (j *judge) breaks(format string, args ...any) {
	j.broken = append(j.broken, fmt.Sprintf(format, args...))
}

func (j *judge) action(action plan.Action) {
	j.held(action)
	switch a := action.(type) {
	case plan.UpgradeControlPlane:
		j.controlPlane(a)
	case plan.SetPoolTemplate:
		j.template(a)
	case plan.UpgradePool:
		j.upgradePool(a)
	case plan.AddNode:
		j.addition(a)
	case plan.Cordon:
		j.cordon(a)
	case plan.Evict:
		j.eviction(a)
	case plan.RemoveNode:
		j.removal(a)
	case plan.Restore:
		j.restore(a)
	default:
		j.besides(action)
	}
}

// besides looks at what is done beside control plane and nodes.
func (j *judge) besides(action plan.Action) {
	switch a := action.(type) {
	case plan.UpgradeAddOn:
		j.upgradeAddOn(a)
	case plan.TakeBackAddOn:
		j.takeBackAddOn(a)
	case plan.UnlockAddOn:
		j.unlockAddOn(a)
	case plan.WriteSource:
		j.writeSource(a)
	case plan.Claim:
		j.claim(a)
	case plan.Release:
		j.release(a)
	default:
		j.breaks("action %T is not known here", action)
	}
}

// held looks at what must not be begun any more: a freeze, a withdrawn release or
// an end that somebody wants lets what is in hand be finished, and a fleet that
// halted lets it go on once its control plane is changed.
func (j *judge) held(action plan.Action) {
	leave := !j.Superseded.IsZero() || !j.Aborted.IsZero() || !j.Withdrawn.IsZero() || !j.Frozen.IsZero()
	switch a := action.(type) {
	case plan.UpgradeControlPlane:
		if leave || !j.Halted.IsZero() {
			j.breaks("%s is begun against the will of a person", a)
		}
	case plan.SetPoolTemplate, plan.UpgradePool, plan.UpgradeAddOn:
		if leave {
			j.breaks("%s is begun against the will of a person", a)
		}
	case plan.Cordon:
		for _, pool := range j.Cluster.Pools {
			there := slices.ContainsFunc(pool.Nodes, func(n fleet.Node) bool { return n.Name == a.Node })
			if there && leave && len(pool.Nodes) <= pool.Size {
				j.breaks("%s is begun against the will of a person", a)
			}
		}
	default:
	}
}

func (j *judge) controlPlane(a plan.UpgradeControlPlane) {
	cp := j.Cluster.ControlPlane
	if a.From != cp.Oldest {
		j.breaks("control plane would be changed from %s; it is at %s", a.From, cp.Oldest)
	}
	if a.To.Major != cp.Oldest.Major || a.To.Minor > cp.Oldest.Minor+1 {
		j.breaks("control plane would skip a minor: %s → %s", cp.Oldest, a.To)
	}
	j.pinned("control plane", a.To)
	if a.To.Less(cp.Newest) {
		j.breaks("control plane would go back: %s → %s", cp.Newest, a.To)
	}
	for _, op := range j.Cluster.Operations {
		if op.Phase == fleet.Running && op.Token != a.Token {
			j.breaks("control plane would change while operation %s runs", op.ID)
		}
	}
	for _, node := range j.Cluster.Nodes() {
		if behind, most := a.To.Minor-node.Version.Minor, j.skew(node.Version); node.UID != "" && behind > most {
			j.breaks("kubelet of %s at %s would be more than %d minors behind %s", node.Name, node.Version, most, a.To)
		}
		if node.CordonedBy != "" {
			j.breaks("control plane would change while node %s is being drained", node.Name)
		}
	}
}

// skew is how many minors a kubelet may be behind, in the words of the version
// skew policy, or the provider's number where that is less.
func (j *judge) skew(kubelet fleet.Version) int {
	most := 3
	if kubelet.Major == 1 && kubelet.Minor < 25 {
		most = 2
	}
	if j.Cluster.MaxNodeSkew != 0 && j.Cluster.MaxNodeSkew < most {
		most = j.Cluster.MaxNodeSkew
	}
	return most
}

// pool finds a pool whose nodes are ours to replace.
func (j *judge) pool(name string) *census { return j.rolledBy(name, fleet.ByRefit) }

// rolledBy finds a pool that one is to roll.
func (j *judge) rolledBy(name string, by fleet.RolledBy) *census {
	n := j.pools[name]
	switch {
	case n == nil:
		j.breaks("pool %s was not observed", name)
	case n.RolledBy != by:
		j.breaks("pool %s would be changed, which is rolled by %s", name, n.RolledBy)
	default:
		return n
	}
	return nil
}

func (j *judge) template(a plan.SetPoolTemplate) {
	if n := j.pool(a.Pool); n != nil {
		j.forward(n, a.To)
	}
}

// upgradePool is of a pool that its provider rolls, one change at a time.
func (j *judge) upgradePool(a plan.UpgradePool) {
	n := j.rolledBy(a.Pool, fleet.ByProvider)
	if n == nil {
		return
	}
	j.forward(n, a.To)
	if a.From != n.Template {
		j.breaks("pool %s would be changed from %s; it is at %s", a.Pool, a.From, n.Template)
	}
	for _, op := range j.Cluster.Operations {
		if op.Phase == fleet.Running && (op.Pool == "" || op.Pool == a.Pool && op.Token != a.Token) {
			j.breaks("pool %s would change while operation %s runs", a.Pool, op.ID)
		}
	}
}

// forward judges the version that nodes of a pool are to have.
func (j *judge) forward(n *census, to fleet.Version) {
	if j.Cluster.ControlPlane.Oldest.Minor < to.Minor {
		j.breaks("kubelets of pool %s at %s would be newer than the API server at %s", n.Name, to, j.Cluster.ControlPlane.Oldest)
	}
	if to != j.Cluster.ControlPlane.Oldest { // what runs here is nothing new
		j.pinned("template of pool "+n.Name, to)
	}
	if to.Less(n.Template) {
		j.breaks("template of pool %s would go back: %s → %s", n.Name, n.Template, to)
	}
}

func (j *judge) addition(a plan.AddNode) {
	n := j.pool(a.Pool)
	if n == nil {
		return
	}
	n.machines++
	if j.Cluster.ControlPlane.Oldest.Minor < n.Template.Minor {
		j.breaks("a node of pool %s at %s would be newer than the API server at %s", a.Pool, n.Template, j.Cluster.ControlPlane.Oldest)
	}
	if a.Replaces == "" {
		return
	}
	if j.replaced[a.Replaces] {
		j.breaks("instance %s would be replaced twice", a.Replaces)
	}
	j.replaced[a.Replaces] = true
	if _, found := find(n.Pool, func(node fleet.Node) bool { return node.Instance == a.Replaces }); !found {
		j.breaks("instance %s would be replaced, which is not in pool %s", a.Replaces, a.Pool)
	}
}

func (j *judge) cordon(a plan.Cordon) {
	n, node := j.node(a.Node)
	if n == nil {
		return
	}
	if a.UID != node.UID || a.ResourceVersion != node.ResourceVersion {
		j.breaks("node %s would be cordoned as another than was observed", a.Node)
	}
	if node.CordonedBy != "" && node.CordonedBy != j.UID {
		j.breaks("node %s would be taken from upgrade %s", a.Node, node.CordonedBy)
	}
	if a.Upgrade != j.UID || a.WasCordoned != node.Cordoned {
		j.breaks("the undo of node %s would be wrong: by %q, was cordoned %t", a.Node, a.Upgrade, a.WasCordoned)
	}
	delete(n.taking, a.Node)
	delete(n.open, a.Node)
}

func (j *judge) eviction(a plan.Evict) {
	_, node := j.node(a.Node)
	if !j.ours(node) {
		j.breaks("pod %s/%s would be evicted from node %s, which this upgrade has not cordoned", a.Namespace, a.Pod, a.Node)
		return
	}
	for _, pod := range node.Pods {
		if pod.UID != a.UID || pod.Namespace != a.Namespace || pod.Name != a.Pod {
			continue
		}
		if pod.Owner != fleet.OwnedByController {
			j.breaks("pod %s would be evicted, though its owner is %s", pod.Key(), pod.Owner)
		}
		if len(pod.Budgets) > 1 {
			j.breaks("pod %s would be evicted against %d budgets", pod.Key(), len(pod.Budgets))
		}
		for _, budget := range pod.Budgets {
			if j.allowed[budget]--; pod.Ready && j.allowed[budget] < 0 {
				j.breaks("pod %s would be evicted beyond what budget %s allows", pod.Key(), budget)
			}
			if !pod.Ready {
				j.allowed[budget]++ // is not counted, and takes nothing
			}
		}
		return
	}
	j.breaks("pod %s/%s would be evicted, which was not observed on node %s", a.Namespace, a.Pod, a.Node)
}

func (j *judge) removal(a plan.RemoveNode) {
	n := j.pool(a.Pool)
	if n == nil {
		return
	}
	node, found := find(n.Pool, func(node fleet.Node) bool {
		return node.Instance == a.Instance && node.Name == a.Node && node.UID == a.UID
	})
	switch {
	case !found:
		j.breaks("instance %s would be removed, which was not observed so in pool %s", a.Instance, a.Pool)
		return
	case !j.ours(node):
		j.breaks("node %s would be removed without this upgrade's cordon", node.Name)
	}
	for _, pod := range node.Pods {
		if pod.Owner == fleet.OwnedByController || pod.Owner == fleet.OwnedByNobody {
			j.breaks("node %s would be removed with pod %s on it", node.Name, pod.Key())
		}
	}
	successor, found := find(n.Pool, func(other fleet.Node) bool { return other.Replaces == a.Instance })
	if found && !successor.Ready && len(n.taking) < j.least(n) {
		j.breaks("node %s would be removed before %s, which replaces it, is Ready", node.Name, successor.Name)
	}
	n.machines--
	delete(n.taking, node.Name)
	delete(n.open, node.Name)
}

func (j *judge) restore(a plan.Restore) {
	_, node := j.node(a.Node)
	if node.CordonedBy != j.UID || a.Upgrade != j.UID || a.UID != node.UID {
		j.breaks("node %s would be restored, which does not carry this upgrade's cordon", a.Node)
	}
}

// node finds a node by name in the pools that are ours to roll; its census is
// nil where there is none.
func (j *judge) node(name string) (*census, fleet.Node) {
	for _, pool := range j.Cluster.Pools {
		if node, found := find(pool, func(node fleet.Node) bool { return node.Name == name && node.UID != "" }); found {
			return j.pool(pool.Name), node
		}
	}
	j.breaks("node %s was not observed", name)
	return nil, fleet.Node{}
}

// ours tells whether a node carries this upgrade's cordon, and is cordoned.
func (j *judge) ours(node fleet.Node) bool {
	return j.UID != "" && node.CordonedBy == j.UID && node.Cordoned
}

func find(pool fleet.Pool, match func(fleet.Node) bool) (fleet.Node, bool) {
	for _, node := range pool.Nodes {
		if match(node) {
			return node, true
		}
	}
	return fleet.Node{}, false
}
