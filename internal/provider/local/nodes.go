package local

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"refit.dev/refit/internal/kube/controlplane"
)

// PoolLabel is on every node and names its pool.
const PoolLabel = "refit.dev/pool"

// Region is where all local members are.
const Region = "local"

// node is the object of a machine, as its kubelet would register it; kwok makes
// it Ready.
func (m machine) node(member string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:        m.ID,
			Annotations: map[string]string{controlplane.KwokNode: "fake"},
			Labels: map[string]string{
				corev1.LabelHostname:       m.ID,
				corev1.LabelOSStable:       "linux",
				corev1.LabelArchStable:     "amd64",
				corev1.LabelTopologyRegion: Region,
				corev1.LabelTopologyZone:   m.Zone,
				PoolLabel:                  m.Pool,
			},
		},
		Spec: corev1.NodeSpec{ProviderID: providerID(member, m.ID)},
		Status: corev1.NodeStatus{
			Capacity:    machineSize(),
			Allocatable: machineSize(),
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: m.Address},
				{Type: corev1.NodeHostName, Address: m.ID},
			},
			NodeInfo: corev1.NodeSystemInfo{
				KubeletVersion: m.Version, OperatingSystem: "linux", Architecture: "amd64",
				OSImage: "simulated", ContainerRuntimeVersion: "kwok",
			},
		},
	}
}

// machineSize is finite, so that pods have to be placed.
func machineSize() corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("4"),
		corev1.ResourceMemory: resource.MustParse("16Gi"),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
}

func providerID(member, machine string) string { return "local://" + member + "/" + machine }

// chores are what is to be done so that nodes and machines agree.
type chores struct {
	create []machine
	remove []corev1.Node
	forget []string
}

func (c chores) none() bool { return len(c.create)+len(c.remove)+len(c.forget) == 0 }

// compare finds the chores. A node without a machine goes: its machine was
// removed by a supervisor that ended before it had deleted the node.
func compare(member string, machines []machine, nodes []corev1.Node) chores {
	var c chores
	byName := map[string]corev1.Node{}
	for _, node := range nodes {
		byName[node.Name] = node
	}
	wanted := map[string]bool{}
	for _, m := range machines {
		_, there := byName[m.ID]
		switch {
		case m.Removed && !there:
			c.forget = append(c.forget, m.ID)
		case !m.Removed && !there:
			c.create = append(c.create, m)
		}
		wanted[m.ID] = !m.Removed
	}
	for _, node := range nodes {
		ours := strings.HasPrefix(node.Spec.ProviderID, providerID(member, ""))
		if ours && !wanted[node.Name] && node.DeletionTimestamp == nil {
			c.remove = append(c.remove, node)
		}
	}
	return c
}

// listNodes lists the nodes of machines.
func listNodes(ctx context.Context, client corev1client.NodesGetter) ([]corev1.Node, error) {
	list, err := client.Nodes().List(ctx, metav1.ListOptions{LabelSelector: PoolLabel})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return list.Items, nil
}

// carryOut creates and deletes nodes. That something is there or gone already
// is no error.
func carryOut(ctx context.Context, client corev1client.NodesGetter, member string, c chores) error {
	for _, m := range c.create {
		_, err := client.Nodes().Create(ctx, m.node(member), metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create node %s: %w", m.ID, err)
		}
	}
	for _, node := range c.remove {
		err := client.Nodes().Delete(ctx, node.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(node.UID))})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete node %s: %w", node.Name, err)
		}
	}
	return nil
}

// isReady tells whether a node says that it is.
func isReady(node corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
