package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// UndoAnnotation on a node says whose cordon it carries, and what the node was
// before: it is set in one patch with the cordon, so there is never one
// without the other.
const UndoAnnotation = "refit.dev/undo"

// ErrRefusedByBudget is the API server's answer to an eviction that a
// PodDisruptionBudget does not allow now.
var ErrRefusedByBudget = errors.New("a PodDisruptionBudget does not allow it now")

// ErrChanged means that the object is not the one that was observed any more:
// observe and plan again.
var ErrChanged = errors.New("changed since it was observed")

// Undo is what a node was before our cordon.
type Undo struct {
	// Upgrade is the UID of the ClusterUpgrade that cordoned the node.
	Upgrade string `json:"upgrade"`
	// Unschedulable is the prior value.
	Unschedulable bool      `json:"unschedulable"`
	At            time.Time `json:"at"`
}

// NodeRef is a node as it was observed.
type NodeRef struct {
	Name, UID, ResourceVersion string
}

func readUndo(node *corev1.Node) (Undo, bool) {
	text, ok := node.Annotations[UndoAnnotation]
	if !ok {
		return Undo{}, false
	}
	var undo Undo
	if err := json.Unmarshal([]byte(text), &undo); err != nil {
		return Undo{Upgrade: "unreadable"}, true // somebody's cordon, not ours to take
	}
	return undo, true
}

// nodePatch is a merge patch; UID and resource version make it a conflict on
// any node but the observed one.
type nodePatch struct {
	Metadata struct {
		UID             string             `json:"uid,omitempty"`
		ResourceVersion string             `json:"resourceVersion,omitempty"`
		Annotations     map[string]*string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Unschedulable bool `json:"unschedulable"`
	} `json:"spec"`
}

// Cordon marks the node unschedulable, and writes how to undo it, at once.
func (c *Client) Cordon(ctx context.Context, node NodeRef, undo Undo) error {
	text, err := json.Marshal(undo)
	if err != nil {
		return fmt.Errorf("cordon node %s: %w", node.Name, err)
	}
	var patch nodePatch
	patch.Metadata.UID, patch.Metadata.ResourceVersion = node.UID, node.ResourceVersion
	patch.Metadata.Annotations = map[string]*string{UndoAnnotation: new(string(text))}
	patch.Spec.Unschedulable = true
	return c.patchNode(ctx, "cordon", node.Name, patch)
}

// Restore puts the node back as the undo on it says, if it is the upgrade's.
// A node that is gone, or carries no such undo, needs none.
func (c *Client) Restore(ctx context.Context, name, upgrade string) error {
	node, err := c.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("restore node %s: %w", name, err)
	}
	undo, ok := readUndo(node)
	if !ok || undo.Upgrade != upgrade {
		return nil
	}
	var patch nodePatch
	patch.Metadata.UID, patch.Metadata.ResourceVersion = string(node.UID), node.ResourceVersion
	patch.Metadata.Annotations = map[string]*string{UndoAnnotation: nil}
	patch.Spec.Unschedulable = undo.Unschedulable
	return c.patchNode(ctx, "restore", name, patch)
}

func (c *Client) patchNode(ctx context.Context, doing, name string, patch nodePatch) error {
	body, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("%s node %s: %w", doing, name, err)
	}
	_, err = c.Kube.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: "refit"})
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), apierrors.IsInvalid(err):
		return fmt.Errorf("%s node %s: %w: %w", doing, name, ErrChanged, err)
	default:
		return wrap(doing+" node "+name, err)
	}
}

// Evict asks for one pod's eviction. The API server decides, by the budgets;
// the grace period is the pod's own. Of a pod that is gone, or is another by
// now, the answer is ErrChanged.
func (c *Client) Evict(ctx context.Context, namespace, name, uid string) error {
	err := c.Kube.PolicyV1().Evictions(namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: namespace, Name: name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(uid)},
	})
	doing := fmt.Sprintf("evict pod %s/%s", namespace, name)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return fmt.Errorf("%s: %w: %w", doing, ErrChanged, err)
	case apierrors.IsTooManyRequests(err):
		return fmt.Errorf("%s: %w", doing, ErrRefusedByBudget)
	default:
		return wrap(doing, err)
	}
}
