package capi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// tendMachine takes one machine to what its objects ask for.
func (l look) tendMachine(ctx context.Context, m machine) error {
	switch {
	case m.going():
		return l.end(ctx, m)
	case !slices.Contains(m.GetFinalizers(), finalizer):
		return l.setFinalizers(ctx, m, append(m.GetFinalizers(), finalizer))
	case provisioned(m.Unstructured):
		return nil
	case !bootstrapped(m):
		return nil // the bootstrap provider has not said yet what the machine is to run
	default:
		return l.begin(ctx, m)
	}
}

func bootstrapped(m machine) bool {
	name, _, _ := unstructured.NestedString(m.owner.Object, "spec", "bootstrap", "dataSecretName")
	return name != ""
}

// begin makes the machine's node, as if it had booted, and says so.
func (l look) begin(ctx context.Context, m machine) error {
	if err := l.join(ctx, m); err != nil {
		return err
	}
	if err := l.tellExpiry(ctx, m); err != nil {
		return fmt.Errorf("tell when its certificate expires: %w", err)
	}
	l.Log.Info("machine joined", "machine", m.GetName(), "version", m.version())
	spec := fmt.Sprintf(`{"spec":{"providerID":%q}}`, providerID(m))
	if err := l.patch(ctx, labMachines(), m.Unstructured, spec); err != nil {
		return err
	}
	status := fmt.Sprintf(`{"status":{"initialization":{"provisioned":true},"addresses":[{"type":"Hostname","address":%q}]}}`, m.GetName())
	return l.patch(ctx, labMachines(), m.Unstructured, status, "status")
}

// tellExpiry says when the API server's certificate expires, which Cluster API would
// else ask the API server of that very machine, through its kubelet.
func (l look) tellExpiry(ctx context.Context, m machine) error {
	if !m.controlPlane() {
		return nil
	}
	name, _, _ := unstructured.NestedString(m.owner.Object, "spec", "bootstrap", "configRef", "name")
	config := &unstructured.Unstructured{}
	config.SetNamespace(m.GetNamespace())
	config.SetName(name)
	expires := m.GetCreationTimestamp().AddDate(1, 0, 0).UTC().Format(time.RFC3339)
	return l.patch(ctx, kubeadmConfigs(), config, fmt.Sprintf(`{"metadata":{"annotations":{"machine.cluster.x-k8s.io/certificates-expiry":%q}}}`, expires))
}

func providerID(m machine) string { return "lab://" + m.GetNamespace() + "/" + m.GetName() }

// end lets go of a machine. With the last one of an older version goes the old
// API server.
func (l look) end(ctx context.Context, m machine) error {
	if !slices.Contains(m.GetFinalizers(), finalizer) {
		return nil
	}
	if to := l.successor(m); !to.IsZero() {
		done, err := l.replaceAPIServer(ctx, m, to)
		if err != nil || !done {
			return err
		}
	}
	if err := l.leave(ctx, m); err != nil {
		return err
	}
	l.Log.Info("machine left", "machine", m.GetName(), "version", m.version())
	return l.setFinalizers(ctx, m, slices.DeleteFunc(m.GetFinalizers(), func(f string) bool { return f == finalizer }))
}

// successor is the version that the control plane is at once a machine of it is
// gone; zero where it stays as it is.
func (l look) successor(m machine) fleet.Version {
	oldest := fleet.Version{}
	for _, other := range l.machines {
		if other.controlPlane() && other.GetName() != m.GetName() && !other.going() && provisioned(other.Unstructured) &&
			(oldest.IsZero() || other.version().Less(oldest)) {
			oldest = other.version()
		}
	}
	if !m.controlPlane() || !m.version().Less(oldest) {
		return fleet.Version{}
	}
	return oldest
}

// replaceAPIServer takes the API server to a version, and tells whether it is there.
func (l look) replaceAPIServer(ctx context.Context, m machine, to fleet.Version) (bool, error) {
	op, err := l.Backing.Ensure(ctx, l.Ref, provider.Change{
		Part: provider.Part{Kind: provider.PartControlPlane}, Token: string(m.GetUID()),
		From: provider.State{Version: m.version()}, To: provider.State{Version: to},
	})
	if err == nil && op.Phase == provider.Failed {
		err = fmt.Errorf("take the API server to %s: %s", to, op.Message)
	}
	return op.Phase == provider.Succeeded, err
}

func (l *Lab) setFinalizers(ctx context.Context, m machine, finalizers []string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": finalizers, "resourceVersion": m.GetResourceVersion()}})
	if err != nil {
		return err
	}
	err = l.patch(ctx, labMachines(), m.Unstructured, string(patch))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // the next look knows more
	}
	return err
}

func (l *Lab) patch(ctx context.Context, kind schema.GroupVersionResource, o *unstructured.Unstructured, patch string, subresource ...string) error {
	_, err := l.Management.Resource(kind).Namespace(o.GetNamespace()).
		Patch(ctx, o.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresource...)
	return err
}
