package cli

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
)

var ten = time.Date(2026, time.November, 3, 10, 0, 0, 0, time.UTC)

// heldHub has two fleets of one release: main of one and two, which are behind,
// and edge, of nobody.
func heldHub(change func(*observe.Hub)) observe.Hub {
	f := func(name string) v1.Fleet {
		return v1.Fleet{
			ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)},
			Spec: v1.FleetSpec{
				Release: "2026.11", Waves: []v1.Wave{{Name: "all"}},
				Selector: metav1.LabelSelector{MatchLabels: map[string]string{"fleet": name}},
			},
		}
	}
	h := observe.Hub{
		Releases: []v1.Release{{ObjectMeta: metav1.ObjectMeta{Name: "2026.11"}, Spec: v1.ReleaseSpec{Bundle: v1.Bundle{Kubernetes: "v1.37.2"}}}},
		Fleets:   []v1.Fleet{f("main"), f("edge")},
	}
	for _, name := range []string{"one", "two"} {
		h.Members = append(h.Members, v1.MemberCluster{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"fleet": "main"}},
			Status:     v1.MemberClusterStatus{ObservedAt: metav1.NewTime(ten), ControlPlane: v1.ControlPlaneStatus{Version: "v1.36.3"}},
		})
	}
	change(&h)
	return h
}

// failed adds an upgrade of one that failed, in revision 7 of a fleet of a UID.
func failed(uid string) func(*observe.Hub) {
	return func(h *observe.Hub) {
		h.Upgrades = append(h.Upgrades, v1.ClusterUpgrade{
			ObjectMeta: metav1.ObjectMeta{Name: "one.9"},
			Spec:       v1.ClusterUpgradeSpec{Member: "one", Fleet: "main", FleetUID: uid, Revision: 7},
			Status: v1.ClusterUpgradeStatus{Conditions: []metav1.Condition{{
				Type: v1.ConditionEnded, Status: metav1.ConditionTrue, Reason: "Failed", LastTransitionTime: metav1.NewTime(ten.Add(-time.Hour)),
			}}},
		})
	}
}

// at brings fleet main to a revision of its release.
func at(revision int64, then func(*observe.Hub)) func(*observe.Hub) {
	return func(h *observe.Hub) {
		release, _ := h.Release("2026.11")
		h.Fleets[0].Status.Revision, h.Fleets[0].Status.Release = revision, &v1.ReleaseRef{Name: release.Name, Hash: release.Hash}
		then(h)
	}
}

func frozen(spec v1.FreezeSpec) func(*observe.Hub) {
	return func(h *observe.Hub) {
		h.Freezes = append(h.Freezes, v1.Freeze{
			ObjectMeta: metav1.ObjectMeta{Name: "pause-x", Annotations: map[string]string{v1.ByAnnotation: "ann"}}, Spec: spec,
		})
	}
}

func nothing(*observe.Hub) {}

// A freeze that would stop nothing is refused: somebody has misspelt something.
func TestCovers(t *testing.T) {
	for _, test := range []struct {
		spec v1.FreezeSpec
		want string
	}{
		{v1.FreezeSpec{}, ""},
		{v1.FreezeSpec{Fleet: "main"}, ""},
		{v1.FreezeSpec{Member: "one"}, ""},
		{v1.FreezeSpec{Fleet: "main", Member: "one"}, ""},
		{v1.FreezeSpec{Fleet: "mian"}, `no fleet "mian"; there are: main, edge`},
		{v1.FreezeSpec{Member: "three"}, `no member "three"; there are: one, two`},
		{v1.FreezeSpec{Fleet: "edge", Member: "one"}, `--member one: fleet edge does not select it; leave out the fleet, or see "refit status"`},
	} {
		got := ""
		if err := covers(heldHub(nothing), test.spec); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%+v\ngot  %s\nwant %s", test.spec, got, test.want)
		}
	}
	if err := covers(observe.Hub{}, v1.FreezeSpec{Fleet: "main"}); err == nil || err.Error() != `no fleet "main"; there are: none` {
		t.Errorf("of an empty hub: %v", err)
	}
	if err := covers(observe.Hub{}, v1.FreezeSpec{Member: "one"}); err == nil || err.Error() != `no member "one"; there are: none` {
		t.Errorf("of an empty hub: %v", err)
	}
}

func TestResume(t *testing.T) {
	for _, test := range []struct {
		name, fleet string
		hub         func(*observe.Hub)
		want        string // the revision, or the error
	}{
		{"halted", "main", at(7, failed("uid-main")), "7"},
		{"halted and frozen", "main", at(7, func(h *observe.Hub) {
			failed("uid-main")(h)
			frozen(v1.FreezeSpec{Reason: "holidays"})(h)
		}), "7"},
		{"going on", "main", nothing, `nothing to resume: fleet main has not halted; see "refit status", and "kubectl get freezes" for what is paused`},
		{
			"of a failure in another revision", "main", at(8, failed("uid-main")),
			`nothing to resume: fleet main has not halted; see "refit status", and "kubectl get freezes" for what is paused`,
		},
		{
			"frozen", "main", frozen(v1.FreezeSpec{Fleet: "main", Reason: "holidays"}),
			"nothing to resume: fleet main has not halted, it is frozen by ann: holidays; if it is not to be: kubectl delete freeze pause-x",
		},
		{
			"of no release", "main", func(h *observe.Hub) { h.Releases = nil },
			`nothing to resume: release "2026.11" does not exist; create it, or set the fleet's spec.release to one that exists: kubectl get releases`,
		},
		{"unknown", "mian", nothing, `no fleet "mian"; there are: main, edge`},
	} {
		spec, err := resume(heldHub(test.hub), test.fleet, ten)
		judgeApproval(t, test.name, spec, err, v1.ApprovalSpec{Fleet: "main", Revision: 7, Subject: v1.SubjectResume}, test.want)
	}
}

func TestRetry(t *testing.T) {
	const none = `nothing to retry: the last upgrade of one neither failed nor was aborted in what its fleet rolls now; see "refit why one"`
	for _, test := range []struct {
		name, member string
		hub          func(*observe.Hub)
		want         string // the revision, or the error
	}{
		{"failed", "one", at(7, failed("uid-main")), "7"},
		{"never upgraded", "one", nothing, none},
		{"failed in another revision", "one", at(8, failed("uid-main")), none},
		{"failed in a fleet that is gone", "one", at(7, failed("uid-of-another")), none},
		{"under way again", "one", at(7, func(h *observe.Hub) {
			failed("uid-main")(h)
			h.Upgrades = append(h.Upgrades, v1.ClusterUpgrade{
				ObjectMeta: metav1.ObjectMeta{Name: "one.10"}, Spec: v1.ClusterUpgradeSpec{Member: "one", FleetUID: "uid-main", Revision: 7},
			})
		}), none},
		{"unknown", "three", nothing, `no member "three"; there are: one, two`},
	} {
		spec, err := retry(heldHub(test.hub), test.member, ten)
		judgeApproval(t, test.name, spec, err, v1.ApprovalSpec{Fleet: "main", Revision: 7, Subject: v1.SubjectRetry, Name: "one"}, test.want)
	}
}

func judgeApproval(t *testing.T, name string, got v1.ApprovalSpec, err error, approved v1.ApprovalSpec, want string) {
	t.Helper()
	if err != nil {
		if err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, want)
		}
		return
	}
	if want != "7" {
		t.Errorf("%s: is approved; want %s", name, want)
	}
	if diff := cmp.Diff(approved, got); diff != "" {
		t.Errorf("%s: approval (-want +got):\n%s", name, diff)
	}
}

// TestUntil: when it ends is kept as the API keeps it, to the second and in UTC.
func TestUntil(t *testing.T) {
	now := ten.Add(500 * time.Millisecond)
	for until, want := range map[string]time.Time{
		"36h": ten.Add(36 * time.Hour), "1s": ten.Add(time.Second), "2026-11-03T12:30:00+01:00": ten.Add(90 * time.Minute),
		"2026-11-03T10:00:01Z": ten.Add(time.Second),
		"499ms":                {}, "2026-11-03T10:00:00Z": {}, // are over before they are begun
	} {
		cmd := newPauseCommand()
		if err := cmd.Flags().Set("until", until); err != nil {
			t.Fatal(err)
		}
		got, err := verbFlags{reason: "x", until: until}.read(cmd, now)
		if want.IsZero() != (err != nil) || (err == nil && !got.Time.Equal(want)) {
			t.Errorf("--until %s is %v, %v; want %s", until, got, err, want)
		}
	}
	if got, err := (verbFlags{reason: "x"}).read(newPauseCommand(), now); got != nil || err != nil {
		t.Errorf("without --until it is %v, %v; want no end", got, err)
	}
}

// What is printed is what was created, in the words that kubectl wants, also
// where a shell would read something else into them.
func TestManifest(t *testing.T) {
	until := metav1.NewTime(ten.Add(26 * time.Hour))
	const reason = "costs $HOME & `id`: \"they\" said 'no' \\ # it's"
	for _, test := range []struct {
		object client.Object
		kind   string
		want   string // of the manifest
		begins string // of what is said
	}{
		{
			&v1.Freeze{Spec: v1.FreezeSpec{Fleet: "main", Member: "one", Until: &until, Stops: v1.StopsStarts, Reason: reason}}, "Freeze",
			`{apiVersion: refit.dev/v1alpha1, kind: Freeze, metadata: {generateName: verb-, namespace: refit, annotations: {refit.dev/by: ann}},
			spec: {fleet: main, member: one, until: "2026-11-04T12:00:00Z", stops: Starts}}`,
			"freeze verb-x created; take it back with: kubectl delete freeze -n refit verb-x\n",
		},
		{
			&v1.Approval{Spec: v1.ApprovalSpec{Fleet: "main", Revision: 7, Subject: v1.SubjectRetry, Name: "one", Reason: reason}}, "Approval",
			`{apiVersion: refit.dev/v1alpha1, kind: Approval, metadata: {generateName: verb-, namespace: refit, annotations: {refit.dev/by: ann}},
			spec: {fleet: main, revision: 7, subject: Retry, name: one}}`,
			"approval verb-x created; take it back with: kubectl delete approval -n refit verb-x\n",
		},
	} {
		t.Run(test.kind, func(t *testing.T) {
			h := annsHub(t)
			meta := h.named("verb-")
			test.object.SetNamespace(meta.Namespace)
			test.object.SetGenerateName(meta.GenerateName)
			var out bytes.Buffer
			if err := h.say(t.Context(), test.object, test.kind, &out); err != nil {
				t.Fatal(err)
			}
			if test.object.GetAnnotations()[v1.ByAnnotation] != "ann" {
				t.Errorf("annotations of what was created are %q, want ann's name", test.object.GetAnnotations())
			}
			said, command, _ := strings.Cut(out.String(), "The same with kubectl:\n\n")
			if said != test.begins {
				t.Errorf("it says %q, want %q", said, test.begins)
			}
			// A kubectl that shows what it is given.
			given, err := exec.CommandContext(t.Context(), "sh", "-c", `kubectl() { echo "# $*"; cat; }; `+command).CombinedOutput()
			if err != nil || !strings.HasPrefix(string(given), "# create -f -\n") {
				t.Fatalf("%v, kubectl is given\n%s", err, given)
			}
			var got, want map[string]any
			if err := yaml.UnmarshalStrict(given, &got); err != nil {
				t.Fatal(err)
			}
			if err := yaml.UnmarshalStrict([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			want["spec"].(map[string]any)["reason"] = reason
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("manifest (-want +got):\n%s", diff)
			}
		})
	}
}

// annsHub is a hub that knows who asks, and ends names with x.
func annsHub(t *testing.T) *hub {
	t.Helper()
	s, err := scheme()
	if err != nil {
		t.Fatal(err)
	}
	create := func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
		if review, ok := object.(*authenticationv1.SelfSubjectReview); ok {
			review.Status.UserInfo.Username = "ann"
			return nil
		}
		object.SetName(object.GetGenerateName() + "x")
		return c.Create(ctx, object, opts...)
	}
	memory := fake.NewClientBuilder().WithScheme(s).WithInterceptorFuncs(interceptor.Funcs{Create: create}).Build()
	return &hub{client: memory, namespace: "refit"}
}

// A yes in the second of a failure would not count for it.
func TestSameSecond(t *testing.T) {
	hub := func(ended time.Time) observe.Hub {
		h := heldHub(failed("uid-main"))
		for i := range h.Upgrades {
			h.Upgrades[i].Status.Conditions[0].LastTransitionTime = metav1.NewTime(ended)
		}
		return h
	}
	for _, test := range []struct {
		name string
		now  time.Time
		want time.Duration
	}{
		{"in the second", ten.Add(300 * time.Millisecond), 700 * time.Millisecond},
		{"at its beginning", ten, time.Second},
		{"in the next", ten.Add(time.Second), 0},
		{"long after", ten.Add(time.Hour), 0},
		{"before, by a clock that is behind", ten.Add(-time.Minute), time.Second},
	} {
		if got := sameSecond(hub(ten), test.now); got != test.want {
			t.Errorf("%s: waits %s, want %s", test.name, got, test.want)
		}
	}
	if got := sameSecond(observe.Hub{}, ten); got != 0 {
		t.Errorf("where nothing has ended: waits %s", got)
	}
}

// A hub that has just started does not know its kinds yet, which passes; any other
// refusal is told at once.
func TestAdmitted(t *testing.T) {
	refused, busy := errors.New("no rights"), apierrors.NewServiceUnavailable("etcd is away")
	early := apierrors.NewServiceUnavailable("Resource kind refit.dev/v1alpha1, Kind=Freeze not found. There can be a delay between when CustomResourceDefinitions are created and when they are available.")
	for _, test := range []struct {
		name    string
		answers []error
		want    error
	}{
		{"at once", []error{nil}, nil},
		{"after a while", []error{early, early, nil}, nil},
		{"refused", []error{refused}, refused},
		{"refused after a while", []error{early, refused}, refused},
		{"overloaded: nobody knows what became of it", []error{busy}, busy},
	} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			err := admitted(t.Context(), func() error {
				tries++
				return test.answers[tries-1]
			})
			if !errors.Is(err, test.want) || tries != len(test.answers) {
				t.Errorf("%s: %v after %d tries, want %v after %d", test.name, err, tries, test.want, len(test.answers))
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if err := admitted(t.Context(), func() error { return early }); !errors.Is(err, early) || time.Since(begun) != 30*time.Second {
			t.Errorf("never: %v after %s", err, time.Since(begun))
		}
	})
}
