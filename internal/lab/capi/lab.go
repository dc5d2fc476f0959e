// Package capi is an infrastructure provider for Cluster API's real managers: its
// machines are made of a cluster that is there already, whose API server really
// goes to another version when the last machine of its control plane has.
//
// It keeps Cluster API's contract for infrastructure (https://cluster-api.sigs.k8s.io/developer/providers/contracts/overview)
// and does what a machine's kubelet and kubeadm would do: Node, static pods and
// the ConfigMap kubeadm-config. What a machine is to run as its first command it
// does not read. etcd is not the machines': to KubeadmControlPlane it is an
// external one.
package capi

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// Lab is the infrastructure of one cluster.
type Lab struct {
	// Management is the cluster that Cluster API's objects are in.
	Management dynamic.Interface
	// Backing has the cluster that machines are made of, known to it as Ref.
	Backing provider.Provider
	Ref     provider.Ref
	Log     *slog.Logger
}

// The kinds that are looked at and written.
func labClusters() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: infrastructureGroup, Version: version, Resource: "labclusters"}
}

func labMachines() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: infrastructureGroup, Version: version, Resource: "labmachines"}
}

func machines() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "cluster.x-k8s.io", Version: version, Resource: "machines"}
}

func kubeadmConfigs() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "bootstrap.cluster.x-k8s.io", Version: version, Resource: "kubeadmconfigs"}
}

const (
	infrastructureGroup = "infrastructure.cluster.x-k8s.io"
	version             = "v1beta2"
	// finalizer keeps a LabMachine until what it stands for is gone.
	finalizer         = infrastructureGroup + "/labmachine"
	controlPlaneLabel = "cluster.x-k8s.io/control-plane"
)

// every is how often the lab looks.
const every = 300 * time.Millisecond

// Run tends the infrastructure until ctx ends.
func (l *Lab) Run(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		if err := l.tend(ctx); err != nil && err.Error() != said {
			said = err.Error()
			l.Log.Info("infrastructure", "error", err) // the API server of the cluster is away for a while: the next look goes on
		}
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
}

// look is one look at the infrastructure.
type look struct {
	*Lab

	kube     kubernetes.Interface
	machines []machine
}

// machine is a LabMachine, and the Machine whose it is.
type machine struct {
	*unstructured.Unstructured

	owner *unstructured.Unstructured
}

func (m machine) controlPlane() bool {
	_, is := m.GetLabels()[controlPlaneLabel]
	return is
}

func (m machine) going() bool { return m.GetDeletionTimestamp() != nil }

// version of Kubernetes that the machine runs.
func (m machine) version() fleet.Version {
	text, _, _ := unstructured.NestedString(m.owner.Object, "spec", "version")
	v, _ := fleet.ParseVersion(text)
	return v
}

func (l *Lab) tend(ctx context.Context) error {
	config, err := l.Backing.Connect(ctx, l.Ref)
	if err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := l.tendClusters(ctx, config.Host); err != nil {
		return err
	}
	seen := look{Lab: l, kube: kube}
	if seen.machines, err = l.listMachines(ctx); err != nil {
		return err
	}
	for _, m := range seen.machines {
		if err := seen.tendMachine(ctx, m); err != nil {
			return fmt.Errorf("machine %s: %w", m.GetName(), err)
		}
	}
	return nil
}

// tendClusters says where the cluster is reached.
func (l *Lab) tendClusters(ctx context.Context, host string) error {
	list, err := l.Management.Resource(labClusters()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	address, port, _ := strings.Cut(strings.TrimPrefix(host, "https://"), ":")
	for i := range list.Items {
		c := &list.Items[i]
		if provisioned(c) {
			continue
		}
		patch := fmt.Sprintf(`{"spec":{"controlPlaneEndpoint":{"host":%q,"port":%s}}}`, address, port)
		if err := l.patch(ctx, labClusters(), c, patch); err != nil {
			return err
		}
		if err := l.patch(ctx, labClusters(), c, `{"status":{"initialization":{"provisioned":true}}}`, "status"); err != nil {
			return err
		}
	}
	return nil
}

func provisioned(o *unstructured.Unstructured) bool {
	is, _, _ := unstructured.NestedBool(o.Object, "status", "initialization", "provisioned")
	return is
}

// listMachines are those whose owner is there, those of the control plane first,
// and by age.
func (l *Lab) listMachines(ctx context.Context) ([]machine, error) {
	ours, err := l.Management.Resource(labMachines()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	owners, err := l.Management.Resource(machines()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	byName := map[string]*unstructured.Unstructured{}
	for i := range owners.Items {
		byName[owners.Items[i].GetNamespace()+"/"+owners.Items[i].GetName()] = &owners.Items[i]
	}
	var all []machine
	for i := range ours.Items {
		m := machine{Unstructured: &ours.Items[i]}
		for _, o := range m.GetOwnerReferences() {
			if o.Kind == "Machine" {
				m.owner = byName[m.GetNamespace()+"/"+o.Name]
			}
		}
		if m.owner != nil {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b machine) int {
		return cmp.Or(a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time), cmp.Compare(a.GetName(), b.GetName()))
	})
	return all, nil
}
