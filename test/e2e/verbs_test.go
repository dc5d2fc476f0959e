//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
)

// A paused fleet starts nobody, says who paused it and why, and goes on by
// itself when that is taken back.
func TestVerbs(t *testing.T) {
	u := newUser(t)
	u.up()
	me := strings.TrimSpace(u.mustKube("", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"))
	u.must("local", "create", "one", "--version", v136, "--nodes", "1", "--label", "env=dev")

	// The fleet is paused before it is wanted to move.
	u.mustKube(atRest, "apply", "-f", "-")
	eventually(t, time.Minute, "the fleet is at rest", func() (bool, string) {
		out := u.must("status")
		return strings.Contains(out, "1 of 1 done"), out
	})
	out := u.must("pause", "main", "--reason", "the $HOME of 'ann' is on fire")
	name := regexp.MustCompile(`^freeze (pause-\S+) created; take it back with: kubectl delete freeze -n refit pause-\S+\n`).FindStringSubmatch(out)
	if name == nil {
		t.Fatalf("refit pause says\n%s", out)
	}
	if by := u.mustKube("", "get", "freeze", name[1], "-o", `jsonpath={.metadata.annotations.refit\.dev/by}`); by != me || me == "" {
		t.Errorf("the freeze is by %q, want %q", by, me)
	}
	forged := fmt.Sprintf("apiVersion: refit.dev/v1alpha1\nkind: Freeze\nmetadata: {name: %s, annotations: {refit.dev/by: %s}}\nspec: {member: one, stops: Skip, reason: x}\n", "forged", "somebody-else")
	u.mustKube(forged, "create", "-f", "-")
	if by := u.mustKube("", "get", "freeze", "forged", "-o", `jsonpath={.metadata.annotations.refit\.dev/by}`); by != me {
		t.Errorf("what claims to be by somebody else is by %q, want %q", by, me)
	}
	u.mustKube("", "delete", "freeze", "forged")

	// What it prints is what kubectl takes.
	manifest := regexp.MustCompile(`(?s)<<'YAML'\n(.*)YAML\n$`).FindStringSubmatch(out)
	if manifest == nil {
		t.Fatalf("refit pause prints no manifest:\n%s", out)
	}
	twin := strings.Fields(u.mustKube(manifest[1], "create", "-f", "-", "-o", "name"))[0]
	for _, path := range []string{"{.spec}", `{.metadata.annotations.refit\.dev/by}`} {
		one, other := u.mustKube("", "get", "freeze", name[1], "-o", "jsonpath="+path), u.mustKube("", "get", twin, "-o", "jsonpath="+path)
		if one != other {
			t.Errorf("%s of the freeze is %s, and of what kubectl made of its manifest %s", path, one, other)
		}
	}
	u.mustKube("", "delete", twin)

	u.mustKube("", "patch", "fleet", "main", "--type=merge", "-p", `{"spec":{"release":"2026.11"}}`)
	eventually(t, time.Minute, "the fleet says that it is frozen", func() (bool, string) {
		said := u.mustKube("", "get", "fleet", "main", "-o", `jsonpath={.status.release.name} {.status.conditions[?(@.type=="Ready")].reason}`)
		return said == "2026.11 Frozen", said
	})
	why := u.must("why", "one")
	for _, want := range []string{"Frozen: frozen by " + me + ": the $HOME of 'ann' is on fire", "freeze " + name[1], "kubectl delete freeze " + name[1]} {
		if !strings.Contains(why, want) {
			t.Errorf("refit why one:\n%s\nwant %q", why, want)
		}
	}
	err := u.hub().Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "one.1"}, &v1.ClusterUpgrade{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the upgrade of a paused fleet: %v, want that there is none", err)
	}
	_, stderr, err := u.run("resume", "main", "--reason", "the fire is out")
	wantError(t, "resume what is paused", stderr, err, "has not halted", "kubectl delete freeze "+name[1])
	_, stderr, err = u.run("retry", "one", "--reason", "the fire is out")
	wantError(t, "retry what has not failed", stderr, err, "nothing to retry", "refit why one")

	u.mustKube("", "delete", "freeze", name[1])
	took := eventually(t, time.Minute, "the member starts by itself", func() (bool, string) {
		err := u.hub().Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "one.1"}, &v1.ClusterUpgrade{})
		return err == nil, fmt.Sprint(err)
	})
	t.Logf("started %s after the freeze was deleted", took.Round(10*time.Millisecond))
	abortAndForget(t, u, me)
}

// abortAndForget: an upgrade that is aborted while it bakes ends there, with
// nothing left behind, and starts again when a person says so; a member that is
// forgotten goes at once, and its cluster stays.
func abortAndForget(t *testing.T, u *user, me string) {
	outcome := func(name, want string) func() (bool, string) {
		return func() (bool, string) {
			said := u.mustKube("", "get", "clusterupgrade", name, "-o", `jsonpath={.status.step} {.status.conditions[?(@.type=="Ended")].reason} {.metadata.finalizers}`)
			return strings.HasPrefix(said, want), said
		}
	}
	eventually(t, 3*time.Minute, "the upgrade bakes", outcome("one.1", "Bake"))
	out := u.must("abort", "one", "--reason", "the wrong night")
	if !strings.Contains(out, `kubectl patch clusterupgrade -n refit one.1 --type merge -p '{`) || !strings.Contains(out, `"endReason":"the wrong night"`) {
		t.Errorf("refit abort one:\n%s", out)
	}
	eventually(t, time.Minute, "the upgrade is aborted", outcome("one.1", " Aborted"))
	if by := u.mustKube("", "get", "clusterupgrade", "one.1", "-o", `jsonpath={.metadata.annotations.refit\.dev/by}`); by != me {
		t.Errorf("aborted by %q, want %q", by, me)
	}
	if why := u.must("why", "one"); !strings.Contains(why, "aborted by "+me+": the wrong night") {
		t.Errorf("refit why one:\n%s", why)
	}
	_, stderr, err := u.run("abort", "one", "--reason", "once more")
	wantError(t, "abort what has ended", stderr, err, "nothing to abort: no upgrade of one is under way")
	one, _ := u.member("one")
	nodes, err := one.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes.Items {
		if undo := node.Annotations["refit.dev/undo"]; node.Spec.Unschedulable || undo != "" {
			t.Errorf("node %s is left with %q, unschedulable %t", node.Name, undo, node.Spec.Unschedulable)
		}
	}

	u.mustKube("", "patch", "fleet", "main", "--type=merge", "-p", `{"spec":{"bake":"1s"}}`)
	u.must("retry", "one", "--reason", "the right night")
	eventually(t, 3*time.Minute, "the member comes to the release", func() (bool, string) {
		out := u.must("status")
		return strings.Contains(out, "1 of 1 done"), out
	})

	u.must("forget", "one", "--reason", "is scrapped")
	eventually(t, time.Minute, "the member is gone", func() (bool, string) {
		err := u.hub().Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "one"}, &v1.MemberCluster{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	if out := u.must("local", "list"); !strings.Contains(out, "one") {
		t.Errorf("the cluster of a forgotten member:\n%s", out)
	}
}

// atRest is a fleet whose release its member has, and the release that comes.
const atRest = `
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: "2026.10"}
spec: {bundle: {kubernetes: ` + v136 + `}}
---
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: "2026.11"}
spec: {bundle: {kubernetes: ` + v137 + `}}
---
apiVersion: refit.dev/v1alpha1
kind: Fleet
metadata: {name: main}
spec: {selector: {}, release: "2026.10", settle: 1s, bake: 1h}
`
