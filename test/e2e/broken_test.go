//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/witness"
)

// The API servers of v1.37.2 that behave badly: scripts around the real one,
// REAL, with a folder of their own, DIR.
const (
	exitsAtOnce = `#!/bin/sh
[ "$1" = --version ] && exec REAL --version
echo "Error: unknown flag: --that-was-removed" >&2
exit 1
`
	// It serves, but one of its checks is never passed: nobody listens where it
	// is told to have secrets encrypted.
	neverReady = `#!/bin/sh
[ "$1" = --version ] && exec REAL --version
cat >DIR/encryption.yaml <<YAML
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - identity: {}
  - kms: {apiVersion: v2, name: nobody, endpoint: "unix://DIR/nobody.sock", timeout: 1s}
YAML
exec REAL "$@" --encryption-provider-config=DIR/encryption.yaml
`
	// The first one lives for a minute, those after it for less than half of one.
	diesAfterReady = `#!/bin/sh
[ "$1" = --version ] && exec REAL --version
life=60
[ -e DIR/died ] && life=25
touch DIR/died
exec timeout --signal=KILL $life REAL "$@"
`
)

// oneMinor is a fleet of all members, one at a time, and the release that they
// are behind of.
const oneMinor = `
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: "2026.11"}
spec: {bundle: {kubernetes: ` + v137 + `}}
---
apiVersion: refit.dev/v1alpha1
kind: Fleet
metadata: {name: main}
spec: {selector: {}, release: "2026.11", settle: 1s, bake: BAKE, nodes: {maxSurge: 1}}
`

// An API server that does not work is met by a way back, or, where it has been
// Ready and may have written what the old one cannot read, by waiting. What
// happened is judged by the starts of processes, by etcd and by the API.
func TestBadControlPlane(t *testing.T) {
	var all sync.WaitGroup // at once, on however few cores: most of it is waiting
	for _, test := range []struct {
		name, script string
		judge        func(*bad)
	}{
		{"ExitsAtOnce", exitsAtOnce, func(b *bad) {
			b.goesBack("ExitedAtOnce", "--that-was-removed", []string{v136})
			b.retries()
		}},
		{"NeverReady", neverReady, func(b *bad) {
			b.goesBack("NeverReady", "not ready yet: kms-providers", []string{v136, v137, v136})
		}},
		{"DiesAfterReady", diesAfterReady, (*bad).waits},
	} {
		all.Go(func() { t.Run(test.name, func(t *testing.T) { test.judge(newBad(t, test.script)) }) })
	}
	all.Wait()
}

// A bad is a user whose v1.37.2 has a bad API server, and the member that meets
// it first.
type bad struct {
	*user
	t      *testing.T
	good   string // a file with the binaries as they should be
	member *kubernetes.Clientset
	config *rest.Config
}

// newBad makes the member, with 8 pods behind a budget that can spare one.
func newBad(t *testing.T, script string) *bad {
	t.Helper()
	b := &bad{user: newUser(t), t: t}
	b.cache = t.TempDir()
	linkCache(t, b.cache, "etcd", "kwok", filepath.Join("kube", v136))
	b.good = b.pack("")
	b.binaries("import", b.pack(script))
	b.up()
	b.must("local", "create", "first", "--version", v136, "--nodes", "2")
	b.member, b.config = b.user.member("first")
	startDeployment(t, b.member, "app", 8, 7)
	awaitDeployments(t, b.member, 1)
	return b
}

// pack makes a file of the binaries of v1.37.2, of which the API server is the
// script where there is one.
func (b *bad) pack(script string) string {
	b.t.Helper()
	real, dir := filepath.Dir(b.kubectl), b.t.TempDir()
	file := filepath.Join(dir, "kubernetes.tar")
	args := []string{"-cf", file}
	if script != "" {
		script = strings.NewReplacer("REAL", filepath.Join(real, "kube-apiserver"), "DIR", dir).Replace(script)
		if err := os.WriteFile(filepath.Join(dir, "kube-apiserver"), []byte(script), 0o700); err != nil {
			b.t.Fatal(err)
		}
		args = append(args, "-C", dir, "./kube-apiserver", "--exclude=./kube-apiserver")
	}
	args = append(args, "--exclude=./refit.json", "-C", real, ".")
	out, err := exec.CommandContext(b.t.Context(), "tar", args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("tar: %v\n%s", err, out)
	}
	return file
}

// binaries runs refit kube on the user's cache.
func (b *bad) binaries(args ...string) {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), b.binary, append([]string{"kube"}, args...)...)
	cmd.Env = b.environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("refit kube %v: %v\n%s", args, err, out)
	}
}

func (b *bad) roll(bake string) {
	b.t.Helper()
	b.mustKube(strings.ReplaceAll(oneMinor, "BAKE", bake), "apply", "-f", "-")
}

// goesBack: the old version serves again, nothing is lost, nothing was touched,
// and nobody else is started.
func (b *bad) goesBack(code, logged string, versions []string) {
	t := b.t
	t.Helper()
	b.must("local", "create", "second", "--version", v136, "--nodes", "1")
	makeSentinel(t, b.member)
	before, pods := objects(t, b.config), podUIDs(t, b.member)
	w, probe := b.watch()

	b.roll("1s")
	up := awaitUpgrade(t, b.hub(), "first.1", 5*time.Minute)
	probed, seen := probe.Stop(), w.Stop()
	t.Logf("the API was away %v", probed.Outages)
	if endedAs(up) != "Failed" {
		t.Errorf("upgrade ended %s, want Failed", endedAs(up))
	}

	if diff := cmp.Diff(versions, probed.Versions); diff != "" {
		t.Errorf("versions that /version told (-want +got):\n%s", diff)
	}
	if served, err := b.member.Discovery().ServerVersion(); err != nil || served.GitVersion != v136 {
		t.Errorf("serves %v, %v; want %s", served, err, v136)
	}
	b.started("first", controlplane.APIServer, v136, v137, v136)
	b.started("first", controlplane.ControllerManager, v136)
	b.started("first", controlplane.Scheduler, v136)
	if snapshots, _ := filepath.Glob(filepath.Join(b.folder("first"), "snapshots", "*.db")); len(snapshots) != 1 {
		t.Errorf("snapshots of etcd = %v, want the one made before the change", snapshots)
	}

	after := objects(t, b.config)
	maps.DeleteFunc(before, func(key, uid string) bool { return after[key] == uid })
	if len(before) > 0 {
		t.Errorf("objects that are lost, or others now: %v", slices.Sorted(maps.Keys(before)))
	}
	if diff := cmp.Diff(pods, podUIDs(t, b.member)); diff != "" {
		t.Errorf("pods (-before +after):\n%s", diff)
	}
	untouched(t, seen)
	nothingCordoned(t, b.member)
	b.tells(code, logged)
	b.halted()
}

// watch begins to observe the member from outside.
func (b *bad) watch() (*witness.Witness, *witness.Probe) {
	b.t.Helper()
	w, err := witness.Watch(b.t.Context(), b.folder("first"))
	if err != nil {
		b.t.Fatal(err)
	}
	probe, err := witness.StartProbe(b.t.Context(), b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	return w, probe
}

// tells: refit why says what happened, what to do, and which log to read; and
// there it is.
func (b *bad) tells(code, logged string) {
	t := b.t
	t.Helper()
	why := b.must("why", "first")
	t.Logf("refit why first:\n%s", why)
	log := controlplane.Log(b.folder("first"), controlplane.APIServer)
	for _, want := range []string{
		"OperationFailed: control plane to " + v137 + ": " + code + ": kube-apiserver " + v137, v136 + " serves again",
		logged, log, "to do", "refit retry first --reason",
	} {
		if !strings.Contains(why, want) {
			t.Errorf("refit why does not say %q", want)
		}
	}
	if text, err := os.ReadFile(log); err != nil || len(text) == 0 {
		t.Errorf("the log that is named: %d bytes, %v", len(text), err)
	}
}

// halted: the fleet says so, and the other member was left alone.
func (b *bad) halted() {
	t := b.t
	t.Helper()
	eventually(t, time.Minute, "refit status says that the fleet has halted", func() (bool, string) {
		status := b.must("status")
		return strings.Contains(status, "halted: 1 failed (first)") && strings.Contains(status, "failed: control plane to "+v137), status
	})
	if why := b.must("why", "second"); !strings.Contains(why, "Halted") || !strings.Contains(why, "refit why first") {
		t.Errorf("refit why second:\n%s\nwant that the fleet has halted, and where to look", why)
	}
	err := b.hub().Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "second.1"}, &v1.ClusterUpgrade{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the upgrade of the second member: %v, want that there is none", err)
	}
	for _, part := range []controlplane.Part{controlplane.APIServer, controlplane.ControllerManager, controlplane.Scheduler} {
		b.started("second", part, v136)
	}
}

// retries does what refit why says is to be done.
func (b *bad) retries() {
	b.binaries("import", b.good)
	b.must("retry", "first", "--reason", "its binaries are mended")
	if up := awaitUpgrade(b.t, b.hub(), "first.2", 5*time.Minute); endedAs(up) != "Done" {
		b.t.Errorf("the upgrade that was retried ended %s, want Done", endedAs(up))
	}
	b.started("first", controlplane.APIServer, v136, v137, v136, v137)
}

// waits: nothing goes back, and no node is touched, until the API server is
// mended; then the upgrade goes on by itself.
func (b *bad) waits() {
	t := b.t
	t.Helper()
	before := nodeUIDs(t, b.member)
	sentinel := makeSentinel(t, b.member)
	w, probe := b.watch()
	b.roll("65s") // ends while the second API server lives

	eventually(t, 3*time.Minute, "the API server died and was started again", func() (bool, string) {
		started := b.starts("first", controlplane.APIServer)
		return len(started) >= 3, fmt.Sprint(started)
	})
	b.binaries("import", b.good) // what runs is as it was
	b.tellsOfDeath()
	eventually(t, 2*time.Minute, "the API server died twice", func() (bool, string) {
		started := b.starts("first", controlplane.APIServer)
		return len(started) >= 4, fmt.Sprint(started)
	})
	mended := time.Now()
	untouched(t, w.Report())
	why, _, _ := b.run("why", "first")
	if !regexp.MustCompile(`(?m)^upgrade +first\.1, .*step Bake\nstate +Running\nwhy +Unhealthy`).MatchString(why) {
		t.Errorf("refit why first, of an API server that died twice:\n%s\nwant that it waits in Bake", why)
	}

	up := awaitUpgrade(t, b.hub(), "first.1", 5*time.Minute)
	t.Logf("went on to its end %s after the mended API server was started", time.Since(mended).Round(time.Second))
	probed, seen := probe.Stop(), w.Stop()
	t.Logf("the API was away %v", probed.Outages)
	if endedAs(up) != "Done" {
		t.Errorf("upgrade ended %s, want Done", endedAs(up))
	}
	if diff := cmp.Diff([]string{v136, v137}, probed.Versions); diff != "" {
		t.Errorf("versions that /version told (-want +got):\n%s", diff)
	}
	if started := slices.Compact(b.starts("first", controlplane.APIServer)); !slices.Equal(started, []string{v136, v137}) {
		t.Errorf("API servers that were started: %v, want none of %s after %s", started, v136, v137)
	}
	judge(t, seen, before, v137)
	nothingCordoned(t, b.member)
	if kept := getSentinel(t, b.member); kept.UID != sentinel.UID {
		t.Errorf("sentinel = %s, want %s", kept.UID, sentinel.UID)
	}
}

// tellsOfDeath: refit why says what died, which log to read and what to do.
func (b *bad) tellsOfDeath() {
	t := b.t
	t.Helper()
	why := ""
	eventually(t, 30*time.Second, "refit why tells of the API server that died", func() (bool, string) {
		why, _, _ = b.run("why", "first")
		return strings.Contains(why, "Unhealthy"), why
	})
	t.Logf("refit why first:\n%s", why)
	for _, want := range []string{
		"kube-apiserver: " + v137 + " ended by itself", "signal: killed", controlplane.Log(b.folder("first"), controlplane.APIServer),
		"to do", "refit local logs first kube-apiserver", "refit kube import",
	} {
		if !strings.Contains(why, want) {
			t.Errorf("refit why does not say %q", want)
		}
	}
}

// starts are the versions of a part that were started, in order.
func (b *bad) starts(member string, part controlplane.Part) []string {
	b.t.Helper()
	var versions []string
	for _, entry := range journal(b.t, b.folder(member)) {
		if entry.Event == process.Started && entry.Part == string(part) {
			versions = append(versions, entry.Version)
		}
	}
	return versions
}

func (b *bad) started(member string, part controlplane.Part, want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.starts(member, part)); diff != "" {
		b.t.Errorf("%s of %s: versions that were started (-want +got):\n%s", part, member, diff)
	}
}

// untouched: no node or pod came or went, and every pod stayed available.
func untouched(t *testing.T, seen witness.Report) {
	t.Helper()
	if len(seen.Gaps) > 0 || seen.Events == 0 {
		t.Errorf("%d events were seen, with the gaps %v", seen.Events, seen.Gaps)
	}
	if len(seen.Created) > 0 || len(seen.Removed) > 0 || seen.PodsCreated > 0 {
		t.Errorf("nodes created %v, removed %v, pods created %d; want none", seen.Created, seen.Removed, seen.PodsCreated)
	}
	for _, budget := range seen.Budgets {
		if budget.Lowest != budget.Most {
			t.Errorf("budget %s saw %d to %d pods available, want no change", budget.Key, budget.Lowest, budget.Most)
		}
	}
}

// objects are all that an API server tells of but what comes and goes by
// itself, each with its UID.
func objects(t *testing.T, config *rest.Config) map[string]string {
	t.Helper()
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{} // of kinds that are deprecated
	discover, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := discover.ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	c, err := metadata.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, list := range lists {
		version, _ := schema.ParseGroupVersion(list.GroupVersion)
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") || resource.Name == "events" || resource.Name == "leases" {
				continue
			}
			found, err := c.Resource(version.WithResource(resource.Name)).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatalf("list %s: %v", resource.Name, err)
			}
			for _, o := range found.Items {
				all[fmt.Sprintf("%s.%s %s/%s", resource.Name, version.Group, o.Namespace, o.Name)] = string(o.UID)
			}
		}
	}
	return all
}

func podUIDs(t *testing.T, c kubernetes.Interface) map[string]string {
	t.Helper()
	pods, err := c.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, pod := range pods.Items {
		all[pod.Name] = string(pod.UID)
	}
	return all
}
