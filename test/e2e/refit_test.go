//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/kube"
)

// refitBinary is what "make build" made, which "make e2e" does first.
const refitBinary = "../../bin/refit"

// The three minors that members run in these tests.
const (
	v135 = "v1.35.4"
	v136 = "v1.36.3"
	v137 = "v1.37.2"
)

// namespace is where a hub keeps Refit's objects unless told otherwise.
const namespace = "refit"

// A user is a person with a data directory of their own: what they run is the
// binary, and what they see is what it prints.
type user struct {
	t       testing.TB
	dataDir string
	home    string // of kubectl: its discovery cache is there
	binary  string
	kubectl string
	// cache is the folder of the binaries of members, where it is not the usual one.
	cache string
	// env is more than the usual environment.
	env []string
	// hubConfig is the kubeconfig of a management cluster, where that is the hub.
	hubConfig string
}

func newUser(tb testing.TB) *user {
	tb.Helper()
	u := newUserAlone(tb)
	store, err := kube.UserStore(os.Stderr)
	if err != nil {
		tb.Fatal(err)
	}
	folder, err := store.Get(tb.Context(), kube.Artefact{Name: kube.Kubernetes, Version: v137})
	if err != nil {
		tb.Fatal(err)
	}
	u.kubectl = filepath.Join(folder, "kubectl")
	return u
}

// newUserAlone is a user without kubectl, and so without Kubernetes' binaries.
func newUserAlone(tb testing.TB) *user {
	tb.Helper()
	binary, err := filepath.Abs(refitBinary)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		tb.Fatalf("%v; build it with: make build", err)
	}
	u := &user{t: tb, dataDir: tb.TempDir(), home: tb.TempDir(), binary: binary}
	tb.Cleanup(func() {
		if tb.Failed() {
			u.keepLogs()
		}
		u.mustIn(context.Background(), "uninstall", "--yes")
	})
	return u
}

// command is one call of refit, in the user's data directory.
func (u *user) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, u.binary, append(args, "--data-dir", u.dataDir)...)
	cmd.Env = u.environ()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	return cmd
}

func (u *user) environ() []string {
	env := append(os.Environ(), u.env...)
	if u.cache != "" {
		env = append(env, "XDG_CACHE_HOME="+u.cache)
	}
	return env
}

// run runs refit to its end: what it printed, and whether it did what was asked.
func (u *user) run(args ...string) (stdout, stderr string, err error) {
	u.t.Helper()
	return u.runIn(u.t.Context(), args...)
}

func (u *user) runIn(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	var out, errOut bytes.Buffer
	cmd := u.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	return out.String(), errOut.String(), err
}

// must runs refit to its end, and fails the test where it did not do it.
func (u *user) must(args ...string) string {
	u.t.Helper()
	return u.mustIn(u.t.Context(), args...)
}

func (u *user) mustIn(ctx context.Context, args ...string) string {
	u.t.Helper()
	stdout, stderr, err := u.runIn(ctx, args...)
	if err != nil {
		u.t.Fatalf("refit %s: %v\n%s%s", strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}

// kube runs kubectl against the hub.
func (u *user) kube(stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(u.t.Context(), u.kubectl, append([]string{"--kubeconfig", u.kubeconfig(), "--namespace", namespace}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "HOME="+u.home)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (u *user) mustKube(stdin string, args ...string) string {
	u.t.Helper()
	out, err := u.kube(stdin, args...)
	if err != nil {
		u.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (u *user) kubeconfig() string {
	return cmp.Or(u.hubConfig, filepath.Join(u.dataDir, "kubeconfig"))
}

// up starts "refit up" and returns when it is ready; it runs until the test
// ends or the returned process is ended.
func (u *user) up(args ...string) *exec.Cmd {
	u.t.Helper()
	cmd, more := u.upTalking(args...)
	go func() { _, _ = io.Copy(io.Discard, more) }()
	return cmd
}

// upTalking is up, and what it says after it is ready, which has to be read.
func (u *user) upTalking(args ...string) (*exec.Cmd, *bufio.Reader) {
	u.t.Helper()
	cmd := u.command(context.Background(), append([]string{"up"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		u.t.Fatal(err)
	}
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	more := bufio.NewReader(out)
	line, err := more.ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		u.t.Fatalf("refit up ended: %s%s", line, errOut.String())
	}
	u.t.Cleanup(func() { _ = u.end(cmd) })
	return cmd, more
}

// end interrupts a process and waits for its end.
func (u *user) end(cmd *exec.Cmd) error {
	if cmd.ProcessState != nil {
		return nil
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	return cmd.Wait()
}

// hub is a client of the hub, for the test's own eyes.
func (u *user) hub() client.WithWatch {
	u.t.Helper()
	log.SetLogger(logr.Discard())
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			u.t.Fatal(err)
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", u.kubeconfig())
	if err != nil {
		u.t.Fatal(err)
	}
	config.QPS, config.Burst = 100, 200
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		u.t.Fatal(err)
	}
	return c
}

// member is a client of a local member.
func (u *user) member(name string) (*kubernetes.Clientset, *rest.Config) {
	u.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", strings.TrimSpace(u.must("local", "kubeconfig", name)))
	if err != nil {
		u.t.Fatal(err)
	}
	config.QPS, config.Burst = 100, 200
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		u.t.Fatal(err)
	}
	return c, config
}

func (u *user) folder(member string) string { return filepath.Join(u.dataDir, "local", member) }

// keepLogs copies what all processes logged to where the run keeps it.
func (u *user) keepLogs() {
	to := os.Getenv("REFIT_E2E_LOGS")
	if to == "" {
		to = os.TempDir()
	}
	for _, pattern := range []string{"logs/*.log", "local/*/logs/*.log", "local/*/starts.jsonl"} {
		files, _ := filepath.Glob(filepath.Join(u.dataDir, pattern))
		for _, file := range files {
			name, _ := filepath.Rel(u.dataDir, file)
			text, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(filepath.Join(to, strings.ReplaceAll(u.t.Name()+"-"+name, "/", "-")), text, 0o600)
			}
			if err != nil {
				u.t.Log(err)
			}
		}
	}
}

// eventually waits until a question is answered yes; last is what it answered
// last. It fails the test at the limit, which is generous: what is measured is
// printed, not asserted.
func eventually(tb testing.TB, limit time.Duration, what string, ask func() (done bool, last string)) time.Duration {
	tb.Helper()
	begun, last := time.Now(), ""
	for time.Since(begun) < limit {
		done, answer := ask()
		if done {
			return time.Since(begun)
		}
		last = answer
		select {
		case <-tb.Context().Done():
			tb.Fatalf("%s: the test ended", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
	tb.Fatalf("%s: not within %s; last: %s", what, limit, last)
	return 0
}
