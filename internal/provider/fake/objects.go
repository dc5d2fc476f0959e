package fake

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// namespace of the workload.
const namespace = "shop"

func uidOf(name string) types.UID { return types.UID("uid-" + name) }

func (c *Cluster) nodes() []object {
	var all []object
	for _, m := range c.state.Machines {
		if c.joined(m) {
			all = append(all, c.node(m))
		}
	}
	return all
}

func (c *Cluster) node(m Machine) *corev1.Node {
	ready := corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionFalse, Message: "kubelet is starting",
		LastTransitionTime: metav1.NewTime(m.Joins),
	}
	if c.ready(m) {
		ready.Status, ready.Message, ready.LastTransitionTime = corev1.ConditionTrue, "kubelet is ready", metav1.NewTime(m.Ready)
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: m.ID, UID: uidOf(m.ID), ResourceVersion: strconv.Itoa(m.revision), Annotations: maps.Clone(m.Annotations), Labels: maps.Clone(m.Labels),
		},
		Spec: corev1.NodeSpec{Unschedulable: m.Cordoned, ProviderID: "fake://" + c.name + "/" + m.ID},
		Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{ready}, NodeInfo: corev1.NodeSystemInfo{KubeletVersion: m.Version.String()},
		},
	}
}

func (c *Cluster) pods() []object {
	var all []object
	for _, p := range c.state.Pods {
		all = append(all, c.pod(p))
	}
	return all
}

func (c *Cluster) pod(p Pod) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: p.Name, UID: uidOf(p.Name), ResourceVersion: strconv.Itoa(p.revision),
			Labels:          map[string]string{"app": "web"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "uid-web", Controller: new(true)}},
		},
		Spec:   corev1.PodSpec{NodeName: p.Node},
		Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}},
	}
	if c.podReady(p) {
		pod.Status.Phase, pod.Status.Conditions[0].Status = corev1.PodRunning, corev1.ConditionTrue
	}
	if !p.Gone.IsZero() { // an API server writes down when the grace period ends
		pod.DeletionTimestamp = new(metav1.NewTime(p.Gone))
		pod.DeletionGracePeriodSeconds = new(int64(c.mode.Latency.PodGrace.Seconds()))
	}
	return pod
}

func (c *Cluster) budgets() []object {
	if c.state.Floor < 0 {
		return nil
	}
	healthy := c.healthy()
	return []object{&policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: "web", UID: "uid-budget", ResourceVersion: strconv.Itoa(c.state.budget.revision),
		},
		Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
		Status: policyv1.PodDisruptionBudgetStatus{
			DisruptionsAllowed: int32(max(0, healthy-c.state.Floor)), CurrentHealthy: int32(healthy),
			DesiredHealthy: int32(c.state.Floor), ExpectedPods: int32(len(c.state.Pods)),
		},
	}}
}

// patchNode applies a merge patch. What names another UID or resource version is
// meant for another node, or for what it was before.
func (c *Cluster) patchNode(name string, kind types.PatchType, patch []byte) (*corev1.Node, error) {
	if kind != types.MergePatchType && kind != types.StrategicMergePatchType {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("a made-up API server takes no patch of type %s", kind))
	}
	nodes := resources()["nodes"].group()
	i := slices.IndexFunc(c.state.Machines, func(m Machine) bool { return m.ID == name && c.joined(m) })
	if i < 0 {
		return nil, apierrors.NewNotFound(nodes, name)
	}
	m := &c.state.Machines[i]
	before := c.node(*m)
	after, err := patched(before, patch)
	switch {
	case err != nil:
		return nil, apierrors.NewBadRequest(err.Error())
	case after.UID != before.UID, after.ResourceVersion != before.ResourceVersion:
		return nil, apierrors.NewConflict(nodes, name, errors.New("the object has been modified"))
	}
	m.Annotations, m.Labels, m.Cordoned = after.Annotations, after.Labels, after.Spec.Unschedulable
	if m.Annotations == nil {
		m.Annotations = map[string]string{}
	}
	m.view, m.revision = nodeView{c.joined(*m), c.ready(*m), m.Cordoned, m.Version}, c.revised()
	return c.node(*m), nil
}

func patched(node *corev1.Node, patch []byte) (*corev1.Node, error) {
	text, err := json.Marshal(node)
	if err != nil {
		return nil, err
	}
	if text, err = jsonpatch.MergePatch(text, patch); err != nil {
		return nil, err
	}
	after := &corev1.Node{}
	return after, json.Unmarshal(text, after)
}

// evict keeps the budget. What replaces the pod waits for a node.
func (c *Cluster) evict(eviction *policyv1.Eviction) error {
	pods := resources()["pods"].group()
	i := slices.IndexFunc(c.state.Pods, func(p Pod) bool { return p.Name == eviction.Name && eviction.Namespace == namespace })
	if i < 0 {
		return apierrors.NewNotFound(pods, eviction.Name)
	}
	p := &c.state.Pods[i]
	if options := eviction.DeleteOptions; options != nil && options.Preconditions != nil {
		if uid := options.Preconditions.UID; uid != nil && *uid != uidOf(p.Name) {
			return apierrors.NewConflict(pods, p.Name, errors.New("the UID in the precondition does not match"))
		}
	}
	if !p.Gone.IsZero() {
		return nil // it is on its way, as it was asked to be
	}
	s := &c.state
	if s.Floor >= 0 && c.podReady(*p) && (s.Stolen > 0 || c.healthy() <= s.Floor) {
		s.Stolen = max(0, s.Stolen-1)
		s.Refused++
		return apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	}
	s.Accepted++
	p.Gone = c.clock.Now().Add(c.mode.Latency.PodGrace)
	c.newPod()
	return nil
}

// deletePod lets a pod go, past its budget. What replaces it waits for a node.
func (c *Cluster) deletePod(name string, only metav1.Preconditions) error {
	pods := resources()["pods"].group()
	i := slices.IndexFunc(c.state.Pods, func(p Pod) bool { return p.Name == name })
	switch {
	case i < 0:
		return apierrors.NewNotFound(pods, name)
	case only.UID != nil && *only.UID != uidOf(name):
		return apierrors.NewConflict(pods, name, errors.New("the UID in the precondition does not match"))
	case c.state.Pods[i].Gone.IsZero():
		c.state.Pods[i].Gone = c.clock.Now().Add(c.mode.Latency.PodGrace)
		c.newPod()
	}
	return nil
}
