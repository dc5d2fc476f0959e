//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A real kubectl works against the hub as against any cluster.
func TestHubServesKubectl(t *testing.T) {
	u := newUser(t)
	process := u.up()
	info, err := os.Stat(u.kubeconfig())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kubeconfig: %v, mode %v, want 0600", err, info.Mode())
	}
	u.mustKube(twoMinors, "apply", "-f", "-")
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"get", "fleets"}, "main"},
		{[]string{"get", "refit", "-A"}, "fleet.refit.dev/main"},
		{[]string{"get", "releases"}, "v1.37.2"},
		{[]string{"auth", "can-i", "create", "fleets"}, "yes"},
		{[]string{"auth", "can-i", "create", "fleets", "--as", "nobody"}, "no"},
		{[]string{"get", "events"}, ""},
		{[]string{"create", "namespace", "short-lived"}, "created"},
		{[]string{"-n", "short-lived", "create", "configmap", "inside", "--from-literal=a=b"}, "created"},
		{[]string{"delete", "namespace", "short-lived", "--timeout=60s"}, "deleted"},
		{[]string{"delete", "fleet", "main"}, "deleted"},
	} {
		out, err := u.kube("", step.args...)
		if !strings.Contains(out, step.want) || (err != nil && step.want != "no") {
			t.Errorf("kubectl %s: %v\n%s\nwant %q", strings.Join(step.args, " "), err, out, step.want)
		}
	}
	if out, err := u.kube("", "get", "namespace", "short-lived"); err == nil {
		t.Errorf("the deleted namespace is still there:\n%s", out)
	}
	before := u.mustKube("", "get", "release", "2026.11", "-o", "jsonpath={.metadata.uid}")
	if err := u.end(process); err != nil {
		t.Errorf("refit up, interrupted: %v", err)
	}
	u.up()
	if after := u.mustKube("", "get", "release", "2026.11", "-o", "jsonpath={.metadata.uid}"); after != before {
		t.Errorf("after a restart the release is %s, was %s", after, before)
	}
}

// What keeps a hub from starting is told in one line that says what to do.
func TestUpErrors(t *testing.T) {
	u := newUser(t)
	u.up()

	_, stderr, err := u.run("up")
	wantError(t, "a second up", stderr, err, "is in use by process", "refit down")

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	other := newUser(t)
	_, stderr, err = other.run("up", "--port", fmt.Sprint(taken.Addr().(*net.TCPAddr).Port))
	wantError(t, "a port in use", stderr, err, "port", "in use")

	_, stderr, err = other.run("up", "--port", "70000")
	wantError(t, "a port that is none", stderr, err, "--port 70000", "1 to 65535")

	_, stderr, err = other.run("up", "--kubeconfig", "/nowhere/kubeconfig")
	wantError(t, "a kubeconfig that is none", stderr, err, "--kubeconfig /nowhere/kubeconfig")

	full := filepath.Join(t.TempDir(), "full")
	mount(t, full, "size=8m")
	_, stderr, err = (&user{t: t, binary: u.binary, dataDir: full}).run("up")
	wantError(t, "a full disk", stderr, err, "free", full)

	readOnly := filepath.Join(t.TempDir(), "read-only")
	mount(t, readOnly, "ro")
	_, stderr, err = (&user{t: t, binary: u.binary, dataDir: readOnly}).run("up")
	wantError(t, "a read-only disk", stderr, err, "read-only", readOnly)
}

// wantError wants a failure that tells all of the parts, in few lines.
func wantError(t *testing.T, what, stderr string, err error, parts ...string) {
	t.Helper()
	t.Logf("%s: %s", what, strings.TrimSpace(stderr))
	if err == nil {
		t.Errorf("%s: no error", what)
	}
	for _, part := range parts {
		if !strings.Contains(stderr, part) {
			t.Errorf("%s: %q does not say %q", what, stderr, part)
		}
	}
	if lines := strings.Count(stderr, "\n"); lines > 3 {
		t.Errorf("%s: told in %d lines", what, lines)
	}
}

// mount mounts a file system in memory, until the test ends.
func mount(t *testing.T, path, options string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", path).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s; this test needs root", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", path).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
}

// Local members are registered, and come back: after everything on the machine
// was killed, as by a reboot, "refit up" starts them with their data.
func TestMembersComeBack(t *testing.T) {
	u := newUser(t)
	hub := u.up()
	u.must("local", "create", "phoenix", "--version", v136, "--nodes", "2", "--label", "env=dev")
	c, _ := u.member("phoenix")
	sentinel := makeSentinel(t, c)
	if out := u.mustKube("", "get", "members", "-l", "env=dev"); !strings.Contains(out, "phoenix") {
		t.Errorf("kubectl get members:\n%s\nwant phoenix", out)
	}

	_ = hub.Process.Signal(syscall.SIGKILL)
	_ = hub.Wait()
	killAll(t, u.folder("phoenix"))
	u.up()
	took := eventually(t, time.Minute, "the member serves again", func() (bool, string) {
		again, err := c.CoreV1().ConfigMaps("default").Get(t.Context(), "sentinel", metav1.GetOptions{})
		return err == nil && again.UID == sentinel.UID, fmt.Sprint(err)
	})
	t.Logf("back after %s", took.Round(10*time.Millisecond))

	u.must("local", "delete", "phoenix")
	if out := u.mustKube("", "get", "members"); strings.Contains(out, "phoenix") {
		t.Errorf("the deleted member is still registered:\n%s", out)
	}
	if _, err := os.Stat(u.folder("phoenix")); !os.IsNotExist(err) {
		t.Errorf("the deleted member's folder: %v, want it gone", err)
	}
}

// killAll kills a member's supervisor and parts, by the pids in its journal
// and its lock.
func killAll(t *testing.T, folder string) {
	t.Helper()
	pids := map[int]bool{}
	if text, err := os.ReadFile(filepath.Join(folder, "lock")); err == nil {
		var holder struct{ PID int }
		if err := json.Unmarshal(text, &holder); err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(holder.PID, syscall.SIGKILL) // first: it would start the others again
	}
	environs, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range environs {
		if at, err := os.Readlink(link); err == nil && at == folder {
			var pid int
			if _, err := fmt.Sscanf(link, "/proc/%d/cwd", &pid); err == nil && pid != os.Getpid() {
				pids[pid] = true
			}
		}
	}
	if len(pids) < 5 {
		t.Fatalf("%d processes run in %s, want at least the five parts", len(pids), folder)
	}
	for pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
