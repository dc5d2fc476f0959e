package app_test

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/view"
)

// auditPolicy lets every write of Refit's objects be logged.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete]
  resources: [{group: refit.dev, resources: [approvals, freezes, fleets, clusterupgrades]}]
- level: None
`

// TestAuditAgrees: what the report says people did is what the API server's audit log
// says they wrote, by the same names; and Refit itself did nothing of that kind.
func TestAuditAgrees(t *testing.T) {
	config, log := startAudited(t, auditPolicy)
	c := runFleets(t, config, nil)
	people := map[string]client.Client{}
	for _, name := range []string{"ann", "ben", "system:serviceaccount:flux-system:kustomize-controller"} {
		people[name] = personOf(t, config, name)
	}
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	may(t, "the hub writes authors", func() (bool, error) {
		probe := &v1.Freeze{ObjectMeta: named("probe"), Spec: v1.FreezeSpec{Reason: "x"}}
		err := people["ann"].Create(t.Context(), probe, client.DryRunAll)
		return err == nil && probe.Annotations[v1.ByAnnotation] == "ann", err
	})
	for _, release := range []string{"2026.11", "2026.12"} {
		object := &v1.Release{ObjectMeta: metav1.ObjectMeta{Name: release}, Spec: v1.ReleaseSpec{Bundle: v1.Bundle{Kubernetes: "v1.37.2"}}}
		if err := people["ann"].Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}

	ours := "system:serviceaccount:flux-system:kustomize-controller"
	f := &v1.Fleet{ObjectMeta: named("main"), Spec: v1.FleetSpec{Release: "2026.11"}}
	stop := &v1.Freeze{ObjectMeta: named("stop"), Spec: v1.FreezeSpec{Reason: "x"}}
	approval := func(name, subject, member string) *v1.Approval {
		return &v1.Approval{ObjectMeta: named(name), Spec: v1.ApprovalSpec{Fleet: "main", Revision: 1, Subject: subject, Name: member, Reason: "x"}}
	}
	edit := func(change func(*v1.FleetSpec)) func(client.Client) error {
		return func(person client.Client) error {
			before := f.DeepCopy()
			change(&f.Spec)
			return person.Patch(t.Context(), f, client.MergeFrom(before))
		}
	}
	create := func(object client.Object) func(client.Client) error {
		return func(person client.Client) error { return person.Create(t.Context(), object) }
	}
	acts := int32(0)
	for _, step := range []struct {
		who string
		do  func(client.Client) error
	}{
		{ours, create(f)},
		{"ann", create(stop)},
		{"ann", create(approval("go-on", v1.SubjectResume, ""))},
		{"ben", create(approval("again", v1.SubjectRetry, "eu-1"))},
		{"ben", edit(func(spec *v1.FleetSpec) { spec.Bake.Duration = 3 * time.Minute })},
		{"ben", func(person client.Client) error { return person.Delete(t.Context(), stop) }},
		{ours, edit(func(spec *v1.FleetSpec) { spec.Release = "2026.12" })},
	} {
		if err := step.do(people[step.who]); err != nil {
			t.Fatal(err)
		}
		acts++
		may(t, "it is counted", func() (bool, error) {
			told, _ := reported(t, c)
			sum := int32(0)
			for _, n := range told {
				sum += n
			}
			return sum == acts, nil
		})
	}

	told, deleted := reported(t, c)
	logged, gone := audited(t, log)
	if diff := cmp.Diff(logged, told); diff != "" {
		t.Errorf("what people did (-audit log +report):\n%s", diff)
	}
	if deleted != gone || gone != 1 {
		t.Errorf("%d were taken back, and %d deleted by the audit log; want 1", deleted, gone)
	}
}

// reported is how much each did, by the report, and how many things were taken back,
// of whom no object names anybody.
func reported(t *testing.T, c client.Client) (map[string]int32, int32) {
	t.Helper()
	seen, err := observe.ReadHub(t.Context(), c, namespace)
	if err != nil {
		t.Fatal(err)
	}
	told, back := map[string]int32{}, int32(0)
	for _, f := range view.ReportOf(seen, "", "").Fleets {
		for _, r := range f.Revisions {
			for _, person := range r.People {
				for _, act := range person.Acts {
					told[person.By] += act.Count
					if act.Act == string(v1.ActTakeBack) {
						back += act.Count
					}
				}
			}
		}
	}
	return told, back
}

// audited is the same by the audit log: who wrote how many objects, with success; who
// deleted one is nobody in the report, and so here.
func audited(t *testing.T, path string) (map[string]int32, int32) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	logged, gone := map[string]int32{}, int32(0)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			Verb, RequestURI       string
			User, ImpersonatedUser struct{ Username string }
			ResponseStatus         struct{ Code int }
			ObjectRef              struct{ Resource, Subresource string }
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			t.Fatal(err)
		}
		if event.ObjectRef.Subresource != "" || event.ResponseStatus.Code >= 300 || strings.Contains(event.RequestURI, "dryRun") {
			continue
		}
		switch who := event.ImpersonatedUser.Username; {
		case who == "" && event.ObjectRef.Resource == "fleets" && event.Verb == "patch": // a finalizer
		case who == "":
			t.Errorf("%s itself did: %s", event.User.Username, lines.Text())
		case event.Verb == "delete":
			logged[""]++
			gone++
		default:
			logged[who]++
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return logged, gone
}

// personOf is a client of somebody who may do everything.
func personOf(t *testing.T, config *rest.Config, name string) client.Client {
	t.Helper()
	config = rest.CopyConfig(config)
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: []string{"system:masters"}}
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
