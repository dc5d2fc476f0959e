//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A demonstration that was interrupted, and one that was killed, leave nothing
// in the way of the next, which ends by itself and leaves nothing at all.
func TestDemoCutShort(t *testing.T) {
	u := newUser(t)
	cache := t.TempDir()
	linkCache(t, cache, "kube", "etcd", "kwok")
	demo := func() (*exec.Cmd, *bytes.Buffer) {
		cmd := exec.CommandContext(t.Context(), u.binary, "demo", "--members", "1", "--nodes", "2")
		cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache)
		out := &bytes.Buffer{}
		cmd.Stdout, cmd.Stderr = out, out
		return cmd, out
	}
	folder := filepath.Join(cache, "refit", "demo")

	for _, cut := range []struct {
		name   string
		signal syscall.Signal
		clean  bool
	}{
		{"interrupted", syscall.SIGINT, true},
		{"killed", syscall.SIGKILL, false},
	} {
		cmd, out := demo()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running := filepath.Join(folder, "data", "local", "demo-1", "kubeconfig")
		eventually(t, 3*time.Minute, "the demonstration's cluster is being made", func() (bool, string) {
			_, err := os.Stat(running)
			return err == nil, out.String()
		})
		if second, told := demo(); second.Run() == nil || !strings.Contains(told.String(), fmt.Sprintf("another demonstration runs (process %d)", cmd.Process.Pid)) {
			t.Errorf("a second one beside the first says: %s", told)
		}
		_ = cmd.Process.Signal(cut.signal)
		if err := cmd.Wait(); err == nil {
			t.Errorf("%s: exit 0", cut.name)
		}
		if _, err := os.Stat(folder); cut.clean && !os.IsNotExist(err) {
			t.Errorf("%s: its folder: %v, want it gone\n%s", cut.name, err, out)
		}
	}

	cmd, out := demo()
	if err := cmd.Run(); err != nil {
		t.Fatalf("the demonstration after: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	if text := out.String(); !strings.Contains(text, "v1.36.3 → v1.37.2") || !strings.Contains(text, "2 of 2") {
		t.Errorf("the summary does not tell v1.36.3 → v1.37.2 and 2 of 2 nodes")
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("its folder: %v, want it gone", err)
	}
}

// linkCache gives a cache folder of its own a part of the user's binaries.
func linkCache(t *testing.T, cache string, parts ...string) {
	t.Helper()
	users, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		to := filepath.Join(cache, "refit", part)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(users, "refit", part), to); err != nil {
			t.Fatal(err)
		}
	}
}
