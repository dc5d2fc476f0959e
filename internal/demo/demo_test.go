package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	clientfake "sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/view"
	"refit.dev/refit/internal/witness"
)

const namespace = "refit"

// hub holds these objects.
func hub(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return clientfake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

func demoFleet(release string) *v1.Fleet {
	return &v1.Fleet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fleetName, UID: "uid"},
		Spec:       v1.FleetSpec{Release: release, Waves: []v1.Wave{{Name: "all", MaxConcurrent: intstr.FromInt32(2)}}},
	}
}

// member is seen healthy, now, at a version.
func member(name, version string) *v1.MemberCluster {
	return &v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Status: v1.MemberClusterStatus{
			ObservedAt: metav1.Now(), ControlPlane: v1.ControlPlaneStatus{Version: version},
			Conditions: []metav1.Condition{{Type: v1.ConditionReady, Status: metav1.ConditionTrue}},
		},
	}
}

// upgrade ended after some time with an outcome; without one it goes on.
func upgrade(member string, number int, outcome string, took time.Duration) *v1.ClusterUpgrade {
	begun := time.Date(2026, time.November, 3, 22, 30, 0, 0, time.UTC)
	up := &v1.ClusterUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s.%d", member, number), CreationTimestamp: metav1.NewTime(begun)},
		Spec:       v1.ClusterUpgradeSpec{Member: member, Fleet: fleetName, FleetUID: "uid", Revision: 1, Wave: "all"},
		Status:     v1.ClusterUpgradeStatus{From: "v1.36.3", Evictions: v1.Evictions{Accepted: 12, Refused: 34}},
	}
	if outcome != "" {
		up.Status.Conditions = []metav1.Condition{{
			Type: v1.ConditionEnded, Status: metav1.ConditionTrue, Reason: outcome, LastTransitionTime: metav1.NewTime(begun.Add(took)),
		}}
	}
	return up
}

// put creates an object, or takes the place of the one of its name.
func put(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := client.IgnoreNotFound(c.Delete(t.Context(), object)); err != nil {
		t.Error(err)
	}
	if err := c.Create(t.Context(), object); err != nil {
		t.Error(err)
	}
}

// settle waits for a hub in a time of its own; arrange is called with every
// picture that is drawn.
func settle(ctx context.Context, t *testing.T, c client.Client, arrange func(view.Status)) (time.Duration, error) {
	t.Helper()
	d := &Demo{Namespace: namespace, Draw: arrange}
	begun := time.Now()
	err := d.settled(ctx, c)
	return time.Since(begun), err
}

// A fleet that is not there yet is waited for, and drawn meanwhile.
func TestSettledWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := hub(t, demoFleet("kubernetes-1.37"), member("demo-1", "v1.36.3"))
		var drawn []string
		took, err := settle(t.Context(), t, c, func(status view.Status) {
			drawn = append(drawn, status.Fleets[0].Headline())
			switch len(drawn) {
			case 1: // a release that does not exist yet halts the fleet; nothing has failed
				put(t, c, releaseOf(version("v1.37.2")))
			case 2:
				put(t, c, upgrade("demo-1", 1, "", 0))
			case 3:
				put(t, c, member("demo-1", "v1.37.2"))
				put(t, c, upgrade("demo-1", 1, "Done", time.Minute))
			}
		})
		if err != nil || took != 1500*time.Millisecond {
			t.Errorf("%v after %s; want that it is there after 1.5 s", err, took)
		}
		want := []string{
			"demo → release kubernetes-1.37 (no such release): 0 of 1 done, 1 waiting",
			"demo → release kubernetes-1.37 (v1.37.2): 0 of 1 done, 1 waiting",
			"demo → release kubernetes-1.37 (v1.37.2): 0 of 1 done, 1 running",
			"demo → release kubernetes-1.37 (v1.37.2): 1 of 1 done",
		}
		if diff := cmp.Diff(want, drawn); diff != "" {
			t.Errorf("drawn (-want +got):\n%s", diff)
		}
	})
}

// A fleet that halted will not get there: it is drawn once more, and told.
func TestSettledStopsOnHaltedFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := hub(
			t, releaseOf(version("v1.37.2")), demoFleet("kubernetes-1.37"),
			member("demo-1", "v1.36.3"), member("demo-2", "v1.36.3"), upgrade("demo-1", 1, "Failed", time.Minute),
		)
		drawn := 0
		took, err := settle(t.Context(), t, c, func(view.Status) { drawn++ })
		if err == nil || err.Error() != "the fleet halted: 1 failed (demo-1), 0 tolerated" {
			t.Errorf("got %v, want that the fleet halted", err)
		}
		if took != 0 || drawn != 1 {
			t.Errorf("%d pictures in %s, want one at once", drawn, took)
		}
	})
}

// Nobody waits forever.
func TestSettledGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := hub(t, releaseOf(version("v1.37.2")), demoFleet("kubernetes-1.37"), member("demo-1", "v1.36.3"))
		took, err := settle(t.Context(), t, c, func(view.Status) {})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(fmt.Sprint(err), "the fleet is not at its release") || took != limit {
			t.Errorf("%v after %s; want to give up after %s", err, took, limit)
		}
		ctx, interrupt := context.WithCancel(t.Context())
		defer interrupt()
		drawn := 0
		_, err = settle(ctx, t, c, func(view.Status) {
			if drawn++; drawn == 3 {
				interrupt()
			}
		})
		if !errors.Is(err, context.Canceled) || drawn != 3 {
			t.Errorf("interrupted at the third picture: %v after %d", err, drawn)
		}
	})
}

// saw is an observer that has seen this.
type saw witness.Report

func (s saw) Stop() witness.Report { return witness.Report(s) }

// clusters are a provider of API servers that answer with a version; one
// without a version does not answer.
type clusters struct {
	provider.Provider
	versions map[string]string
	server   *httptest.Server
}

func newClusters(t *testing.T, versions map[string]string) clusters {
	c := clusters{versions: versions}
	c.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.Split(r.URL.Path, "/")[1]
		if versions[name] == "" || !strings.HasSuffix(r.URL.Path, "/version") {
			http.Error(w, "shutting down", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"gitVersion": %q}`, versions[name])
	}))
	t.Cleanup(c.server.Close)
	return c
}

func (c clusters) Connect(_ context.Context, ref provider.Ref) (*rest.Config, error) {
	return &rest.Config{Host: c.server.URL + "/" + ref.Name}, nil
}

// summary is what is printed of three clusters, and what is said to fall short.
func summary(t *testing.T, served map[string]string, reports map[string]observer) (string, error) {
	t.Helper()
	c := hub(
		t, releaseOf(version("v1.37.2")), demoFleet("kubernetes-1.37"),
		upgrade("demo-1", 1, "Superseded", time.Hour), upgrade("demo-1", 10, "Done", 21*time.Second), upgrade("demo-1", 9, "Failed", time.Hour),
		upgrade("demo-2", 1, "Done", 83*time.Second), upgrade("demo-3", 1, "", 0), upgrade("demo-4", 1, "Done", time.Hour),
	)
	var out bytes.Buffer
	d := &Demo{Namespace: namespace, Out: &out, Nodes: 2, From: version("v1.36.3"), To: version("v1.37.2"), Provider: newClusters(t, served)}
	d.Members.Dir = t.TempDir()
	for i, name := range slices.Sorted(maps.Keys(reports)) {
		begins(t, d.Members.Folder(name), time.Duration(i)*soak)
	}
	err := d.summarize(t.Context(), c, reports)
	return out.String(), err
}

// begins writes the journal of a cluster whose new API server started some time
// after ten o'clock.
func begins(t *testing.T, folder string, after time.Duration) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	journal, err := process.OpenJournal(controlplane.Journal(folder))
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	ten := time.Date(2026, time.November, 3, 10, 0, 0, 0, time.UTC)
	for _, entry := range []process.Entry{
		{Time: ten.Add(-time.Hour), Event: process.Started, Part: "kube-apiserver", Version: "v1.36.3"},
		{Time: ten.Add(after), Event: process.Started, Part: "kube-apiserver", Version: "v1.37.2"},
		{Time: ten.Add(time.Hour), Event: process.Started, Part: "kube-apiserver", Version: "v1.37.2"},
	} {
		if err := journal.Add(entry); err != nil {
			t.Fatal(err)
		}
	}
}

// Who begins before the canary has soaked is told of.
func TestCanaryFirst(t *testing.T) {
	ten := time.Date(2026, time.November, 3, 10, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name  string
		begun map[string]time.Time
		want  string
	}{
		{"in order", map[string]time.Time{"demo-1": ten, "demo-2": ten.Add(soak), "demo-3": ten.Add(soak + 1)}, ""},
		{"alone", map[string]time.Time{"demo-1": ten}, ""},
		{"one that never began", map[string]time.Time{"demo-1": ten, "demo-2": {}}, ""},
		{"too early", map[string]time.Time{"demo-1": ten, "demo-2": ten.Add(soak - time.Millisecond)}, "demo-2 began 4.999s after the canary demo-1, which soaks for 5s"},
		{"before", map[string]time.Time{"demo-1": ten, "demo-2": ten.Add(-time.Second)}, "demo-2 began -1s after the canary demo-1, which soaks for 5s"},
	} {
		got := ""
		if err := canaryFirst(test.begun); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if err := canaryFirst(map[string]time.Time{"demo-1": {}, "demo-2": ten}); err == nil {
		t.Error("a canary that never began: nothing is told")
	}
}

func TestSummary(t *testing.T) {
	got, err := summary(t,
		map[string]string{"demo-1": "v1.37.2", "demo-2": "v1.37.2"},
		map[string]observer{"demo-2": saw(fine()), "demo-1": saw(fine())},
	)
	if err != nil {
		t.Error(err)
	}
	want := `
CLUSTER  FROM → TO          TIME   NODES ROTATED  EVICTIONS  REFUSED  LOWEST AVAILABILITY
demo-1   v1.36.3 → v1.37.2  21s    2 of 2         12         34       api 3/4 (floor 3), web 6/6 (floor 5)
demo-2   v1.36.3 → v1.37.2  1m23s  2 of 2         12         34       api 3/4 (floor 3), web 6/6 (floor 5)
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

// What fell short is told of every cluster, and the table is printed all the same.
func TestSummaryOfWhatFellShort(t *testing.T) {
	broken, undone := fine(), fine()
	broken.Budgets[0].Lowest = 1
	undone.Removed = nil
	got, err := summary(t,
		map[string]string{"demo-1": "v1.37.2", "demo-3": "v1.36.3"},
		map[string]observer{"demo-1": saw(broken), "demo-2": saw(fine()), "demo-3": saw(undone)},
	)
	want := `
CLUSTER  FROM → TO          TIME   NODES ROTATED  EVICTIONS  REFUSED  LOWEST AVAILABILITY
demo-1   v1.36.3 → v1.37.2  21s    2 of 2         12         34       api 1/4 (floor 3), web 6/6 (floor 5)
demo-2   v1.36.3 →          1m23s  2 of 2         12         34       api 3/4 (floor 3), web 6/6 (floor 5)
demo-3   v1.36.3 → v1.36.3  0s     0 of 2         12         34       api 3/4 (floor 3), web 6/6 (floor 5)
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	told := fmt.Sprint(err)
	for _, part := range []string{
		"demo-1: budget default/api saw 1 available, 3 are its floor",
		"ask demo-2 for its version: ",
		"demo-3: its API server serves v1.36.3, not v1.37.2",
		"demo-3: 2 nodes created and 0 removed, 2 were to be rotated",
	} {
		if !strings.Contains(told, part) {
			t.Errorf("it is not told that %q, but\n%s", part, told)
		}
	}
}
