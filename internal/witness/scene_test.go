package witness

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
)

// A film is what happens in an etcd, one event a revision.
type film struct {
	t     *testing.T
	scene *scene
}

// newFilm begins with a node, three available pods, and a budget that wants two.
func newFilm(t *testing.T) film {
	f := film{t: t, scene: newScene()}
	for _, object := range []runtime.Object{node("a", "uid-a"), webPod("web-1"), webPod("web-2"), webPod("web-3"), budget(2)} {
		if err := f.scene.put(f.stored(object)); err != nil {
			t.Fatal(err)
		}
	}
	f.scene.revision = 100
	f.scene.judge()
	return f
}

// stored is an object as an API server writes it.
func (f film) stored(object runtime.Object) *mvccpb.KeyValue {
	f.t.Helper()
	var text strings.Builder
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(object, &text); err != nil {
		f.t.Fatal(err)
	}
	return &mvccpb.KeyValue{Key: []byte(keyOf(object)), Value: []byte(text.String()), ModRevision: f.scene.revision + 1}
}

func (f film) put(objects ...runtime.Object) {
	f.t.Helper()
	for _, object := range objects {
		f.scene.apply(&clientv3.Event{Type: mvccpb.Event_PUT, Kv: f.stored(object)})
	}
}

func (f film) remove(object runtime.Object) {
	f.scene.apply(&clientv3.Event{
		Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: []byte(keyOf(object)), ModRevision: f.scene.revision + 1},
	})
}

func keyOf(object runtime.Object) string {
	switch object := object.(type) {
	case *corev1.Pod:
		return podKeys + "shop/" + object.Name
	case *corev1.Node:
		return nodeKeys + object.Name
	default:
		return budgetKeys + "shop/web"
	}
}

func node(name, uid string) *corev1.Node {
	return &corev1.Node{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(uid)},
		Status:     corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KubeletVersion: "v1.36.3"}},
	}
}

// webPod is an available pod of the workload; change makes it another.
func webPod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": "web"}},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func unready(p *corev1.Pod)     { p.Status.Conditions[0].Status = corev1.ConditionFalse }
func terminating(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) }
func elsewhere(p *corev1.Pod)   { p.Namespace = "office" }
func unlabelled(p *corev1.Pod)  { p.Labels = nil }

func budget(floor int32) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: new(intstr.FromInt32(floor)),
			Selector:     &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		},
	}
}

// A budget is broken by a single moment below its floor, however it comes about.
func TestWitnessJudgesBudgets(t *testing.T) {
	for _, test := range []struct {
		name   string
		happen func(film)
		want   Budget
	}{
		{"nothing happens", func(film) {}, Budget{Floor: 2, Lowest: 3, Most: 3}},
		{"one pod goes", func(f film) { f.remove(webPod("web-1")) }, Budget{Floor: 2, Lowest: 2, Most: 3}},
		{"and comes back", func(f film) { f.remove(webPod("web-1")); f.put(webPod("web-4"), webPod("web-5")) }, Budget{Floor: 2, Lowest: 2, Most: 4}},
		{"two go", func(f film) { f.remove(webPod("web-1")); f.remove(webPod("web-2")) }, Budget{Floor: 2, Lowest: 1, Most: 3}},
		{"for a moment", func(f film) {
			f.put(webPod("web-1", terminating), webPod("web-2", terminating), webPod("web-4"), webPod("web-5"))
		}, Budget{Floor: 2, Lowest: 1, Most: 3}},
		{"what is deleted is not available", func(f film) { f.put(webPod("web-1", terminating), webPod("web-2", terminating)) }, Budget{Floor: 2, Lowest: 1, Most: 3}},
		{"nor what is not Ready", func(f film) { f.put(webPod("web-1", unready), webPod("web-2", unready)) }, Budget{Floor: 2, Lowest: 1, Most: 3}},
		{"pods of others do not count", func(f film) {
			f.put(webPod("web-4", elsewhere), webPod("web-5", unlabelled))
			f.remove(webPod("web-1"))
			f.remove(webPod("web-2"))
		}, Budget{Floor: 2, Lowest: 1, Most: 3}},
		{"a floor that is raised must be reached first, or is broken", func(f film) { f.put(budget(4)) }, Budget{Floor: 4, Lowest: 3, Most: 3}},
		{"after its end it is not judged", func(f film) {
			f.remove(budget(2))
			f.remove(webPod("web-1"))
			f.remove(webPod("web-2"))
		}, Budget{Floor: 2, Lowest: 3, Most: 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFilm(t)
			test.happen(f)
			report := f.scene.report()
			test.want.Key = "shop/web"
			if diff := cmp.Diff([]Budget{test.want}, report.Budgets); diff != "" || len(report.Gaps) > 0 {
				t.Errorf("gaps %v, budgets (-want +got):\n%s", report.Gaps, diff)
			}
			if got, want := report.Budgets[0].Broken(), test.want.Lowest < test.want.Floor; got != want {
				t.Errorf("broken: %t, want %t", got, want)
			}
		})
	}
}

// A workload that is still starting has not broken its budget.
func TestWitnessLetsWorkloadsStart(t *testing.T) {
	f := film{t: t, scene: newScene()}
	f.scene.judge()
	f.put(budget(2), webPod("web-1", unready), webPod("web-1"), webPod("web-2"))
	if got := f.scene.report().Budgets[0]; got.Broken() || got.Lowest != 2 {
		t.Errorf("budget = %+v, want it kept", got)
	}
}

func TestWitnessCountsNodes(t *testing.T) {
	f := newFilm(t)
	f.put(node("a", "uid-a"), node("b", "uid-b"))
	f.remove(node("a", ""))
	f.put(node("a", "uid-a2"))
	report := f.scene.report()
	uids := func(nodes []Node) string {
		var all []string
		for _, n := range nodes {
			all = append(all, n.UID)
		}
		return strings.Join(all, " ")
	}
	if got, want := fmt.Sprintf("created %s, removed %s, there %s", uids(report.Created), uids(report.Removed), uids(report.Nodes)),
		"created uid-b uid-a2, removed uid-a, there uid-a2 uid-b"; got != want {
		t.Errorf("nodes: %s; want %s", got, want)
	}
}

// What was not seen counts against the observation.
func TestWitnessCountsGaps(t *testing.T) {
	for _, test := range []struct {
		name   string
		happen func(film)
		want   string
	}{
		{"none", func(f film) { f.put(webPod("web-4"), node("b", "uid-b")) }, ""},
		{"two events of one revision", func(f film) { f.put(webPod("web-4")); f.scene.revision--; f.put(webPod("web-5")) }, ""},
		{"a revision is missing", func(f film) { f.scene.revision++; f.scene.apply(other(103)) }, "revision 103 follows 101"},
		{"something else is written", func(f film) { f.scene.apply(other(101)) }, ""},
		{"time goes back", func(f film) { f.scene.apply(other(99)) }, "revision 99 follows 100"},
		{"a pod that cannot be read", func(f film) {
			f.scene.apply(&clientv3.Event{Kv: &mvccpb.KeyValue{Key: []byte(podKeys + "shop/web-1"), Value: []byte("{"), ModRevision: 101}})
		}, "decode /registry/pods/shop/web-1: "},
		{"a pod that is none", func(f film) {
			kv := f.stored(node("a", "uid-a"))
			kv.Key = []byte(podKeys + "shop/web-1")
			f.scene.apply(&clientv3.Event{Kv: kv})
		}, "decode /registry/pods/shop/web-1: it holds a *v1.Node"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFilm(t)
			test.happen(f)
			if got := strings.Join(f.scene.report().Gaps, "; "); !strings.HasPrefix(got, test.want) || (test.want == "") != (got == "") {
				t.Errorf("gaps %q, want %q", got, test.want)
			}
		})
	}
}

// other is an event of a key that no budget rests on.
func other(revision int64) *clientv3.Event {
	return &clientv3.Event{Kv: &mvccpb.KeyValue{Key: []byte("/registry/leases/kube-system/x"), ModRevision: revision}}
}
