// Package noderoll decides what happens next to one pool whose nodes Refit
// replaces: which nodes to add, cordon, empty and remove.
//
// A node is in one of these stages, always derived, never stored:
//
//	Old ──cordon──▶ Draining ──empty──▶ Drained ──remove──▶ (gone)
//	add ──▶ Joining ──Ready──▶ Settled
//
// The numbers that bound every decision, with size the pool's size at rest:
//
//	nodes                          ≤ size + maxSurge
//	Ready nodes that take pods     ≥ size − maxUnavailable
//
// Cordoning a node and losing one are the same to the second line: a drained
// node is removed only when the nodes that take pods suffice without it, so a
// replacement is Ready before what it replaces is gone. Where both numbers are 0,
// as percentages of a small pool can be, one node may be missing, as with
// Deployments: nothing would ever move.
package noderoll

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
)

// Input is everything a decision needs.
type Input struct {
	// Upgrade is the UID of the upgrade on whose behalf nodes are replaced.
	Upgrade string
	Pool    fleet.Pool
	Budgets []fleet.Budget
	// Want is the version that new nodes are built at.
	Want fleet.Version
	// Enough is the version from which on a node may stay as it is; Want where
	// it is zero.
	Enough fleet.Version
	Policy Policy
	// WindDown brings the nodes in hand to their end and begins no other.
	WindDown bool
	// Token names a change of this pool in this pass.
	Token func(what string) string
}

// Policy bounds what may be missing or too much, in nodes.
type Policy struct {
	MaxSurge, MaxUnavailable int
}

// Decision is what to do now, and why no more than that.
type Decision struct {
	Actions []plan.Action
	// Why is what is being waited for; zero when Done.
	Why  fleet.Reason
	Done bool
}

// stage is where one node stands.
type stage string

const (
	old      stage = "Old"
	draining stage = "Draining"
	drained  stage = "Drained"
	joining  stage = "Joining"
	settled  stage = "Settled"
	gone     stage = "Gone" // its machine is about to be
)

// roll is one decision in the making.
type roll struct {
	Input
	byStage map[stage][]fleet.Node
	// available nodes are Ready and take pods.
	available int
	actions   []plan.Action
	// waits are reasons met on the way, the most telling first.
	waits []fleet.Reason
	// moved tells that pods are on their way out, and moving of which budgets.
	moved  bool
	moving map[string]bool
}

// Decide is one decision for one pool.
func Decide(in Input) Decision {
	r := newRoll(in)
	r.setTemplate()
	r.remove()
	r.drain()
	r.cordon()
	r.add()
	if len(r.actions) == 0 && len(r.unfinished()) == 0 {
		return Decision{Done: true}
	}
	return Decision{Actions: r.actions, Why: r.why()}
}

func newRoll(in Input) *roll {
	if in.Policy.MaxSurge == 0 && in.Policy.MaxUnavailable == 0 && !in.WindDown {
		in.Policy.MaxUnavailable = 1
	}
	if in.Enough.IsZero() {
		in.Enough = in.Want
	}
	r := &roll{Input: in, byStage: map[stage][]fleet.Node{}, moving: map[string]bool{}}
	for _, node := range in.Pool.Nodes {
		at := r.stageOf(node)
		r.byStage[at] = append(r.byStage[at], node)
		if node.Ready && !node.Cordoned {
			r.available++
		}
	}
	slices.SortFunc(r.byStage[old], drainOrder)
	return r
}

func (r *roll) stageOf(node fleet.Node) stage {
	stays := node.Version.Reaches(r.Want) || (node.Version.Reaches(r.Enough) && node.CordonedBy != r.Upgrade)
	switch {
	case node.UID == "" && !node.Built.IsZero() && !node.Built.Reaches(r.Enough):
		return gone
	case node.UID == "", stays && !node.Ready:
		return joining
	case stays:
		return settled
	case node.CordonedBy != r.Upgrade, !node.Cordoned: // somebody may have taken our cordon off
		return old
	case slices.ContainsFunc(node.Pods, occupies):
		return draining
	default:
		return drained
	}
}

// drainOrder puts nodes first that are not Ready, since losing them costs
// nothing. Otherwise it goes by name and by nothing that changes from moment to
// moment: a picture that is a little old asks for the same nodes again, and not
// for others on top of them.
func drainOrder(a, b fleet.Node) int {
	return cmp.Or(compareBool(a.Ready, b.Ready), strings.Compare(a.Name, b.Name))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// occupies tells whether a node must not be removed as long as the pod is on it.
func occupies(pod fleet.Pod) bool {
	return pod.Owner == fleet.OwnedByController || pod.Owner == fleet.OwnedByNobody
}

// setTemplate lets the next node be a new one. Until that is observed no node
// is added: it would be an old one.
func (r *roll) setTemplate() {
	if !r.WindDown && !r.Pool.Template.Reaches(r.Want) {
		r.actions = append(r.actions, plan.SetPoolTemplate{
			Pool: r.Pool.Name, From: r.Pool.Template, To: r.Want,
			Token: r.Token("template"),
		})
	}
}

// remove gives up drained nodes when enough others take pods; else a new one
// comes first, if one is to come.
func (r *roll) remove() {
	moreToCome := len(r.byStage[joining]) > 0 || r.room() > 0
	if r.available < r.floor() && moreToCome {
		return
	}
	for _, node := range r.byStage[drained] {
		r.actions = append(r.actions, plan.RemoveNode{
			Pool: r.Pool.Name, Instance: node.Instance, Node: node.Name, UID: node.UID,
		})
	}
}

// drain asks for evictions on cordoned nodes, exactly as far as the budgets
// still allow. The API server has the last word. A budget that allows nothing is
// only worth telling where that will not pass by itself.
func (r *roll) drain() {
	allowed := map[string]int{}
	for _, budget := range r.Budgets {
		allowed[budget.Key()] = budget.Allowed
	}
	for _, node := range r.byStage[draining] {
		for _, pod := range node.Pods {
			if !occupies(pod) {
				continue
			}
			if wait := r.evict(node, pod, allowed); !wait.IsZero() {
				r.waits = append(r.waits, wait)
			}
		}
	}
	r.waits = slices.DeleteFunc(r.waits, r.passes)
}

// passes tells whether a budget that allows nothing will allow something soon:
// pods of it are on their way out, or others move and not all of its are back.
func (r *roll) passes(wait fleet.Reason) bool {
	if wait.Code != fleet.BudgetExhausted {
		return false
	}
	key := strings.TrimPrefix(wait.Object, budgetObject)
	budget := r.budget(key)
	return r.moving[key] || (r.moved && budget.Healthy < budget.Expected)
}

// budgetObject comes before the key of a budget that a reason is about.
const budgetObject = "poddisruptionbudget "

func (r *roll) evict(node fleet.Node, pod fleet.Pod, allowed map[string]int) fleet.Reason {
	object := "pod " + pod.Key()
	switch {
	case !pod.Terminating.IsZero():
		r.move(pod)
		return fleet.Reason{
			Code: fleet.PodTerminating, Object: object, Since: pod.Terminating,
			Message: fmt.Sprintf("pod %s on node %s is terminating", pod.Key(), node.Name),
		}
	case pod.Owner == fleet.OwnedByNobody:
		return fleet.Reason{
			Code: fleet.PodWithoutOwner, Object: object, Since: node.CordonedAt,
			Message: fmt.Sprintf("pod %s on node %s has no controller: evicted, it would be lost", pod.Key(), node.Name),
			Fix:     fmt.Sprintf("move or delete it yourself: kubectl delete pod -n %s %s", pod.Namespace, pod.Name),
		}
	case len(pod.Budgets) > 1:
		return fleet.Reason{
			Code: fleet.SeveralBudgets, Object: object, Since: node.CordonedAt,
			Message: fmt.Sprintf("pod %s on node %s is guarded by %d PodDisruptionBudgets (%s): the API server never evicts such a pod",
				pod.Key(), node.Name, len(pod.Budgets), strings.Join(pod.Budgets, ", ")),
			Fix: "leave one budget that selects it",
		}
	case len(pod.Budgets) == 1 && pod.Ready && allowed[pod.Budgets[0]] <= 0:
		return r.exhausted(node, pod)
	}
	r.actions = append(r.actions, plan.Evict{Namespace: pod.Namespace, Pod: pod.Name, UID: pod.UID, Node: node.Name})
	if pod.Ready || len(pod.Budgets) == 0 {
		r.move(pod)
	}
	for _, key := range pod.Budgets {
		if pod.Ready {
			allowed[key]--
		} else if b := r.budget(key); b.Healthy < b.Desired {
			return r.exhausted(node, pod) // unless the budget lets go of pods that are not Ready
		}
	}
	return fleet.Reason{}
}

// move notes that a pod is on its way out.
func (r *roll) move(pod fleet.Pod) {
	r.moved = true
	for _, key := range pod.Budgets {
		r.moving[key] = true
	}
}

func (r *roll) budget(key string) fleet.Budget {
	for _, budget := range r.Budgets {
		if budget.Key() == key {
			return budget
		}
	}
	return fleet.Budget{}
}

func (r *roll) exhausted(node fleet.Node, pod fleet.Pod) fleet.Reason {
	key := pod.Budgets[0]
	budget := r.budget(key)
	namespace, name, _ := strings.Cut(key, "/")
	return fleet.Reason{
		Code: fleet.BudgetExhausted, Object: budgetObject + key, Since: node.CordonedAt,
		Message: fmt.Sprintf("pod %s on node %s may not be evicted: PodDisruptionBudget %s allows no disruption (%d of %d healthy, %d wanted)",
			pod.Key(), node.Name, key, budget.Healthy, budget.Expected, budget.Desired),
		Fix: fmt.Sprintf("bring more of its pods to Ready, or let it allow a disruption: kubectl edit poddisruptionbudget -n %s %s", namespace, name),
	}
}

// cordon starts draining as many old nodes as can be missed; winding down, as
// many as there are above the pool's size. A node that is not Ready is missed
// already, so these come first; but once it recovers, it must not turn out to be
// one too many.
func (r *roll) cordon() {
	spare, left := r.available+r.sick()-r.floor(), len(r.byStage[old])
	if r.WindDown {
		left = len(r.Pool.Nodes) - r.Pool.Size - len(r.byStage[draining]) - len(r.byStage[drained])
	}
	for _, node := range r.byStage[old] {
		switch {
		case left <= 0:
			return
		case node.CordonedBy != "" && node.CordonedBy != r.Upgrade:
			r.waits = append(r.waits, Taken(node, "another upgrade"))
			continue
		case node.Cordoned: // takes no pods as it is
		case spare <= 0:
			continue
		default:
			spare--
		}
		left--
		r.actions = append(r.actions, plan.Cordon{
			Node: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion,
			Upgrade: r.Upgrade, WasCordoned: node.Cordoned,
		})
	}
}

// sick are the old nodes that would take pods if they were Ready.
func (r *roll) sick() int {
	count := 0
	for _, node := range r.byStage[old] {
		if !node.Ready && !node.Cordoned {
			count++
		}
	}
	return count
}

// room is how many nodes are to be added. Winding down, old nodes stay, and only
// what is missing beside them is added.
func (r *roll) room() int {
	staying := len(r.byStage[joining]) + len(r.byStage[settled])
	if r.WindDown {
		staying += len(r.byStage[old])
	}
	return max(0, min(r.Pool.Size+r.Policy.MaxSurge-len(r.Pool.Nodes), r.Pool.Size-staying))
}

// add asks for new nodes up to the surge.
//
// The n-th new node is named after n, so that asking twice is asking once: a
// provider that is late to show what it was asked for cannot be made to exceed
// the bounds, for n is bounded by the old nodes that are left.
func (r *roll) add() {
	if !r.WindDown && !r.Pool.Template.Reaches(r.Want) {
		return
	}
	names, built := r.unreplaced(), r.built()
	for i := range r.room() {
		replaces := ""
		if i < len(names) {
			replaces = names[i]
		}
		r.actions = append(r.actions, plan.AddNode{
			Pool: r.Pool.Name, Replaces: replaces, Token: r.Token(fmt.Sprintf("node/%d", built+i)),
		})
	}
}

// built are the machines that were made from the wanted template.
func (r *roll) built() int {
	count := 0
	for _, node := range r.Pool.Nodes {
		if node.Version.Reaches(r.Want) || (node.UID == "" && r.stageOf(node) == joining) {
			count++
		}
	}
	return count
}

// unreplaced are the instances on their way out for which no other was added.
func (r *roll) unreplaced() []string {
	replaced := map[string]bool{}
	for _, node := range r.Pool.Nodes {
		replaced[node.Replaces] = true
	}
	var names []string
	for _, node := range slices.Concat(r.byStage[drained], r.byStage[draining], r.byStage[old]) {
		if !replaced[node.Instance] {
			names = append(names, node.Instance)
		}
	}
	slices.Sort(names)
	return names
}

// floor is how many nodes must take pods.
func (r *roll) floor() int { return r.Pool.Size - r.Policy.MaxUnavailable }

// unfinished are the nodes that are not there yet; winding down, an old node
// that nobody touched may stay.
func (r *roll) unfinished() []fleet.Node {
	inHand := slices.Concat(r.byStage[gone], r.byStage[drained], r.byStage[draining], r.byStage[joining])
	if r.WindDown {
		return inHand
	}
	return append(inHand, r.byStage[old]...)
}

// why is the most telling of what is waited for: what a person must see to,
// then what only takes time.
func (r *roll) why() fleet.Reason {
	if wait := r.forPeople(); !wait.IsZero() {
		return wait
	}
	idle := len(r.actions) == 0
	if nodes := r.byStage[joining]; len(nodes) > 0 && idle {
		return fleet.Reason{
			Code: fleet.NodesJoining, Object: "node " + nodes[0].Name,
			Message: fmt.Sprintf("waiting for %d node(s) of pool %s to be Ready, first %s", len(nodes), r.Pool.Name, nodes[0].Name),
		}
	}
	if len(r.waits) > 0 && idle {
		return r.waits[0]
	}
	if len(r.byStage[draining]) > 0 {
		return fleet.Reason{
			Code:    fleet.NodesDraining,
			Message: fmt.Sprintf("moving pods off %d node(s) of pool %s", len(r.byStage[draining]), r.Pool.Name),
		}
	}
	return fleet.Reason{
		Code:    fleet.NodeReplacing,
		Message: fmt.Sprintf("replacing nodes of pool %s: %d of %d left", r.Pool.Name, len(r.unfinished()), r.Pool.Size),
	}
}

// forPeople is the first reason that names a fix. A new node that somebody
// cordoned is one if nothing else goes on: it is counted, and takes no pods.
func (r *roll) forPeople() fleet.Reason {
	waits := r.waits
	if len(r.actions)+len(r.byStage[joining])+len(r.byStage[draining]) == 0 {
		for _, node := range r.byStage[settled] {
			if node.Cordoned {
				waits = append(waits, Taken(node, "somebody else"))
			}
		}
	}
	for _, wait := range waits {
		if wait.Fix != "" {
			return wait
		}
	}
	return fleet.Reason{}
}

// Taken is the reason for a node that others cordoned.
func Taken(node fleet.Node, by string) fleet.Reason {
	reason := fleet.Reason{
		Code: fleet.NodeCordoned, Object: "node " + node.Name, Since: node.CordonedAt,
		Message: fmt.Sprintf("node %s is cordoned by %s", node.Name, by),
		Fix:     "kubectl uncordon " + node.Name,
	}
	if node.CordonedBy != "" {
		reason.Fix += ", and remove its annotation refit.dev/undo"
	}
	return reason
}
