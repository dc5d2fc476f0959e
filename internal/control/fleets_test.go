package control_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
)

// Of {"kubernetes":"v1.37.2"}, and of {"kubernetes":"v1.37.3"}, by sha256sum.
const (
	hash2 = "3ecd23a959c2"
	hash3 = "a8031d807e1f"
)

// TestFleetsRecordAndStart shows what the loop writes, and what it starts.
func TestFleetsRecordAndStart(t *testing.T) {
	t.Run("an upgrade for who is behind", startsWhoIsBehind)
	t.Run("members by where they are", countsMembers)
	t.Run("as many as the wave allows", keepsToTheWave)
	t.Run("whom the selector picks", picksBySelector)
	t.Run("a revision for each release", countsRevisions)
	t.Run("what only a person can mend", stalls)
	t.Run("once, though somebody else was first", losesTheRace)
	t.Run("once, though its cache is late", asksTheServer)
	t.Run("and keeps five", prunes)
}

// members makes a number of members of a version, and lets them be seen.
func (l *loops) addMembers(kubernetes string, names ...string) {
	l.t.Helper()
	for _, name := range names {
		l.addMember(name, shape{version: kubernetes, pools: map[string]int{"a": 1}, floor: -1})
		l.see(name)
	}
}

// started are the names of all upgrades.
func (l *loops) started() []string {
	l.t.Helper()
	var upgrades v1.ClusterUpgradeList
	if err := l.hub.List(l.t.Context(), &upgrades); err != nil {
		l.t.Fatal(err)
	}
	names := []string{}
	for _, up := range upgrades.Items {
		names = append(names, up.Name)
	}
	slices.Sort(names)
	return names
}

func (l *loops) fleet(name string) *v1.Fleet { return get(l, name, &v1.Fleet{}) }

// addUpgrade makes an upgrade as the loop would; without an outcome it goes on.
func (l *loops) addUpgrade(f *v1.Fleet, member string, n int, outcome string) {
	l.t.Helper()
	up := &v1.ClusterUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s.%d", member, n)},
		Spec: v1.ClusterUpgradeSpec{
			Member: member, Release: v1.ReleaseRef{Name: f.Spec.Release, Hash: hash2},
			Fleet: f.Name, FleetUID: string(f.UID), Revision: 1, Wave: "all", Hub: hubUID,
		},
	}
	l.add(up)
	if outcome == "" {
		return
	}
	up.Status.Conditions = []metav1.Condition{{
		Type: v1.ConditionEnded, Status: metav1.ConditionTrue, Reason: outcome, LastTransitionTime: metav1.NewTime(l.clock.Now()),
	}}
	if err := l.hub.Status().Update(l.t.Context(), up); err != nil {
		l.t.Fatal(err)
	}
}

func startsWhoIsBehind(t *testing.T) {
	l := newLoops(t)
	l.addMembers("v1.36.4", "eu-1")
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) { spec.Waves[0].Name = "prod" })
	l.decide()

	if got := get(l, "2026.11", &v1.Release{}).Status.Hash; got != hash2 {
		t.Errorf("hash of the release is %q, want %q", got, hash2)
	}
	f := l.fleet("main")
	want := v1.ClusterUpgradeSpec{
		Member: "eu-1", Release: v1.ReleaseRef{Name: "2026.11", Hash: hash2},
		Fleet: "main", FleetUID: string(f.UID), Revision: 1, Wave: "prod", Hub: hubUID,
	}
	if diff := cmp.Diff(want, l.upgrade("eu-1.1").Spec); diff != "" {
		t.Errorf("upgrade (-want +got):\n%s", diff)
	}
	// The status is of what was seen: the upgrade was not there yet.
	waits := v1.MemberCounts{Total: 1, Waiting: 1}
	checkFleet(t, l, v1.FleetStatus{
		ObservedGeneration: 1, Revision: 1, Release: &v1.ReleaseRef{Name: "2026.11", Hash: hash2},
		Members: waits, Waves: []v1.WaveStatus{{Name: "prod", MemberCounts: waits}},
	}, "False", "True", "False", "InFlight: 0 of 1 members at 2026.11, 0 in flight, 1 waiting")

	l.clock.Step(time.Minute)
	l.decide()
	runs := v1.MemberCounts{Total: 1, Running: 1}
	checkFleet(t, l, v1.FleetStatus{
		ObservedGeneration: 1, Revision: 1, Release: &v1.ReleaseRef{Name: "2026.11", Hash: hash2},
		Members: runs, Waves: []v1.WaveStatus{{Name: "prod", MemberCounts: runs}},
	}, "False", "True", "False", "InFlight: 0 of 1 members at 2026.11, 1 in flight, 0 waiting")
	written := l.writes
	l.decide()
	if l.writes != written {
		t.Errorf("%d writes of what has not changed", l.writes-written)
	}
	if diff := cmp.Diff([]string{"eu-1.1"}, l.started()); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}
}

// checkFleet compares the status of fleet main, whose conditions have been so
// since the start.
func checkFleet(t *testing.T, l *loops, want v1.FleetStatus, ready, progressing, stalled, why string) {
	t.Helper()
	got := l.fleet("main").Status
	lines := conditions(got.Conditions)
	got.Conditions = nil
	remembered := cmp.Options{
		cmpopts.IgnoreFields(v1.FleetStatus{}, "Roster", "Effort"), cmpopts.IgnoreFields(v1.WaveStatus{}, "OpenedAt", "PassedAt", "Why"),
	}
	if diff := cmp.Diff(want, got, remembered); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	var all []string
	for _, c := range [][2]string{{"Ready", ready}, {"Progressing", progressing}, {"Stalled", stalled}} {
		all = append(all, fmt.Sprintf("%s %s since 22:00:00: %s (generation %d)", c[0], c[1], why, want.ObservedGeneration))
	}
	if diff := cmp.Diff(all, lines); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

func countsMembers(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.37.2", "done-1", "done-2")
	l.decide()
	release := &v1.ReleaseRef{Name: "2026.11", Hash: hash2}
	counts := v1.MemberCounts{Total: 2, Done: 2}
	checkFleet(t, l, v1.FleetStatus{
		ObservedGeneration: 1, Revision: 1, Release: release, Members: counts, Waves: []v1.WaveStatus{{Name: "all", MemberCounts: counts}},
	}, "True", "False", "False", "AtRelease: all 2 members at 2026.11")

	l = newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.decide()
	checkFleet(t, l, v1.FleetStatus{
		ObservedGeneration: 1, Revision: 1, Release: release, Waves: []v1.WaveStatus{{Name: "all"}},
	}, "False", "False", "True", "EmptyWave: no member is selected: see spec.selector, and the labels of the members")

	l = newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.37.3", "ahead")
	l.addMembers("v1.36.4", "failed", "running", "waiting-1", "waiting-2")
	l.addUpgrade(l.fleet("main"), "failed", 1, "Failed")
	l.addUpgrade(l.fleet("main"), "running", 1, "")
	l.decide()
	counts = v1.MemberCounts{Total: 5, Done: 1, Failed: 1, Running: 1, Waiting: 2}
	checkFleet(t, l, v1.FleetStatus{
		ObservedGeneration: 1, Revision: 1, Release: release, Members: counts, Waves: []v1.WaveStatus{{Name: "all", MemberCounts: counts}},
	}, "False", "False", "True", "Halted: 1 failed (failed), 0 tolerated; "+
		"see refit why failed; then set the fleet's spec.release to a release that mends it, or let it go on: refit resume main --reason …")
	if diff := cmp.Diff([]string{"failed.1", "running.1"}, l.started()); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}
}

func keepsToTheWave(t *testing.T) {
	names := []string{"eu-1", "eu-2", "eu-3", "eu-4", "eu-5"}
	for _, c := range []struct {
		maxConcurrent intstr.IntOrString
		want          []string
	}{
		{intstr.FromInt32(1), []string{"eu-1.1"}},
		{intstr.FromInt32(2), []string{"eu-1.1", "eu-2.1"}},
		{intstr.FromString("1%"), []string{"eu-1.1"}},
		{intstr.FromString("50%"), []string{"eu-1.1", "eu-2.1", "eu-3.1"}}, // of 5, rounded up
		{intstr.FromString("100%"), []string{"eu-1.1", "eu-2.1", "eu-3.1", "eu-4.1", "eu-5.1"}},
	} {
		t.Run(c.maxConcurrent.String(), func(t *testing.T) {
			l := newLoops(t)
			l.addRelease("2026.11", "v1.37.2")
			l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) { spec.Waves[0].MaxConcurrent = c.maxConcurrent })
			l.addMembers("v1.36.4", names...)
			for range 3 {
				l.decide()
			}
			if diff := cmp.Diff(c.want, l.started()); diff != "" {
				t.Errorf("upgrades (-want +got):\n%s", diff)
			}
		})
	}
}

func picksBySelector(t *testing.T) {
	in := metav1.LabelSelectorRequirement{Key: "name", Operator: metav1.LabelSelectorOpIn, Values: []string{"eu-2", "eu-3", "us-1"}}
	for _, c := range []struct {
		name     string
		selector metav1.LabelSelector
		want     []string
	}{
		{"empty: all", metav1.LabelSelector{}, []string{"eu-1.1", "eu-2.1", "eu-3.1"}},
		{"labels", metav1.LabelSelector{MatchLabels: map[string]string{"name": "eu-2"}}, []string{"eu-2.1"}},
		{"expressions", metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{in}}, []string{"eu-2.1", "eu-3.1"}},
		{"both", metav1.LabelSelector{
			MatchLabels: map[string]string{"name": "eu-1"}, MatchExpressions: []metav1.LabelSelectorRequirement{in},
		}, []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLoops(t)
			l.addRelease("2026.11", "v1.37.2")
			l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) {
				spec.Selector, spec.Waves[0].MaxConcurrent = c.selector, intstr.FromInt32(9)
			})
			l.addMembers("v1.36.4", "eu-1", "eu-2", "eu-3")
			l.decide()
			if diff := cmp.Diff(c.want, l.started()); diff != "" {
				t.Errorf("upgrades (-want +got):\n%s", diff)
			}
			if got := l.fleet("main").Status.Members.Total; int(got) != len(c.want) {
				t.Errorf("%d members, want %d", got, len(c.want))
			}
		})
	}
}

func countsRevisions(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addRelease("2026.12", "v1.37.3")
	l.addFleet("main", "2026.11", nil)
	check := func(so string, generation, revision int64, release, hash string) {
		t.Helper()
		for range 2 {
			l.decide()
			got := l.fleet("main").Status
			if got.ObservedGeneration != generation || got.Revision != revision || *got.Release != (v1.ReleaseRef{Name: release, Hash: hash}) {
				t.Errorf("%s: generation %d, revision %d of %v; want %d, %d of %s %s",
					so, got.ObservedGeneration, got.Revision, *got.Release, generation, revision, release, hash)
			}
		}
	}
	to := func(release string) {
		edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.Release = release })
	}
	check("new", 1, 1, "2026.11", hash2)
	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.Bake.Duration = time.Hour })
	check("another bake", 2, 1, "2026.11", hash2)
	to("2026.12")
	check("another release", 3, 2, "2026.12", hash3)
	to("2027.01")
	check("no such release", 4, 2, "2026.12", hash3)
	to("2026.11")
	check("the first release again", 5, 3, "2026.11", hash2)
	l.remove("2026.11", &v1.Release{})
	l.addRelease("2026.11", "v1.37.3")
	check("another bundle of that name", 5, 4, "2026.11", hash3)
}

func stalls(t *testing.T) {
	l := newLoops(t)
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.36.4", "eu-1")
	l.decide()
	waits := v1.MemberCounts{Total: 1, Waiting: 1}
	checkFleet(t, l, v1.FleetStatus{
		ObservedGeneration: 1, Members: waits, Waves: []v1.WaveStatus{{Name: "all", MemberCounts: waits}},
	}, "False", "False", "True", "NoRelease: release \"2026.11\" does not exist; "+
		"create it, or set the fleet's spec.release to one that exists: kubectl get releases")
	if got := l.started(); len(got) > 0 {
		t.Errorf("upgrades %v to a release that does not exist", got)
	}
}

func losesTheRace(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.36.4", "eu-1", "eu-2")
	l.creating = func(object client.Object) error {
		l.creating = nil
		l.addUpgrade(l.fleet("main"), object.(*v1.ClusterUpgrade).Spec.Member, 1, "")
		return nil
	}
	if _, err := l.fleets.Reconcile(t.Context()); !apierrors.IsAlreadyExists(err) {
		t.Errorf("error is %v, want that it exists already, so that it plans again", err)
	}
	for range 3 {
		l.decide()
	}
	if diff := cmp.Diff([]string{"eu-1.1"}, l.started()); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}
}

func asksTheServer(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.36.4", "eu-1", "eu-2")
	l.addUpgrade(l.fleet("main"), "eu-1", 1, "")
	late := interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		if _, ok := list.(*v1.ClusterUpgradeList); ok {
			return nil // it has not heard of any
		}
		return c.List(ctx, list, opts...)
	}}
	l.fleets.Client = interceptor.NewClient(l.own, late)
	l.decide()
	if diff := cmp.Diff([]string{"eu-1.1"}, l.started()); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}
	if got := l.fleet("main").Status.Members.Running; got != 1 {
		t.Errorf("%d running, want 1: the status is of what the server holds", got)
	}
}

func prunes(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.36.4", "eu-1", "eu-2")
	for n := 1; n <= 11; n++ {
		l.addUpgrade(l.fleet("main"), "eu-1", n, "Superseded")
		l.addUpgrade(l.fleet("main"), "gone", n, "Superseded")
	}
	l.addUpgrade(l.fleet("main"), "eu-1", 12, "")
	for n := 1; n <= 5; n++ {
		l.addUpgrade(l.fleet("main"), "eu-2", n, "Superseded")
	}
	l.decide()
	want := []string{
		"eu-1.10", "eu-1.11", "eu-1.12", "eu-1.8", "eu-1.9",
		"eu-2.1", "eu-2.2", "eu-2.3", "eu-2.4", "eu-2.5",
		"gone.10", "gone.11", "gone.7", "gone.8", "gone.9",
	}
	if diff := cmp.Diff(want, l.started()); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}
}

// A member that was brought there and fell behind is brought back, at most once a
// day, and the loop comes back by itself.
func TestFleetsComeBack(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addMembers("v1.36.4", "eu-1")
	l.addUpgrade(l.fleet("main"), "eu-1", 1, "Done")
	l.addUpgrade(l.fleet("main"), "eu-1", 2, "Done")
	l.clock.Step(24*time.Hour - 10*time.Minute)
	l.see("eu-1")
	if after := l.decide().RequeueAfter; after != 10*time.Minute {
		t.Errorf("decides again after %s, want 10m", after)
	}
	l.clock.Step(10 * time.Minute)
	l.decide()
	if diff := cmp.Diff([]string{"eu-1.1", "eu-1.2", "eu-1.3"}, l.started()); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}
	if !observe.Ended(l.upgrade("eu-1.2")) {
		t.Error("eu-1.2 goes on")
	}
}

// Two fleets of one member: neither starts it, whatever else they do.
func TestFleetsOverlap(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.addFleet("other", "2026.11", func(spec *v1.FleetSpec) { spec.Selector.MatchLabels = map[string]string{"name": "eu-1"} })
	l.addMembers("v1.36.4", "eu-1", "eu-2")
	l.decide()
	if diff := cmp.Diff([]string{"eu-2.1"}, l.started()); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}
	checkSum(t, l, "other", "stalled: Overlap")
	checkSum(t, l, "main", "progressing: InFlight")
}

// checkSum checks what the conditions of a fleet sum up to.
func checkSum(t *testing.T, l *loops, fleet, want string) {
	t.Helper()
	got := ""
	for _, c := range l.fleet(fleet).Status.Conditions {
		if c.Status == metav1.ConditionTrue {
			got += strings.ToLower(c.Type) + ": " + c.Reason
		}
	}
	if got != want {
		t.Errorf("fleet %s is %q, want %q", fleet, got, want)
	}
}
