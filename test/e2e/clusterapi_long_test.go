//go:build e2e && long

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"refit.dev/refit/internal/witness"
)

// TestClusterAPI: Refit asks Cluster API for the next minor, once of the control
// plane and once of the workers, and is done when both are there: another API
// server serves, and every node is another.
func TestClusterAPI(t *testing.T) {
	declared{
		manifest: oneCluster, profile: "ClusterAPI", writes: []string{"kubeadmcontrolplanes/one", "machinedeployments/workers"},
		kinds: []schema.GroupVersionResource{controlPlanes(), machineDeployments()},
	}.roll(t)
}

// declared is a way to declare a cluster, and the objects that Refit is to write, in
// that order, with their kinds.
type declared struct {
	manifest, profile string
	writes            []string
	kinds             []schema.GroupVersionResource
}

// roll has Refit take a cluster to the next minor, and judges from outside.
func (d declared) roll(t *testing.T) {
	t.Helper()
	m := startClusterAPI(t)
	m.giveCertificates(t)
	m.apply(t, d.manifest)
	m.awaitMachines(t, controlPlanes(), v136, 1)
	m.awaitMachines(t, machineDeployments(), v136, 3)
	c, config := m.member("one")
	startDeployment(t, c, "app", 3, 2)
	awaitDeployments(t, c, 1)
	u := newUser(t)
	u.up()
	u.mustKube("", "create", "secret", "generic", "management", "--from-file=value="+m.kubeconfig)
	before, sentinel, asked := nodeUIDs(t, c), makeSentinel(t, c), m.generations(t, d.kinds)
	watching, err := witness.Watch(t.Context(), m.folder("one"))
	if err != nil {
		t.Fatal(err)
	}
	probe, err := witness.StartProbe(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	u.mustKube(strings.ReplaceAll(declaredMember, "PROFILE", d.profile), "apply", "-f", "-")
	u.mustKube(strings.ReplaceAll(oneMinor, "BAKE", "1s"), "apply", "-f", "-")
	up := awaitUpgrade(t, u.hub(), "one.1", 2*labPatience)
	if endedAs(up) != "Done" {
		t.Errorf("upgrade ended %s, want Done", endedAs(up))
	}
	_, looks := m.byRefit(t)
	m.isAt(t, controlPlanes(), v137, 1)
	m.isAt(t, machineDeployments(), v137, 3)
	probed, seen := probe.Stop(), watching.Stop()
	if want := []string{v136, v137}; !slices.Equal(probed.Versions, want) {
		t.Errorf("versions that /version told: %v, want %v", probed.Versions, want)
	}
	judge(t, seen, before, v137)
	if kept := getSentinel(t, c); kept.UID != sentinel.UID {
		t.Errorf("sentinel = %s, want %s", kept.UID, sentinel.UID)
	}
	nothingCordoned(t, c)
	replacedOnce(t, m.folder("one"))
	m.leftAlone(t, d.writes, looks)
	for name := range asked {
		asked[name]++
	}
	if diff := cmp.Diff(asked, m.generations(t, d.kinds)); diff != "" {
		t.Errorf("generations: each is to be asked for one change (-want +got):\n%s", diff)
	}
}

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
