package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/app"
	"refit.dev/refit/internal/cli"
)

// TestRights: the chart gives the loops the rights that they use, and no other. Two processes with its ServiceAccount's
// token take a made-up member to its release, look for one that is an object elsewhere, write down who the hub is, lead,
// tell, prune, and lose a race for a status; the API server's audit log has what they asked for. To take a rule or a verb out of the chart makes a request
// forbidden, to add one leaves it without a use: both are seen here.
func TestRights(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	config, log := startAudited(t, rightsPolicy)
	admin := clientWith(t, config)
	granted := installRights(t, config)
	kubeconfig := serviceAccountConfig(t, config, racer(t, config, admin))

	runControllers(t, kubeconfig)
	runControllers(t, kubeconfig) // the second one reads who the hub is, and waits to lead
	for n := 1; n <= 6; n++ {     // one more than are kept of a member
		makeEnded(t, config, admin, n)
	}
	liveThrough(t, admin)

	var unused []string
	for begun := time.Now(); ; <-time.After(100 * time.Millisecond) {
		used := usedRights(t, log, granted)
		unused = slices.DeleteFunc(slices.Sorted(maps.Keys(granted)), func(right string) bool { return used[right] })
		if len(unused) == 0 || time.Since(begun) > time.Minute {
			if diff := cmp.Diff(slices.Sorted(maps.Keys(granted)), slices.Sorted(maps.Keys(used))); diff != "" {
				t.Errorf("rights (-the chart gives +the loops use):\n%s", diff)
			}
			return
		}
	}
}

// rightsPolicy lets all that the ServiceAccount asks for be logged.
const rightsPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["` + serviceAccount + `"]
- level: None
`

// account is the chart's ServiceAccount, and serviceAccount how an API server knows it; management is a Secret that it may
// read.
const (
	management     = "management-eu"
	account        = "refit-controllers"
	serviceAccount = "system:serviceaccount:" + namespace + ":" + account
)

// installRights installs the chart's ServiceAccount, roles and bindings, and is every single right that they give.
func installRights(t *testing.T, config *rest.Config) map[string]bool {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	var (
		role    rbacv1.Role
		cluster rbacv1.ClusterRole
		binding rbacv1.RoleBinding
		all     rbacv1.ClusterRoleBinding
	)
	documents := strings.Split(rendered(t, "refit/templates/rights.yaml"), "\n---\n")
	for i, into := range []any{&role, &binding, &cluster, &all} {
		if err := yaml.UnmarshalStrict([]byte(documents[i]), into); err != nil {
			t.Fatal(err)
		}
	}
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	create := metav1.CreateOptions{}
	do(c.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, create))
	do(c.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, create))
	do(c.RbacV1().Roles(namespace).Create(t.Context(), &role, create))
	do(c.RbacV1().RoleBindings(namespace).Create(t.Context(), &binding, create))
	do(c.RbacV1().ClusterRoles().Create(t.Context(), &cluster, create))
	do(c.RbacV1().ClusterRoleBindings().Create(t.Context(), &all, create))
	granted := map[string]bool{}
	for where, rules := range map[string][]rbacv1.PolicyRule{" in " + namespace: role.Rules, "": cluster.Rules} {
		for _, rule := range rules {
			addRights(granted, rule, where)
		}
	}
	return granted
}

// addRights adds each verb of each resource of a rule.
func addRights(granted map[string]bool, rule rbacv1.PolicyRule, where string) {
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				for _, name := range append(rule.ResourceNames, "")[:max(1, len(rule.ResourceNames))] {
					granted[right(verb, resource, group, name)+where] = true
				}
			}
		}
	}
}

// right is one in words: "get configmaps.:refit-hub", "update fleets/status.refit.dev".
func right(verb, resource, group, name string) string {
	if name != "" {
		name = ":" + name
	}
	return verb + " " + resource + "." + group + name
}

// usedRights are what the loops asked for, in the same words; that they were refused any fails the test.
func usedRights(t *testing.T, log string, granted map[string]bool) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	lines := bytes.SplitAfter(text, []byte("\n"))
	for _, line := range lines[:len(lines)-1] { // the last may be half written
		var event struct {
			Verb           string
			RequestURI     string
			ObjectRef      *struct{ Resource, Namespace, Name, APIGroup, Subresource string }
			ResponseStatus struct{ Code int }
		}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if event.ResponseStatus.Code == http.StatusForbidden {
			t.Fatalf("forbidden: %s %s", event.Verb, event.RequestURI)
		}
		if event.ObjectRef == nil {
			continue // discovery and /version, which are everybody's
		}
		o, where := event.ObjectRef, ""
		if o.Namespace != "" {
			where = " in " + o.Namespace
		}
		if o.Subresource != "" {
			o.Resource += "/" + o.Subresource
		}
		named := right(event.Verb, o.Resource, o.APIGroup, o.Name) + where
		if !granted[named] {
			named = right(event.Verb, o.Resource, o.APIGroup, "") + where
		}
		used[named] = true
	}
	return used
}

// rendered is one file of the chart, as Helm would send it.
func rendered(t *testing.T, file string) string {
	t.Helper()
	loaded, err := loader.Load("../../deploy/chart")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{"image": map[string]any{"repository": "registry.example/refit"}, "kubeconfigSecrets": []any{management}}
	in, err := util.ToRenderValues(loaded, values, common.ReleaseOptions{Name: "refit", Namespace: namespace, IsInstall: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(loaded, in)
	if err != nil {
		t.Fatal(err)
	}
	return files[file]
}

// serviceAccountConfig is a kubeconfig of the ServiceAccount, as a pod would have its token, at a server.
func serviceAccountConfig(t *testing.T, config *rest.Config, server *httptest.Server) string {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters["hub"] = &clientcmdapi.Cluster{
		Server: server.URL, CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}
	kubeconfig.AuthInfos["pod"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	kubeconfig.Contexts["hub"] = &clientcmdapi.Context{Cluster: "hub", AuthInfo: "pod"}
	kubeconfig.CurrentContext = "hub"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*kubeconfig, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// racer hands requests on to the hub, with nobody's rights but the caller's. Right before an upgrade's evictions are
// counted it lets a person change that upgrade, so that the count meets a conflict, as it may at any time.
func racer(t *testing.T, config *rest.Config, admin client.Client) *httptest.Server {
	t.Helper()
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(config))
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	var mu sync.Mutex
	counted := map[string]int32{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/clusterupgrades/") {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			var up v1.ClusterUpgrade
			if err := json.Unmarshal(body, &up); err != nil {
				t.Error(err)
			}
			mu.Lock()
			n := up.Status.Evictions.Accepted + up.Status.Evictions.Refused
			more := n > counted[up.Name]
			counted[up.Name] = max(n, counted[up.Name])
			mu.Unlock()
			if more {
				patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"annotations":{"seen":"%d"}}}`, n))
				if err := admin.Patch(r.Context(), &up, patch); err != nil {
					t.Error(err)
				}
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

// runControllers runs the loops until the test ends.
func runControllers(t *testing.T, kubeconfig string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- app.Controllers(ctx, cli.UpOptions{
			DataDir: t.TempDir(), Kubeconfig: kubeconfig, Namespace: namespace, FakeProvider: true, Out: io.Discard, Ready: func() { close(ready) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
}

// makeEnded makes an upgrade of a member that is not there, which the loops end.
func makeEnded(t *testing.T, config *rest.Config, admin client.Client, n int) {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	told, err := c.CoreV1().ConfigMaps(namespace).Get(t.Context(), "refit-hub", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	up := &v1.ClusterUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("gone.%d", n), Finalizers: []string{v1.SafePointFinalizer}},
		Spec: v1.ClusterUpgradeSpec{
			Member: "gone", Release: v1.ReleaseRef{Name: "2026.10", Hash: "0123456789ab"}, Fleet: "before", FleetUID: "before",
			Revision: 1, Hub: told.Data["uid"], Wave: "all",
		},
	}
	if err := admin.Create(t.Context(), up); err != nil {
		t.Fatal(err)
	}
	await(t, admin, up.Name, up, endedAlready)
}

func endedAlready(up *v1.ClusterUpgrade) bool {
	return meta.IsStatusConditionTrue(up.Status.Conditions, v1.ConditionEnded)
}

// liveThrough takes a fleet of one made-up member from its first day to its last.
func liveThrough(t *testing.T, admin client.Client) {
	t.Helper()
	member := &v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "eu-1"},
		Spec:       v1.MemberClusterSpec{Provider: v1.MemberProvider{Fake: &v1.FakeProvider{}}},
	}
	elsewhere := &v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "eu-2"},
		Spec: v1.MemberClusterSpec{Provider: v1.MemberProvider{Object: &v1.ObjectProvider{
			Profile: "ClusterAPI", Namespace: "prod", Name: "eu-2", Kubeconfig: &v1.SecretKey{SecretName: management},
		}}},
	}
	fleet := &v1.Fleet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "main"}, Spec: v1.FleetSpec{
		Release: "2026.11", Waves: []v1.Wave{{Name: "all", MaxConcurrent: intstr.FromInt32(1), MinSuccess: intstr.FromString("100%")}},
		Settle: metav1.Duration{Duration: time.Second}, Bake: metav1.Duration{Duration: time.Second},
	}}
	for _, object := range []client.Object{
		member, elsewhere, fleet,
		&v1.Release{ObjectMeta: metav1.ObjectMeta{Name: "2026.11"}, Spec: v1.ReleaseSpec{Bundle: v1.Bundle{Kubernetes: "v1.36.3"}}},
	} {
		if err := admin.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	up := &v1.ClusterUpgrade{}
	await(t, admin, "eu-1.1", up, endedAlready)
	if ended := meta.FindStatusCondition(up.Status.Conditions, v1.ConditionEnded); ended.Reason != "Done" {
		t.Errorf("it ended %s: %s", ended.Reason, ended.Message)
	}
	for _, object := range []client.Object{fleet, member} {
		if err := admin.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		awaitGone(t, admin, object)
	}
	awaitGone(t, admin, &v1.ClusterUpgrade{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gone.1"}})
}

func awaitGone(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	for begun := time.Now(); ; <-time.After(50 * time.Millisecond) {
		err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object)
		if apierrors.IsNotFound(err) {
			return
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("%s is still there after a minute: %v", object.GetName(), err)
		}
	}
}
