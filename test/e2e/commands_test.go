//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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

	running := u.detach()
	_, stderr, err = u.run("up", "--detach")
	wantError(t, "a second one", stderr, err, "is in use by process", "refit down")
	if holder := u.must("down", "--keep-members"); !strings.Contains(holder, strconv.Itoa(running)) {
		t.Errorf("after a second up the first is not the hub any more: %s", holder)
	}
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

// A detached hub that cannot start says why, at once, and leaves the folder as it
// was.
func TestUpDetachedErrors(t *testing.T) {
	u := newUser(t)
	documents := t.TempDir()
	if err := os.Chmod(documents, 0o755); err != nil {
		t.Fatal(err)
	}
	newer := t.TempDir()
	for _, file := range []struct{ folder, name, text string }{
		{documents, "thesis.tex", "something"}, {newer, "version", `{"schema":2,"writtenBy":"v9.9.9"}`},
	} {
		if err := os.WriteFile(filepath.Join(file.folder, file.name), []byte(file.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		what, folder string
		args, want   []string
	}{
		{"somebody's documents", documents, nil, []string{"not Refit's", "--data-dir"}},
		{"newer data", newer, nil, []string{"v9.9.9", "use the newer Refit"}},
		{"a kubeconfig that is none", newer, []string{"--kubeconfig", "/nowhere/kubeconfig"}, []string{"--kubeconfig /nowhere/kubeconfig"}},
	} {
		other := &user{t: t, binary: u.binary, dataDir: test.folder}
		begun := time.Now()
		_, stderr, err := other.run(append([]string{"up", "--detach"}, test.args...)...)
		wantError(t, test.what, stderr, err, test.want...)
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("%s: told after %s", test.what, took)
		}
		if entries, err := os.ReadDir(test.folder); err != nil || len(entries) != 1 {
			t.Errorf("%s: the folder holds %v, %v, want what it held", test.what, entries, err)
		}
	}
}

// A local member that is damaged keeps the hub from nothing but itself, and one
// that was deleted while no hub ran is forgotten.
func TestUpWithDamagedMembers(t *testing.T) {
	u := newUser(t)
	for _, name := range []string{"broken", "sound", "deleted"} {
		u.must("local", "create", name, "--version", v136, "--nodes", "1", "--label", "env=dev")
	}
	u.detach()
	u.must("down")
	if err := os.WriteFile(filepath.Join(u.folder("broken"), "cluster.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.must("local", "delete", "deleted")
	u.detach()
	eventually(t, time.Minute, "the sound one is seen", func() (bool, string) {
		out := u.mustKube("", "get", "members", "sound", "-o", "jsonpath={.status.controlPlane.version} {.metadata.labels.env}")
		return out == v136+" dev", out
	})
	if out := u.mustKube("", "get", "members"); strings.Contains(out, "deleted") {
		t.Errorf("the deleted member is still registered:\n%s", out)
	}
	u.must("local", "delete", "broken")
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

// Hub and supervisor log one JSON object a line, from the level on that was asked
// for, to the end of what there was.
func TestLogs(t *testing.T) {
	u := newUser(t)
	u.must("up", "--detach", "--log-level", "debug")
	u.must("local", "create", "one", "--version", v137, "--nodes", "1")
	eventually(t, time.Minute, "the member is seen", func() (bool, string) {
		out := u.must("status")
		return strings.Contains(out, v137), out
	})
	u.must("down")
	logs := map[string]string{
		filepath.Join(u.dataDir, "logs", "refit.log"):                      "member seen",
		filepath.Join(u.dataDir, "local", "one", "logs", "supervisor.log"): "started",
	}
	for path, want := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for line := range strings.Lines(string(text)) {
			var object struct {
				Time       time.Time
				Level, Msg string
			}
			if err := json.Unmarshal([]byte(line), &object); err != nil || object.Time.IsZero() || object.Level == "" {
				t.Errorf("%s: %v: %s", path, err, line)
			}
			if object.Msg == want {
				seen++
			}
		}
		if seen == 0 {
			t.Errorf("%s does not say %q:\n%s", path, want, text)
		}
	}
	before, err := os.ReadFile(filepath.Join(u.dataDir, "logs", "refit.log"))
	if err != nil {
		t.Fatal(err)
	}
	u.must("up", "--detach", "--log-level", "error")
	u.must("down")
	after, err := os.ReadFile(filepath.Join(u.dataDir, "logs", "refit.log"))
	if err != nil {
		t.Fatal(err)
	}
	if added, goesOn := strings.CutPrefix(string(after), string(before)); !goesOn || strings.Contains(added, `"level":"INFO"`) {
		t.Errorf("at the level error there is added, or put in its place,\n%s", added)
	}
}

// The same loops run against a real management cluster of the oldest minor that
// is supported: a member goes through two minors as it does with the embedded
// hub, by the same judges. What else it must show is in the management cluster.
func TestManagementCluster(t *testing.T) {
	owner := newUser(t)
	owner.must("local", "create", "management", "--version", v135, "--nodes", "0")
	u := newUser(t)
	u.hubConfig = strings.TrimSpace(owner.must("local", "kubeconfig", "management"))
	onHub := func(args ...string) []string { return append(args, "--kubeconfig", u.hubConfig) }

	process := u.up("--kubeconfig", u.hubConfig)
	_, stderr, err := u.run(onHub("up")...)
	wantError(t, "a second one on the same data directory", stderr, err, "is in use by process", "refit down")
	u.must("local", "create", "one", "--version", v135, "--nodes", "3", "--label", "env=dev") // the hub finds it by itself
	begin(t, u, "one", 2, 4).travel(strings.ReplaceAll(twoMinors, "2s", "1s"), 5*time.Minute)

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
