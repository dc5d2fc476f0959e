//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/view"
	"refit.dev/refit/internal/witness"
)

// five is a fleet of two waves with a gate between them, and two releases: each has
// an add-on that is changed before the control plane, and one after it.
const five = `
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: "2026.11"}
spec:
  bundle:
    kubernetes: v1.36.3
    addOns:
    - {name: agent, when: BeforeControlPlane, versions: {"1.36": 1.0.0}, helm: {repository: "CHARTS", namespace: monitoring}}
    - {name: dns, versions: {"1.36": 2.0.0}, helm: {repository: "CHARTS", namespace: kube-system, release: coredns}}
---
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: "2026.12"}
spec:
  bundle:
    kubernetes: v1.37.2
    addOns:
    - {name: agent, when: BeforeControlPlane, versions: {"1.37": 1.1.0}, helm: {repository: "CHARTS", namespace: monitoring}}
    - {name: dns, versions: {"1.37": 2.1.0}, helm: {repository: "CHARTS", namespace: kube-system, release: coredns}}
---
apiVersion: refit.dev/v1alpha1
kind: Fleet
metadata: {name: main}
spec:
  selector: {}
  release: "2026.11"
  settle: 1s
  bake: 1s
  nodes: {maxSurge: 1}
  waves:
  - name: canary
    selector: {matchLabels: {wave: canary}}
    maxConcurrent: 2
    soak: 20s
    gates:
    - name: errors
      interval: 2s
      failures: 30
      prometheus: {url: "http://PROMETHEUS", query: scene_errors, max: "0"}
  - name: rest
    maxConcurrent: 3
`

// TestFleetOfFive: five clusters of four kinds are one fleet: a local one, two of a
// cloud, one that Cluster API runs, and one whose version is declared in Terraform.
// One line is changed, and all of them go to the next minor: the canaries first, the
// others once Prometheus has said yes after the soak. Judged by who watches each
// cluster from outside, by what Helm and Git keep, and by the processes that were
// started; what metrics and report say is compared with that.
func TestFleetOfFive(t *testing.T) {
	f := newFleetOfFive(t)
	f.mustKube(f.manifest, "apply", "-f", "-")
	for _, m := range f.members {
		awaitDone(t, f.user, m.name+".1")
	}
	f.watch()
	f.mustKube("", "patch", "fleet", "main", "--type=merge", "-p", `{"spec":{"release":"2026.12"}}`)
	begun := time.Now()
	for _, m := range f.members {
		m.done = awaitDone(t, f.user, m.name+".2")
	}
	_, looks := f.managed.byRefit(t)
	t.Logf("five clusters at the next minor after %s", time.Since(begun).Round(time.Second))

	nodes := 0
	for _, m := range f.members {
		m.judge(t)
		nodes += len(m.before)
	}
	f.judgeWaves()
	f.repo.wantFile(declaredIn, strings.Replace(declaredAt136(), `version=   "1.36"`, `version=   "1.37"`, 1))
	f.repo.wantLog("Refit: Upgrade declared to Kubernetes 1.37", "ann: Begin")
	f.judgeClusterAPI(looks)
	f.judgeMetrics()
	f.judgeReport(nodes)
	if drift := f.must("drift"); strings.Contains(drift, declaredIn) {
		t.Errorf("refit drift still finds the file:\n%s", drift)
	}
}

// What declares the version of the member of that name, before.
const declaredIn = "infra/eks.tf"

func declaredAt136() string {
	return strings.Replace(infrastructure, `version=   "1.35"`, `version=   "1.36"`, 1)
}

// fleetOfFive is that fleet, with all that is around it.
type fleetOfFive struct {
	*user

	t        *testing.T
	managed  managed
	gate     *prometheus
	repo     gitRepository
	metrics  string // where they are
	manifest string
	members  []*bystander
	seen     *sightings
	asked    map[string]int64 // generations of what Cluster API is asked for
}

func newFleetOfFive(t *testing.T) *fleetOfFive {
	t.Helper()
	f := &fleetOfFive{t: t, managed: startClusterAPI(t), user: newUser(t), gate: newPrometheus(t), repo: newGitRepository(t, declaredIn, declaredAt136())}
	f.managed.giveCertificates(t)
	f.managed.apply(t, oneCluster)
	l := startLab(t, f.user, "--clusters", "2", "--nodes", "2")
	f.env = l.env
	f.gate.start()
	f.manifest = strings.NewReplacer("PROMETHEUS", f.gate.address, "CHARTS", serveCharts(t,
		chartOf("agent", "1.0.0"), chartOf("agent", "1.1.0"), chartOf("dns", "2.0.0"), chartOf("dns", "2.1.0"))).Replace(five)
	_, more := f.upTalking("--metrics", "127.0.0.1:0", "--gate-host", f.gate.address, "--source-prefix", filepath.Dir(f.repo.bare))
	line, err := more.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	f.metrics = strings.TrimPrefix(strings.TrimSpace(line), "metrics at ")
	go func() { _, _ = io.Copy(io.Discard, more) }()

	for _, name := range []string{"home", "declared"} {
		f.must("local", "create", name, "--version", v136, "--nodes", "2")
		c, _ := f.member(name)
		f.join(name, f.folder(name), c)
	}
	f.mustKube(l.manifest, "apply", "-f", "-")
	for _, name := range []string{"lab-1", "lab-2"} {
		c, _ := l.behind(t, f.user, name)
		f.join(name, l.folder(name), c)
	}
	f.managed.awaitMachines(t, controlPlanes(), v136, 1)
	f.managed.awaitMachines(t, machineDeployments(), v136, 3)
	f.mustKube("", "create", "secret", "generic", "management", "--from-file=value="+f.managed.kubeconfig)
	f.mustKube(strings.ReplaceAll(declaredMember, "PROFILE", "ClusterAPI"), "apply", "-f", "-")
	c, _ := f.managed.member("one")
	f.join("one", f.managed.folder("one"), c)

	for _, name := range []string{"home", "lab-1"} {
		f.mustKube("", "label", "membercluster", name, "wave=canary")
	}
	f.mustKube("", "patch", "membercluster", "declared", "--type", "merge", "-p", fmt.Sprintf(
		`{"spec":{"source":{"mode":"WriteBack","git":{"url":%q},"terraform":{"file":%q,"attribute":"module.home.version"}}}}`, f.repo.bare, declaredIn))
	return f
}

// A bystander watches a cluster from outside.
type bystander struct {
	name, folder string
	c            kubernetes.Interface
	before       []string
	sentinel     *corev1.ConfigMap
	witness      *witness.Witness
	done         time.Time
}

// join puts pods behind a budget into a cluster of the fleet, which the hub knows.
func (f *fleetOfFive) join(name, folder string, c kubernetes.Interface) {
	f.t.Helper()
	startDeployment(f.t, c, "app", 2, 1)
	awaitDeployments(f.t, c, 1)
	eventually(f.t, time.Minute, "the hub knows "+name, func() (bool, string) {
		out, err := f.kube("", "get", "membercluster", name)
		return err == nil, out
	})
	f.members = append(f.members, &bystander{name: name, folder: folder, c: c, sentinel: makeSentinel(f.t, c)})
}

// watch begins once all are at the first release.
func (f *fleetOfFive) watch() {
	f.t.Helper()
	f.seen = watchUpgrades(f.t, f.user)
	f.asked = f.managed.generations(f.t, askedKinds())
	for _, m := range f.members {
		m.before = nodeUIDs(f.t, m.c)
		w, err := witness.Watch(f.t.Context(), m.folder)
		if err != nil {
			f.t.Fatal(err)
		}
		m.witness = w
	}
}

// judge: no budget was broken, each node replaced once and by one of the new version,
// no data lost, and the control plane replaced once, between the two add-ons.
func (m *bystander) judge(t *testing.T) {
	t.Helper()
	t.Logf("%s:", m.name)
	judge(t, m.witness.Stop(), m.before, v137)
	if kept := getSentinel(t, m.c); kept.UID != m.sentinel.UID {
		t.Errorf("%s: sentinel = %s, want %s", m.name, kept.UID, m.sentinel.UID)
	}
	nothingCordoned(t, m.c)
	replacedOnce(t, m.folder)
	agent := wantRevisions(t, m.c, "monitoring", "agent", "superseded 1.0.0", "deployed 1.1.0")
	dns := wantRevisions(t, m.c, "kube-system", "coredns", "superseded 2.0.0", "deployed 2.1.0")
	started := startedAt(t, m.folder, v137)
	if before, after := agent[1].Info.LastDeployed, dns[1].Info.LastDeployed; !before.Before(started) || !after.After(started) {
		t.Errorf("%s: agent was changed at %s, the API server at %s, dns at %s: want them in this order", m.name, before, started, after)
	}
}

// judgeWaves: nobody of the second wave started before the canaries had soaked, and
// Prometheus was asked after that.
func (f *fleetOfFive) judgeWaves() {
	f.t.Helper()
	soaked := time.Time{}
	for _, m := range f.members {
		if slices.Contains([]string{"home", "lab-1"}, m.name) && m.done.Add(gateSoak).After(soaked) {
			soaked = m.done.Add(gateSoak)
		}
	}
	asked := f.gate.asked()
	for _, name := range []string{"lab-2", "one", "declared"} {
		started, is := f.seen.at(name + ".2")
		if !is || started.Before(soaked) {
			f.t.Errorf("%s started at %s, %t; the canaries had soaked at %s", name, started, is, soaked)
		}
		if !slices.ContainsFunc(asked, func(at time.Time) bool { return !at.Before(soaked) && at.Before(started) }) {
			f.t.Errorf("%s started at %s, the canaries had soaked at %s, and Prometheus was not asked in between", name, started, soaked)
		}
	}
}

// askedKinds are those that Refit writes to have Cluster API change a cluster.
func askedKinds() []schema.GroupVersionResource {
	return []schema.GroupVersionResource{controlPlanes(), machineDeployments()}
}

// judgeClusterAPI: it says itself that all is there, and was asked for each once.
func (f *fleetOfFive) judgeClusterAPI(looks int) {
	f.t.Helper()
	f.managed.isAt(f.t, controlPlanes(), v137, 1)
	f.managed.isAt(f.t, machineDeployments(), v137, 3)
	f.managed.leftAlone(f.t, []string{"kubeadmcontrolplanes/one", "machinedeployments/workers"}, looks)
	for name := range f.asked {
		f.asked[name]++
	}
	if diff := cmp.Diff(f.asked, f.managed.generations(f.t, askedKinds())); diff != "" {
		f.t.Errorf("generations of what Cluster API is asked for: each is to change once (-want +got):\n%s", diff)
	}
}

// judgeMetrics: they say what was seen.
func (f *fleetOfFive) judgeMetrics() {
	f.t.Helper()
	lines := []string{
		`refit_fleet_members{fleet="main",state="Done",wave="canary"} 2`,
		`refit_fleet_members{fleet="main",state="Done",wave="rest"} 3`,
		`refit_fleet_revision{fleet="main",release="2026.12"} 2`,
		`refit_fleet_halted{fleet="main",reason=""} 0`,
		`refit_upgrades_ended_total{fleet="main",outcome="Done"} 10`,
	}
	eventually(f.t, time.Minute, "metrics say what happened", func() (bool, string) {
		page := scrape(f.t, f.metrics)
		missing := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.Contains(page, line+"\n") })
		return len(missing) == 0, fmt.Sprintf("metrics lack %v:\n%s", missing, ours(page))
	})
}

// judgeReport: a person chose two releases, and did nothing else; Refit replaced what
// was seen to be replaced.
func (f *fleetOfFive) judgeReport(nodes int) {
	f.t.Helper()
	me := strings.TrimSpace(f.mustKube("", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"))
	chose := []view.ActCount{{Act: string(v1.ActRelease), Count: 1}}
	var report view.Report
	text := f.must("report", "-o", "json")
	if err := json.Unmarshal([]byte(text), &report); err != nil || len(report.Fleets) != 1 || len(report.Fleets[0].Revisions) != 2 {
		f.t.Fatalf("refit report: %v\n%s", err, text)
	}
	if report.Fleets[0].Foreign != 0 {
		f.t.Errorf("others made %d changes, want none", report.Fleets[0].Foreign)
	}
	work := []view.Work{{Done: 5, ControlPlanes: 5, Nodes: int32(nodes), AddOns: 10}, {Done: 5, AddOns: 10}}
	for i, r := range report.Fleets[0].Revisions {
		if diff := cmp.Diff(work[i], r.Refit); diff != "" {
			f.t.Errorf("revision %d: what Refit did (-seen +reported):\n%s", r.Revision, diff)
		}
		if diff := cmp.Diff([]view.PersonReport{{By: me, Acts: chose}}, r.People); diff != "" {
			f.t.Errorf("revision %d: what people did (-done +reported):\n%s", r.Revision, diff)
		}
	}
	f.t.Logf("refit report\n%s", f.must("report"))
}
