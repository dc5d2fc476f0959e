package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// What a hub is to those who use it.
type identity struct {
	HubUID, Host           string
	CA, Kubeconfig         string
	Namespace, Secret, CRD types.UID
	Value                  string
}

func identify(t *testing.T, h runningHub, ns string) identity {
	t.Helper()
	id := identity{HubUID: h.UID(), Host: h.Config().Host, CA: string(h.Config().CAData)}
	kubeconfig, err := os.ReadFile(h.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	id.Kubeconfig = string(kubeconfig)
	namespace, err := h.client.CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := h.client.CoreV1().Secrets(ns).Get(t.Context(), "s", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id.Namespace, id.Secret, id.Value = namespace.UID, secret.UID, string(secret.Data["key"])
	return id
}

// TestRestart stops a hub and starts it again. Its data directory has a name that is too long for a unix socket.
func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	h := startHub(t, Options{DataDir: dir})
	if err := InstallCRDs(t.Context(), h.Config(), []*apiextensionsv1.CustomResourceDefinition{newCRD("widgets", "Widget")}); err != nil {
		t.Fatal(err)
	}
	ns := h.newNamespace(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"key": "value"}}
	if _, err := h.client.CoreV1().Secrets(ns).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}
	if _, err := h.client.CoreV1().ServiceAccounts(ns).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token := h.newToken(t, ns, "robot")
	before := identify(t, h, ns)
	socket := filepath.Dir(socketPath(dataDir{root: dir}))
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o700 || strings.HasPrefix(socket, dir) {
		t.Errorf("directory of the socket %s: %v, %v, want another one with mode 0700", socket, info, err)
	}

	if err := h.Stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	if err := h.Stop(); err != nil {
		t.Errorf("stop once more: %v", err)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("%s after the stop: %v, want nothing", socket, err)
	}
	if pid, err := Holder(dir); pid != 0 || err != nil {
		t.Errorf("Holder after the stop = %d, %v, want 0", pid, err)
	}

	h = startHub(t, Options{DataDir: dir})
	if diff := cmp.Diff(before, identify(t, h, ns)); diff != "" {
		t.Errorf("hub after the restart (-before +after):\n%s", diff)
	}
	eventually(t, "the old token is good", func(ctx context.Context) error {
		return h.authenticatesAs(ctx, t, token, "system:serviceaccount:"+ns+":robot")
	})
}

// TestStopsWithItsContext ends a hub by the context that it was started with.
func TestStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h, err := Start(ctx, Options{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := clientFor(t, h.Config()).CoreV1().Namespaces().Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	cancel()
	<-h.Done()
	if err := h.Stop(); err != nil {
		t.Errorf("a wished-for end is an error: %v", err)
	}
}

// TestFailure ends a hub by the failure of a part of it.
func TestFailure(t *testing.T) {
	h, err := Start(t.Context(), Options{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	h.fail(broken)
	<-h.Done()
	if err := h.Stop(); !errors.Is(err, broken) {
		t.Errorf("Stop = %v, want what ended the hub", err)
	}
}

// A hub of another process, by the environment: TestMain runs it.
const otherProcess = "REFIT_TEST_HUB"

func TestMain(m *testing.M) {
	if dir := os.Getenv(otherProcess); dir != "" {
		if err := runUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func runUntilKilled(dir string) error {
	h, err := Start(context.Background(), Options{DataDir: dir})
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(h.Config())
	if err != nil {
		return err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}
	if _, err := client.CoreV1().Namespaces().Create(context.Background(), ns, metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return err
	}
	<-h.Done()
	return h.Stop()
}

// TestKilled kills a hub in the middle and starts it again: what was answered is kept. Until then the process has said
// nothing but what its main said.
func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.CommandContext(t.Context(), executable)
	other.Env = append(os.Environ(), otherProcess+"="+dir)
	var said bytes.Buffer
	other.Stderr = &said
	stdout, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	n, err := stdout.Read(line)
	if got := string(line[:n]); got != "ready\n" {
		t.Errorf("the other process said %q, %v, want ready", got, err)
	}
	_, err = Start(t.Context(), Options{DataDir: dir})
	if want := fmt.Sprintf("is in use by process %d", other.Process.Pid); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("start beside it: %v, want %q", err, want)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // it was killed
	if said.Len() > 0 {
		t.Errorf("the hub wrote to stderr:\n%s", said.String())
	}

	h := startHub(t, Options{DataDir: dir})
	if _, err := h.client.CoreV1().Namespaces().Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
		t.Errorf("after the kill: %v", err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", h.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clientFor(t, config).Discovery().ServerVersion(); err != nil {
		t.Errorf("kubeconfig after the kill: %v", err)
	}
}
