package view_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	core "refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/preflight"
	"refit.dev/refit/internal/plan/rollout"
	recipe "refit.dev/refit/internal/plan/upgrade"
	"refit.dev/refit/internal/view"
)

// Every condition that a member may be told of has a row in docs/output.md, in the
// order in which they are asked, and so has everybody who can change one.
func TestConditionsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/output.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Condition\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var documented []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-Z]\w+) \|`).FindAllStringSubmatch(section, -1) {
		documented = append(documented, row[1])
	}
	var names []string
	for _, name := range rollout.Names() {
		names = append(names, string(name))
	}
	for _, name := range recipe.Steps() {
		names = append(names, string(name))
	}
	names = append(names, preflight.Checks()...)
	for _, who := range []core.Who{core.Refit, core.FleetOwner, core.ClusterOwner, core.WorkloadOwner, core.FreezeAuthor, core.HubOwner} {
		names = append(names, string(who))
	}
	if diff := cmp.Diff(names, documented); diff != "" {
		t.Errorf("conditions, against docs/output.md (-names +documented):\n%s", diff)
	}
}

// everybody is each member of each hub, as it is told of.
func everybody(t *testing.T) []view.Why {
	var all []view.Why
	for _, hub := range []observe.Hub{busy(), halted(), done(), lost(), held(), leftOut(), behind()} {
		for _, mc := range hub.Members {
			for _, why := range []core.Reason{{}, restored} {
				told, found := view.WhyOf(hub, why, mc.Name, now)
				if !found {
					t.Fatalf("member %s is not found", mc.Name)
				}
				all = append(all, told)
			}
		}
	}
	return all
}

// The first condition that does not hold is why the member is not further, and who
// can change what does not hold is known.
func TestFirstConditionIsWhy(t *testing.T) {
	for _, told := range everybody(t) {
		broken := slices.DeleteFunc(slices.Clone(told.Conditions), func(c view.Condition) bool { return c.Holds != rollout.False })
		if told.Member.State == view.Running && told.Member.Step != "" { // a hub that is held tells of itself before the step
			broken = slices.DeleteFunc(broken, func(c view.Condition) bool { return c.Name == string(rollout.HubActs) })
		}
		if len(broken) > 0 && broken[0].Code != told.Member.Why.Code && told.Member.Why.Code != string(core.Starting) {
			t.Errorf("%s waits for %s, and %s for %s is the first that it does not meet", told.Member.Name, told.Member.Why.Code, broken[0].Name, broken[0].Code)
		}
		if len(broken) == 0 && !slices.Contains([]string{"AtRelease", "Starting"}, told.Member.Why.Code) {
			t.Errorf("%s meets everything, and waits for %s", told.Member.Name, told.Member.Why.Code)
		}
		for _, c := range broken {
			if c.Who == "" || c.Message == "" {
				t.Errorf("%s: %+v", told.Member.Name, c)
			}
		}
	}
}

// conditionOf is one condition of a member, of a name and a hop.
func conditionOf(t *testing.T, hub observe.Hub, member, name, hop string) view.Condition {
	t.Helper()
	told, _ := view.WhyOf(hub, core.Reason{}, member, now)
	for _, c := range told.Conditions {
		if c.Name == name && c.Hop == hop {
			return c
		}
	}
	t.Fatalf("%s has no condition %s %s: %+v", member, name, hop, told.Conditions)
	return view.Condition{}
}

// What the clock is, the loop alone can know.
func TestClock(t *testing.T) {
	hub := busy()
	if got := conditionOf(t, hub, "eu-5", "ClockRight", ""); got.Holds != rollout.True {
		t.Errorf("where the loop has found nothing: %+v", got)
	}
	hub.Fleets[0].Status.Conditions[0] = metav1.Condition{
		Type: v1.ConditionStalled, Status: metav1.ConditionTrue, Reason: "ClockSkew", Message: "it is 1m off", LastTransitionTime: ago(time.Hour),
	}
	want := view.Condition{
		Name: "ClockRight", Holds: rollout.False, Code: "ClockSkew", Message: "it is 1m off", Since: now.Add(-time.Hour),
		Who: core.HubOwner, Fix: "set both clocks by NTP",
	}
	if diff := cmp.Diff(want, conditionOf(t, hub, "eu-5", "ClockRight", "")); diff != "" {
		t.Errorf("where it is off (-want +got):\n%s", diff)
	}
	hub.Fleets[0].Status.Conditions = nil
	if got := conditionOf(t, hub, "eu-5", "ClockRight", ""); got.Holds != rollout.Unknown {
		t.Errorf("where the loop has not looked: %+v", got)
	}
}

// A step that is open when its upgrade ends has ended with it.
func TestStepOfAnEndedUpgrade(t *testing.T) {
	told, _ := view.WhyOf(halted(), core.Reason{}, "eu-1", now)
	if want := now.Add(-48 * time.Minute); len(told.Steps) != 1 || !told.Steps[0].Finished.Equal(want) {
		t.Errorf("steps %+v; want the last to end at %s", told.Steps, want)
	}
	for outcome, want := range map[string]string{
		"Failed":  "the upgrade failed after 1m0s in it: control plane to v1.37.2: NotReady: etcd is out of space",
		"Aborted": "the upgrade was aborted after 1m0s in it: control plane to v1.37.2: NotReady: etcd is out of space",
	} {
		hub := halted()
		hub.Upgrades[0].Status.Conditions[0].Reason, hub.Upgrades[0].Status.Why.Since = outcome, ago(49*time.Minute)
		got := conditionOf(t, hub, "eu-1", "ControlPlane", "v1.37.2")
		if got.Message != want || got.Took.Duration != time.Minute || !got.Since.Equal(now.Add(-48*time.Minute)) {
			t.Errorf("%s: %+v", outcome, got)
		}
	}
}

// A pass that is yet to come has no version yet, but for the last.
func TestPassesToCome(t *testing.T) {
	hub := busy()
	hub.Upgrades[3].Status.From, hub.Upgrades[3].Status.Hop = "v1.34.2", "v1.35.9" // eu-3
	hub.Upgrades[3].Status.Steps[0].Hop = "v1.35.9"
	for hop, want := range map[string]rollout.Truth{"v1.35.9": rollout.False, "1.36": rollout.Unknown, "v1.37.2": rollout.Unknown} {
		if got := conditionOf(t, hub, "eu-3", "Preflight", hop); got.Holds != want {
			t.Errorf("%+v; want %s", got, want)
		}
	}
}

// Commands are told as they are copied; what is around them is not.
func TestCommands(t *testing.T) {
	for fix, want := range map[string][]string{
		"repair it; it starts by itself": nil,
		"":                               nil,
		"see refit why eu-1; then set spec.release, or let it go on: refit resume main --reason …": {"refit why eu-1", "refit resume main --reason …"},
		"kubectl uncordon a-1, and remove its annotation refit.dev/undo":                           {"kubectl uncordon a-1"},
		`create one with "refit local create", then apply a Fleet`:                                 {"refit local create"},
	} {
		hub := busy()
		hub.Upgrades[2].Status.Why.Fix = fix // eu-2
		got := conditionOf(t, hub, "eu-2", "Nodes", "v1.37.2")
		if diff := cmp.Diff(want, got.Commands); diff != "" || got.Fix != fix {
			t.Errorf("%q (-want +got):\n%s", fix, diff)
		}
	}
}

// Who is about to start does not wait.
func TestStartsNow(t *testing.T) {
	if text := view.Of(behind(), now).Text(view.Style{Now: now}); !strings.Contains(text, "v1.34.1  starts now\n") {
		t.Errorf("it says\n%s", text)
	}
}
