//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/witness"
)

// bakesLong is a fleet whose upgrades stand half-way for as long as a test takes.
var bakesLong = strings.NewReplacer("settle: 2s", "settle: 1s", "bake: 2s", "bake: 1h").Replace(twoMinors)

// Two hubs have one cluster for a member, and want the same of it: one of them
// acts, and the other when a person says so, once the first is gone for good.
// The first one's data, restored, are of a hub that only watches.
func TestTwoHubs(t *testing.T) {
	one, two := newUser(t), newUser(t)
	processes := map[*user]*exec.Cmd{one: one.up(), two: two.up()}
	one.must("local", "create", "shared", "--version", v136, "--nodes", "2")
	folder := one.folder("shared")
	share(t, one, two)
	c, _ := one.member("shared")
	before := nodeUIDs(t, c)
	w, err := witness.Watch(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}

	// Both at once: whoever claims the member first acts.
	one.mustKube(bakesLong, "apply", "-f", "-")
	two.mustKube(bakesLong, "apply", "-f", "-")
	var acts, waits *user
	eventually(t, 3*time.Minute, "one hub acts, and the other says that it does not", func() (bool, string) {
		why := map[*user]string{one: whyOf(one), two: whyOf(two)}
		for acting, waiting := range map[*user]*user{one: two, two: one} {
			if why[acting] == "Baking" && why[waiting] == "ClaimedElsewhere" {
				acts, waits = acting, waiting
			}
		}
		return acts != nil, why[one] + ", " + why[two]
	})
	uid := map[*user]string{one: hubUID(one), two: hubUID(two)}
	t.Logf("hub %s acts, hub %s waits", uid[acts], uid[waits])
	claimed, err := c.CoordinationV1().Leases("kube-system").Get(t.Context(), "refit", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := uid[acts] + "/" + string(upgradeOf(acts).UID); *claimed.Spec.HolderIdentity != want {
		t.Errorf("the member is claimed by %s, want %s", *claimed.Spec.HolderIdentity, want)
	}
	if said := waits.must("why", "shared"); !strings.Contains(said, "ClaimedElsewhere: hub "+uid[acts]+" is at work") {
		t.Errorf("refit why:\n%s\nwant the hub that acts", said)
	}
	token := tokenOf(acts)
	changedOnce(t, folder, token)
	if seen := w.Report(); len(seen.Removed)+len(seen.Created) > 0 {
		t.Errorf("nodes were rotated while the upgrade bakes: %v, %v", seen.Created, seen.Removed)
	}

	// The one that acts is gone, and its claim has grown old. It is still its own.
	_ = processes[acts].Process.Signal(syscall.SIGKILL)
	_ = processes[acts].Wait()
	long := metav1.NewMicroTime(time.Now().Add(-time.Hour))
	claimed, err = c.CoordinationV1().Leases("kube-system").Get(t.Context(), "refit", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	claimed.Spec.RenewTime = &long // as an hour later
	if _, err := c.CoordinationV1().Leases("kube-system").Update(t.Context(), claimed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	takeOver := "refit takeover " + uid[acts] + " --reason"
	var said string
	eventually(t, time.Minute, "the other says how to take over", func() (bool, string) {
		said = waits.must("why", "shared")
		return strings.Contains(said, takeOver), said
	})
	t.Logf("refit why shared:\n%s", said)
	changedOnce(t, folder, token)

	waits.must("takeover", uid[acts], "--reason", "its disk is lost")
	if up := awaitUpgrade(t, waits.hub(), "shared.1", 3*time.Minute); endedAs(up) != "Done" {
		t.Errorf("ended %s: %+v", endedAs(up), up.Status.Why)
	}
	judge(t, w.Stop(), before, v137)
	nothingCordoned(t, c)
	nothingClaimed(t, c)
	changedOnce(t, folder, token)

	restored(t, acts, uid[acts])
}

// restored brings up what a hub held, but for the file that says who it was.
func restored(t *testing.T, u *user, was string) {
	t.Helper()
	if err := os.Remove(filepath.Join(u.dataDir, "uid")); err != nil {
		t.Fatal(err)
	}
	u.up()
	now := hubUID(u)
	if now == was {
		t.Fatalf("the restored hub is %s, as before", now)
	}
	eventually(t, time.Minute, "the restored hub says that it only watches", func() (bool, string) {
		said := u.mustKube("", "get", "fleet", "main", "-o", `jsonpath={.status.conditions[?(@.type=="Stalled")].reason}`)
		return said == "RestoredHub" && whyOf(u) == "RestoredHub", said + ", " + whyOf(u)
	})
	if said := u.must("why", "shared"); !strings.Contains(said, "refit takeover "+was) {
		t.Errorf("refit why:\n%s\nwant how to take over", said)
	}
	u.mustKube("", "patch", "fleet", "main", "--type=merge", "-p", `{"spec":{"bake":"1s"}}`)
	// An API server that was just started admits no Approval for some seconds: the
	// policy that writes its author waits for the kinds' schemas to be read.
	took := eventually(t, time.Minute, "the hub takes an Approval", func() (bool, string) {
		_, stderr, err := u.run("takeover", was, "--reason", "this is all there is")
		return err == nil, stderr
	})
	t.Logf("taken over %s after it said how", took.Round(10*time.Millisecond))
	if up := awaitUpgrade(t, u.hub(), "shared.1", 2*time.Minute); endedAs(up) != "Done" {
		t.Errorf("ended %s: %+v", endedAs(up), up.Status.Why)
	}
}

// share gives another user the same local members, as a second machine would
// have the same clusters. They stay the first one's to remove.
func share(t *testing.T, from, with *user) {
	t.Helper()
	link := filepath.Join(with.dataDir, "local")
	if err := os.Symlink(filepath.Join(from.dataDir, "local"), link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(link); err != nil {
			t.Error(err)
		}
	})
}

// changedOnce: the member's control plane was changed once, and for whom, as
// others tell: the supervisor's operations, by their tokens, and its journal of
// processes.
func changedOnce(t *testing.T, folder, token string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "controlplane.json"))
	if err != nil {
		t.Fatal(err)
	}
	var state struct{ Upgrades []controlplane.Upgrade }
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	if len(state.Upgrades) != 1 || state.Upgrades[0].Token != token {
		t.Errorf("operations are %+v, want one of token %s", state.Upgrades, token)
	}
	starts := 0
	for _, entry := range journal(t, folder) {
		if entry.Event == process.Started && entry.Part == string(controlplane.APIServer) && entry.Version == v137 {
			starts++
		}
	}
	if starts != 1 {
		t.Errorf("API server %s was started %d times, want once", v137, starts)
	}
}

// tokenOf is how the control plane's change by a user's upgrade is known.
func tokenOf(u *user) string {
	u.t.Helper()
	cluster := u.mustKube("", "get", "member", "shared", "-o", "jsonpath={.status.uid}")
	return fleet.Token(cluster, string(upgradeOf(u).UID), v137, "control-plane")
}

// upgradeOf is a user's upgrade of the shared member; without a UID where there
// is none yet.
func upgradeOf(u *user) *v1.ClusterUpgrade {
	u.t.Helper()
	up := &v1.ClusterUpgrade{}
	err := u.hub().Get(u.t.Context(), client.ObjectKey{Namespace: namespace, Name: "shared.1"}, up)
	if client.IgnoreNotFound(err) != nil {
		u.t.Fatal(err)
	}
	return up
}

// whyOf is the code of what a user's upgrade waits for.
func whyOf(u *user) string {
	u.t.Helper()
	if why := upgradeOf(u).Status.Why; why != nil {
		return why.Code
	}
	return "nothing"
}

func hubUID(u *user) string {
	u.t.Helper()
	return u.mustKube("", "get", "configmap", "refit-hub", "-o", "jsonpath={.data.uid}")
}

func nothingClaimed(t *testing.T, c kubernetes.Interface) {
	t.Helper()
	if lease, err := c.CoordinationV1().Leases("kube-system").Get(t.Context(), "refit", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the member is still claimed: %v, %v", lease.Spec, err)
	}
}
