package invariant_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/upgrade"
)

func pinOf(provider, text, member string) fleet.Pin {
	return fleet.Pin{Provider: provider, Version: version(text), Member: member}
}

// TestPinned: nothing goes to what the fleet has not pinned, but nodes to what
// their control plane runs.
func TestPinned(t *testing.T) {
	pinned := func(in upgrade.Input, pins ...fleet.Pin) upgrade.Input {
		in.Pins = pins
		return in
	}
	template := func(text string) []plan.Action {
		return []plan.Action{plan.SetPoolTemplate{Pool: "a", From: version("v1.36.3"), To: version(text), Token: "token"}}
	}
	behind := changed(halfway(), func(in *upgrade.Input) { in.Cluster.Pools[0].Template = version("v1.36.3") })
	begun := func(step upgrade.StepName, hop string) upgrade.Input {
		in := pinned(before())
		in.Memory.Records = []upgrade.Record{{Step: step, Hop: version(hop), Entered: now}}
		return in
	}
	unpinned := []string{"control plane would go to v1.37.2, which is none of what is pinned: []"}
	judged{
		{name: "a control plane to what is pinned", in: pinned(before(), pinOf("local", "v1.37.2", "eu-0")), actions: []plan.Action{toMinor("v1.37.2")}},
		{name: "to what nobody pinned", in: pinned(before()), actions: []plan.Action{toMinor("v1.37.2")}, want: unpinned},
		{
			name: "to another of the minor", in: pinned(before(), pinOf("local", "v1.37.1", "eu-0")), actions: []plan.Action{toMinor("v1.37.2")},
			want: []string{"control plane would go to v1.37.2, which is none of what is pinned: [{local v1.37.1 eu-0}]"},
		},
		{
			name:    "where the provider picks patches",
			in:      changed(pinned(before()), func(in *upgrade.Input) { in.Cluster.PicksPatch = true }),
			actions: []plan.Action{toMinor("v1.37.2")},
		},
		{name: "to where it was about to go when nobody had pins", in: begun(upgrade.ControlPlane, "v1.37.2"), actions: []plan.Action{toMinor("v1.37.2")}},
		{name: "or its nodes", in: begun(upgrade.Nodes, "v1.37.2"), actions: []plan.Action{toMinor("v1.37.2")}},
		{name: "or it baked", in: begun(upgrade.Bake, "v1.37.2"), actions: []plan.Action{toMinor("v1.37.2")}},
		{name: "to where it was about to go from another", in: begun(upgrade.ControlPlane, "v1.37.1"), actions: []plan.Action{toMinor("v1.37.2")}, want: unpinned},
		{name: "to what it settled for only", in: begun(upgrade.Settle, "v1.37.2"), actions: []plan.Action{toMinor("v1.37.2")}, want: unpinned},
		{name: "to what it was checked for only", in: begun(upgrade.Preflight, "v1.37.2"), actions: []plan.Action{toMinor("v1.37.2")}, want: unpinned},
		{name: "a template to what is pinned", in: pinned(behind, pinOf("local", "v1.37.1", "eu-0")), actions: template("v1.37.1")},
		{name: "to what the control plane runs", in: pinned(behind), actions: template("v1.37.2")},
		{
			name: "to anything else", in: pinned(behind), actions: template("v1.37.1"),
			want: []string{"template of pool a would go to v1.37.1, which is none of what is pinned: []"},
		},
	}.run(t)
}

// TestPins: what is pinned stays, once for each provider and minor, and nothing
// is pinned that nobody needs.
func TestPins(t *testing.T) {
	old, asked := pinOf("local", "v1.36.6", "eu-0"), pinOf("local", "v1.37.2", "eu-1")
	ask := rollout.Ask{Member: "eu-1", Provider: "local", FleetUID: "uid-of-main", Revision: 3, Version: version("v1.37.2")}
	other := func(how func(*rollout.Ask)) rollout.Ask {
		changed := ask
		how(&changed)
		return changed
	}
	nobody := []string{"fleet main would pin v1.37.2 of local, which nobody needs"}
	for _, test := range []struct {
		name string
		ask  rollout.Ask
		pins []fleet.Pin
		want []string
	}{
		{"what is asked for is pinned", ask, []fleet.Pin{old, asked}, nil},
		{"or not yet", ask, []fleet.Pin{old}, nil},
		{"one vanishes", ask, []fleet.Pin{asked}, []string{"fleet main would give up the pin v1.36.6 of local"}},
		{
			"one changes", ask,
			[]fleet.Pin{pinOf("local", "v1.36.5", "eu-0")},
			[]string{"fleet main would give up the pin v1.36.6 of local", "fleet main would pin v1.36.5 of local, which nobody needs"},
		},
		{"two of a minor", ask, []fleet.Pin{old, asked, asked}, []string{"fleet main would pin two versions for local 1.37"}},
		{"another version", other(func(a *rollout.Ask) { a.Version = version("v1.37.3") }), []fleet.Pin{old, asked}, nobody},
		{"another provider", other(func(a *rollout.Ask) { a.Provider = "fake" }), []fleet.Pin{old, asked}, nobody},
		{"another member", other(func(a *rollout.Ask) { a.Member = "eu-2" }), []fleet.Pin{old, asked}, nobody},
		{"another revision", other(func(a *rollout.Ask) { a.Revision = 2 }), []fleet.Pin{old, asked}, nobody},
		{"another fleet", other(func(a *rollout.Ask) { a.FleetUID = "uid-of-lab" }), []fleet.Pin{old, asked}, nobody},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := hub()
			in.Fleets[0].Pins, in.Asks = []fleet.Pin{old}, []rollout.Ask{test.ask}
			decision := rollout.Decision{Fleets: []rollout.FleetState{{
				Name: "main", Waves: make([]rollout.WaveState, 1), Pins: test.pins,
			}}}
			if diff := cmp.Diff(test.want, invariant.Starts(in, decision)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}
