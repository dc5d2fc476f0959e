package control_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/source"
)

// declared is where versions are declared: it says the same to all.
type declared struct {
	says    fleet.Declared
	why     fleet.Reason
	read    time.Time
	writes  []string
	message string
	refuses error
}

func (d *declared) Seen(what fleet.SourceRef, _ time.Duration) fleet.Source {
	if !d.why.IsZero() {
		return fleet.Source{SourceRef: what, Why: d.why, At: d.read}
	}
	return fleet.Source{SourceRef: what, Says: d.says, Line: 12, Commit: fmt.Sprint(len(d.writes)), At: time.Unix(1, 0)}
}

func (d *declared) Write(_ context.Context, _ fleet.SourceRef, from, to fleet.Declared, message string) error {
	if d.says != from {
		return source.ErrChanged
	}
	if d.refuses != nil {
		return d.refuses
	}
	d.says, d.writes, d.message = to, append(d.writes, string(from+" → "+to)), message
	return nil
}

func (l *loops) declares(name, mode string) {
	l.t.Helper()
	edit(l, name, &v1.MemberCluster{}, func(mc *v1.MemberCluster) {
		mc.Spec.Source = &v1.MemberSource{
			Mode: mode, Git: v1.GitSource{URL: "https://git.example/infra"}, Terraform: v1.TerraformSource{File: "infra/eks.tf", Attribute: "module.a.version"},
		}
	})
}

// TestMembersReportDrift: file, line and both versions; and unknown is not the same.
func TestMembersReportDrift(t *testing.T) {
	l := newLoops(t)
	l.addMember("eu-1", shape{version: "v1.36.4", pools: map[string]int{"a": 1}, floor: -1})
	l.declares("eu-1", "Report")
	check := func(so, want string, status v1.SourceStatus) {
		t.Helper()
		l.see("eu-1")
		got, lines := l.seen("eu-1")
		lines = slices.DeleteFunc(lines, func(line string) bool { return line[:5] == "Ready" })
		wanted := []string{want}
		if want == "" {
			wanted = []string{}
		}
		if diff := cmp.Diff(wanted, lines); diff != "" {
			t.Errorf("%s: conditions (-want +got):\n%s", so, diff)
		}
		if diff := cmp.Diff(status, got.Source); diff != "" {
			t.Errorf("%s: source (-want +got):\n%s", so, diff)
		}
	}
	l.declared.why = fleet.Reason{Code: fleet.SourceUnreachable, Message: "is being read"}
	check("at first nothing is known", "", v1.SourceStatus{})

	l.declared.why, l.declared.says = fleet.Reason{}, "1.35"
	seen := v1.SourceStatus{Declared: "1.35", File: "infra/eks.tf", Line: 12, Commit: "0"}
	check("it says less", `SourceDrift True since 22:00:00: SourceDrift: infra/eks.tf:12 says "1.35", the cluster runs v1.36.4 (generation 2)`, seen)
	l.declared.says, seen.Declared = "1.37", "1.37"
	check("it says more", `SourceDrift True since 22:00:00: SourceDrift: infra/eks.tf:12 says "1.37", the cluster runs v1.36.4 (generation 2)`, seen)

	l.clock.Step(time.Minute)
	l.declared.says, seen.Declared = "1.36", "1.36"
	agrees := `SourceDrift False since 22:01:00: SourceAgrees: infra/eks.tf:12 says what the cluster runs (generation 2)`
	check("it says the same", agrees, seen)
	l.declared.why = fleet.Reason{Code: fleet.SourceUnreachable, Message: "is being read"}
	check("it is being read again", agrees, seen)

	l.clock.Step(time.Minute)
	l.declared.why, l.declared.read = fleet.Reason{Code: fleet.SourceUnreachable, Message: "no route"}, l.clock.Now()
	check("it cannot be read", `SourceDrift Unknown since 22:02:00: SourceUnreachable: no route (generation 2)`, seen)

	edit(l, "eu-1", &v1.MemberCluster{}, func(mc *v1.MemberCluster) { mc.Spec.Source = nil })
	check("there is none any more", "", v1.SourceStatus{})
}

// TestUpgradesWriteBack: done waits until it is written; what was there before the
// first change is remembered.
func TestUpgradesWriteBack(t *testing.T) {
	l := newLoops(t)
	l.addMember("eu-1", shape{version: "v1.36.3", offers: []string{"v1.37.2"}, pools: map[string]int{"a": 1}, floor: -1}).surge = 1
	l.declares("eu-1", "WriteBack")
	l.declared.says = "1.36"
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.until("done", l.ended("eu-1.1", "Done"))
	if diff := cmp.Diff([]string{"1.36 → 1.37"}, l.declared.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if up := l.upgrade("eu-1.1"); up.Status.Declared != "1.36" {
		t.Errorf("remembers %q", up.Status.Declared)
	}
	want := "Upgrade eu-1 to Kubernetes 1.37\n\nMember: eu-1\nRelease: 2026.11\nControl plane: v1.37.2, from v1.36.3\n"
	if l.declared.message != want {
		t.Errorf("message:\n%s\nwant:\n%s", l.declared.message, want)
	}
}

// TestUpgradesLeaveWhatOthersWrote: the upgrade waits, and says both versions.
func TestUpgradesLeaveWhatOthersWrote(t *testing.T) {
	l := newLoops(t)
	l.addMember("eu-1", shape{version: "v1.36.3", offers: []string{"v1.37.2"}, pools: map[string]int{"a": 1}, floor: -1}).surge = 1
	l.declares("eu-1", "WriteBack")
	l.declared.says = "1.36"
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.until("the control plane is changed", func() bool {
		var list v1.ClusterUpgradeList
		return l.hub.List(t.Context(), &list) == nil && len(list.Items) > 0 && list.Items[0].Status.Step == "Bake"
	})
	l.declared.says = "1.35"
	l.until("it waits", func() bool {
		why := l.upgrade("eu-1.1").Status.Why
		return why != nil && why.Code == "SourceChanged"
	})
	want := `infra/eks.tf:12 said "1.36" when the upgrade began, and says "1.35" by now: it is not made "1.37"`
	if up := l.upgrade("eu-1.1"); up.Status.Why.Message != want || len(l.declared.writes) > 0 {
		t.Errorf("waits for %+v, after writes %v", up.Status.Why, l.declared.writes)
	}
	l.declared.says = "1.37"
	l.until("done", l.ended("eu-1.1", "Done"))
}

// TestUpgradesTellOfARefusedPush: for how long, and what to do; and once it is not
// refused any more, the upgrade goes on.
func TestUpgradesTellOfARefusedPush(t *testing.T) {
	l := newLoops(t)
	l.addMember("eu-1", shape{version: "v1.36.3", offers: []string{"v1.37.2"}, pools: map[string]int{"a": 1}, floor: -1}).surge = 1
	l.declares("eu-1", "WriteBack")
	l.declared.says = "1.36"
	why := fleet.Reason{Code: fleet.SourceRefused, Object: "repository x", Message: "main is protected", Fix: "let Refit push"}
	l.declared.refuses = &provider.Fault{Class: provider.Wait, Why: why}
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	told := func() *v1.Why { return l.upgrade("eu-1.1").Status.Why }
	l.until("it begins", func() bool {
		var list v1.ClusterUpgradeList
		return l.hub.List(t.Context(), &list) == nil && len(list.Items) > 0
	})
	l.until("it is told", func() bool { return told() != nil && told().Code == "SourceRefused" })
	first := told().Since
	for range 5 {
		l.clock.Step(time.Minute)
		l.turn()
		if got := told(); got == nil || got.Message != why.Message || got.Fix != why.Fix || got.Since != first {
			t.Errorf("tells %+v, want %+v since %s", got, why, first)
		}
	}
	l.declared.refuses = nil
	l.until("done", l.ended("eu-1.1", "Done"))
}
