package app_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/app"
	"refit.dev/refit/internal/cli"
	"refit.dev/refit/internal/hub"
)

// people runs commands on a hub, with files in a folder of their own.
type people struct {
	dataDir, folder string
}

func (p people) refit(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := cli.New(app.New())
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func (p people) file(name string) string { return filepath.Join(p.folder, name+".kubeconfig") }

// add adds a person, and waits until the hub heeds it.
func (p people) add(t *testing.T, name, role string) string {
	t.Helper()
	out, err := p.refit(t, "user", "add", name, "--role", role, "--reason", "test", "--data-dir", p.dataDir, "--out", p.file(name), "--expires", "24h")
	if err != nil {
		t.Fatal(err)
	}
	may(t, name+" sees fleets", func() (bool, error) { return p.may(t, name, "list fleets") })
	return out
}

// may waits for what follows from bindings a moment after they were written.
func may(t *testing.T, what string, met func() (bool, error)) {
	t.Helper()
	for begun := time.Now(); ; <-time.After(20 * time.Millisecond) {
		ok, err := met()
		if ok {
			return
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("%s: not within a minute: %v", what, err)
		}
	}
}

// as is a client with the kubeconfig that a person got, and nothing else.
func (p people) as(t *testing.T, name string) client.Client {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", p.file(name))
	if err != nil {
		t.Fatal(err)
	}
	return clientWith(t, config)
}

func clientWith(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1.AddToScheme, authorizationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// may asks the API server about one action, as "create freezes" or "patch
// clusterupgrades/status"; of another group as "get secrets.", of another namespace
// as "list fleets in default".
func (p people) may(t *testing.T, name, action string) (bool, error) {
	t.Helper()
	action, namespace, elsewhere := strings.Cut(action, " in ")
	if !elsewhere {
		namespace = "refit"
	}
	verb, resource, _ := strings.Cut(action, " ")
	resource, group, other := strings.Cut(resource, ".")
	if !other {
		group = "refit.dev"
	}
	resource, sub, _ := strings.Cut(resource, "/")
	resource, object, _ := strings.Cut(resource, ":")
	if strings.HasPrefix(resource, "cluster") && resource != "clusterupgrades" || resource == "releases" {
		namespace = ""
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Resource: resource, Subresource: sub, Group: group, Namespace: namespace, Name: object,
		},
	}}
	err := p.as(t, name).Create(t.Context(), review)
	return review.Status.Allowed, err
}

// TestPeople: everybody is themselves on the hub, and may do what their role says
// and no more, until they are removed.
func TestPeople(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	p := people{dataDir: t.TempDir(), folder: t.TempDir()}
	runUp(t, cli.UpOptions{DataDir: p.dataDir}, func(c client.Client) {
		for _, role := range []string{"viewer", "operator", "admin"} {
			p.add(t, role+"@example.com", role)
		}
		t.Run("roles", p.testRoles)
		t.Run("a freeze has its author", p.testAuthor)
		t.Run("commands", p.testCommands)
		t.Run("removed", p.testRemoved)
		t.Run("keys are kept nowhere", p.testNoKeys)
		t.Run("names of Refit", p.testOwnNames)
	})
}

func (p people) testRoles(t *testing.T) {
	const rbac = ".rbac.authorization.k8s.io"
	for _, test := range []struct {
		least   string // who may, and all above
		actions []string
	}{
		{"viewer", []string{
			"get fleets", "list fleets", "watch fleets", "list memberclusters", "list clusterupgrades", "list freezes", "list approvals",
			"list releases", "watch releases", "list events.", "list events.events.k8s.io", "get configmaps:refit-hub.",
		}},
		{"operator", []string{
			"create freezes", "delete freezes", "create approvals", "delete approvals", "patch clusterupgrades", "update clusterupgrades",
			"create fleets", "patch fleets", "update fleets", "delete fleets",
		}},
		{"admin", []string{
			"create releases", "patch releases", "update releases", "delete releases",
			"create memberclusters", "patch memberclusters", "update memberclusters", "delete memberclusters",
			"list rolebindings" + rbac, "create rolebindings" + rbac, "delete rolebindings" + rbac,
			"list clusterrolebindings" + rbac, "create clusterrolebindings" + rbac, "delete clusterrolebindings" + rbac,
		}},
		{"nobody", []string{
			"get secrets.", "list secrets.", "list configmaps.", "get configmaps:other.", "create namespaces.", "list leases.coordination.k8s.io",
			"patch clusterupgrades/status", "update fleets/status", "patch memberclusters/status", "create clusterupgrades", "delete clusterupgrades",
			"update freezes", "patch approvals", "bind clusterroles" + rbac, "escalate clusterroles" + rbac, "update clusterroles" + rbac,
			"impersonate users.", "impersonate groups.", "list fleets in default", "create rolebindings" + rbac + " in kube-system",
			"create customresourcedefinitions.apiextensions.k8s.io", "delete mutatingadmissionpolicies.admissionregistration.k8s.io",
			"delete validatingadmissionpolicies.admissionregistration.k8s.io", "create serviceaccounts/token.",
		}},
	} {
		want := false
		for _, role := range []string{"viewer", "operator", "admin"} {
			want = want || role == test.least
			for _, action := range test.actions {
				if got, err := p.may(t, role+"@example.com", action); err != nil || got != want {
					t.Errorf("%s may %s: %v, %v; want %v", role, action, got, err, want)
				}
			}
		}
	}
}

// testAuthor does what the table says in earnest, and looks at who the API server
// says did it.
func (p people) testAuthor(t *testing.T) {
	freeze := &v1.Freeze{
		ObjectMeta: metav1.ObjectMeta{Namespace: "refit", Name: "holidays", Annotations: map[string]string{v1.ByAnnotation: "somebody-else"}},
		Spec:       v1.FreezeSpec{Reason: "holidays"},
	}
	if err := p.as(t, "viewer@example.com").Create(t.Context(), freeze.DeepCopy()); !apierrors.IsForbidden(err) {
		t.Errorf("a viewer's freeze: %v", err)
	}
	operator := p.as(t, "operator@example.com")
	if err := operator.Create(t.Context(), freeze); err != nil {
		t.Fatal(err)
	}
	if by := freeze.Annotations[v1.ByAnnotation]; by != "operator@example.com" {
		t.Errorf("an operator's freeze is by %q", by)
	}
	if err := operator.Delete(t.Context(), freeze); err != nil {
		t.Error(err)
	}
}

// testCommands: what a role is for can be done with its kubeconfig alone.
func (p people) testCommands(t *testing.T) {
	for _, test := range []struct {
		role string
		args []string
		want string // in what it says, or in its error
	}{
		{"viewer", []string{"status"}, "no fleets and no members"},
		{"viewer", []string{"plan"}, "<nil>"},
		{"viewer", []string{"pause", "--reason", "x"}, `User "viewer@example.com" cannot create resource "freezes"`},
		{"viewer", []string{"user", "list"}, `User "viewer@example.com" cannot list resource "rolebindings"`},
		{"operator", []string{"pause", "--reason", "x"}, "freeze pause-"},
		{"operator", []string{"user", "remove", "viewer@example.com"}, `User "operator@example.com" cannot get resource "rolebindings"`},
		{"admin", []string{"user", "list"}, "viewer@example.com     viewer     20"},
	} {
		args := append(test.args, "--kubeconfig", p.file(test.role+"@example.com"))
		out, err := p.refit(t, args...)
		if said := fmt.Sprint(out, err); !strings.Contains(said, test.want) {
			t.Errorf("%s, refit %s, says no %q, but\n%s", test.role, strings.Join(test.args, " "), test.want, said)
		}
	}
}

// testRemoved: what a person had is gone, also when the name is given again.
func (p people) testRemoved(t *testing.T) {
	p.add(t, "ann", "operator")
	out, err := p.refit(t, "user", "remove", "ann", "--kubeconfig", p.file("admin@example.com"))
	if err != nil || !strings.Contains(out, "user ann may do nothing any more; their certificate is valid until 20") {
		t.Fatalf("%v\n%s", err, out)
	}
	refused := func() (bool, error) {
		err := p.as(t, "ann").List(t.Context(), &v1.FleetList{}, client.InNamespace("refit"))
		if !apierrors.IsForbidden(err) {
			return false, err
		}
		err = p.as(t, "ann").List(t.Context(), &v1.ReleaseList{})
		return apierrors.IsForbidden(err), err
	}
	may(t, "ann is refused", refused)
	if err := os.Rename(p.file("ann"), p.file("ann-before")); err != nil {
		t.Fatal(err)
	}
	p.add(t, "ann", "admin")
	if yes, err := p.may(t, "ann-before", "list fleets"); err != nil || yes {
		t.Errorf("what was taken back has rights again: %v, %v", yes, err)
	}
}

// testNoKeys looks for a person's key in all that the hub wrote, and in what the
// command said.
func (p people) testNoKeys(t *testing.T) {
	said := p.add(t, "cat", "viewer")
	kubeconfig, err := clientcmd.LoadFromFile(p.file("cat"))
	if err != nil {
		t.Fatal(err)
	}
	key := kubeconfig.AuthInfos["cat"].ClientKeyData
	text, err := os.ReadFile(p.file("cat"))
	if err != nil {
		t.Fatal(err)
	}
	_, encoded, _ := strings.Cut(string(text), "client-key-data: ")
	encoded = strings.TrimSpace(encoded)
	line := strings.Split(string(key), "\n")[1]
	if len(line) < 40 || len(encoded) < 40 {
		t.Fatalf("there is no key in\n%s", text)
	}
	if strings.Contains(said, line) || strings.Contains(said, encoded) || strings.Contains(said, "PRIVATE KEY") {
		t.Errorf("the command says the key:\n%s", said)
	}
	err = filepath.WalkDir(p.dataDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // etcd renames files meanwhile
		}
		if content, _ := os.ReadFile(path); bytes.Contains(content, []byte(line)) || bytes.Contains(content, []byte(encoded)) {
			t.Errorf("%s holds the key", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testOwnNames: nobody becomes Refit.
func (p people) testOwnNames(t *testing.T) {
	for _, name := range []string{hub.ControllerUser, hub.AdminUser} {
		_, err := p.refit(t, "user", "add", name, "--role", "viewer", "--reason", "x", "--data-dir", p.dataDir, "--out", p.file("x"))
		if err == nil || !strings.Contains(err.Error(), "is Refit's own") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
