//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A hub that was started detached answers commands, is stopped by "refit down",
// and keeps everything until it is uninstalled.
func TestUpDetached(t *testing.T) {
	u := newUser(t)
	pid := u.detach()
	if out := u.must("status"); !strings.Contains(out, "no fleets and no members") {
		t.Errorf("status of an empty hub:\n%s", out)
	}
	u.mustKube(twoMinors, "apply", "-f", "-")
	for _, test := range []struct {
		args []string
		want string // of what is printed; with "refit: " before it, of the error
	}{
		{[]string{"status"}, "fleet main → release 2026.11 (v1.37.2): 0 of 0 done"},
		{[]string{"plan"}, "nothing to plan: no fleet selects a member"},
		{[]string{"plan", "--release", "2027.01"}, `refit: --release 2027.01: there is no such release; see "kubectl get releases"`},
		{[]string{"plan", "--release", "2026.11", "--fleet", "edge"}, `refit: --fleet edge: there is no such fleet; see "kubectl get fleets"`},
		{[]string{"why", "nobody"}, `refit: no member "nobody" in namespace refit; there are: none`},
		{[]string{"status", "--namespace", "elsewhere"}, "no fleets and no members"},
		{[]string{"local", "list"}, "There are none."},
		{[]string{"version"}, "kubernetes v1.37.2 (embedded hub)"},
	} {
		stdout, stderr, err := u.run(test.args...)
		if refused := strings.HasPrefix(test.want, "refit: "); (err != nil) != refused || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("refit %s: %v\n%s%s\nwant %q", strings.Join(test.args, " "), err, stdout, stderr, test.want)
		}
	}

	if out := u.must("down"); !strings.Contains(out, "hub stopped (pid "+strconv.Itoa(pid)+")") {
		t.Errorf("refit down says %q", out)
	}
	eventually(t, 10*time.Second, "the process is gone", func() (bool, string) {
		_, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)) // of one that has ended and was not waited for there is none
		return err != nil, "it runs"
	})
	_, stderr, err := u.run("status")
	wantError(t, "status without a hub", stderr, err, "is the hub running?", "refit up")
	if out := u.must("down"); strings.Contains(out, "hub stopped") {
		t.Errorf("a second refit down says %q", out)
	}
	_, stderr, err = u.run("up", "--detach", "--namespace", "A")
	wantError(t, "a detached hub that cannot start", stderr, err, `--namespace "A"`)

	u.detach()
	u.mustKube("", "get", "release", "2026.11")
	_, stderr, err = u.run("uninstall")
	wantError(t, "uninstall without --yes", stderr, err, "--yes", u.dataDir)
	u.mustKube("", "get", "release", "2026.11")
	if out := u.must("uninstall", "--yes"); !strings.Contains(out, "removed "+u.dataDir) {
		t.Errorf("refit uninstall says %q", out)
	}
	if _, err := os.Stat(u.dataDir); !os.IsNotExist(err) {
		t.Errorf("the data directory after uninstall: %v, want it gone", err)
	}
}

// detach starts "refit up --detach"; it returns the pid of what it left running.
func (u *user) detach() int {
	u.t.Helper()
	out := u.must("up", "--detach")
	found := regexp.MustCompile(`refit is up \(pid (\d+)\)`).FindStringSubmatch(out)
	if found == nil {
		u.t.Fatalf("refit up --detach says %q", out)
	}
	pid, err := strconv.Atoi(found[1])
	if err != nil {
		u.t.Fatal(err)
	}
	return pid
}

// The same loops run against a real management cluster. What it must show is
// seen in the member and in the management cluster.
func TestManagementCluster(t *testing.T) {
	owner := newUser(t)
	owner.must("local", "create", "management", "--version", v135, "--nodes", "0") // the oldest that is supported
	u := newUser(t)
	u.hubConfig = strings.TrimSpace(owner.must("local", "kubeconfig", "management"))
	onHub := func(args ...string) []string { return append(args, "--kubeconfig", u.hubConfig) }

	process := u.up("--kubeconfig", u.hubConfig)
	_, stderr, err := u.run(onHub("up")...)
	wantError(t, "a second one on the same data directory", stderr, err, "is in use by process", "refit down")
	u.must(onHub("local", "create", "one", "--version", v136, "--nodes", "2", "--label", "env=dev")...)
	c, _ := u.member("one")
	before := nodeUIDs(t, c)
	u.mustKube(strings.ReplaceAll(twoMinors, "2s", "1s"), "apply", "-f", "-")
	up := awaitUpgrade(t, u.hub(), "one.1", 5*time.Minute)
	version, err := c.Discovery().ServerVersion()
	if err != nil || version.GitVersion != v137 || endedAs(up) != "Done" {
		t.Errorf("upgrade ended %s, the member runs %v, %v; want Done at %s", endedAs(up), version, err, v137)
	}
	for _, uid := range nodeUIDs(t, c) {
		for _, old := range before {
			if uid == old {
				t.Errorf("node %s was not replaced", uid)
			}
		}
	}
	if out := u.must(onHub("status")...); !strings.Contains(out, "1 of 1 done") {
		t.Errorf("refit status:\n%s", out)
	}
	if out := u.mustKube("", "get", "lease", "refit.refit.dev", "-o", "jsonpath={.spec.holderIdentity}"); out == "" {
		t.Error("nobody holds the lease of the loops")
	}
	if out := u.must("down", "--keep-members"); !strings.Contains(out, "hub stopped (pid "+strconv.Itoa(process.Process.Pid)+")") {
		t.Errorf("refit down says %q", out)
	}
}
