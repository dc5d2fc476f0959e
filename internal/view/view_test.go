package view_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "refit.dev/refit/api/v1alpha1"
	core "refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/hold"
	"refit.dev/refit/internal/view"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; go test -update writes it):\n%s", path, diff)
	}
}

var now = time.Date(2026, time.November, 3, 22, 30, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

func fleet(name, release string) v1.Fleet {
	return v1.Fleet{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)},
		Spec: v1.FleetSpec{
			Release:  release,
			Selector: metav1.LabelSelector{MatchLabels: map[string]string{"fleet": name}},
			Waves:    []v1.Wave{{Name: "all", MaxConcurrent: intstr.FromInt32(3)}},
		},
		Status: v1.FleetStatus{Conditions: []metav1.Condition{{Type: v1.ConditionStalled, Status: metav1.ConditionFalse, Reason: "Rolling"}}},
	}
}

func release() v1.Release {
	return v1.Release{ObjectMeta: metav1.ObjectMeta{Name: "2026.11"}, Spec: v1.ReleaseSpec{Bundle: v1.Bundle{Kubernetes: "v1.37.2"}}}
}

// member is seen, lately, at these versions, and healthy where nothing is wrong.
func member(name, owner, version, nodes, wrong string) v1.MemberCluster {
	mc := v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"fleet": owner}},
		Status: v1.MemberClusterStatus{
			ObservedAt: ago(time.Minute), ControlPlane: v1.ControlPlaneStatus{Version: version},
			Conditions: []metav1.Condition{{Type: v1.ConditionReady, Status: metav1.ConditionTrue, Message: "healthy"}},
		},
	}
	if nodes != "" {
		mc.Status.Nodes = v1.NodesStatus{Total: 20, Ready: 20, Oldest: nodes}
	}
	if wrong != "" {
		mc.Status.Conditions[0].Status, mc.Status.Conditions[0].Message = metav1.ConditionFalse, wrong
	}
	return mc
}

// upgrade was created an hour ago; without an outcome it goes on.
func upgrade(member string, n int, outcome string, status v1.ClusterUpgradeStatus) v1.ClusterUpgrade {
	if outcome != "" {
		status.Conditions = []metav1.Condition{{
			Type: v1.ConditionEnded, Status: metav1.ConditionTrue, Reason: outcome, LastTransitionTime: ago(48 * time.Minute),
		}}
	}
	return v1.ClusterUpgrade{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s.%d", member, n), CreationTimestamp: ago(time.Hour)},
		Spec: v1.ClusterUpgradeSpec{
			Member: member, Release: v1.ReleaseRef{Name: "2026.11", Hash: "h"}, Fleet: "main", FleetUID: "uid-main", Revision: 1, Wave: "all",
		},
		Status: status,
	}
}

func step(hop, name string, from, to time.Duration) v1.StepStatus {
	s := v1.StepStatus{Hop: hop, Name: name, Started: ago(from)}
	if to > 0 {
		s.Finished = ago(to)
	}
	return s
}

// busy is a fleet with members of all kinds.
func busy() observe.Hub {
	draining := v1.ClusterUpgradeStatus{
		From: "v1.36.4", To: "v1.37.2", Hop: "v1.37.2", Step: "Nodes", Nodes: v1.UpgradeNodes{Total: 20, Done: 3},
		Why: &v1.Why{
			Code: "BudgetExhausted", Object: "poddisruptionbudget shop/web", Since: ago(4*time.Minute + 5*time.Second),
			Message: "pod shop/web-1 on node a-4 may not be evicted: PodDisruptionBudget shop/web allows no disruption (3 healthy, 3 wanted)",
			Fix:     "bring more of its pods to Ready, or let it allow a disruption: kubectl edit poddisruptionbudget -n shop web",
		},
		Steps: []v1.StepStatus{
			step("v1.37.2", "Settle", 50*time.Minute, 49*time.Minute), step("v1.37.2", "ControlPlane", 49*time.Minute, 46*time.Minute),
			step("v1.37.2", "Bake", 46*time.Minute, 36*time.Minute), step("v1.37.2", "Nodes", 36*time.Minute, 0),
		},
	}
	blocked := v1.ClusterUpgradeStatus{
		From: "v1.35.9", To: "v1.37.2", Hop: "v1.36.6", Step: "Preflight",
		Why: &v1.Why{Code: "PreflightBlocked", Object: "check Skew", Since: ago(5 * time.Second), Message: "kubelet of node a-1 is too old", Fix: "replace it"},
		Findings: []v1.Finding{
			{Check: "Skew", Message: "kubelet of node a-1 is too old", Evidence: "v1.31.0 is 5 minors behind", Fix: "replace it"},
			{Check: "NodesHealthy", Message: "1 of 20 nodes are not Ready, first a-2", Evidence: "kubelet stopped posting", Fix: "repair or remove them"},
		},
		Steps: []v1.StepStatus{{Hop: "v1.36.6", Name: "Settle"}},
	}
	unseen := member("eu-7", "main", "", "", "")
	unseen.Status = v1.MemberClusterStatus{}
	return observe.Hub{
		Releases: []v1.Release{release()}, Fleets: []v1.Fleet{fleet("main", "2026.11")},
		Members: []v1.MemberCluster{
			member("eu-1", "main", "v1.37.2", "v1.37.2", ""), member("eu-10", "main", "v1.37.3", "v1.37.3", ""),
			member("eu-2", "main", "v1.37.2", "v1.36.4", ""), member("eu-3", "main", "v1.35.9", "v1.35.9", ""),
			member("eu-4", "main", "v1.36.4", "", ""), member("eu-5", "main", "v1.36.4", "v1.36.4", ""),
			member("eu-6", "main", "v1.36.4", "v1.36.4", "node a-1 is not Ready: kubelet stopped posting"), unseen,
			member("us-1", "other", "v1.36.4", "v1.36.4", ""),
		},
		Upgrades: []v1.ClusterUpgrade{
			upgrade("eu-1", 1, "Done", v1.ClusterUpgradeStatus{}), upgrade("eu-2", 9, "Superseded", v1.ClusterUpgradeStatus{}),
			upgrade("eu-2", 10, "", draining), upgrade("eu-3", 1, "", blocked), upgrade("eu-4", 1, "", v1.ClusterUpgradeStatus{}),
			upgrade("eu-5", 2, "Superseded", v1.ClusterUpgradeStatus{Hop: "v1.37.2", Step: "Settle"}),
		},
	}
}

// halted is a fleet of which one member failed.
func halted() observe.Hub {
	failed := v1.ClusterUpgradeStatus{
		From: "v1.36.4", To: "v1.37.2", Hop: "v1.37.2", Step: "ControlPlane",
		Why: &v1.Why{
			Code: "OperationFailed", Object: "operation op-1", Since: ago(48 * time.Minute),
			Message: "control plane to v1.37.2: NotReady: etcd is out of space", Fix: "see the control plane's log",
		},
		Steps: []v1.StepStatus{step("v1.37.2", "ControlPlane", 49*time.Minute, 0)},
	}
	return observe.Hub{
		Releases: []v1.Release{release()}, Fleets: []v1.Fleet{fleet("main", "2026.11")},
		Members: []v1.MemberCluster{
			member("eu-1", "main", "v1.36.4", "v1.36.4", ""), member("eu-2", "main", "v1.36.4", "v1.36.4", ""),
		},
		Upgrades: []v1.ClusterUpgrade{upgrade("eu-1", 1, "Failed", failed)},
	}
}

// done is two fleets, all of it there.
func done() observe.Hub {
	return observe.Hub{
		Releases: []v1.Release{release()}, Fleets: []v1.Fleet{fleet("other", "2026.11"), fleet("main", "2026.11")},
		Members: []v1.MemberCluster{
			member("eu-1", "main", "v1.37.2", "v1.37.2", ""), member("us-1", "other", "v1.37.2", "v1.37.2", ""),
		},
		Upgrades: []v1.ClusterUpgrade{upgrade("eu-1", 1, "Done", v1.ClusterUpgradeStatus{})},
	}
}

func lost() observe.Hub {
	return observe.Hub{
		Fleets:  []v1.Fleet{fleet("main", "2027.01")},
		Members: []v1.MemberCluster{member("eu-1", "main", "v1.37.2", "v1.37.2", "")},
	}
}

// held is a fleet of which one member is frozen, one left out, and one left out
// after it failed.
func held() observe.Hub {
	freeze := func(name, by string, spec v1.FreezeSpec) v1.Freeze {
		return v1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{v1.ByAnnotation: by}}, Spec: spec}
	}
	hub := halted()
	until := metav1.NewTime(now.Add(36 * time.Hour))
	from := ago(90 * time.Minute)
	hub.Members = append(hub.Members, member("eu-3", "main", "v1.36.4", "v1.36.4", ""), member("eu-4", "main", "v1.37.2", "v1.37.2", ""))
	hub.Freezes = []v1.Freeze{
		freeze("pause-7k2xq", "ann", v1.FreezeSpec{Member: "eu-2", From: &from, Until: &until, Stops: v1.StopsStarts, Reason: "audit, see ticket 4711"}),
		freeze("skip-p4nbz", "system:serviceaccount:ci:bot", v1.FreezeSpec{Fleet: "main", Member: "eu-3", Stops: v1.StopsSkip, Reason: "is scrapped in March"}),
		freeze("skip-zz9qw", "ben", v1.FreezeSpec{Member: "eu-1", Stops: v1.StopsSkip, Reason: "broken for good"}),
	}
	return hub
}

// leftOut is a fleet all of which is there but for a member that is left out.
func leftOut() observe.Hub {
	hub := held()
	hub.Members = hub.Members[2:]
	return hub
}

func TestTree(t *testing.T) {
	for name, hub := range map[string]observe.Hub{
		"busy": busy(), "halted": halted(), "done": done(), "no-release": lost(), "empty": {},
		"held": held(), "left-out": leftOut(),
	} {
		t.Run(name, func(t *testing.T) {
			status := view.Of(hub, now)
			plain := status.Text(view.Style{Now: now})
			golden(t, "tree-"+name+".golden", plain)
			if strings.Contains(plain, "\x1b") {
				t.Error("there is colour where none was asked for")
			}
			if settled := name == "done" || name == "left-out"; status.Settled() != settled {
				t.Errorf("settled: %t, want %t", status.Settled(), settled)
			}
		})
	}
}

func TestTreeInColor(t *testing.T) {
	for name, hub := range map[string]observe.Hub{"busy": busy(), "halted": halted(), "held": held()} {
		colored := view.Of(hub, now).Text(view.Style{Color: true, Now: now})
		golden(t, "tree-"+name+"-color.golden", colored)
		plain := view.Of(hub, now).Text(view.Style{Now: now})
		if diff := cmp.Diff(plain, uncolored(colored)); diff != "" {
			t.Errorf("colour changes the text of %s (-plain +colored):\n%s", name, diff)
		}
	}
}

// uncolored takes ANSI colours out.
func uncolored(text string) string {
	var out strings.Builder
	for i, part := range strings.Split(text, "\x1b[") {
		if i > 0 {
			_, part, _ = strings.Cut(part, "m")
		}
		out.WriteString(part)
	}
	return out.String()
}

// texts are what is shown of a busy hub, in every way there is.
func texts(style view.Style) map[string]string {
	texts := map[string]string{
		"status":       view.Of(busy(), now).Text(style),
		"status, held": view.Of(held(), now).Text(style),
		"no status":    view.Of(observe.Hub{}, now).Text(style),
		"plan":         view.PlanOf(busy(), core.Reason{}, now).Text(style),
		"plan, held":   view.PlanOf(held(), core.Reason{}, now).Text(style),
		"no plan":      view.PlanOf(observe.Hub{}, core.Reason{}, now).Text(style),
	}
	for name, hub := range map[string]observe.Hub{"eu-2": busy(), "eu-3": busy(), "eu-1": held()} {
		why, _ := view.WhyOf(hub, core.Reason{}, name, now)
		texts["why "+name] = why.Text(style)
	}
	return texts
}

// A line is as wide as the terminal at most, nothing is left out of it, and a
// command that a person copies from it is the command.
func TestTextFits(t *testing.T) {
	style := view.Style{Now: now}
	whole := texts(style)
	for style.Width = 20; style.Width < 240; style.Width++ {
		for _, style.Color = range []bool{false, true} {
			for name, text := range texts(style) {
				for line := range strings.SplitSeq(uncolored(text), "\n") {
					if utf8.RuneCountInString(line) > style.Width {
						t.Fatalf("%s at width %d: line of %d columns\n%s", name, style.Width, utf8.RuneCountInString(line), line)
					}
				}
				if want, got := letters(whole[name]), letters(uncolored(text)); want != got {
					t.Fatalf("%s at width %d, in colour %t, says\n%s\nwant\n%s", name, style.Width, style.Color, got, want)
				}
			}
		}
	}
}

// restored is why a hub only watches.
var restored = hold.Why(hold.Input{Hub: "hub-2", Lives: []string{"hub-1"}})

// A hub that only watches says so, and nothing of it is about to start.
func TestTreeOfARestoredHub(t *testing.T) {
	golden(t, "tree-restored.golden", view.Held(busy(), restored, now).Text(view.Style{Now: now}))
}

// letters are what a text says: without the branches of a tree, spaces, ends of
// lines and the backslashes before them.
func letters(text string) string {
	return strings.NewReplacer(" ", "", "│", "", "\\\n", "", "\n", "").Replace(text)
}

func TestCommandsCanBeCopied(t *testing.T) {
	why, _ := view.WhyOf(busy(), core.Reason{}, "eu-2", now)
	for _, test := range []struct {
		width int
		want  string
	}{
		{160, "to do     bring more of its pods to Ready, or let it allow a disruption: kubectl edit poddisruptionbudget -n shop web\n"},
		{80, "to do     bring more of its pods to Ready, or let it allow a disruption:\n          kubectl edit poddisruptionbudget -n shop web\n"},
		{55, "          kubectl edit poddisruptionbudget -n shop web\n"},
		{50, "          kubectl edit poddisruptionbudget -n \\\n          shop web\n"},
		{40, "          kubectl edit \\\n          poddisruptionbudget -n shop \\\n          web\n"},
	} {
		if text := why.Text(view.Style{Width: test.width, Now: now}); !strings.Contains(text, test.want) {
			t.Errorf("at width %d:\n%s\nwant\n%s", test.width, text, test.want)
		}
	}
}

// Where there is hardly any width, what fits is shown, and the rest is not.
func TestTextOfTinyTerminals(t *testing.T) {
	for width := 1; width < 20; width++ {
		for line := range strings.SplitSeq(view.Of(busy(), now).Text(view.Style{Width: width, Now: now}), "\n") {
			if utf8.RuneCountInString(line) > width {
				t.Fatalf("at width %d: %q", width, line)
			}
		}
		lines := func(width int) int {
			return strings.Count(view.Of(busy(), now).Text(view.Style{Width: width, Now: now}), "\n")
		}
		if lines(width) != lines(20) {
			t.Errorf("at width %d there are %d lines, want the %d of width 20", width, lines(width), lines(20))
		}
	}
}

func TestTextNarrow(t *testing.T) {
	golden(t, "tree-busy-60.golden", view.Of(busy(), now).Text(view.Style{Width: 60, Now: now}))
	golden(t, "tree-busy-60-color.golden", view.Of(busy(), now).Text(view.Style{Width: 60, Color: true, Now: now}))
}

func TestPlan(t *testing.T) {
	for name, hub := range map[string]observe.Hub{"busy": busy(), "held": held(), "no-release": lost(), "empty": {}, "behind": behind()} {
		golden(t, "plan-"+name+".golden", view.PlanOf(hub, core.Reason{}, now).Text(view.Style{Now: now}))
	}
}

// behind is a fleet one member of which may start, several minors behind.
func behind() observe.Hub {
	return observe.Hub{
		Releases: []v1.Release{release()}, Fleets: []v1.Fleet{fleet("main", "2026.11")},
		Members: []v1.MemberCluster{member("eu-1", "main", "v1.34.1", "v1.34.1", "")},
	}
}

func TestWhy(t *testing.T) {
	for _, c := range []struct {
		hub    observe.Hub
		member string
		file   string
		held   core.Reason
	}{
		{busy(), "eu-1", "why-done.golden", core.Reason{}},
		{busy(), "eu-2", "why-draining.golden", core.Reason{}},
		{busy(), "eu-3", "why-blocked.golden", core.Reason{}},
		{busy(), "eu-4", "why-starting.golden", core.Reason{}},
		{busy(), "eu-5", "why-full.golden", core.Reason{}},
		{busy(), "eu-6", "why-unhealthy.golden", core.Reason{}},
		{busy(), "eu-7", "why-unseen.golden", core.Reason{}},
		{busy(), "us-1", "why-no-fleet.golden", core.Reason{}},
		{halted(), "eu-1", "why-failed.golden", core.Reason{}},
		{halted(), "eu-2", "why-halted.golden", core.Reason{}},
		{held(), "eu-1", "why-skipped-failed.golden", core.Reason{}},
		{held(), "eu-2", "why-frozen.golden", core.Reason{}},
		{held(), "eu-3", "why-skipped.golden", core.Reason{}},
		{busy(), "eu-5", "why-restored.golden", restored},
	} {
		t.Run(c.file, func(t *testing.T) {
			why, found := view.WhyOf(c.hub, c.held, c.member, now)
			if !found {
				t.Fatalf("member %s is not found", c.member)
			}
			golden(t, c.file, why.Text(view.Style{Now: now}))
		})
	}
	why, _ := view.WhyOf(busy(), core.Reason{}, "eu-2", now)
	golden(t, "why-draining-color.golden", why.Text(view.Style{Color: true, Now: now}))

	if why, found := view.WhyOf(busy(), core.Reason{}, "eu-99", now); found {
		t.Errorf("a member that does not exist is %+v", why)
	}
}
