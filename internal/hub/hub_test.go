package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// deadline is for what should take milliseconds: it is reached when something is broken, not when the machine is busy.
const deadline = time.Minute

// A runningHub is a hub with what tests want of it.
type runningHub struct {
	*Hub
	dir    string
	client kubernetes.Interface
}

// startHub starts a hub that the test stops, or else its end does.
func startHub(t *testing.T, opts Options) runningHub {
	t.Helper()
	opts.Version = "v0.1.0"
	h, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatalf("start hub: %v", err)
	}
	t.Cleanup(func() {
		if err := h.Stop(); err != nil {
			t.Errorf("stop hub: %v", err)
		}
	})
	return runningHub{Hub: h, dir: opts.DataDir, client: clientFor(t, h.Config())}
}

func clientFor(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatalf("make client: %v", err)
	}
	return client
}

// eventually waits for what follows from something without being part of it.
func eventually(t *testing.T, what string, condition func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, deadline, err)
		}
	}
}

// newNamespace is a test's own.
func (h runningHub) newNamespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	ns, err := h.client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("make namespace: %v", err)
	}
	return ns.Name
}

// TestHub asks one hub for everything that does not need a hub of its own.
func TestHub(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	audit := writeAuditPolicy(t)
	h := startHub(t, Options{DataDir: dir, Namespace: "refit", Audit: audit})

	tests := []struct {
		name string
		test func(*testing.T, runningHub)
	}{
		{"serves what it stands behind", testServedResources},
		{"says which Kubernetes it is", testVersion},
		{"knows its callers", testCallers},
		{"writes a kubeconfig", testKubeconfig},
		{"turns strangers away", testStrangers},
		{"ends a namespace", testNamespaceDeletion},
		{"collects what owners leave", testOwnerReferences},
		{"asks RBAC", testRBAC},
		{"has the default roles", testDefaultRoles},
		{"fills aggregated roles", testAggregatedRoles},
		{"gives service accounts tokens", testServiceAccountToken},
		{"encrypts secrets", testSecretsEncrypted},
		{"keeps events", testEvents},
		{"keeps leases", testLeases},
		{"installs kinds", testInstallCRDs},
		{"refuses kinds as a whole", testInstallCRDsRefused},
		{"lets policies stamp the author", testMutatingPolicy},
		{"lets policies refuse", testValidatingPolicy},
		{"is private", testPrivate},
		{"listens on loopback", testListensOnLoopback},
		{"is alone in its directory", testAlone},
	}
	t.Run("it", func(t *testing.T) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.test(t, h)
			})
		}
	})
	testAudit(t, audit)
}

func testServedResources(t *testing.T, h runningHub) {
	_, lists, err := h.client.Discovery().ServerGroupsAndResources()
	if err != nil {
		t.Fatalf("discover: %v", err)
	}
	var got []string
	for _, list := range lists {
		for _, resource := range list.APIResources {
			if !strings.Contains(resource.Name, "/") && !strings.Contains(list.GroupVersion, "test.refit.dev") {
				got = append(got, list.GroupVersion+" "+resource.Name)
			}
		}
	}
	slices.Sort(got)
	want := []string{
		"admissionregistration.k8s.io/v1 mutatingadmissionpolicies",
		"admissionregistration.k8s.io/v1 mutatingadmissionpolicybindings",
		"admissionregistration.k8s.io/v1 mutatingwebhookconfigurations",
		"admissionregistration.k8s.io/v1 validatingadmissionpolicies",
		"admissionregistration.k8s.io/v1 validatingadmissionpolicybindings",
		"admissionregistration.k8s.io/v1 validatingwebhookconfigurations",
		"apiextensions.k8s.io/v1 customresourcedefinitions",
		"apiregistration.k8s.io/v1 apiservices",
		"authentication.k8s.io/v1 selfsubjectreviews",
		"authentication.k8s.io/v1 tokenreviews",
		"authorization.k8s.io/v1 localsubjectaccessreviews",
		"authorization.k8s.io/v1 selfsubjectaccessreviews",
		"authorization.k8s.io/v1 selfsubjectrulesreviews",
		"authorization.k8s.io/v1 subjectaccessreviews",
		"coordination.k8s.io/v1 leases",
		"events.k8s.io/v1 events",
		"rbac.authorization.k8s.io/v1 clusterrolebindings",
		"rbac.authorization.k8s.io/v1 clusterroles",
		"rbac.authorization.k8s.io/v1 rolebindings",
		"rbac.authorization.k8s.io/v1 roles",
		"v1 configmaps",
		"v1 events",
		"v1 namespaces",
		"v1 secrets",
		"v1 serviceaccounts",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("served resources (-want +got):\n%s", diff)
	}
}

func testVersion(t *testing.T, h runningHub) {
	got, err := h.client.Discovery().ServerVersion()
	if err != nil {
		t.Fatalf("ask for the version: %v", err)
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "\tk8s.io/kubernetes " + got.GitVersion + "\n"; !strings.Contains(strings.ReplaceAll(string(mod), " // indirect", ""), want) {
		t.Errorf("the hub says it is Kubernetes %q, and go.mod has no line %q", got.GitVersion, want)
	}
	if got.Major != "1" || got.Minor != strings.Split(got.GitVersion, ".")[1] {
		t.Errorf("version %s.%s does not fit %s", got.Major, got.Minor, got.GitVersion)
	}
}

func testCallers(t *testing.T, h runningHub) {
	fromFile, err := clientcmd.BuildConfigFromFlags("", h.Kubeconfig())
	if err != nil {
		t.Fatalf("read kubeconfig: %v", err)
	}
	for want, config := range map[string]*rest.Config{ControllerUser: h.Config(), AdminUser: fromFile} {
		review, err := clientFor(t, config).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatalf("ask who I am: %v", err)
		}
		got := review.Status.UserInfo
		if got.Username != want || !slices.Contains(got.Groups, "system:masters") {
			t.Errorf("caller is %q in groups %q, want %q in system:masters", got.Username, got.Groups, want)
		}
	}
}

func testKubeconfig(t *testing.T, h runningHub) {
	got, err := clientcmd.LoadFromFile(h.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	context := got.Contexts[got.CurrentContext]
	if context == nil || context.Namespace != "refit" || got.Clusters[context.Cluster].Server != h.Config().Host {
		t.Errorf("kubeconfig %+v", got)
	}
	if user := got.AuthInfos[context.AuthInfo]; user.ClientKey != "" || len(user.ClientKeyData) == 0 {
		t.Error("the kubeconfig needs other files")
	}
}

func testStrangers(t *testing.T, h runningHub) {
	strangers := map[string]func(*rest.Config){
		"nobody":      func(*rest.Config) {},
		"wrong token": func(c *rest.Config) { c.BearerToken = "wrong" },
	}
	for name, introduce := range strangers {
		config := rest.AnonymousClientConfig(h.Config())
		introduce(config)
		_, err := clientFor(t, config).Discovery().ServerVersion()
		if !apierrors.IsUnauthorized(err) {
			t.Errorf("%s asks for the version and gets %v, want Unauthorized", name, err)
		}
	}
}

func testSecretsEncrypted(t *testing.T, h runningHub) {
	const plaintext, public = "xyzzy-plugh-4711", "frotz-rezrov-0815"
	ns := h.newNamespace(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"key": plaintext}}
	if _, err := h.client.CoreV1().Secrets(ns).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatalf("make secret: %v", err)
	}
	open := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Data: map[string]string{"key": public}}
	if _, err := h.client.CoreV1().ConfigMaps(ns).Create(t.Context(), open, metav1.CreateOptions{}); err != nil {
		t.Fatalf("make config map: %v", err)
	}
	raw := readEtcd(t, h, "/registry/secrets/"+ns+"/s")
	if !strings.HasPrefix(raw, "k8s:enc:secretbox:v1:") || strings.Contains(raw, plaintext) {
		t.Errorf("etcd holds the secret as %q", raw)
	}
	// The bytes on disk are the judge; that the config map is found shows that it looks where the secret would be.
	if found := findInFiles(t, h.dir, plaintext); len(found) > 0 {
		t.Errorf("the secret can be read in %q", found)
	}
	if found := findInFiles(t, h.dir, public); len(found) == 0 {
		t.Error("not even the config map was found on disk")
	}
	got, err := h.client.CoreV1().Secrets(ns).Get(t.Context(), "s", metav1.GetOptions{})
	if err != nil || string(got.Data["key"]) != plaintext {
		t.Errorf("read secret: %v, %v", got, err)
	}
}

func readEtcd(t *testing.T, h runningHub, key string) string {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + filepath.Join(h.dir, runDir, socketName)}, DialTimeout: deadline})
	if err != nil {
		t.Fatalf("reach etcd: %v", err)
	}
	defer client.Close()
	answer, err := client.Get(t.Context(), key)
	if err != nil || len(answer.Kvs) != 1 {
		t.Fatalf("read %s from etcd: %v, %v", key, answer, err)
	}
	return string(answer.Kvs[0].Value)
}

func findInFiles(t *testing.T, dir, text string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return ignoreVanished(err)
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), text) {
			found = append(found, path)
		}
		return ignoreVanished(err)
	})
	if err != nil {
		t.Fatalf("look into files: %v", err)
	}
	return found
}

// ignoreVanished is for files that etcd renames while the test walks.
func ignoreVanished(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func testPrivate(t *testing.T, h runningHub) {
	err := filepath.WalkDir(h.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return ignoreVanished(err)
		}
		info, err := entry.Info()
		if err != nil {
			return ignoreVanished(err)
		}
		// A socket's own mode is its maker's umask; it is reached through its directory.
		if mode := info.Mode(); mode.Perm()&0o077 != 0 && mode.Type() != fs.ModeSocket {
			t.Errorf("%s has mode %v", path, mode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func testAlone(t *testing.T, h runningHub) {
	_, err := Start(t.Context(), Options{DataDir: h.dir})
	if want := fmt.Sprintf("is in use by process %d", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("second start on %s: %v, want %q", h.dir, err, want)
	}
	if pid, err := Holder(h.dir); pid != os.Getpid() || err != nil {
		t.Errorf("Holder = %d, %v, want %d", pid, err, os.Getpid())
	}
}
