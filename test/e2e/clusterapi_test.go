//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"refit.dev/refit/internal/cli"
	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/lab/capi"
	"refit.dev/refit/internal/provider"
)

// oneCluster is declared in Cluster API: a control plane of one machine, and a
// group of three workers.
const oneCluster = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: one, namespace: default}
spec:
  clusterNetwork:
    pods: {cidrBlocks: [10.244.0.0/16]}
    services: {cidrBlocks: [10.96.0.0/16]}
  infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LabCluster, name: one}
  controlPlaneRef: {apiGroup: controlplane.cluster.x-k8s.io, kind: KubeadmControlPlane, name: one}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: LabCluster
metadata: {name: one, namespace: default}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: LabMachineTemplate
metadata: {name: one, namespace: default}
spec: {template: {spec: {}}}
---
apiVersion: controlplane.cluster.x-k8s.io/v1beta2
kind: KubeadmControlPlane
metadata:
  name: one
  namespace: default
  annotations:
    controlplane.cluster.x-k8s.io/skip-coredns: ""
    controlplane.cluster.x-k8s.io/skip-kube-proxy: ""
spec:
  replicas: 1
  version: v1.36.3
  machineTemplate:
    spec:
      infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LabMachineTemplate, name: one}
  kubeadmConfigSpec:
    clusterConfiguration:
      etcd: {external: {endpoints: ["https://127.0.0.1:2379"], caFile: /pki/ca.crt, certFile: /pki/etcd.crt, keyFile: /pki/etcd.key}}
---
apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
kind: KubeadmConfigTemplate
metadata: {name: one, namespace: default}
spec: {template: {spec: {joinConfiguration: {nodeRegistration: {imagePullPolicy: IfNotPresent}}}}}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: workers, namespace: default}
spec:
  clusterName: one
  replicas: 3
  template:
    spec:
      clusterName: one
      version: v1.36.3
      bootstrap: {configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfigTemplate, name: one}}
      infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LabMachineTemplate, name: one}
`

// managed is a management cluster with Cluster API's own managers, and a cluster
// that is declared there.
type managed struct {
	*user // whose data directory the two are made in

	management dynamic.Interface
	kubeconfig string // of the management cluster
}

// startClusterAPI makes a management cluster, runs Cluster API on it, and the lab's
// infrastructure over a local member called one.
func startClusterAPI(t *testing.T) managed {
	t.Helper()
	u := newUser(t)
	u.must("local", "create", "management", "--version", v137, "--nodes", "0", "--audit-log")
	_, config := u.member("management")
	m := managed{user: u, kubeconfig: strings.TrimSpace(u.must("local", "kubeconfig", "management"))}
	var err error
	if m.management, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "../../tools/capi/build")
	build.Stderr = os.Stderr
	binaries, err := build.Output()
	if err != nil {
		t.Fatalf("build Cluster API: %v", err)
	}
	managers := &capi.Managers{Binaries: strings.TrimSpace(string(binaries)), Dir: t.TempDir(), Kubeconfig: m.kubeconfig}
	t.Cleanup(func() { m.keep(t, managers.Dir) })
	var starting sync.WaitGroup
	t.Cleanup(func() { starting.Wait(); managers.Stop() })
	starting.Go(func() { err = managers.Start(t.Context()) })
	u.must("local", "create", "one", "--version", v136, "--nodes", "0") // meanwhile
	if starting.Wait(); err != nil {
		t.Fatal(err)
	}
	backing, err := cli.LocalProvider(u.dataDir)
	if err != nil {
		t.Fatal(err)
	}
	lab := &capi.Lab{
		Management: m.management, Backing: backing, Ref: provider.Ref{Name: "one"},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { lab.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	return m
}

// keep keeps the managers' logs of a test that failed.
func (m managed) keep(t *testing.T, dir string) {
	if !t.Failed() || os.Getenv("REFIT_E2E_LOGS") == "" {
		return
	}
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err == nil {
			err = os.WriteFile(filepath.Join(os.Getenv("REFIT_E2E_LOGS"), t.Name()+"-capi-"+filepath.Base(log)), text, 0o600)
		}
		if err != nil {
			t.Log(err)
		}
	}
}

// apply hands objects to the management cluster.
func (m managed) apply(t *testing.T, manifest string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), m.kubectl, "--kubeconfig", m.kubeconfig, "apply", "-f", "-")
	cmd.Stdin, cmd.Env = strings.NewReader(manifest), append(os.Environ(), "HOME="+m.home)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}

// giveCertificates hands Cluster API the authority of the member, so that the
// kubeconfig it makes is one for it, and what stands for an external etcd's.
func (m managed) giveCertificates(t *testing.T) {
	t.Helper()
	pki := filepath.Join(m.folder("one"), "pki")
	data := map[string][]byte{}
	for key, file := range map[string]string{"tls.crt": "ca.crt", "tls.key": "ca.key"} {
		text, err := os.ReadFile(filepath.Join(pki, file))
		if err != nil {
			t.Fatal(err)
		}
		data[key] = text
	}
	client, _ := m.member("management")
	for _, purpose := range []string{"ca", "etcd", "apiserver-etcd-client"} {
		_, err := client.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "one-" + purpose, Labels: map[string]string{"cluster.x-k8s.io/cluster-name": "one"}},
			Type:       "cluster.x-k8s.io/secret", Data: data,
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func controlPlanes() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "controlplane.cluster.x-k8s.io", Version: "v1beta2", Resource: "kubeadmcontrolplanes"}
}

func machineDeployments() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "cluster.x-k8s.io", Version: "v1beta2", Resource: "machinedeployments"}
}

// awaitMachines waits until a control plane or a group of workers says that it is
// up to date and available, at a version.
func (m managed) awaitMachines(t *testing.T, kind schema.GroupVersionResource, version string, want int64) {
	t.Helper()
	took := eventually(t, labPatience, kind.Resource+" are available", func() (bool, string) {
		return m.available(t, kind, version, want)
	})
	t.Logf("%s at %s after %s", kind.Resource, version, took.Round(time.Second))
}

// available reads the status of the one object of a kind: every machine is there, and
// of a version.
func (m managed) available(t *testing.T, kind schema.GroupVersionResource, version string, want int64) (is bool, last string) {
	list, err := m.management.Resource(kind).Namespace("default").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		return false, fmt.Sprintf("%v, %v", list, err)
	}
	status, _, _ := unstructured.NestedMap(list.Items[0].Object, "status")
	for _, count := range []string{"replicas", "upToDateReplicas", "availableReplicas", "readyReplicas"} {
		if n, _, _ := unstructured.NestedInt64(status, count); n != want {
			return false, fmt.Sprint(status)
		}
	}
	versions, _, _ := unstructured.NestedSlice(status, "versions")
	return len(versions) == 1 && versions[0].(map[string]any)["version"] == version, fmt.Sprint(status)
}

// member of the hub, which reaches the management cluster by a Secret.
const declaredMember = `
apiVersion: refit.dev/v1alpha1
kind: MemberCluster
metadata: {name: one}
spec: {provider: {object: {profile: PROFILE, namespace: default, name: one, kubeconfig: {secretName: management}}}}
`

// isAt is what Cluster API says at this moment, not in a while.
func (m managed) isAt(t *testing.T, kind schema.GroupVersionResource, version string, want int64) {
	t.Helper()
	if there, last := m.available(t, kind, version, want); !there {
		t.Errorf("%s are not at %s with %d machines: %s", kind.Resource, version, want, last)
	}
}

// generations are of the objects that Refit is to write: each change of what is asked
// for is one more, whoever makes it.
func (m managed) generations(t *testing.T, kinds []schema.GroupVersionResource) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	for _, kind := range kinds {
		list, err := m.management.Resource(kind).Namespace("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			all[kind.Resource+"/"+o.GetName()] = o.GetGeneration()
		}
	}
	return all
}

// leftAlone reads the management cluster's own log: Refit has written each object
// that carries a version once, and nothing after it was done, though it has looked
// again since: at once, because an upgrade ended, and as it does every half minute.
func (m managed) leftAlone(t *testing.T, want []string, looks int) {
	t.Helper()
	eventually(t, 3*time.Minute, "Refit looks on", func() (bool, string) {
		_, now := m.byRefit(t)
		return now >= looks+2, fmt.Sprintf("%d looks, %d before", now, looks)
	})
	writes, _ := m.byRefit(t)
	if diff := cmp.Diff(want, writes); diff != "" {
		t.Errorf("written by Refit (-want +got):\n%s", diff)
	}
}

// byRefit are the objects that Refit wrote, in order, and how often it
// looked at the control plane.
func (m managed) byRefit(t *testing.T) (writes []string, looks int) {
	t.Helper()
	text, err := os.ReadFile(controlplane.AuditLog(m.folder("management")))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var event struct {
			Verb, UserAgent string
			ObjectRef       struct{ Resource, Name string }
		}
		if !strings.HasSuffix(line, "\n") {
			break // is being written
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		switch {
		case !strings.HasPrefix(event.UserAgent, "refit/"):
		case event.Verb == "get" && event.ObjectRef.Resource == controlPlanes().Resource:
			looks++
		case event.Verb == "get", event.Verb == "list", event.Verb == "watch":
		default:
			writes = append(writes, event.ObjectRef.Resource+"/"+event.ObjectRef.Name)
		}
	}
	return writes, looks
}

// replacedOnce: one API server of the old version was started, and one of the new.
func replacedOnce(t *testing.T, folder string) {
	t.Helper()
	var starts []string
	for _, entry := range journal(t, folder) {
		if entry.Event == process.Started && entry.Part == string(controlplane.APIServer) {
			starts = append(starts, entry.Version)
		}
	}
	if diff := cmp.Diff([]string{v136, v137}, starts); diff != "" {
		t.Errorf("API servers that were started (-want +got):\n%s", diff)
	}
}
