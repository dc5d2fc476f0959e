//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/kube"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/witness"
)

const (
	chartAccount = "refit-controllers"
	// restricted is what Kubernetes' strictest standard of pods is asked for by.
	restricted = "pod-security.kubernetes.io/enforce"
)

// The chart is installed on a real API server by Helm's own library, and two processes with its ServiceAccount's token,
// and nothing else, roll a fleet: the one that leads is killed while nodes are replaced, the other goes on, and nothing
// is done twice. Nothing that they ask for is forbidden. No container starts here: the pods that the Deployment makes
// are admitted and scheduled, and are played.
func TestChart(t *testing.T) {
	owner := newUser(t)
	owner.must("local", "create", "management", "--version", v137, "--nodes", "2", "--audit-log")
	u := newUser(t)
	u.hubConfig = strings.TrimSpace(owner.must("local", "kubeconfig", "management"))
	hub, _ := owner.member("management")
	installChart(t, u, hub)

	loops := []*loopProcess{newLoops(t, u, hub, "a"), newLoops(t, u, hub, "b")}
	travellers := []*traveller{newTraveller(t, u, "one"), newTraveller(t, u, "two")}
	u.mustKube(strings.NewReplacer("    hops: {\"1.36\": v1.36.3}\n", "", "2s", "1s").Replace(twoMinors), "apply", "-f", "-")
	eventually(t, 5*time.Minute, "nodes are replaced", func() (bool, string) {
		up := &v1.ClusterUpgrade{}
		err := u.hub().Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "one.1"}, up)
		return up.Status.Step == "Nodes", fmt.Sprintf("step %q, %v", up.Status.Step, err)
	})
	leader := slices.IndexFunc(loops, func(p *loopProcess) bool { return strings.Contains(p.log(), `"upgrade starts"`) })
	if leader < 0 {
		t.Fatal("none of the processes says that an upgrade starts")
	}
	for _, p := range loops {
		p.answers("/healthz")
		p.answers("/readyz") // also the one that only waits
	}
	_ = loops[leader].cmd.Process.Signal(syscall.SIGKILL)
	_ = loops[leader].cmd.Wait()
	t.Logf("killed process %s, which led", loops[leader].name)

	for _, traveller := range travellers {
		traveller.judge()
	}
	if rest := loops[1-leader].log(); !strings.Contains(rest, `"one.1"`) {
		t.Errorf("the other process did nothing:\n%s", rest)
	}
	var all v1.ClusterUpgradeList
	if err := u.hub().List(t.Context(), &all, client.InNamespace(namespace)); err != nil || len(all.Items) != len(travellers) {
		t.Errorf("%d upgrades, %v; want one of each member", len(all.Items), err)
	}
	nothingForbidden(t, owner.folder("management"), loops)
	if err := u.end(loops[1-leader].cmd); err != nil {
		t.Errorf("the other process, interrupted: %v", err)
	}
	uninstallChart(t, u, hub)
}

// installChart installs the chart where nothing but the strictest pods may run, and waits for its own.
func installChart(t *testing.T, u *user, hub kubernetes.Interface) {
	t.Helper()
	_, err := hub.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{restricted: "restricted"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := loader.Load("../../deploy/chart")
	if err != nil {
		t.Fatal(err)
	}
	install := action.NewInstall(helmOn(t, u))
	install.ReleaseName, install.Namespace, install.WaitStrategy, install.Timeout = "refit", namespace, kube.HookOnlyStrategy, time.Minute
	values := map[string]any{"image": map[string]any{"repository": "registry.example/refit"}, "metrics": map[string]any{"enabled": true}}
	if _, err := install.RunWithContext(t.Context(), loaded, values); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Minute, "the Deployment is available", func() (bool, string) {
		d, err := hub.AppsV1().Deployments(namespace).Get(t.Context(), chartAccount, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		return d.Status.AvailableReplicas == 2, fmt.Sprintf("%+v", d.Status)
	})
	pods, err := hub.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=refit"})
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[string]bool{}
	for _, pod := range pods.Items {
		nodes[pod.Spec.NodeName] = true
	}
	if len(pods.Items) != 2 || len(nodes) != 2 {
		t.Errorf("%d pods are on the nodes %v, want two on two", len(pods.Items), nodes)
	}
}

// uninstallChart: what runs is gone, and every fleet stays.
func uninstallChart(t *testing.T, u *user, hub kubernetes.Interface) {
	t.Helper()
	uninstall := action.NewUninstall(helmOn(t, u))
	uninstall.WaitStrategy, uninstall.Timeout = kube.HookOnlyStrategy, time.Minute
	if _, err := uninstall.Run("refit"); err != nil {
		t.Fatal(err)
	}
	if d, err := hub.AppsV1().Deployments(namespace).List(t.Context(), metav1.ListOptions{}); err != nil || len(d.Items) > 0 {
		t.Errorf("%d Deployments are left, %v", len(d.Items), err)
	}
	if out := u.mustKube("", "get", "fleets,members,clusterupgrades", "-o", "name"); strings.Count(out, "\n") != 5 {
		t.Errorf("after the chart was uninstalled there are\n%s", out)
	}
}

// helmOn is Helm, as its command sets itself up.
func helmOn(t *testing.T, u *user) *action.Configuration {
	t.Helper()
	flags, where := genericclioptions.NewConfigFlags(false), namespace
	cache := t.TempDir() // of what the API server serves; without it, in the home of whoever runs this
	flags.KubeConfig, flags.Namespace, flags.CacheDir = &u.hubConfig, &where, &cache
	configuration := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := configuration.Init(flags, namespace, "secret"); err != nil {
		t.Fatal(err)
	}
	return configuration
}

// A loopProcess is what a pod would run.
type loopProcess struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	health string
	path   string // of what it logs
}

// newLoops starts one, with a token of the chart's ServiceAccount.
func newLoops(t *testing.T, u *user, hub kubernetes.Interface, name string) *loopProcess {
	t.Helper()
	folder := filepath.Join(u.dataDir, "logs")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	p := &loopProcess{t: t, name: name, health: freeAddress(t), path: filepath.Join(folder, "controllers-"+name+".log")}
	out, err := os.Create(p.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	p.cmd = u.command(context.Background(), "controllers", "--kubeconfig", tokenConfig(t, u, hub), "--health", p.health, "--metrics", freeAddress(t))
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.end(p.cmd) })
	return p
}

// tokenConfig is a kubeconfig of the chart's ServiceAccount, and of nobody else.
func tokenConfig(t *testing.T, u *user, hub kubernetes.Interface) string {
	t.Helper()
	token, err := hub.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), chartAccount, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(u.hubConfig)
	if err != nil {
		t.Fatal(err)
	}
	current := config.Contexts[config.CurrentContext]
	config.AuthInfos = map[string]*clientcmdapi.AuthInfo{current.AuthInfo: {Token: token.Status.Token}}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// freeAddress is one on loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (p *loopProcess) log() string {
	p.t.Helper()
	text, err := os.ReadFile(p.path)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// answers: a probe is answered with yes.
func (p *loopProcess) answers(path string) {
	p.t.Helper()
	eventually(p.t, time.Minute, "process "+p.name+" answers "+path, func() (bool, string) {
		answer, err := http.Get("http://" + p.health + path)
		if err != nil {
			return false, err.Error()
		}
		defer func() { _ = answer.Body.Close() }()
		return answer.StatusCode == http.StatusOK, answer.Status
	})
}

// A traveller is a member that goes from v1.36 to v1.37, and who watches it.
type traveller struct {
	*user
	t       *testing.T
	name    string
	member  kubernetes.Interface
	before  []string
	witness *witness.Witness
}

func newTraveller(t *testing.T, u *user, name string) *traveller {
	t.Helper()
	u.must("local", "create", name, "--version", v136, "--nodes", "3", "--kubeconfig", u.hubConfig)
	c, _ := u.member(name)
	startDeployment(t, c, "app", 6, 5)
	awaitDeployments(t, c, 1)
	w, err := witness.Watch(t.Context(), u.folder(name))
	if err != nil {
		t.Fatal(err)
	}
	return &traveller{user: u, t: t, name: name, member: c, before: nodeUIDs(t, c), witness: w}
}

// judge waits for its end, and judges by what others saw and wrote down.
func (m *traveller) judge() {
	m.t.Helper()
	up := awaitUpgrade(m.t, m.hub(), m.name+".1", 6*time.Minute)
	if endedAs(up) != "Done" {
		m.t.Errorf("%s ended %s: %+v", up.Name, endedAs(up), up.Status.Why)
	}
	judge(m.t, m.witness.Stop(), m.before, v137)
	nothingCordoned(m.t, m.member)
	nothingClaimed(m.t, m.member)
	cluster := m.mustKube("", "get", "member", m.name, "-o", "jsonpath={.status.uid}")
	changedOnce(m.t, m.folder(m.name), fleet.Token(cluster, string(up.UID), v137, "control-plane"))
}

// nothingForbidden: the API server refused the ServiceAccount nothing, and no process says that it was.
func nothingForbidden(t *testing.T, folder string, loops []*loopProcess) {
	t.Helper()
	text, err := os.ReadFile(controlplane.AuditLog(folder))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for line := range strings.Lines(string(text)) {
		var event struct {
			User             struct{ Username string }
			Verb, RequestURI string
			ResponseStatus   struct{ Code int }
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.User.Username != "system:serviceaccount:"+namespace+":"+chartAccount {
			continue // the last line may be half written
		}
		asked++
		if event.ResponseStatus.Code == http.StatusForbidden {
			t.Errorf("forbidden: %s %s", event.Verb, event.RequestURI)
		}
	}
	t.Logf("%d requests of the ServiceAccount", asked)
	if asked < 50 {
		t.Errorf("the ServiceAccount asked %d times, want at least 50: somebody else did the work", asked)
	}
	for _, p := range loops { // leases are not in the audit log
		if strings.Contains(strings.ToLower(p.log()), "forbidden") {
			t.Errorf("process %s was refused something:\n%s", p.name, p.log())
		}
	}
}
