package eks

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"refit.dev/refit/internal/provider"
)

// GroupLabel is on every node of a managed node group, and names it.
const GroupLabel = "eks.amazonaws.com/nodegroup"

// roll is one look at a node group that is being updated, one node at a time, as
// Amazon does where maxUnavailable is 1: a new node is added, then an old one is
// cordoned, drained and removed.
type roll struct {
	*Lab

	c     *cluster
	g     *group
	u     *update
	pool  provider.Pool
	kube  kubernetes.Interface
	nodes map[string]*corev1.Node
}

func (l *Lab) rollGroup(ctx context.Context, c *cluster, g *group, u *update) error {
	r, err := l.lookAt(ctx, c, g, u)
	if err != nil {
		return err
	}
	if r.pool.Template.Version != u.to {
		_, err := l.Backing.Ensure(ctx, c.ref, provider.Change{
			Part: provider.Part{Kind: provider.PartPool, Pool: g.name}, Token: u.id,
			From: r.pool.Template, To: provider.State{Version: u.to},
		})
		return err
	}
	old, fresh := r.split()
	switch waits := slices.ContainsFunc(fresh, func(i provider.Instance) bool { return !ready(r.nodes[i.Node]) }); {
	case waits && l.Clock.Since(u.created) > time.Duration(len(fresh)+1)*l.Pace.Eviction:
		u.fail(errorNodeCreationFailure, "Instances failed to join the kubernetes cluster", fresh[len(fresh)-1].ID)
		return nil
	case waits:
		return nil
	case len(old) == 0:
		g.version, u.status = minorOf(u.to), successful
		return nil
	case len(r.pool.Instances) <= g.size:
		return l.Backing.AddNode(ctx, c.ref, provider.NodeAddition{
			Pool: g.name, Replaces: old[0].ID, Token: fmt.Sprintf("%s/%d", u.id, len(fresh)),
		})
	default:
		return r.drain(ctx, old[0])
	}
}

func (l *Lab) lookAt(ctx context.Context, c *cluster, g *group, u *update) (*roll, error) {
	seen, err := l.Backing.Observe(ctx, c.ref)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(seen.Pools, func(p provider.Pool) bool { return p.Name == g.name })
	if i < 0 {
		return nil, fmt.Errorf("the backing of %s has no pool %s", c.name, g.name)
	}
	kube, err := l.client(ctx, c)
	if err != nil {
		return nil, err
	}
	r := &roll{Lab: l, c: c, g: g, u: u, pool: seen.Pools[i], kube: kube, nodes: map[string]*corev1.Node{}}
	list, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	for i := range list.Items {
		r.nodes[list.Items[i].Name] = &list.Items[i]
	}
	return r, r.label(ctx)
}

func (l *Lab) client(ctx context.Context, c *cluster) (kubernetes.Interface, error) {
	config, err := l.Backing.Connect(ctx, c.ref)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// label names the group on its nodes, which Amazon's say when they register.
func (r *roll) label(ctx context.Context) error {
	for _, instance := range r.pool.Instances {
		node := r.nodes[instance.Node]
		if node == nil || node.Labels[GroupLabel] == r.g.name {
			continue
		}
		patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, GroupLabel, r.g.name)
		if err := r.patch(ctx, node, patch); err != nil {
			return err
		}
	}
	return nil
}

// split parts old instances from those of the wanted version, by name.
func (r *roll) split() (old, fresh []provider.Instance) {
	for _, instance := range r.pool.Instances {
		if instance.State.Version.Less(r.u.to) {
			old = append(old, instance)
		} else {
			fresh = append(fresh, instance)
		}
	}
	byDrain := func(a, b provider.Instance) int { // the one in hand first
		_, first := r.u.draining[a.Node]
		if _, other := r.u.draining[b.Node]; first != other {
			if first {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Node, b.Node)
	}
	slices.SortFunc(old, byDrain)
	return old, fresh
}

// drain cordons one node and evicts its pods, as far as their budgets allow;
// forced, it deletes what is left when the time is over.
func (r *roll) drain(ctx context.Context, instance provider.Instance) error {
	node := r.nodes[instance.Node]
	if node == nil {
		return r.remove(ctx, instance)
	}
	since, begun := r.u.draining[node.Name]
	if !begun {
		since = r.Clock.Now()
		r.u.draining[node.Name] = since
	}
	if err := r.cordon(ctx, node); err != nil {
		return err
	}
	pods, err := r.podsOn(ctx, node.Name)
	switch over := r.Clock.Since(since) >= r.Pace.Eviction; {
	case err != nil:
		return err
	case len(pods) == 0:
		return r.remove(ctx, instance)
	case over && !r.u.force:
		r.u.fail(errorPodEvictionFailure, "Reached max retries while trying to evict pods from nodes in node group "+r.g.name, node.Name)
		return r.uncordon(ctx, node)
	case over:
		return r.deleteAll(ctx, pods)
	}
	return r.evictAll(ctx, pods)
}

func (r *roll) remove(ctx context.Context, instance provider.Instance) error {
	delete(r.u.draining, instance.Node)
	return r.Backing.RemoveNode(ctx, r.c.ref, provider.NodeRemoval{Pool: r.g.name, Instance: instance.ID})
}

func (r *roll) cordon(ctx context.Context, node *corev1.Node) error {
	if node.Spec.Unschedulable {
		return nil
	}
	return r.patch(ctx, node, `{"spec":{"unschedulable":true}}`)
}

func (r *roll) uncordon(ctx context.Context, node *corev1.Node) error {
	return r.patch(ctx, node, `{"spec":{"unschedulable":false}}`)
}

func (r *roll) patch(ctx context.Context, node *corev1.Node, patch string) error {
	_, err := r.kube.CoreV1().Nodes().Patch(ctx, node.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("patch node %s with %s: %w", node.Name, patch, err)
	}
	return nil
}

// podsOn are the pods that a drain waits for.
func (r *roll) podsOn(ctx context.Context, node string) ([]corev1.Pod, error) {
	list, err := r.kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		stays := slices.ContainsFunc(p.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "DaemonSet" || o.Kind == "Node" })
		ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		return p.Spec.NodeName != node || stays || ended
	}), nil
}

func (r *roll) evictAll(ctx context.Context, pods []corev1.Pod) error {
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil {
			continue
		}
		err := r.kube.CoreV1().Pods(pod.Namespace).EvictV1(ctx, &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))},
		})
		if err != nil && !apierrors.IsTooManyRequests(err) && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("evict pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	return nil
}

func (r *roll) deleteAll(ctx context.Context, pods []corev1.Pod) error {
	for _, pod := range pods {
		err := r.kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	return nil
}

func ready(node *corev1.Node) bool {
	return node != nil && slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
