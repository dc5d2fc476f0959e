package control_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	versioninfo "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	discoveryfake "k8s.io/client-go/discovery/fake"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	restfake "k8s.io/client-go/rest/fake"
	clienttesting "k8s.io/client-go/testing"
)

// kube is a made-up cluster's own API server, as client-go meets it.
type kube struct {
	*kubefake.Clientset

	cluster *cluster
}

func newKube(c *cluster) kube {
	k := kube{Clientset: &kubefake.Clientset{}, cluster: c}
	k.AddReactor("*", "*", k.react)
	return k
}

// Discovery answers /version, and /readyz through its REST client.
func (k kube) Discovery() discovery.DiscoveryInterfaces {
	k.cluster.mu.Lock()
	defer k.cluster.mu.Unlock()
	k.cluster.pass()
	a := answers{
		FakeDiscovery: &discoveryfake.FakeDiscovery{
			Fake: &k.Fake, FakedServerVersion: &versioninfo.Info{GitVersion: k.cluster.version.String()},
		},
		readyz: &restfake.RESTClient{Resp: &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}},
	}
	if k.cluster.isSilent() {
		a.readyz.Err = errRefused
	}
	return a
}

type answers struct {
	*discoveryfake.FakeDiscovery

	readyz *restfake.RESTClient
}

func (a answers) RESTClient() rest.Interface { return a.readyz }

var (
	errRefused = errors.New("connection refused")
	pods       = schema.GroupResource{Resource: "pods"}
	nodes      = schema.GroupResource{Resource: "nodes"}
)

// react answers one call.
func (k kube) react(action clienttesting.Action) (bool, runtime.Object, error) {
	c := k.cluster
	switch a := action.(type) {
	case clienttesting.PatchActionImpl:
		if err := c.arrives("Patch", "node "+a.Name, ""); err != nil {
			return true, nil, err
		}
	case clienttesting.CreateActionImpl:
		if err := c.arrives("Evict", "pod "+a.Object.(*policyv1.Eviction).Name, ""); err != nil {
			return true, nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pass()
	if c.isSilent() {
		return true, nil, errRefused
	}
	switch a := action.(type) {
	case clienttesting.ListActionImpl:
		return true, c.list(a.GetResource().Resource), nil
	case clienttesting.GetActionImpl:
		node, err := c.get(a.Name)
		return true, node, err
	case clienttesting.PatchActionImpl:
		node, err := c.patch(a.Name, a.Patch)
		return true, node, err
	case clienttesting.CreateActionImpl:
		return true, nil, c.evict(a.Object.(*policyv1.Eviction))
	case clienttesting.ActionImpl:
		return true, nil, nil // /version
	}
	return true, nil, fmt.Errorf("a made-up API server does not know %T", action)
}

func (c *cluster) list(resource string) runtime.Object {
	switch resource {
	case "nodes":
		list := &corev1.NodeList{}
		for _, m := range c.machines {
			if c.joined(m) {
				list.Items = append(list.Items, c.node(m))
			}
		}
		return list
	case "pods":
		list := &corev1.PodList{}
		for _, p := range c.pods {
			list.Items = append(list.Items, c.pod(p))
		}
		return list
	default:
		list := &policyv1.PodDisruptionBudgetList{}
		if c.floor >= 0 {
			list.Items = append(list.Items, c.budget())
		}
		return list
	}
}

func (c *cluster) node(m *machine) corev1.Node {
	ready := corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionFalse, Message: "kubelet is starting",
		LastTransitionTime: metav1.NewTime(m.joins),
	}
	if c.isReady(m) {
		ready.Status, ready.Message, ready.LastTransitionTime = corev1.ConditionTrue, "kubelet is ready", metav1.NewTime(m.ready)
	}
	return corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: m.id, UID: types.UID("uid-" + m.id), ResourceVersion: strconv.Itoa(m.revision), Annotations: maps.Clone(m.annotations),
		},
		Spec: corev1.NodeSpec{Unschedulable: m.cordoned},
		Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{ready}, NodeInfo: corev1.NodeSystemInfo{KubeletVersion: m.version.String()},
		},
	}
}

func (c *cluster) pod(p *pod) corev1.Pod {
	object := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: p.name, UID: types.UID("uid-" + p.name), Labels: map[string]string{"app": "web"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web", Controller: new(true)}},
		},
		Spec:   corev1.PodSpec{NodeName: p.node},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}},
	}
	if c.podReady(p) {
		object.Status.Conditions[0].Status = corev1.ConditionTrue
	}
	if !p.gone.IsZero() { // an API server writes down when the grace period ends
		object.DeletionTimestamp = new(metav1.NewTime(p.gone))
		object.DeletionGracePeriodSeconds = new(int64(podGrace.Seconds()))
	}
	return object
}

func (c *cluster) budget() policyv1.PodDisruptionBudget {
	healthy := c.healthy()
	return policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
		Status: policyv1.PodDisruptionBudgetStatus{
			DisruptionsAllowed: int32(max(0, healthy-c.floor)), CurrentHealthy: int32(healthy), DesiredHealthy: int32(c.floor),
		},
	}
}

func (c *cluster) machine(name string) *machine {
	i := slices.IndexFunc(c.machines, func(m *machine) bool { return m.id == name && c.joined(m) })
	if i < 0 {
		return nil
	}
	return c.machines[i]
}

func (c *cluster) get(name string) (*corev1.Node, error) {
	m := c.machine(name)
	if m == nil {
		return nil, apierrors.NewNotFound(nodes, name)
	}
	return new(c.node(m)), nil
}

// patch is a merge patch, which names the node that it is meant for.
func (c *cluster) patch(name string, body []byte) (*corev1.Node, error) {
	var patch struct {
		Metadata struct {
			UID             string             `json:"uid"`
			ResourceVersion string             `json:"resourceVersion"`
			Annotations     map[string]*string `json:"annotations"`
		} `json:"metadata"`
		Spec struct {
			Unschedulable *bool `json:"unschedulable"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(body, &patch); err != nil {
		return nil, err
	}
	m := c.machine(name)
	switch {
	case m == nil:
		return nil, apierrors.NewNotFound(nodes, name)
	case patch.Metadata.UID != "uid-"+name, patch.Metadata.ResourceVersion != strconv.Itoa(m.revision):
		return nil, apierrors.NewConflict(nodes, name, errors.New("the object has been modified"))
	}
	for key, value := range patch.Metadata.Annotations {
		if value == nil {
			delete(m.annotations, key)
		} else {
			m.annotations[key] = *value
		}
	}
	m.cordoned = *patch.Spec.Unschedulable
	m.revision++
	c.judge("patch node " + name)
	return new(c.node(m)), nil
}

// evict keeps the budget. What replaces the pod waits for a node.
func (c *cluster) evict(eviction *policyv1.Eviction) error {
	i := slices.IndexFunc(c.pods, func(p *pod) bool { return p.name == eviction.Name })
	if i < 0 {
		return apierrors.NewNotFound(pods, eviction.Name)
	}
	p := c.pods[i]
	if uid := eviction.DeleteOptions.Preconditions.UID; *uid != types.UID("uid-"+p.name) {
		return apierrors.NewConflict(pods, p.name, errors.New("the UID in the precondition does not match"))
	}
	if c.floor >= 0 && c.podReady(p) && (c.stolen > 0 || c.healthy() <= c.floor) {
		c.stolen = max(0, c.stolen-1)
		c.refused++
		return apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	}
	c.accepted++
	p.gone = c.clock.Now().Add(podGrace)
	c.newPod()
	return nil
}
