package witness

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
)

// Report is what a witness saw.
type Report struct {
	// Events that were seen, and Gaps in what could be seen. With a gap nothing
	// below is proof.
	Events int
	Gaps   []string
	// Budgets, by namespace/name.
	Budgets []Budget
	// Created and Removed nodes, in order.
	Created, Removed []Node
	// Nodes that there are.
	Nodes []Node
	// Pods that were bound, created after the observation began.
	PodsCreated int
}

// Budget is a PodDisruptionBudget and the fewest of its pods that were ever
// available at once: Ready and not being deleted.
type Budget struct {
	Key string
	// Floor is what the budget demands, Lowest what was seen.
	Floor, Lowest int
	// Most is the greatest number of available pods that was seen.
	Most int
}

// Broken tells whether the budget was ever below its floor.
func (b Budget) Broken() bool { return b.Lowest < b.Floor }

// Node is one Node object.
type Node struct {
	Name, UID, Version string
}

// scene is the cluster as it stands after the last event.
type scene struct {
	revision int64
	events   int
	gaps     []string
	started  bool

	pods    map[string]pod
	guards  map[string]*guard
	nodes   map[string]Node
	created []Node
	removed []Node
	bound   int
}

type pod struct {
	namespace string
	labels    labels.Set
	available bool
}

type guard struct {
	namespace string
	selector  labels.Selector
	floor     int
	// armed once the floor was reached: before that the workload was starting.
	armed bool
	// gone once the budget was deleted: what was seen under it stays.
	gone         bool
	lowest, most int
}

func newScene() *scene {
	return &scene{pods: map[string]pod{}, guards: map[string]*guard{}, nodes: map[string]Node{}}
}

// The keys that matter, as the API server writes them.
const (
	podKeys    = "/registry/pods/"
	nodeKeys   = "/registry/minions/"
	budgetKeys = "/registry/poddisruptionbudgets/"
)

func (s *scene) put(kv *mvccpb.KeyValue) error {
	key := string(kv.Key)
	switch {
	case strings.HasPrefix(key, podKeys):
		return decode(kv, func(p *corev1.Pod) { s.putPod(key, p) })
	case strings.HasPrefix(key, nodeKeys):
		return decode(kv, func(n *corev1.Node) { s.putNode(key, n) })
	case strings.HasPrefix(key, budgetKeys):
		return decode(kv, func(b *policyv1.PodDisruptionBudget) { s.putBudget(key, b) })
	default:
		return nil
	}
}

// decode reads what the API server wrote: protobuf in the group's version.
func decode[T any, P interface {
	*T
	runtime.Object
}](kv *mvccpb.KeyValue, take func(*T)) error {
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(kv.Value, nil, nil)
	if err != nil {
		return fmt.Errorf("decode %s: %w", kv.Key, err)
	}
	typed, ok := object.(P)
	if !ok {
		return fmt.Errorf("decode %s: it holds a %T", kv.Key, object)
	}
	take((*T)(typed))
	return nil
}

func (s *scene) putPod(key string, p *corev1.Pod) {
	if _, known := s.pods[key]; !known && s.started {
		s.bound++
	}
	ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
	s.pods[key] = pod{namespace: p.Namespace, labels: p.Labels, available: ready && p.DeletionTimestamp == nil}
}

func (s *scene) putNode(key string, n *corev1.Node) {
	seen := Node{Name: n.Name, UID: string(n.UID), Version: n.Status.NodeInfo.KubeletVersion}
	if before, known := s.nodes[key]; s.started && (!known || before.UID != seen.UID) {
		s.created = append(s.created, seen)
	}
	s.nodes[key] = seen
}

func (s *scene) putBudget(key string, b *policyv1.PodDisruptionBudget) {
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		s.fail(fmt.Errorf("read selector of %s: %w", key, err))
		return
	}
	g := s.guards[key]
	if g == nil {
		g = &guard{namespace: b.Namespace}
		s.guards[key] = g
	}
	g.gone = false
	g.selector, g.floor = selector, int(b.Status.DesiredHealthy)
	if wanted := b.Spec.MinAvailable; wanted != nil && wanted.Type == intstr.Int {
		g.floor = wanted.IntValue()
	}
}

func (s *scene) remove(key string) {
	switch {
	case strings.HasPrefix(key, podKeys):
		delete(s.pods, key)
	case strings.HasPrefix(key, nodeKeys):
		s.removed = append(s.removed, s.nodes[key])
		delete(s.nodes, key)
	case strings.HasPrefix(key, budgetKeys):
		s.guards[key].gone = true
	}
}

// judge counts after every event.
func (s *scene) judge() {
	s.started = true
	for _, g := range s.guards {
		if g.gone {
			continue
		}
		available := 0
		for _, p := range s.pods {
			if p.available && p.namespace == g.namespace && g.selector.Matches(p.labels) {
				available++
			}
		}
		if !g.armed && available >= g.floor {
			g.armed, g.lowest = true, available
		}
		g.lowest, g.most = min(g.lowest, available), max(g.most, available)
	}
}

func (s *scene) fail(err error) { s.gaps = append(s.gaps, err.Error()) }

func (s *scene) report() Report {
	r := Report{
		Events: s.events, Gaps: slices.Clone(s.gaps), PodsCreated: s.bound,
		Created: slices.Clone(s.created), Removed: slices.Clone(s.removed),
	}
	for _, key := range slices.Sorted(maps.Keys(s.guards)) {
		g := s.guards[key]
		r.Budgets = append(r.Budgets, Budget{
			Key: strings.TrimPrefix(key, budgetKeys), Floor: g.floor, Lowest: g.lowest, Most: g.most,
		})
	}
	r.Nodes = slices.SortedFunc(maps.Values(s.nodes), func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	return r
}
