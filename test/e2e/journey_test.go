//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/witness"
)

// twoMinors is what a person applies: the release, and the fleet kept at it.
const twoMinors = `
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: "2026.11"}
spec:
  bundle:
    kubernetes: v1.37.2
    hops: {"1.36": v1.36.3}
---
apiVersion: refit.dev/v1alpha1
kind: Fleet
metadata: {name: main}
spec:
  selector: {}
  release: "2026.11"
  settle: 2s
  bake: 2s
  nodes: {maxSurge: 10%}
`

// A member with 20 nodes in two pools and 100 pods behind budgets goes from
// v1.35 to v1.37 in two hops, and nobody who watches from outside sees a budget
// broken or a node rotated twice.
func TestJourneyTwoMinors(t *testing.T) {
	u := newUser(t)
	u.up()
	t.Log(u.must("local", "create", "big", "--version", v135, "--pools", "a=10,b=10", "--audit-log"))
	begin(t, u, "big", 5, 20).travel(twoMinors, 12*time.Minute)
}

// A journey is a member's way through two minors, with those who watch it from
// outside.
type journey struct {
	*user
	t        *testing.T
	name     string
	member   kubernetes.Interface
	before   []string // the nodes' UIDs
	sentinel *corev1.ConfigMap
	witness  *witness.Witness
	probe    *witness.Probe
}

// begin puts deployments into a member, of which each has a budget that spares a
// tenth of its pods, one at least, and begins to watch it.
func begin(t *testing.T, u *user, name string, deployments int, replicas int32) journey {
	t.Helper()
	c, config := u.member(name)
	for i := range deployments {
		startDeployment(t, c, fmt.Sprintf("app-%d", i), replicas, replicas-max(1, replicas/10))
	}
	awaitDeployments(t, c, deployments)
	j := journey{user: u, t: t, name: name, member: c, before: nodeUIDs(t, c), sentinel: makeSentinel(t, c)}
	var err error
	if j.witness, err = witness.Watch(t.Context(), u.folder(name)); err != nil {
		t.Fatal(err)
	}
	if j.probe, err = witness.StartProbe(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	return j
}

// travel applies a release and its fleet, waits for the end, and judges by what
// was seen from outside.
func (j journey) travel(manifest string, limit time.Duration) {
	t := j.t
	t.Helper()
	begun := time.Now()
	j.mustKube(manifest, "apply", "-f", "-")
	up := awaitUpgrade(t, j.hub(), j.name+".1", limit)
	t.Logf("v1.35 → v1.37 in %s", time.Since(begun).Round(time.Second))
	probed, seen := j.probe.Stop(), j.witness.Stop()

	if up.Status.From != v135 || endedAs(up) != "Done" {
		t.Errorf("upgrade: from %s, ended %s, want from %s, ended Done", up.Status.From, endedAs(up), v135)
	}
	if diff := cmp.Diff([]string{v135, v136, v137}, probed.Versions); diff != "" {
		t.Errorf("versions that /version told (-want +got):\n%s", diff)
	}
	t.Logf("the API was away %v; %d events, evictions accepted %d, refused %d", probed.Outages, seen.Events, up.Status.Evictions.Accepted, up.Status.Evictions.Refused)
	judge(t, seen, j.before, v137)
	if kept := getSentinel(t, j.member); kept.UID != j.sentinel.UID || kept.Data["made"] != "before" {
		t.Errorf("sentinel = %s %v, want %s with its data", kept.UID, kept.Data, j.sentinel.UID)
	}
	nothingCordoned(t, j.member)
	startedOnce(t, j.folder(j.name))
}

// judge compares what was seen from outside with what must hold of every roll:
// no gap in the observation, no budget below its floor, each node rotated once.
func judge(t *testing.T, seen witness.Report, before []string, version string) {
	t.Helper()
	if len(seen.Gaps) > 0 {
		t.Errorf("gaps in the observation: %v", seen.Gaps)
	}
	for _, budget := range seen.Budgets {
		t.Logf("budget %s: floor %d, lowest %d of %d", budget.Key, budget.Floor, budget.Lowest, budget.Most)
		if budget.Broken() {
			t.Errorf("budget %s was broken: %d available, floor %d", budget.Key, budget.Lowest, budget.Floor)
		}
	}
	removed := uids(seen.Removed)
	slices.Sort(removed)
	if diff := cmp.Diff(before, removed); diff != "" {
		t.Errorf("nodes removed, against those there were (-want +got):\n%s", diff)
	}
	created, now := uids(seen.Created), uids(seen.Nodes)
	slices.Sort(created)
	slices.Sort(now)
	if diff := cmp.Diff(created, now); diff != "" {
		t.Errorf("nodes there are, against those created: each is to be created once (-want +got):\n%s", diff)
	}
	if len(created) != len(before) {
		t.Errorf("%d nodes were created for %d", len(created), len(before))
	}
	for _, node := range seen.Nodes {
		if node.Version != version {
			t.Errorf("node %s runs %s, want %s", node.Name, node.Version, version)
		}
	}
}

// A budget that allows nothing is waited for, and explained; once it is gone
// the upgrade goes on by itself.
func TestJourneyExhaustedBudget(t *testing.T) {
	u := newUser(t)
	u.up()
	u.must("local", "create", "stuck", "--version", v136, "--nodes", "2")
	c, _ := u.member("stuck")
	startDeployment(t, c, "db", 2, 2)
	awaitDeployments(t, c, 1)
	u.mustKube(strings.ReplaceAll(twoMinors, "2s", "1s"), "apply", "-f", "-")

	var why string
	eventually(t, 5*time.Minute, "refit why tells of the budget", func() (bool, string) {
		why, _, _ = u.run("why", "stuck")
		return strings.Contains(why, "BudgetExhausted"), why
	})
	t.Logf("refit why stuck:\n%s", why)
	pods := podNames(t, c, "app=db")
	for _, part := range []string{"PodDisruptionBudget default/db", "on node default-", "since", "to do", "kubectl edit poddisruptionbudget -n default db"} {
		if !strings.Contains(why, part) {
			t.Errorf("refit why does not say %q", part)
		}
	}
	if !slices.ContainsFunc(pods, func(pod string) bool { return strings.Contains(why, "pod default/"+pod) }) {
		t.Errorf("refit why names none of the pods %v", pods)
	}

	if err := c.PolicyV1().PodDisruptionBudgets("default").Delete(t.Context(), "db", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, 50*time.Second, "a pod is evicted once the budget is gone", func() (bool, string) {
		now := podNames(t, c, "app=db")
		return !slices.Equal(pods, now), fmt.Sprint(now)
	})
	t.Logf("budget removed → first pod evicted: %s (goal 5 s)", took.Round(10*time.Millisecond))
	if up := awaitUpgrade(t, u.hub(), "stuck.1", 5*time.Minute); endedAs(up) != "Done" {
		t.Errorf("upgrade ended %s, want Done", endedAs(up))
	}
}

// startDeployment makes a Deployment with a budget.
func startDeployment(t *testing.T, c kubernetes.Interface, name string, replicas, minAvailable int32) {
	t.Helper()
	labels := map[string]string{"app": name}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	_, err := c.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: selector,
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					Containers:                    []corev1.Container{{Name: "main", Image: "registry.example/app"}},
					TerminationGracePeriodSeconds: new(int64(1)),
				},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.PolicyV1().PodDisruptionBudgets("default").Create(t.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: selector, MinAvailable: new(intstr.FromInt32(minAvailable))},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// awaitDeployments waits until all replicas are available, and the budgets have
// counted them.
func awaitDeployments(t *testing.T, c kubernetes.Interface, want int) {
	t.Helper()
	eventually(t, 2*time.Minute, "all pods are available", func() (bool, string) {
		deployments, err := c.AppsV1().Deployments("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		budgets, err := c.PolicyV1().PodDisruptionBudgets("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		ready := 0
		for _, d := range deployments.Items {
			for _, b := range budgets.Items {
				if b.Name == d.Name && d.Status.AvailableReplicas == *d.Spec.Replicas && b.Status.CurrentHealthy == *d.Spec.Replicas {
					ready++
				}
			}
		}
		return ready == want, fmt.Sprintf("%d of %d", ready, want)
	})
}

func makeSentinel(t *testing.T, c kubernetes.Interface) *corev1.ConfigMap {
	t.Helper()
	sentinel, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "sentinel"}, Data: map[string]string{"made": "before"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return sentinel
}

func getSentinel(t *testing.T, c kubernetes.Interface) *corev1.ConfigMap {
	t.Helper()
	sentinel, err := c.CoreV1().ConfigMaps("default").Get(t.Context(), "sentinel", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return sentinel
}

func nodeUIDs(t *testing.T, c kubernetes.Interface) []string {
	t.Helper()
	nodes, err := c.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, node := range nodes.Items {
		all = append(all, string(node.UID))
	}
	slices.Sort(all)
	return all
}

func uids(nodes []witness.Node) []string {
	var all []string
	for _, node := range nodes {
		all = append(all, node.UID)
	}
	return all
}

func podNames(t *testing.T, c kubernetes.Interface, selector string) []string {
	t.Helper()
	pods, err := c.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil {
			names = append(names, pod.Name)
		}
	}
	slices.Sort(names)
	return names
}

// awaitUpgrade waits until an upgrade has ended.
func awaitUpgrade(t *testing.T, hub client.Client, name string, limit time.Duration) *v1.ClusterUpgrade {
	t.Helper()
	up := &v1.ClusterUpgrade{}
	eventually(t, limit, "upgrade "+name+" ends", func() (bool, string) {
		if err := hub.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, up); err != nil {
			return false, err.Error()
		}
		last := fmt.Sprintf("hop %s, step %s", up.Status.Hop, up.Status.Step)
		if up.Status.Why != nil {
			last += ": " + up.Status.Why.Message
		}
		return endedAs(up) != "", last
	})
	return up
}

func endedAs(up *v1.ClusterUpgrade) string {
	ended := meta.FindStatusCondition(up.Status.Conditions, v1.ConditionEnded)
	if ended == nil || ended.Status != metav1.ConditionTrue {
		return ""
	}
	return ended.Reason
}
