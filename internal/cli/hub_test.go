package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
)

// serveHub serves what lists tells of each resource, keeps what is created to
// itself, and is the name of a kubeconfig.
func serveHub(t *testing.T, lists func(resource string) any) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch body, _ := io.ReadAll(r.Body); {
		case discovery()[r.URL.Path] != "":
			fmt.Fprint(w, discovery()[r.URL.Path])
		case strings.HasSuffix(r.URL.Path, "/selfsubjectreviews"):
			var me authenticationv1.SelfSubjectReview
			me.Status.UserInfo.Username = "ann"
			_ = json.NewEncoder(w).Encode(me)
		case strings.HasSuffix(r.URL.Path, "/configmaps/refit-hub"): // no loops have run yet
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}`)
		case r.Method == http.MethodDelete:
			fmt.Fprint(w, `{"kind": "Status", "apiVersion": "v1", "status": "Success"}`)
		case r.Method == http.MethodPost:
			w.Header().Set("Content-Type", r.Header.Get("Content-Type")) // protobuf, for kinds of Kubernetes' own
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write(body)
		default:
			_ = json.NewEncoder(w).Encode(lists(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]))
		}
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion": "v1", "kind": "Config", "current-context": "hub", "contexts": [{"name": "hub", "context": {"cluster": "hub"}}],
		"clusters": [{"name": "hub", "cluster": {"server": "` + server.URL + `"}}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// discovery is what an API server says that it serves.
func discovery() map[string]string {
	return map[string]string{
		"/api":    `{"kind": "APIVersions", "versions": ["v1"]}`,
		"/api/v1": `{"kind": "APIResourceList", "groupVersion": "v1", "resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": true}]}`,
		"/apis": `{"kind": "APIGroupList", "apiVersion": "v1", "groups": [
			{"name": "refit.dev", "versions": [{"groupVersion": "refit.dev/v1alpha1", "version": "v1alpha1"}]},
			{"name": "rbac.authorization.k8s.io", "versions": [{"groupVersion": "rbac.authorization.k8s.io/v1", "version": "v1"}]},
			{"name": "authentication.k8s.io", "versions": [{"groupVersion": "authentication.k8s.io/v1", "version": "v1"}]}]}`,
		"/apis/rbac.authorization.k8s.io/v1": `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "rbac.authorization.k8s.io/v1", "resources": [
			{"name": "rolebindings", "kind": "RoleBinding", "namespaced": true}, {"name": "clusterrolebindings", "kind": "ClusterRoleBinding"}]}`,
		"/apis/authentication.k8s.io/v1": `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "authentication.k8s.io/v1", "resources": [
			{"name": "selfsubjectreviews", "kind": "SelfSubjectReview"}]}`,
		"/apis/refit.dev/v1alpha1": `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "refit.dev/v1alpha1", "resources": [
			{"name": "memberclusters", "kind": "MemberCluster", "namespaced": true}, {"name": "releases", "kind": "Release"},
			{"name": "fleets", "kind": "Fleet", "namespaced": true}, {"name": "clusterupgrades", "kind": "ClusterUpgrade", "namespaced": true},
			{"name": "freezes", "kind": "Freeze", "namespaced": true}, {"name": "approvals", "kind": "Approval", "namespaced": true}]}`,
	}
}

// serve serves a hub as it was read once.
func serve(t *testing.T, hub observe.Hub) string {
	t.Helper()
	return serveHub(t, func(resource string) any {
		return map[string]any{
			"memberclusters":       v1.MemberClusterList{Items: hub.Members},
			"releases":             v1.ReleaseList{Items: hub.Releases},
			"fleets":               v1.FleetList{Items: hub.Fleets},
			"clusterupgrades":      v1.ClusterUpgradeList{Items: hub.Upgrades},
			"freezes":              v1.FreezeList{Items: hub.Freezes},
			"approvals":            v1.ApprovalList{Items: hub.Approvals},
			"rolebindings":         rbacv1.RoleBindingList{},
			"refit:user:ann":       rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "refit", Name: "refit:user:ann"}},
			"refit:user:refit:ann": rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "refit:user:refit:ann"}},
		}[resource]
	})
}
