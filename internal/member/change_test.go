package member

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

var (
	nodes = schema.GroupResource{Resource: "nodes"}
	pods  = schema.GroupResource{Resource: "pods"}
)

// server is client-go's fake, but that a patch must name the node as it is.
type server struct {
	*kubefake.Clientset

	patches []string
	// patching happens right before a patch arrives.
	patching func(*server)
}

func newServer(objects ...runtime.Object) *server {
	s := &server{Clientset: kubefake.NewSimpleClientset(objects...)}
	s.PrependReactor("patch", "nodes", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patch := action.(clienttesting.PatchAction)
		if s.patching != nil {
			s.patching(s)
		}
		stored, err := s.Tracker().Get(corev1.SchemeGroupVersion.WithResource("nodes"), "", patch.GetName())
		if err != nil {
			return true, nil, err
		}
		var meant metav1.PartialObjectMetadata
		if err := json.Unmarshal(patch.GetPatch(), &meant); err != nil {
			return true, nil, err
		}
		node := stored.(*corev1.Node)
		if meant.UID != node.UID || meant.ResourceVersion != node.ResourceVersion {
			return true, nil, apierrors.NewConflict(nodes, node.Name, errors.New("the object has been modified"))
		}
		s.patches = append(s.patches, string(patch.GetPatch()))
		return false, nil, nil
	})
	return s
}

func (s *server) client() *Client { return &Client{Kube: s} }

func (s *server) node(t *testing.T) *corev1.Node {
	t.Helper()
	node, err := s.CoreV1().Nodes().Get(t.Context(), "a-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// touch is somebody else's change to the node.
func (s *server) touch() {
	resource := corev1.SchemeGroupVersion.WithResource("nodes")
	stored, err := s.Tracker().Get(resource, "", "a-1")
	if err != nil {
		panic(err)
	}
	node := stored.(*corev1.Node).DeepCopy()
	node.ResourceVersion = "8"
	if err := s.Tracker().Update(resource, node, ""); err != nil {
		panic(err)
	}
}

func aNode(undo string, cordoned bool) *corev1.Node {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "a-1", UID: "uid-1", ResourceVersion: "7", Annotations: map[string]string{"other": "stays"}},
		Spec:       corev1.NodeSpec{Unschedulable: cordoned},
	}
	if undo != "" {
		node.Annotations[UndoAnnotation] = undo
	}
	return node
}

// One patch carries the cordon, whose it is and what was before, and names the
// node as it was observed.
func TestCordon(t *testing.T) {
	s := newServer(aNode("", false))
	at := time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC)
	err := s.client().Cordon(t.Context(), NodeRef{Name: "a-1", UID: "uid-1", ResourceVersion: "7"}, Undo{Upgrade: "up-1", At: at})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`{"metadata":{"uid":"uid-1","resourceVersion":"7",` +
		`"annotations":{"refit.dev/undo":"{\"upgrade\":\"up-1\",\"unschedulable\":false,\"at\":\"2026-11-03T22:00:00Z\"}"}},` +
		`"spec":{"unschedulable":true}}`}
	if diff := cmp.Diff(want, s.patches); diff != "" {
		t.Errorf("patches (-want +got):\n%s", diff)
	}
	node := s.node(t)
	if undo, _ := readUndo(node); !node.Spec.Unschedulable || undo != (Undo{Upgrade: "up-1", At: at}) || node.Annotations["other"] != "stays" {
		t.Errorf("node is unschedulable: %t, annotations %v", node.Spec.Unschedulable, node.Annotations)
	}
}

func TestCordonIsOfTheNodeThatWasSeen(t *testing.T) {
	for _, c := range []struct {
		name    string
		ref     NodeRef
		answer  error
		changed bool
	}{
		{name: "the node has changed", ref: NodeRef{Name: "a-1", UID: "uid-1", ResourceVersion: "6"}, changed: true},
		{name: "another node of the name", ref: NodeRef{Name: "a-1", UID: "uid-0", ResourceVersion: "7"}, changed: true},
		{name: "the node is gone", ref: NodeRef{Name: "a-9", UID: "uid-9", ResourceVersion: "7"}, changed: true},
		{
			name: "the UID is refused as invalid", ref: NodeRef{Name: "a-1", UID: "uid-1", ResourceVersion: "7"},
			answer: apierrors.NewInvalid(schema.GroupKind{Kind: "Node"}, "a-1", nil), changed: true,
		},
		{
			name: "not allowed", ref: NodeRef{Name: "a-1", UID: "uid-1", ResourceVersion: "7"},
			answer: apierrors.NewForbidden(nodes, "a-1", errors.New("no right to patch")),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(aNode("", false))
			if c.answer != nil {
				s.PrependReactor("patch", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, c.answer })
			}
			err := s.client().Cordon(t.Context(), c.ref, Undo{Upgrade: "up-1"})
			if err == nil || errors.Is(err, ErrChanged) != c.changed || !strings.HasPrefix(err.Error(), "cordon node "+c.ref.Name+": ") {
				t.Errorf("error is %v; want one of the cordon, of a change: %t", err, c.changed)
			}
			if node := s.node(t); node.Spec.Unschedulable || node.Annotations[UndoAnnotation] != "" {
				t.Errorf("node is unschedulable: %t, annotations %v", node.Spec.Unschedulable, node.Annotations)
			}
		})
	}
}

func TestRestore(t *testing.T) {
	const (
		ours    = `{"upgrade":"up-1","unschedulable":false}`
		before  = `{"upgrade":"up-1","unschedulable":true}`
		another = `{"upgrade":"up-2","unschedulable":false}`
	)
	for _, c := range []struct {
		name, undo, left   string
		cordoned, restored bool
		patches            int
	}{
		{name: "ours", undo: ours, cordoned: true, patches: 1},
		{name: "ours, cordoned before", undo: before, cordoned: true, restored: true, patches: 1},
		{name: "ours, but somebody has taken the cordon off", undo: ours, patches: 1},
		{name: "another upgrade's", undo: another, left: another, cordoned: true, restored: true},
		{name: "nobody's", cordoned: true, restored: true},
		{name: "unreadable", undo: "?", left: "?", cordoned: true, restored: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(aNode(c.undo, c.cordoned))
			if err := s.client().Restore(t.Context(), "a-1", "up-1"); err != nil {
				t.Fatal(err)
			}
			node := s.node(t)
			if node.Spec.Unschedulable != c.restored || node.Annotations[UndoAnnotation] != c.left || node.Annotations["other"] != "stays" {
				t.Errorf("node is unschedulable: %t, annotations %v; want %t, %q", node.Spec.Unschedulable, node.Annotations, c.restored, c.left)
			}
			if len(s.patches) != c.patches {
				t.Errorf("patches are %v, want %d", s.patches, c.patches)
			}
		})
	}

	t.Run("gone", func(t *testing.T) {
		if err := newServer().client().Restore(t.Context(), "a-1", "up-1"); err != nil {
			t.Error(err)
		}
	})
	t.Run("changed meanwhile", func(t *testing.T) {
		s := newServer(aNode(ours, true))
		s.patching = (*server).touch
		if err := s.client().Restore(t.Context(), "a-1", "up-1"); !errors.Is(err, ErrChanged) {
			t.Errorf("error is %v, want that it has changed", err)
		}
		if !s.node(t).Spec.Unschedulable {
			t.Error("the node was restored over a change that was not seen")
		}
	})
	t.Run("silent", func(t *testing.T) {
		s := newServer()
		s.PrependReactor("get", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, errors.New("connection refused")
		})
		if err := s.client().Restore(t.Context(), "a-1", "up-1"); err == nil || err.Error() != "restore node a-1: connection refused" {
			t.Errorf("error is %v", err)
		}
	})
}

func TestEvict(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer error
		want   string
		is     error
	}{
		{name: "accepted"},
		{
			name: "gone", answer: apierrors.NewNotFound(pods, "web-1"),
			want: `evict pod shop/web-1: changed since it was observed: pods "web-1" not found`, is: ErrChanged,
		},
		{
			name: "another pod of the name", answer: apierrors.NewConflict(pods, "web-1", errors.New("the UID does not match")),
			want: `evict pod shop/web-1: changed since it was observed: Operation cannot be fulfilled on pods "web-1": the UID does not match`, is: ErrChanged,
		},
		{
			name: "refused by a budget", answer: apierrors.NewTooManyRequests("it would violate the pod's disruption budget", 0),
			want: "evict pod shop/web-1: a PodDisruptionBudget does not allow it now", is: ErrRefusedByBudget,
		},
		{
			name:   "several budgets",
			answer: apierrors.NewInternalError(errors.New("this pod has more than one PodDisruptionBudget")),
			want:   "evict pod shop/web-1: Internal error occurred: this pod has more than one PodDisruptionBudget",
		},
		{
			name:   "not allowed",
			answer: apierrors.NewForbidden(pods, "web-1", errors.New("no right to evict")),
			want:   `evict pod shop/web-1: pods "web-1" is forbidden: no right to evict`,
		},
		{name: "silent", answer: context.DeadlineExceeded, want: "evict pod shop/web-1: context deadline exceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer()
			var asked *policyv1.Eviction
			s.PrependReactor("create", "pods/eviction", func(action clienttesting.Action) (bool, runtime.Object, error) {
				asked = action.(clienttesting.CreateAction).GetObject().(*policyv1.Eviction)
				return true, nil, c.answer
			})
			err := s.client().Evict(t.Context(), "shop", "web-1", "uid-1")
			if got := textOf(err); got != c.want || (c.is != nil && !errors.Is(err, c.is)) {
				t.Errorf("error is %q; want %q, and that it is %v", got, c.want, c.is)
			}
			// Of that pod and no other, in its own grace period.
			want := &policyv1.Eviction{
				ObjectMeta:    metav1.ObjectMeta{Namespace: "shop", Name: "web-1"},
				DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: new(types.UID("uid-1"))}},
			}
			if diff := cmp.Diff(want, asked); diff != "" {
				t.Errorf("eviction (-want +got):\n%s", diff)
			}
		})
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
