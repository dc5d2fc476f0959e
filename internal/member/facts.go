package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"refit.dev/refit/internal/fleet"
)

// Facts is one look at a member through its own API server.
type Facts struct {
	// Version of the API server that answered.
	Version fleet.Version
	Nodes   []fleet.Node
	// Labels of the nodes, by their names.
	Labels  map[string]map[string]string
	Budgets []fleet.Budget
	Claim   fleet.Claim
}

// Depth says how much to look at.
type Depth int

// The depths of a look.
const (
	// NodesOnly is enough to tell versions and health.
	NodesOnly Depth = iota
	// PodsToo is what moving pods needs, and who may.
	PodsToo
)

// Observe reads the member. It fails as a whole: half a picture is none.
func (c *Client) Observe(ctx context.Context, depth Depth) (Facts, error) {
	var (
		err     error
		facts   Facts
		nodes   *corev1.NodeList
		pods    = &corev1.PodList{}
		budgets = &policyv1.PodDisruptionBudgetList{}
	)
	facts.Version, err = c.version(ctx) // by itself: of who is silent, one reason is told, and the same each time
	if err != nil {
		return Facts{}, err
	}
	calls, ctx := errgroup.WithContext(ctx)
	calls.Go(func() (err error) {
		nodes, err = c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		return wrap("list nodes", err)
	})
	if depth == PodsToo {
		calls.Go(func() (err error) {
			pods, err = c.Kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
			return wrap("list pods", err)
		})
		calls.Go(func() (err error) {
			budgets, err = c.Kube.PolicyV1().PodDisruptionBudgets("").List(ctx, metav1.ListOptions{})
			return wrap("list poddisruptionbudgets", err)
		})
		calls.Go(func() (err error) {
			facts.Claim, err = c.claim(ctx)
			return err
		})
	}
	if err := calls.Wait(); err != nil {
		return Facts{}, err
	}
	guards, err := newGuards(budgets.Items)
	if err != nil {
		return Facts{}, err
	}
	facts.Budgets = guards.budgets()
	facts.Nodes = nodesOf(nodes.Items, pods.Items, guards)
	facts.Labels = map[string]map[string]string{}
	for _, node := range nodes.Items {
		facts.Labels[node.Name] = node.Labels
	}
	return facts, nil
}

// version asks for /readyz first: an API server that answers /version may not
// yet serve.
func (c *Client) version(ctx context.Context) (fleet.Version, error) {
	discovery := c.Kube.Discovery()
	if answer, err := discovery.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err != nil {
		if open := openChecks(string(answer)); len(open) > 0 {
			return fleet.Version{}, fmt.Errorf("not ready yet: %s", strings.Join(open, ", "))
		}
		return fleet.Version{}, wrap("ask /readyz", err)
	}
	info, err := discovery.ServerVersion()
	if err != nil {
		return fleet.Version{}, wrap("ask /version", err)
	}
	version, ok := fleet.ParseVersion(info.GitVersion)
	if !ok {
		return fleet.Version{}, fmt.Errorf("ask /version: %q is no version", info.GitVersion)
	}
	return version, nil
}

// openChecks are the checks that /readyz says are not passed, one a line that
// begins with [-] (https://kubernetes.io/docs/reference/using-api/health-checks/).
func openChecks(answer string) []string {
	var open []string
	for line := range strings.Lines(answer) {
		if check, ok := strings.CutPrefix(strings.TrimSpace(line), "[-]"); ok {
			name, _, _ := strings.Cut(check, " ")
			open = append(open, name)
		}
	}
	return open
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func nodesOf(nodes []corev1.Node, pods []corev1.Pod, guards guards) []fleet.Node {
	byNode := map[string][]fleet.Pod{}
	for i := range pods {
		byNode[pods[i].Spec.NodeName] = append(byNode[pods[i].Spec.NodeName], podOf(&pods[i], guards))
	}
	list := make([]fleet.Node, 0, len(nodes))
	for i := range nodes {
		node := nodeOf(&nodes[i])
		node.Pods = byNode[node.Name]
		list = append(list, node)
	}
	return list
}

func nodeOf(node *corev1.Node) fleet.Node {
	version, _ := fleet.ParseVersion(node.Status.NodeInfo.KubeletVersion) // zero: unknown, which reaches nothing
	undo, _ := readUndo(node)
	seen := fleet.Node{
		Name: node.Name, UID: string(node.UID), ResourceVersion: node.ResourceVersion,
		Version: version, Message: "no Ready condition reported",
		Cordoned:   node.Spec.Unschedulable,
		CordonedBy: undo.Upgrade, CordonedAt: undo.At,
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type != corev1.NodeReady {
			continue
		}
		seen.Ready = condition.Status == corev1.ConditionTrue
		seen.Message = cmp.Or(condition.Message, condition.Reason)
		if seen.Ready {
			seen.ReadySince = condition.LastTransitionTime.Time
		}
	}
	return seen
}

func podOf(pod *corev1.Pod, guards guards) fleet.Pod {
	seen := fleet.Pod{
		Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID),
		Owner: ownerOf(pod), Budgets: guards.of(pod),
	}
	if pod.DeletionTimestamp != nil { // which is when its grace period ends
		grace := ptr.Deref(pod.DeletionGracePeriodSeconds, 0)
		seen.Terminating = pod.DeletionTimestamp.Add(-time.Duration(grace) * time.Second)
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			seen.Ready = condition.Status == corev1.ConditionTrue
		}
	}
	return seen
}

func ownerOf(pod *corev1.Pod) fleet.PodOwner {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return fleet.PodFinished
	}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return fleet.OwnedByNode
	}
	owner := metav1.GetControllerOf(pod)
	switch {
	case owner == nil:
		return fleet.OwnedByNobody
	case owner.Kind == "DaemonSet" || owner.Kind == "Node":
		return fleet.OwnedByNode
	default:
		return fleet.OwnedByController
	}
}

// guards are the budgets with their selectors, by namespace.
type guards map[string][]guard

type guard struct {
	budget   fleet.Budget
	selector labels.Selector
}

func newGuards(items []policyv1.PodDisruptionBudget) (guards, error) {
	byNamespace := guards{}
	var broken []error
	for _, item := range items {
		selector, err := metav1.LabelSelectorAsSelector(item.Spec.Selector)
		if err != nil {
			broken = append(broken, fmt.Errorf("read selector of poddisruptionbudget %s/%s: %w", item.Namespace, item.Name, err))
			continue
		}
		byNamespace[item.Namespace] = append(byNamespace[item.Namespace], guard{
			selector: selector,
			budget: fleet.Budget{
				Namespace: item.Namespace, Name: item.Name,
				Allowed: int(item.Status.DisruptionsAllowed),
				Desired: int(item.Status.DesiredHealthy), Healthy: int(item.Status.CurrentHealthy),
				Expected: int(item.Status.ExpectedPods),
			},
		})
	}
	return byNamespace, errors.Join(broken...)
}

// of are the keys of the budgets that guard a pod.
func (g guards) of(pod *corev1.Pod) []string {
	var keys []string
	for _, guard := range g[pod.Namespace] {
		if guard.selector.Matches(labels.Set(pod.Labels)) {
			keys = append(keys, guard.budget.Key())
		}
	}
	return keys
}

func (g guards) budgets() []fleet.Budget {
	var all []fleet.Budget
	for _, guards := range g {
		for _, guard := range guards {
			all = append(all, guard.budget)
		}
	}
	return all
}
