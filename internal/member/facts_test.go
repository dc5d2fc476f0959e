package member

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"refit.dev/refit/internal/fleet"
)

var ten = time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC)

func TestNodeOf(t *testing.T) {
	ready := func(status corev1.ConditionStatus, message string) []corev1.NodeCondition {
		return []corev1.NodeCondition{
			{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionTrue},
			{Type: corev1.NodeReady, Status: status, Reason: "KubeletReason", Message: message, LastTransitionTime: metav1.NewTime(ten)},
		}
	}
	v1364 := fleet.Version{Major: 1, Minor: 36, Patch: 4}
	for _, c := range []struct {
		name       string
		conditions []corev1.NodeCondition
		kubelet    string
		undo       string
		cordoned   bool
		want       fleet.Node
	}{
		{
			name: "Ready", conditions: ready(corev1.ConditionTrue, "kubelet is ready"), kubelet: "v1.36.4",
			want: fleet.Node{Version: v1364, Ready: true, ReadySince: ten, Message: "kubelet is ready"},
		},
		{
			name: "not Ready", conditions: ready(corev1.ConditionFalse, ""), kubelet: "v1.36.4",
			want: fleet.Node{Version: v1364, Message: "KubeletReason"},
		},
		{
			name: "Ready is not known", conditions: ready(corev1.ConditionUnknown, "kubelet stopped posting"), kubelet: "v1.36.4",
			want: fleet.Node{Version: v1364, Message: "kubelet stopped posting"},
		},
		{
			name: "says nothing of Ready", kubelet: "v1.36.4",
			want: fleet.Node{Version: v1364, Message: "no Ready condition reported"},
		},
		{
			name: "of no known version", conditions: ready(corev1.ConditionTrue, "kubelet is ready"), kubelet: "master",
			want: fleet.Node{Ready: true, ReadySince: ten, Message: "kubelet is ready"},
		},
		{
			name: "cordoned by us", kubelet: "v1.36.4", cordoned: true, undo: `{"upgrade":"up-1","unschedulable":false,"at":"2026-11-03T22:00:00Z"}`,
			want: fleet.Node{Version: v1364, Message: "no Ready condition reported", Cordoned: true, CordonedBy: "up-1", CordonedAt: ten},
		},
		{
			name: "cordoned by a person", kubelet: "v1.36.4", cordoned: true,
			want: fleet.Node{Version: v1364, Message: "no Ready condition reported", Cordoned: true},
		},
		{
			name: "of unreadable undo", kubelet: "v1.36.4", cordoned: true, undo: "{",
			want: fleet.Node{Version: v1364, Message: "no Ready condition reported", Cordoned: true, CordonedBy: "unreadable"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			node := aNode(c.undo, c.cordoned)
			node.Status = corev1.NodeStatus{Conditions: c.conditions, NodeInfo: corev1.NodeSystemInfo{KubeletVersion: c.kubelet}}
			c.want.Name, c.want.UID, c.want.ResourceVersion = "a-1", "uid-1", "7"
			if diff := cmp.Diff(c.want, nodeOf(node)); diff != "" {
				t.Errorf("node (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOwnerOf(t *testing.T) {
	controlled := func(kind string) metav1.ObjectMeta {
		return metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: "Other"}, {Kind: kind, Controller: new(true)}}}
	}
	mirror := metav1.ObjectMeta{Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "hash"}}
	for _, c := range []struct {
		name string
		pod  corev1.Pod
		want fleet.PodOwner
	}{
		{"ReplicaSet", corev1.Pod{ObjectMeta: controlled("ReplicaSet")}, fleet.OwnedByController},
		{"StatefulSet", corev1.Pod{ObjectMeta: controlled("StatefulSet")}, fleet.OwnedByController},
		{"Job", corev1.Pod{ObjectMeta: controlled("Job")}, fleet.OwnedByController},
		{"a controller nobody knows", corev1.Pod{ObjectMeta: controlled("Rollout")}, fleet.OwnedByController},
		{"DaemonSet", corev1.Pod{ObjectMeta: controlled("DaemonSet")}, fleet.OwnedByNode},
		{"Node", corev1.Pod{ObjectMeta: controlled("Node")}, fleet.OwnedByNode},
		{"mirror pod", corev1.Pod{ObjectMeta: mirror}, fleet.OwnedByNode},
		{"nobody", corev1.Pod{}, fleet.OwnedByNobody},
		{"an owner that does not control", corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet"}},
		}}, fleet.OwnedByNobody},
		{"succeeded", corev1.Pod{ObjectMeta: controlled("Job"), Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}, fleet.PodFinished},
		{"failed", corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed}}, fleet.PodFinished},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ownerOf(&c.pod); got != c.want {
				t.Errorf("owner is %s, want %s", got, c.want)
			}
		})
	}
}

// An API server writes down when a pod's grace period ends, and how long it is.
func TestTerminatingSince(t *testing.T) {
	for _, c := range []struct {
		name    string
		deleted *metav1.Time
		grace   *int64
		want    time.Time
	}{
		{name: "not"},
		{name: "with a grace period", deleted: new(metav1.NewTime(ten.Add(30 * time.Second))), grace: new(int64(30)), want: ten},
		{name: "at once", deleted: new(metav1.NewTime(ten)), grace: new(int64(0)), want: ten},
		{name: "of unknown grace period", deleted: new(metav1.NewTime(ten)), want: ten},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: c.deleted, DeletionGracePeriodSeconds: c.grace}}
			if got := podOf(pod, nil).Terminating; !got.Equal(c.want) {
				t.Errorf("terminating since %s, want %s", got, c.want)
			}
		})
	}
}

func budget(namespace, name string, selector *metav1.LabelSelector) policyv1.PodDisruptionBudget {
	return policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: policyv1.PodDisruptionBudgetSpec{Selector: selector},
		Status: policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1, DesiredHealthy: 2, CurrentHealthy: 3, ExpectedPods: 4},
	}
}

func TestGuards(t *testing.T) {
	web := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	notDB := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"db"}},
	}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}}}
	for _, c := range []struct {
		name    string
		budgets []policyv1.PodDisruptionBudget
		want    []string
	}{
		{"none", nil, nil},
		{"its own", []policyv1.PodDisruptionBudget{budget("shop", "web", web)}, []string{"shop/web"}},
		{"by expression", []policyv1.PodDisruptionBudget{budget("shop", "not-db", notDB)}, []string{"shop/not-db"}},
		{"of another app", []policyv1.PodDisruptionBudget{
			budget("shop", "db", &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}),
		}, nil},
		{"of another namespace", []policyv1.PodDisruptionBudget{budget("bank", "web", web)}, nil},
		{"empty selector: all of the namespace", []policyv1.PodDisruptionBudget{budget("shop", "all", &metav1.LabelSelector{})}, []string{"shop/all"}},
		{"no selector: none", []policyv1.PodDisruptionBudget{budget("shop", "none", nil)}, nil},
		{"several", []policyv1.PodDisruptionBudget{
			budget("shop", "web", web), budget("shop", "not-db", notDB), budget("shop", "none", nil),
		}, []string{"shop/web", "shop/not-db"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			guards, err := newGuards(c.budgets)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, podOf(pod, guards).Budgets); diff != "" {
				t.Errorf("budgets of the pod (-want +got):\n%s", diff)
			}
			if all := guards.budgets(); len(all) != len(c.budgets) {
				t.Errorf("budgets are %v, want all %d", all, len(c.budgets))
			}
		})
	}

	broken := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "not a label!"}}
	_, err := newGuards([]policyv1.PodDisruptionBudget{budget("shop", "web", web), budget("shop", "broken", broken)})
	if err == nil {
		t.Error("a budget whose selector cannot be read guards nothing, silently")
	}
}

// site is a member's API server as far as a look goes; it answers with JSON.
type site struct {
	mu      sync.Mutex
	asked   []string
	answers map[string]any
	broken  string
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.URL.Path)
	answer, ok := s.answers[r.URL.Path]
	if !ok || r.URL.Path == s.broken {
		http.Error(w, "out of order", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

const (
	readyzPath  = "/readyz"
	versionPath = "/version"
	nodesPath   = "/api/v1/nodes"
	podsPath    = "/api/v1/pods"
	budgetsPath = "/apis/policy/v1/poddisruptionbudgets"
	leasePath   = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/refit"
)

func newSite(t *testing.T) (*site, *Client) {
	t.Helper()
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-1", UID: "uid-web-1", Labels: map[string]string{"app": "web"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Controller: new(true)}},
		},
		Spec:   corev1.PodSpec{NodeName: "a-1"},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	pending := pod
	pending.Name, pending.Spec.NodeName = "web-2", ""
	labelled := aNode("", false)
	labelled.Labels = map[string]string{"group": "a"}
	s := &site{answers: map[string]any{
		readyzPath: "ok", versionPath: map[string]string{"gitVersion": "v1.36.4-eks-1a2b"},
		nodesPath: corev1.NodeList{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}, Items: []corev1.Node{*labelled},
		},
		podsPath: corev1.PodList{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: []corev1.Pod{pod, pending},
		},
		leasePath: coordinationv1.Lease{
			TypeMeta:   metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "refit", UID: "uid-lease", ResourceVersion: "8"},
			Spec: coordinationv1.LeaseSpec{
				HolderIdentity: new("hub-1/up-1"), LeaseDurationSeconds: new(int32(300)), RenewTime: new(metav1.NewMicroTime(ten)),
			},
		},
		budgetsPath: policyv1.PodDisruptionBudgetList{
			TypeMeta: metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudgetList"},
			Items:    []policyv1.PodDisruptionBudget{budget("shop", "web", &metav1.LabelSelector{})},
		},
	}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	client, err := Dial(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return s, client
}

func TestObserve(t *testing.T) {
	for _, c := range []struct {
		depth Depth
		asked []string
	}{
		{NodesOnly, []string{nodesPath, readyzPath, versionPath}},
		{PodsToo, []string{nodesPath, podsPath, leasePath, budgetsPath, readyzPath, versionPath}},
	} {
		s, client := newSite(t)
		facts, err := client.Observe(t.Context(), c.depth)
		if err != nil {
			t.Fatal(err)
		}
		want := Facts{
			Version: fleet.Version{Major: 1, Minor: 36, Patch: 4, Suffix: "-eks-1a2b"},
			Nodes:   []fleet.Node{{Name: "a-1", UID: "uid-1", ResourceVersion: "7", Message: "no Ready condition reported"}},
			Labels:  map[string]map[string]string{"a-1": {"group": "a"}},
		}
		if c.depth == PodsToo {
			want.Budgets = []fleet.Budget{{Namespace: "shop", Name: "web", Allowed: 1, Desired: 2, Healthy: 3, Expected: 4}}
			want.Claim = fleet.Claim{
				Seen: true, Holder: fleet.Holder{Hub: "hub-1", Upgrade: "up-1"}, Renewed: ten, Lasts: 5 * time.Minute, UID: "uid-lease", ResourceVersion: "8",
			}
			want.Nodes[0].Pods = []fleet.Pod{{
				Namespace: "shop", Name: "web-1", UID: "uid-web-1", Ready: true, Owner: fleet.OwnedByController, Budgets: []string{"shop/web"},
			}}
		}
		if diff := cmp.Diff(want, facts); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
		slices.Sort(s.asked)
		if diff := cmp.Diff(c.asked, s.asked); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	}
}

// Half a picture is none; and of an API server that is not ready one reason is
// told, the same each time.
func TestObserveFailsAsAWhole(t *testing.T) {
	const outOfOrder = "an error on the server (\"out of order\") has prevented the request from succeeding"
	for path, want := range map[string]string{
		readyzPath:  "ask /readyz: " + outOfOrder,
		versionPath: "ask /version: " + outOfOrder,
		nodesPath:   "list nodes: " + outOfOrder + " (get nodes)",
		podsPath:    "list pods: " + outOfOrder + " (get pods)",
		leasePath:   "get lease kube-system/refit: " + outOfOrder + " (get leases.coordination.k8s.io refit)",
		budgetsPath: "list poddisruptionbudgets: " + outOfOrder + " (get poddisruptionbudgets.policy)",
	} {
		s, client := newSite(t)
		s.broken = path
		facts, err := client.Observe(t.Context(), PodsToo)
		if textOf(err) != want {
			t.Errorf("error is %q, want %q", textOf(err), want)
		}
		if diff := cmp.Diff(Facts{}, facts); diff != "" {
			t.Errorf("facts with %s out of order: %s", path, diff)
		}
		if path == readyzPath && len(s.asked) != 1 {
			t.Errorf("asked %v of an API server that is not ready", s.asked)
		}
	}
	s, client := newSite(t)
	s.answers[versionPath] = map[string]string{"gitVersion": "master"}
	if _, err := client.Observe(t.Context(), NodesOnly); textOf(err) != `ask /version: "master" is no version` {
		t.Errorf("error is %v", err)
	}
}
