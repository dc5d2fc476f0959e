package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"refit.dev/refit/deploy/chart"
)

// Names that are somebody's already, or could be taken for another, are refused.
func TestPersonNames(t *testing.T) {
	const none, own = "is no name of a person; use at most 64 lower-case letters, digits and inner . _ + -, or an e-mail address",
		"is Refit's own; choose one that does not begin so"
	for name, want := range map[string]string{
		"ann": "", "ann.b-c_d": "", "ann+ops@example.com": "", "7": "", "refitter": "", strings.Repeat("a", 64): "",
		"": none, "system:admin": none, "a/b": none, "../ann": none, "Ann": none, "ann ben": none, "-ann": none, "ann\n": none, "ann@": none,
		"@ann": none, "a@b@c": none, "ånn": none, "ann%": none, strings.Repeat("a", 65): none,
		"refit": own, "refit-admin": own, "refit-x": own,
	} {
		got := ""
		if err := checkPerson(name); err != nil {
			got = err.Error()
		}
		if (want == "") != (got == "") || !strings.HasSuffix(got, want) {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// peopleHub is a hub in memory that two people can be added to.
func peopleHub(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) *hub {
	t.Helper()
	s, err := scheme()
	if err != nil {
		t.Fatal(err)
	}
	return &hub{namespace: "refit", client: fake.NewClientBuilder().WithScheme(s).WithObjects(objects...).WithInterceptorFuncs(funcs).Build()}
}

func annAs(role string) grant {
	return grant{name: "ann", role: role, reason: "on call", group: newGroup(role), until: ten}
}

// TestBind: the bindings that are made are those that are printed, of roles that are
// shipped; both are made, or none; and a certificate that was taken back gets nothing
// of the next one's rights.
func TestBind(t *testing.T) {
	shipped := map[string]bool{}
	roles, err := chart.Roles()
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range roles {
		shipped[role.Name] = true
	}
	var groups []string
	h := peopleHub(t, interceptor.Funcs{})
	for _, role := range roleNames() {
		text, err := h.bind(t.Context(), annAs(role))
		if err != nil {
			t.Fatal(err)
		}
		made := annsBindings(t, h)
		documents := strings.Split(string(text), "---\n")
		for i, object := range made {
			if got, want := readable(t, object), decode(t, documents[i]); !cmp.Equal(want, got) {
				t.Errorf("%s, document %d (-printed +made):\n%s", role, i, cmp.Diff(want, got))
			}
		}
		b, c := made[0].(*rbacv1.RoleBinding), made[1].(*rbacv1.ClusterRoleBinding)
		if !shipped[b.RoleRef.Name] || !shipped[c.RoleRef.Name] {
			t.Errorf("%s is bound to %s and %s, which are not there", role, b.RoleRef.Name, c.RoleRef.Name)
		}
		if b.Subjects[0].Kind != "Group" || b.Subjects[0] != c.Subjects[0] || len(b.Subjects) != 1 {
			t.Errorf("%s is bound to %v and %v, want one group", role, b.Subjects, c.Subjects)
		}
		groups = append(groups, b.Subjects[0].Name)

		_, err = h.bind(t.Context(), annAs("viewer"))
		if want := "user ann is there already; take from their kubeconfig what it may do, then add them again: refit user remove ann"; err == nil || err.Error() != want {
			t.Errorf("once more:\ngot  %v\nwant %s", err, want)
		}
		if expires, err := h.unbind(t.Context(), "ann"); err != nil || expires != "2026-11-03T10:00:00Z" {
			t.Errorf("unbind = %s, %v", expires, err)
		}
	}
	if again := newGroup("admin"); again == groups[2] {
		t.Errorf("two certificates have the group %s", again)
	}
	if _, err := h.unbind(t.Context(), "ann"); err == nil || err.Error() != `no user "ann"; there are: none` {
		t.Errorf("of nobody: %v", err)
	}
}

func annsBindings(t *testing.T, h *hub) []client.Object {
	t.Helper()
	b, c := &rbacv1.RoleBinding{}, &rbacv1.ClusterRoleBinding{}
	if err := errors.Join(
		h.client.Get(t.Context(), client.ObjectKey{Namespace: "refit", Name: "refit:user:ann"}, b),
		h.client.Get(t.Context(), client.ObjectKey{Name: "refit:user:refit:ann"}, c),
	); err != nil {
		t.Fatal(err)
	}
	return []client.Object{b, c}
}

// readable is an object as a person would have written it.
func readable(t *testing.T, object client.Object) map[string]any {
	t.Helper()
	object = object.DeepCopyObject().(client.Object)
	object.SetResourceVersion("")
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	delete(fields, "kind") // which the client takes off
	delete(fields, "apiVersion")
	return fields
}

func decode(t *testing.T, document string) map[string]any {
	t.Helper()
	var fields map[string]any
	if err := yaml.Unmarshal([]byte(document), &fields); err != nil {
		t.Fatal(err)
	}
	if fields["kind"] == nil || fields["apiVersion"] != "rbac.authorization.k8s.io/v1" {
		t.Errorf("kubectl could not read\n%s", document)
	}
	delete(fields, "kind")
	delete(fields, "apiVersion")
	return fields
}

// A grant whose answer was lost is none: the key that it was for is thrown away.
func TestBindUnanswered(t *testing.T) {
	for _, lost := range []string{"*v1.RoleBinding", "*v1.ClusterRoleBinding"} {
		h := peopleHub(t, interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
				err := c.Create(ctx, object, opts...)
				if fmt.Sprintf("%T", object) == lost {
					return errors.New("connection reset by peer")
				}
				return err
			},
		})
		if _, err := h.bind(t.Context(), annAs("viewer")); err == nil || !strings.Contains(err.Error(), "bind the role of ann: connection reset by peer") {
			t.Errorf("bind = %v", err)
		}
		var inNamespace rbacv1.RoleBindingList
		var ofCluster rbacv1.ClusterRoleBindingList
		if err := errors.Join(h.client.List(t.Context(), &inNamespace), h.client.List(t.Context(), &ofCluster)); err != nil {
			t.Fatal(err)
		}
		if n := len(inNamespace.Items) + len(ofCluster.Items); n > 0 {
			t.Errorf("without the answer about the %s, %d bindings are left", lost, n)
		}
	}
}

// Who is there already stays so: of another's bindings none is taken back.
func TestBindTwice(t *testing.T) {
	h := peopleHub(t, interceptor.Funcs{})
	if _, err := h.bind(t.Context(), annAs("viewer")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.bind(t.Context(), annAs("admin")); err == nil || !strings.Contains(err.Error(), "user ann is there already") {
		t.Errorf("bind = %v", err)
	}
	if all, err := h.users(t.Context()); err != nil || len(all) != 1 || all[0].role != "viewer" {
		t.Errorf("users are %+v, %v", all, err)
	}
}

// Half a grant is none, and half a user can be removed.
func TestBindHalf(t *testing.T) {
	h := peopleHub(t, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
			if _, ok := object.(*rbacv1.ClusterRoleBinding); ok {
				return errors.New("no disk")
			}
			return c.Create(ctx, object, opts...)
		},
	})
	if _, err := h.bind(t.Context(), annAs("viewer")); err == nil || !strings.Contains(err.Error(), "bind the role of ann: no disk") {
		t.Errorf("bind = %v", err)
	}
	if all, err := h.users(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("left behind is %v, %v", all, err)
	}
	h = peopleHub(t, interceptor.Funcs{}, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "refit:user:refit:ann"}})
	if expires, err := h.unbind(t.Context(), "ann"); err != nil || expires != "it expires" {
		t.Errorf("of half a user: %s, %v", expires, err)
	}
}

// TestUserAddWrites: the file is for its owner alone, is never overwritten, and does
// not stay where the role was not bound; what is printed holds no key.
func TestUserAddWrites(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	app := unreached(t)
	app.Now = func() time.Time { return ten }
	var asked Person
	app.Issue = func(_ string, who Person) ([]byte, error) {
		asked = who
		return []byte("the key"), nil
	}
	dataDir := filepath.Dir(serve(t, heldHub(nothing)))
	add := func(args ...string) (string, error) {
		return refit(t, app, append([]string{"user", "add", "ann", "--role", "operator", "--reason", "on call", "--data-dir", dataDir}, args...)...)
	}

	out, err := add("--expires", "24h")
	if err != nil {
		t.Fatal(err)
	}
	if asked.Group == "" || asked.Name != "ann" || asked.Namespace != "refit" || !asked.Until.Equal(ten.Add(24*time.Hour)) {
		t.Errorf("asked for was %+v", asked)
	}
	for _, want := range []string{"user ann has the role operator until 2026-11-04T10:00:00Z, with the kubeconfig in ann.kubeconfig; take it back with: refit user remove ann\n", "kubectl create -f -", asked.Group} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q, but\n%s", want, out)
		}
	}
	if strings.Contains(out, "the key") {
		t.Errorf("it prints the key:\n%s", out)
	}
	info, err := os.Stat("ann.kubeconfig")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file is %v, %v", info, err)
	}
	if _, err := add(); err == nil || err.Error() != "--out ann.kubeconfig: exists already and is not overwritten; move it away, or name another file" {
		t.Errorf("once more: %v", err)
	}
	if _, err := add("--out", "nowhere/ann"); err == nil || err.Error() != "--out nowhere/ann: no such file or directory; name a file in a folder that you may write to" {
		t.Errorf("in no folder: %v", err)
	}
	if out, err := add("--out", "-"); err != nil || !strings.Contains(out, "the keyuser ann has the role") {
		t.Errorf("on standard output, %v:\n%s", err, out)
	}
}

func TestUserAddLeavesNoKey(t *testing.T) {
	t.Chdir(t.TempDir())
	h := peopleHub(t, interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			return errors.New("no disk")
		},
	})
	g := annAs("viewer")
	g.out = "ann.kubeconfig"
	cmd := New(unreached(t))
	cmd.SetContext(t.Context())
	if err := h.add(cmd, g, []byte("the key")); err == nil {
		t.Error("nothing was bound, and nothing is said")
	}
	if _, err := os.Stat(g.out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}

// TestUsers: bindings that people wrote by hand are listed too, and those of others
// are not.
func TestUsers(t *testing.T) {
	bound := func(name, role string, annotations map[string]string) *rbacv1.RoleBinding {
		return &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "refit", Name: name, CreationTimestamp: metav1.NewTime(ten), Annotations: annotations},
			RoleRef:    rbacv1.RoleRef{Kind: "ClusterRole", Name: role},
		}
	}
	h := peopleHub(t, interceptor.Funcs{},
		bound("refit:user:ann", "refit-operator", map[string]string{"refit.dev/expires": "2027-02-01T10:00:00Z", "refit.dev/reason": "on call"}),
		bound("refit:user:ben@example.com", "edit", nil), bound("robots", "refit-admin", nil))
	all, err := h.users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := listUsers(all, &out); err != nil {
		t.Fatal(err)
	}
	want := "NAME              ROLE       SINCE                  EXPIRES                REASON\n" +
		"ann               operator   2026-11-03T10:00:00Z   2027-02-01T10:00:00Z   on call\n" +
		"ben@example.com   edit       2026-11-03T10:00:00Z   -                      -\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := h.unbind(t.Context(), "cat"); err == nil || err.Error() != `no user "cat"; there are: ann, ben@example.com` {
		t.Errorf("of nobody: %v", err)
	}
}

// Nobody's role grows by itself: no rule has a wildcard, none is about secrets, and
// none lets its owner become another or outgrow it.
func TestRolesAreNarrow(t *testing.T) {
	roles, err := chart.Roles()
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range roles {
		text, err := json.Marshal(role)
		if err != nil {
			t.Fatal(err)
		}
		for _, never := range []string{`"*"`, "secrets", "impersonate", "escalate", `"bind"`, "/status", "clusterroles\""} {
			if strings.Contains(string(text), never) {
				t.Errorf("%s has %s: %s", role.Name, never, text)
			}
		}
	}
}
