package capi

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kwokNode is the annotation of the nodes that kwok plays in a local member.
const kwokNode = "kwok.x-k8s.io/node"

const (
	nodeRoleLabel = "node-role.kubernetes.io/control-plane"
	kubeSystem    = metav1.NamespaceSystem
)

// join is what a machine's kubelet and kubeadm do when it boots.
func (l look) join(ctx context.Context, m machine) error {
	if _, err := l.kube.CoreV1().Nodes().Create(ctx, nodeOf(m), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create its node: %w", err)
	}
	if !m.controlPlane() {
		return nil
	}
	for _, component := range components() {
		_, err := l.kube.CoreV1().Pods(kubeSystem).Create(ctx, mirrorPod(component, m), metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create its static pod %s: %w", component, err)
		}
	}
	_, err := l.kube.CoreV1().ConfigMaps(kubeSystem).Create(ctx, kubeadmConfig(), metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create ConfigMap kubeadm-config: %w", err)
	}
	return nil
}

// leave takes away what goes with a machine; its node is Cluster API's to delete.
func (l look) leave(ctx context.Context, m machine) error {
	if !m.controlPlane() {
		return nil
	}
	now := int64(0)
	for _, component := range components() {
		err := l.kube.CoreV1().Pods(kubeSystem).Delete(ctx, component+"-"+m.GetName(), metav1.DeleteOptions{GracePeriodSeconds: &now})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete its static pod %s: %w", component, err)
		}
	}
	return nil
}

// components are the static pods that KubeadmControlPlane looks at where etcd is
// an external one.
func components() []string {
	return []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}
}

// nodeOf is the object that the machine's kubelet registers; kwok makes it Ready.
func nodeOf(m machine) *corev1.Node {
	size := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:        m.GetName(),
			Annotations: map[string]string{kwokNode: "fake"},
			Labels:      map[string]string{corev1.LabelHostname: m.GetName(), corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"},
		},
		Spec: corev1.NodeSpec{ProviderID: providerID(m)},
		Status: corev1.NodeStatus{
			Capacity: size, Allocatable: size,
			NodeInfo: corev1.NodeSystemInfo{
				KubeletVersion: m.version().String(), OperatingSystem: "linux", Architecture: "amd64", ContainerRuntimeVersion: "kwok",
			},
		},
	}
	// The kubelet of a machine that joins has this taint from the start; Cluster API takes it away.
	node.Spec.Taints = []corev1.Taint{{Key: "node.cluster.x-k8s.io/uninitialized", Effect: corev1.TaintEffectNoSchedule}}
	if m.controlPlane() {
		node.Labels[nodeRoleLabel] = ""
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: nodeRoleLabel, Effect: corev1.TaintEffectNoSchedule})
	}
	return node
}

// mirrorPod is what a kubelet shows of a static pod.
func mirrorPod(component string, m machine) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: component + "-" + m.GetName(), Namespace: kubeSystem,
			Labels:      map[string]string{"component": component, "tier": "control-plane"},
			Annotations: map[string]string{corev1.MirrorPodAnnotationKey: string(m.GetUID())},
		},
		Spec: corev1.PodSpec{
			NodeName: m.GetName(), HostNetwork: true, PriorityClassName: "system-node-critical",
			Containers:  []corev1.Container{{Name: component, Image: "registry.k8s.io/" + component + ":" + m.version().String()}},
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		},
	}
}

// kubeadmConfig is what kubeadm init leaves.
func kubeadmConfig() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "kubeadm-config", Namespace: kubeSystem},
		Data:       map[string]string{"ClusterConfiguration": "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"},
	}
}
