//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"refit.dev/refit/internal/kube"
)

// lab is a made-up EKS that runs.
type lab struct {
	env      []string // what makes tools use it
	manifest string   // its clusters, for the hub
	dataDir  string   // of the local members that it is made of
}

// startLab runs "refit lab eks" until the test ends, and reads what it prints.
func startLab(t *testing.T, u *user, args ...string) lab {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), u.binary, append([]string{"lab", "eks"}, args...)...)
	cmd.Env = u.environ()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		if err := cmd.Wait(); err != nil {
			t.Logf("the lab ended: %v\n%s", err, errOut.String())
		}
	})
	cache, err := kube.DefaultDir()
	if err != nil {
		t.Fatal(err)
	}
	l := lab{dataDir: filepath.Join(cache, "lab", "data")}
	lines, manifest := bufio.NewScanner(out), false
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "export "):
			l.env = append(l.env, strings.TrimPrefix(line, "export "))
		case strings.HasPrefix(line, "end it with"):
			go func() {
				for lines.Scan() {
					t.Log("lab: " + lines.Text())
				}
			}()
			return l
		case line == "---":
			manifest = true
			fallthrough
		case manifest:
			l.manifest += line + "\n"
		}
	}
	t.Fatalf("the lab ended: %s", errOut.String())
	return l
}

// behind is a client of the local member that a cluster of the lab is made of.
func (l lab) behind(t *testing.T, u *user, name string) (*kubernetes.Clientset, *rest.Config) {
	t.Helper()
	path, err := exec.CommandContext(t.Context(), u.binary, "local", "kubeconfig", name, "--data-dir", l.dataDir).Output()
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", strings.TrimSpace(string(path)))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 100, 200
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c, config
}

func (l lab) folder(name string) string { return filepath.Join(l.dataDir, "local", name) }

// labPatience is for one minor of a cluster of the lab, whose node groups are
// rolled node by node.
const labPatience = 10 * time.Minute
