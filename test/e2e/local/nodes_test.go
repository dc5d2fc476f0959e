//go:build e2e

package local_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/local"
)

func nodeUIDs(t *testing.T, client kubernetes.Interface) map[string]types.UID {
	t.Helper()
	list, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	uids := map[string]types.UID{}
	for _, node := range list.Items {
		uids[node.Name] = node.UID
	}
	return uids
}

func readyNodes(ctx context.Context, client kubernetes.Interface) (int, error) {
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	ready := 0
	for _, node := range list.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && !node.Spec.Unschedulable {
				ready++
			}
		}
	}
	return ready, nil
}

// deploy makes a Deployment of ready pods, one to a node where that can be, and
// a budget over it.
func deploy(t *testing.T, client kubernetes.Interface, name string, replicas int32, minAvailable int) {
	t.Helper()
	labels := map[string]string{"app": name}
	_, err := client.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	floor := intstr.FromInt(minAvailable)
	_, err = client.PolicyV1().PodDisruptionBudgets("default").Create(t.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &floor, Selector: &metav1.LabelSelector{MatchLabels: labels}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, name+" is available and its budget knows", func() error {
		budget, err := client.PolicyV1().PodDisruptionBudgets("default").Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && budget.Status.DisruptionsAllowed != replicas-int32(minAvailable) {
			err = fmt.Errorf("%d disruptions allowed", budget.Status.DisruptionsAllowed)
		}
		return err
	})
}

// Pods of simulated nodes are evicted through the Eviction API, which refuses
// what a budget does not allow, and come up elsewhere.
func TestLocalEvictionHonoursBudgets(t *testing.T) {
	w := newLocalWorld(t)
	w.auditLog = true
	client := w.create(t, "evict", v136, local.PoolSpec{Name: "a", Size: 2}, local.PoolSpec{Name: "b", Size: 2})
	deploy(t, client, "web", 3, 2)
	pods, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	evict := func(pod corev1.Pod) error {
		return client.PolicyV1().Evictions("default").Evict(t.Context(), &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Namespace: "default", Name: pod.Name},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))},
		})
	}
	if err := evict(pods.Items[0]); err != nil {
		t.Fatalf("the first eviction: %v", err)
	}
	if err := evict(pods.Items[1]); !apierrors.IsTooManyRequests(err) {
		t.Errorf("the second eviction at once = %v, want 429", err)
	}
	begun := time.Now()
	asked := 2
	eventually(t, time.Minute, "the budget allows the next eviction", func() error {
		asked++
		return evict(pods.Items[1])
	})
	t.Logf("the second eviction was allowed after %s", time.Since(begun).Round(time.Millisecond))
	eventually(t, time.Minute, "the evicted pods are gone", func() error {
		for _, pod := range pods.Items[:2] {
			if _, err := client.CoreV1().Pods("default").Get(t.Context(), pod.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return errors.New("pod " + pod.Name + " is still there")
			}
		}
		return nil
	})
	audit, err := os.ReadFile(controlplane.AuditLog(w.Folder("evict")))
	if err != nil {
		t.Fatal(err)
	}
	if logged := strings.Count(string(audit), `"subresource":"eviction"`); logged != asked {
		t.Errorf("the audit log has %d evictions, want %d", logged, asked)
	}
}

// A pool is rolled as Refit rolls it: the template first, then a node more, then
// one fewer. The new node is a new object with the template's version.
func TestLocalNodesAreReplaced(t *testing.T) {
	w := newLocalWorld(t)
	client := w.create(t, "pools", v136, local.PoolSpec{Name: "a", Size: 3}, local.PoolSpec{Name: "b", Size: 1})
	ref := provider.Ref{Name: "pools"}
	checkNodes(t, client, map[string]int{"a": 3, "b": 1})

	pool := provider.Part{Kind: provider.PartPool, Pool: "a"}
	_, err := w.provider.Ensure(t.Context(), ref, provider.Change{Part: pool, From: provider.State{Version: parse(t, v136)}, To: provider.State{Version: parse(t, v137)}, Token: "newer"})
	if fault := provider.AsFault(err); err == nil || fault.Class != provider.Stop {
		t.Errorf("a template newer than the control plane = %v, want a stop", err)
	}
	w.upgrade(t, "pools", v136, "v1.36.4")
	if o := w.ended(t, "pools"); o.Phase != provider.Succeeded {
		t.Fatalf("operation = %+v", o)
	}
	set := provider.Change{Part: pool, From: provider.State{Version: parse(t, v136)}, To: provider.State{Version: parse(t, "v1.36.4")}, Token: "template"}
	if o, err := w.provider.Ensure(t.Context(), ref, set); err != nil || o.Phase != provider.Succeeded {
		t.Fatalf("set the template = %+v, %v", o, err)
	}

	old := w.observe(t, "pools").Pools[0].Instances[0]
	addition := provider.NodeAddition{Pool: "a", Replaces: old.ID, Token: "one more"}
	for range 2 { // the second changes nothing
		if err := w.provider.AddNode(t.Context(), ref, addition); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, time.Minute, "the new node is Ready", func() error {
		ready, err := readyNodes(t.Context(), client)
		if err == nil && ready != 5 {
			err = fmt.Errorf("%d nodes are Ready", ready)
		}
		return err
	})
	added := w.observe(t, "pools").Pools[0].Instances[3]
	node, err := client.CoreV1().Nodes().Get(t.Context(), added.Node, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if node.Status.NodeInfo.KubeletVersion != "v1.36.4" || added.Replaces != old.ID {
		t.Errorf("the new node has kubelet %s and replaces %q, want v1.36.4 and %q", node.Status.NodeInfo.KubeletVersion, added.Replaces, old.ID)
	}
	for range 2 {
		if err := w.provider.RemoveNode(t.Context(), ref, provider.NodeRemoval{Pool: "a", Instance: old.ID}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, time.Minute, "the old node is gone, and its instance", func() error {
		if _, err := client.CoreV1().Nodes().Get(t.Context(), old.Node, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return errors.New("node " + old.Node + " is still there")
		}
		if n := len(w.observe(t, "pools").Pools[0].Instances); n != 3 {
			return fmt.Errorf("%d instances", n)
		}
		return nil
	})
	// A late repetition of the call that added the node adds no other.
	if err := w.provider.AddNode(t.Context(), ref, addition); err != nil {
		t.Fatal(err)
	}
	if n := len(w.observe(t, "pools").Pools[0].Instances); n != 3 {
		t.Errorf("%d instances after a late repetition, want 3", n)
	}
}

// checkNodes looks at the labels that placement goes by.
func checkNodes(t *testing.T, client kubernetes.Interface, want map[string]int) {
	t.Helper()
	list, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, zones := map[string]int{}, map[string]bool{}
	for _, node := range list.Items {
		pool := node.Labels[local.PoolLabel]
		got[pool]++
		if pool == "a" {
			zones[node.Labels[corev1.LabelTopologyZone]] = true
		}
		if node.Status.NodeInfo.KubeletVersion != v136 || node.Labels[corev1.LabelHostname] != node.Name || node.Spec.ProviderID == "" {
			t.Errorf("node %s: kubelet %s, labels %v, provider id %q", node.Name, node.Status.NodeInfo.KubeletVersion, node.Labels, node.Spec.ProviderID)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nodes of pools (-want +got):\n%s", diff)
	}
	if len(zones) != 3 {
		t.Errorf("pool a spans zones %v, want three", zones)
	}
}
