//go:build e2e

package e2e

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// oneTopology is oneCluster by a class of clusters.
const oneTopology = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: ClusterClass
metadata: {name: small, namespace: default}
spec:
  infrastructure: {templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LabClusterTemplate, name: small}}
  controlPlane:
    metadata:
      annotations: {controlplane.cluster.x-k8s.io/skip-coredns: "", controlplane.cluster.x-k8s.io/skip-kube-proxy: ""}
    templateRef: {apiVersion: controlplane.cluster.x-k8s.io/v1beta2, kind: KubeadmControlPlaneTemplate, name: small}
    machineInfrastructure: {templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LabMachineTemplate, name: small}}
  workers:
    machineDeployments:
    - class: workers
      bootstrap: {templateRef: {apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: KubeadmConfigTemplate, name: small}}
      infrastructure: {templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LabMachineTemplate, name: small}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: LabClusterTemplate
metadata: {name: small, namespace: default}
spec: {template: {spec: {}}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: LabMachineTemplate
metadata: {name: small, namespace: default}
spec: {template: {spec: {}}}
---
apiVersion: controlplane.cluster.x-k8s.io/v1beta2
kind: KubeadmControlPlaneTemplate
metadata: {name: small, namespace: default}
spec:
  template:
    spec:
      kubeadmConfigSpec:
        clusterConfiguration:
          etcd: {external: {endpoints: ["https://127.0.0.1:2379"], caFile: /pki/ca.crt, certFile: /pki/etcd.crt, keyFile: /pki/etcd.key}}
---
apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
kind: KubeadmConfigTemplate
metadata: {name: small, namespace: default}
spec: {template: {spec: {joinConfiguration: {nodeRegistration: {imagePullPolicy: IfNotPresent}}}}}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: one, namespace: default}
spec:
  clusterNetwork:
    pods: {cidrBlocks: [10.244.0.0/16]}
    services: {cidrBlocks: [10.96.0.0/16]}
  topology:
    classRef: {name: small}
    version: v1.36.3
    controlPlane: {replicas: 1}
    workers: {machineDeployments: [{class: workers, name: workers, replicas: 3}]}
`

// TestClusterAPITopology: one field of the Cluster carries both, and Refit is not
// done with the control plane before the workers have followed.
func TestClusterAPITopology(t *testing.T) {
	declared{
		manifest: oneTopology, profile: "ClusterAPITopology", writes: []string{"clusters/one"},
		kinds: []schema.GroupVersionResource{{Group: "cluster.x-k8s.io", Version: "v1beta2", Resource: "clusters"}},
	}.roll(t)
}
