//go:build e2e

package e2e

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/witness"
)

// A moment is when something is killed: when the upgrade was first seen in a
// step of a hop, or when an API server has ended and the next is not started.
type moment struct {
	hop, step string
	// after is the version of the API server that has ended.
	after string
	// supervisor is killed, else the hub with the loops in it.
	supervisor bool
	// times it is done in a row, with the jitter between.
	times int
}

// moments are the steps of both hops of the two-minor journey, and the worst one
// of each: between the end of the old API server and the start of the new one.
// Preflight is passed within one decision: who is killed at the end of Settle is
// killed there.
var moments = []moment{
	{hop: v136, step: "Settle", supervisor: true, times: 1},
	{hop: v136, step: "Settle", times: 1},
	{hop: v136, after: v135, supervisor: true, times: 1},
	{hop: v136, step: "ControlPlane", times: 1},
	{hop: v136, step: "Bake", supervisor: true, times: 1},
	{hop: v136, step: "Bake", times: 1},
	{hop: v137, step: "Settle", supervisor: true, times: 1},
	{hop: v137, step: "Settle", times: 1},
	{hop: v137, after: v136, supervisor: true, times: 1},
	{hop: v137, step: "ControlPlane", times: 1},
	{hop: v137, step: "Bake", supervisor: true, times: 1},
	{hop: v137, step: "Bake", times: 1},
	{hop: v137, step: "Nodes", times: 4},
	{hop: v137, step: "Nodes", supervisor: true, times: 2},
	{hop: v137, step: "Settle", supervisor: true, times: 1}, // the one at the very end
	{hop: v137, step: "Settle", times: 1},
}

// Refit and the member's supervisor are killed in every step of a journey of two
// minors: it ends as if nothing had happened, and everything was done once.
func TestJourneyKilled(t *testing.T) {
	const seed = 1
	jitter := rand.New(rand.NewPCG(seed, seed)) // the same every time
	u := newUser(t)
	hub := u.up()
	u.must("local", "create", "hunted", "--version", v135, "--pools", "a=3,b=3", "--audit-log")
	c, _ := u.member("hunted")
	k := &killer{user: u, hub: hub, member: c, jitter: func() time.Duration { return time.Duration(jitter.IntN(1500)) * time.Millisecond }}
	for i := range 3 {
		startDeployment(t, c, fmt.Sprintf("app-%d", i), 8, 7)
	}
	awaitDeployments(t, c, 3)
	sentinel, before := makeSentinel(t, c), nodeUIDs(t, c)
	w, err := witness.Watch(t.Context(), u.folder("hunted"))
	if err != nil {
		t.Fatal(err)
	}

	u.mustKube(strings.ReplaceAll(twoMinors, "2s", "5s"), "apply", "-f", "-")
	for _, at := range moments {
		k.kill(at)
	}
	up := awaitUpgrade(t, u.hub(), "hunted.1", 10*time.Minute)
	seen := w.Stop()
	t.Logf("killed %d times", k.kills)
	if k.kills < 10 || endedAs(up) != "Done" {
		t.Errorf("killed %d times, ended %s; want at least 10, Done", k.kills, endedAs(up))
	}
	judge(t, seen, before, v137)
	if kept := getSentinel(t, c); kept.UID != sentinel.UID {
		t.Errorf("sentinel = %s, want %s", kept.UID, sentinel.UID)
	}
	nothingCordoned(t, c)
	startedOnce(t, u.folder("hunted"))
	evictedOnce(t, u.folder("hunted"))
}

// A killer ends processes as a crash does, and starts Refit again as an operator
// does.
type killer struct {
	*user
	hub    *exec.Cmd
	member kubernetes.Interface
	jitter func() time.Duration
	kills  int
}

func (k *killer) kill(at moment) {
	k.t.Helper()
	for range at.times {
		k.await(at)
		if at.supervisor {
			_ = syscall.Kill(k.supervisor(at), syscall.SIGKILL)
		} else {
			_ = k.hub.Process.Signal(syscall.SIGKILL)
			_ = k.hub.Wait()
			k.hub = k.up()
		}
		k.kills++
		k.t.Logf("killed in hop %s: supervisor %t, %s", at.hop, at.supervisor, cmp.Or(at.step, "after API server "+at.after))
	}
}

// await waits for a moment, and a little more where it lasts.
func (k *killer) await(at moment) {
	k.t.Helper()
	if at.after != "" {
		k.awaitBetween(at)
		return
	}
	hub := k.user.hub()
	k.reach(at, func() bool {
		up := &v1.ClusterUpgrade{}
		err := hub.Get(k.t.Context(), client.ObjectKey{Namespace: namespace, Name: "hunted.1"}, up)
		if endedAs(up) != "" {
			k.t.Fatalf("ended %s before %+v", endedAs(up), at)
		}
		return err == nil && up.Status.Hop == at.hop && up.Status.Step == at.step
	})
	<-time.After(k.jitter()) // anywhere in the step, by the seed
}

// awaitBetween waits until the old API server was asked to end, holds the
// supervisor, so that it cannot start the new one, and waits until the old one
// has ended.
func (k *killer) awaitBetween(at moment) {
	k.t.Helper()
	k.reach(at, func() bool {
		answer, err := k.member.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(k.t.Context())
		return err != nil && (strings.Contains(string(answer), "[-]shutdown") || errors.Is(err, syscall.ECONNREFUSED))
	})
	_ = syscall.Kill(k.supervisor(at), syscall.SIGSTOP)
	var server process.Entry // the newest
	for _, entry := range journal(k.t, k.folder("hunted")) {
		if entry.Event == process.Started && entry.Part == string(controlplane.APIServer) {
			server = entry
		}
	}
	if server.Version != at.after {
		k.t.Errorf("after %s: API server %s was started already", at.after, server.Version)
	}
	k.reach(at, func() bool {
		_, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", server.PID)) // of one that has ended and was not waited for there is none
		return err != nil
	})
}

// supervisor is the pid of the member's supervisor; the last one's successor may
// be on its way.
func (k *killer) supervisor(at moment) (pid int) {
	k.t.Helper()
	k.reach(at, func() bool {
		id, alive := process.Holder(filepath.Join(k.folder("hunted"), "lock"))
		pid = id.PID
		return alive
	})
	return pid
}

// reach asks every millisecond: a moment may be short.
func (k *killer) reach(at moment, reached func() bool) {
	k.t.Helper()
	for range 300_000 {
		if reached() {
			return
		}
		<-time.After(time.Millisecond)
	}
	k.t.Fatalf("not reached: %+v", at)
}

// journal is what the supervisor wrote of starts and ends.
func journal(tb testing.TB, folder string) []process.Entry {
	tb.Helper()
	file, err := os.Open(controlplane.Journal(folder))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var entries []process.Entry
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var entry process.Entry
		if json.Unmarshal(scanner.Bytes(), &entry) == nil { // the last may be half written
			entries = append(entries, entry)
		}
	}
	return entries
}

// startedOnce: each version of each part was started once, whoever was killed.
func startedOnce(t *testing.T, folder string) {
	t.Helper()
	starts := map[string]int{}
	for _, entry := range journal(t, folder) {
		if entry.Event == process.Started {
			starts[entry.Part+" "+entry.Version]++
		}
	}
	for _, part := range []controlplane.Part{controlplane.APIServer, controlplane.ControllerManager, controlplane.Scheduler} {
		for _, version := range []string{v135, v136, v137} {
			if n := starts[fmt.Sprintf("%s %s", part, version)]; n != 1 {
				t.Errorf("%s %s was started %d times, want once", part, version, n)
			}
		}
	}
}

// evictedOnce: the API server's own log has one accepted eviction of a pod at
// most, and some.
func evictedOnce(t *testing.T, folder string) {
	t.Helper()
	text, err := os.ReadFile(controlplane.AuditLog(folder))
	if err != nil {
		t.Fatal(err)
	}
	accepted := map[string]int{}
	for line := range strings.Lines(string(text)) {
		var event struct {
			ObjectRef      struct{ Namespace, Name, Subresource string }
			ResponseStatus struct{ Code int }
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if event.ObjectRef.Subresource == "eviction" && event.ResponseStatus.Code < 300 {
			accepted[event.ObjectRef.Namespace+"/"+event.ObjectRef.Name]++
		}
	}
	for pod, n := range accepted {
		if n > 1 {
			t.Errorf("pod %s was evicted %d times", pod, n)
		}
	}
	t.Logf("%d pods were evicted", len(accepted))
	if len(accepted) < 24 {
		t.Errorf("%d pods were evicted, want at least each of 24 once", len(accepted))
	}
}

func nothingCordoned(t *testing.T, c kubernetes.Interface) {
	t.Helper()
	nodes, err := c.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	left := func(n corev1.Node) bool { return n.Spec.Unschedulable || n.Annotations["refit.dev/undo"] != "" }
	var names []string
	for _, n := range nodes.Items {
		if left(n) {
			names = append(names, n.Name)
		}
	}
	if len(names) > 0 {
		t.Errorf("nodes left cordoned: %v", names)
	}
}
