//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	helm "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/repo/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/process"
)

// A chart is a Deployment of two pods, that are to run where a node says so.
const deploymentTemplate = `apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      {{- with .Values.nodeSelector }}
      nodeSelector: {{ toJson . }}
      {{- end }}
      containers: [{name: main, image: registry.example/{{ .Chart.Name }}:{{ .Chart.Version }}}]
`

// A hook that ends when some node lets it run.
const hookTemplate = `apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-migrate
  annotations: {helm.sh/hook: pre-upgrade, helm.sh/hook-delete-policy: before-hook-creation}
spec:
  template:
    spec:
      restartPolicy: Never
      nodeSelector: {migrates: "yes"}
      containers: [{name: main, image: registry.example/migrate}]
`

// serveCharts serves versions of charts until the test ends.
func serveCharts(t *testing.T, charts ...*v2.Chart) string {
	t.Helper()
	folder := t.TempDir()
	for _, chart := range charts {
		if _, err := chartutil.Save(chart, folder); err != nil {
			t.Fatal(err)
		}
	}
	index, err := repo.IndexDirectory(folder, "")
	if err == nil {
		err = index.WriteFile(filepath.Join(folder, "index.yaml"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(folder)))
	t.Cleanup(server.Close)
	return server.URL
}

func chartOf(name, version string, templates ...string) *v2.Chart {
	chart := &v2.Chart{
		Metadata: &v2.Metadata{APIVersion: v2.APIVersionV2, Name: name, Version: version},
		Raw:      []*common.File{{Name: "values.yaml", Data: []byte("replicas: 2\n")}},
		Values:   map[string]any{"replicas": 2},
	}
	for i, text := range append(templates, deploymentTemplate) {
		chart.Templates = append(chart.Templates, &common.File{Name: fmt.Sprintf("templates/%d.yaml", i), Data: []byte(text)})
	}
	return chart
}

// bundled is a release with two add-ons, and the fleet that wants it.
func bundled(repository, name, kubernetes, agent, dns, values string) string {
	minor := strings.Join(strings.Split(strings.TrimPrefix(kubernetes, "v"), ".")[:2], ".")
	return fmt.Sprintf(`
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: %q}
spec:
  bundle:
    kubernetes: %s
    addOns:
    - name: agent
      when: BeforeControlPlane
      versions: {%q: %s}
      healthyWithin: 20s
      helm: {repository: %q, namespace: monitoring}
    - name: dns
      versions: {%q: %s}
      healthyWithin: 20s
      helm: {repository: %q, namespace: kube-system, release: coredns, values: %s}
---
apiVersion: refit.dev/v1alpha1
kind: Fleet
metadata: {name: main}
spec: {selector: {}, release: %q, settle: 1s, bake: 1s, maxFailures: 9, nodes: {maxSurge: 1}}
`, name, kubernetes, minor, agent, repository, minor, dns, repository, values, name)
}

// revisions are those of a Helm release, "status version", oldest first, as Helm
// itself reads them.
func revisions(t *testing.T, c kubernetes.Interface, namespace, name string) []*helm.Release {
	t.Helper()
	found, err := storage.Init(driver.NewSecrets(c.CoreV1().Secrets(namespace))).History(name)
	if err != nil {
		t.Fatal(err)
	}
	var list []*helm.Release
	for _, r := range found {
		list = append(list, r.(*helm.Release))
	}
	slices.SortFunc(list, func(a, b *helm.Release) int { return a.Version - b.Version })
	return list
}

func wantRevisions(t *testing.T, c kubernetes.Interface, namespace, name string, want ...string) []*helm.Release {
	t.Helper()
	list := revisions(t, c, namespace, name)
	var got []string
	for _, r := range list {
		got = append(got, fmt.Sprintf("%s %s", r.Info.Status, r.Chart.Metadata.Version))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("revisions of %s (-want +got):\n%s", name, diff)
	}
	return list
}

// TestAddOns: add-ons are installed by a release of their own, upgraded in their place
// around the control plane, taken back where they do not become healthy, and recovered
// where Refit died in the middle. Judged by what Helm keeps in the member.
func TestAddOns(t *testing.T) {
	u := newUser(t)
	repository := serveCharts(t,
		chartOf("agent", "1.0.0"), chartOf("agent", "1.1.0"),
		chartOf("dns", "2.0.0"), chartOf("dns", "2.1.0"), chartOf("dns", "2.2.0"), chartOf("dns", "2.3.0", hookTemplate))
	hub := u.up()
	u.must("local", "create", "home", "--version", v136, "--nodes", "2")
	c, _ := u.member("home")

	apply := func(name, kubernetes, agent, dns, values string) {
		u.mustKube(bundled(repository, name, kubernetes, agent, dns, values), "apply", "-f", "-")
	}
	await := func(n int, outcome string) {
		t.Helper()
		up := awaitUpgrade(t, u.hub(), fmt.Sprintf("home.%d", n), 6*time.Minute)
		if got := endedAs(up); got != outcome {
			t.Fatalf("upgrade %d ended %s, want %s: %+v", n, got, outcome, up.Status.Why)
		}
	}

	apply("a", v136, "1.0.0", "2.0.0", "{}")
	await(1, "Done")
	wantRevisions(t, c, "monitoring", "agent", "deployed 1.0.0")
	wantRevisions(t, c, "kube-system", "coredns", "deployed 2.0.0")

	apply("b", v137, "1.1.0", "2.1.0", "{}")
	await(2, "Done")
	agent := wantRevisions(t, c, "monitoring", "agent", "superseded 1.0.0", "deployed 1.1.0")
	dns := wantRevisions(t, c, "kube-system", "coredns", "superseded 2.0.0", "deployed 2.1.0")
	started := startedAt(t, u.folder("home"), v137)
	if before, after := agent[1].Info.LastDeployed, dns[1].Info.LastDeployed; !before.Before(started) || !after.After(started) {
		t.Errorf("agent was changed at %s, the API server at %s, dns at %s: want them in this order", before, started, after)
	}

	apply("c", v137, "1.1.0", "2.2.0", `{nodeSelector: {no: such-node}}`)
	await(3, "Failed")
	wantRevisions(t, c, "kube-system", "coredns", "superseded 2.0.0", "superseded 2.1.0", "superseded 2.2.0", "deployed 2.1.0")
	if why, _, _ := u.run("why", "home"); !strings.Contains(why, "AddOnFailed") && !strings.Contains(why, "taken back to v2.1.0") {
		t.Errorf("refit why home:\n%s", why)
	}

	apply("d", v137, "1.1.0", "2.3.0", "{}")
	eventually(t, time.Minute, "the hook waits", func() (bool, string) {
		jobs, err := c.BatchV1().Jobs("kube-system").List(t.Context(), metav1.ListOptions{})
		return err == nil && len(jobs.Items) == 1, fmt.Sprint(err)
	})
	_ = hub.Process.Signal(syscall.SIGKILL)
	_ = hub.Wait()
	last := revisions(t, c, "kube-system", "coredns")
	if got := last[len(last)-1].Info.Status; !got.IsPending() {
		t.Fatalf("after the kill the release is %s, want it pending", got)
	}
	letMigrate(t, c)
	u.up()
	await(4, "Done")
	wantRevisions(t, c, "kube-system", "coredns",
		"superseded 2.0.0", "superseded 2.1.0", "superseded 2.2.0", "superseded 2.1.0", "failed 2.3.0", "deployed 2.3.0")
}

// startedAt is when a member's API server of a version began.
func startedAt(t *testing.T, folder, version string) time.Time {
	t.Helper()
	for _, entry := range journal(t, folder) {
		if entry.Event == process.Started && entry.Part == string(controlplane.APIServer) && entry.Version == version {
			return entry.Time
		}
	}
	t.Fatalf("no API server of %s began", version)
	return time.Time{}
}

// letMigrate labels the nodes as the hook wants them.
func letMigrate(t *testing.T, c kubernetes.Interface) {
	t.Helper()
	nodes, err := c.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes.Items {
		patch := []byte(`{"metadata":{"labels":{"migrates":"yes"}}}`)
		if _, err := c.CoreV1().Nodes().Patch(t.Context(), node.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
