package upgrade_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/upgrade"
)

// dns is an add-on that the release wants.
func dns(when fleet.When) []fleet.WantedAddOn {
	return []fleet.WantedAddOn{{
		Name: "dns", When: when, Patience: 10 * time.Minute,
		Versions: map[string]fleet.ChartVersion{"1.37": {Version: version("1.12.0"), Text: "1.12.0"}},
		Helm:     fleet.Helm{Repository: "https://charts.example", Chart: "coredns", Namespace: "kube-system", Release: "coredns", Values: `{"replicas":2}`},
	}}
}

// seen is dns as it was seen: "absent", "unseen"; else phase, version, by whom ("ours",
// "theirs"), how long ago, and more words: "values" that are not those wanted, "sick",
// "tried" by us before, "back" to 1.11.0, "taken" back, and "left" half done.
func seen(text string) []fleet.AddOn {
	fields := strings.Fields(text)
	a := fleet.AddOn{Name: "dns", Phase: fleet.AddOnPhase(fields[0]), Values: `{"replicas":2}`, Message: "as Helm says"}
	switch fields[0] {
	case "absent":
		return []fleet.AddOn{{Name: "dns", Phase: fleet.Absent}}
	case "unseen":
		return []fleet.AddOn{{Name: "dns", Message: "secrets is forbidden"}}
	}
	a.Version, a.Revision, a.Since = version(fields[1]), 3, ago(fields[3])
	if fields[2] == "ours" {
		a.By = us
	}
	for _, word := range fields[4:] {
		switch word {
		case "values":
			a.Values = "{}"
		case "sick":
			a.Sick = "Deployment kube-system/coredns is InProgress: 1 of 2"
		case "tried":
			a.Tried = []string{us}
		case "back":
			a.Back = version("1.11.0")
		case "taken":
			a.TakenBack = true
		case "left":
			a.Message = fleet.LeftPending + ": it was pending-upgrade"
		}
	}
	return []fleet.AddOn{a}
}

// TestAddOn: one that is to be changed is, waited for, and taken back where it does
// not become healthy.
func TestAddOn(t *testing.T) {
	at := func(s situation) situation {
		s.from, s.controlPlane = "v1.36.3", "v1.37.2"
		s.memory, s.wanted = or(s.memory, "v1.37.2 ControlPlane 9m 8m\n v1.37.2 AddOns 1m"), dns(fleet.BetweenControlPlaneAndNodes)
		return s
	}
	steps{
		{name: "is not there", situation: at(situation{addOns: "absent"}), want: `AddOns v1.37.2
			install add-on dns v1.12.0
			AddOnChanging: add-on dns is installed at v1.12.0
			again in 2s`},
		{name: "is older", situation: at(situation{addOns: "Deployed 1.11.0 theirs 1h"}), want: `AddOns v1.37.2
			upgrade add-on dns v1.11.0 → v1.12.0
			AddOnChanging: add-on dns goes from v1.11.0 to v1.12.0
			again in 2s`},
		{name: "has other values", situation: at(situation{addOns: "Deployed 1.12.0 theirs 1h values"}), want: `AddOns v1.37.2
			upgrade add-on dns v1.12.0 → v1.12.0
			AddOnChanging: add-on dns goes from v1.12.0 to v1.12.0
			again in 2s`},
		{name: "is ahead, with other values", situation: at(situation{addOns: "Deployed 1.13.0 theirs 1h values"}), want: afterAddOns},
		{name: "is there", situation: at(situation{addOns: "Deployed 1.12.0 theirs 1h"}), want: afterAddOns},
		{name: "was brought there", situation: at(situation{addOns: "Deployed 1.12.0 ours 1m back"}), want: afterAddOns},
		{name: "is there and sick", situation: at(situation{addOns: "Deployed 1.12.0 theirs 1h sick"}), want: `AddOns v1.37.2
			AddOnUnhealthy: add-on dns is at v1.12.0, and not healthy: Deployment kube-system/coredns is InProgress: 1 of 2
			again in 2s`},
		{name: "failed for somebody else", situation: at(situation{addOns: "Broken 1.11.5 theirs 1h"}), want: `AddOns v1.37.2
			upgrade add-on dns v1.11.5 → v1.12.0
			AddOnChanging: add-on dns goes from v1.11.5 to v1.12.0
			again in 2s`},
		{name: "is not known", situation: at(situation{addOns: "unseen"}), want: `AddOns v1.37.2
			Unreachable: add-on dns is not known: secrets is forbidden
			again in 2s`},
		{name: "is being changed by somebody else", situation: at(situation{addOns: "Pending 1.11.1 theirs 1h"}), want: `AddOns v1.37.2
			AddOnPending: add-on dns is being changed by somebody else: as Helm says
			again in 2s`},
		{name: "is being changed", situation: at(situation{addOns: "Pending 1.12.0 ours 59s back"}), want: `AddOns v1.37.2
			AddOnChanging: add-on dns is being changed
			again in 2s`},
		{name: "was left half changed", situation: at(situation{addOns: "Pending 1.12.0 ours 1m back"}), want: `AddOns v1.37.2
			recover add-on dns
			AddOnChanging: add-on dns was left half changed, and is recovered
			again in 2s`},
		{name: "was left half changed, and recovered", situation: at(situation{addOns: "Broken 1.12.0 ours 7m back left"}), want: `AddOns v1.37.2
			upgrade add-on dns v1.12.0 → v1.12.0
			AddOnChanging: add-on dns goes from v1.12.0 to v1.12.0
			again in 2s`},
		{name: "is not healthy yet", situation: at(situation{addOns: "Deployed 1.12.0 ours 9m59s back sick"}), want: `AddOns v1.37.2
			AddOnUnhealthy: add-on dns is at v1.12.0, and not healthy yet: Deployment kube-system/coredns is InProgress: 1 of 2
			again in 2s`},
		{name: "did not become healthy", situation: at(situation{addOns: "Deployed 1.12.0 ours 10m back sick"}), want: `AddOns v1.37.2
			take add-on dns back to v1.11.0
			AddOnChanging: add-on dns goes back from v1.12.0 to v1.11.0: Deployment kube-system/coredns is InProgress: 1 of 2
			again in 2s`},
		{name: "was not accepted", situation: at(situation{addOns: "Broken 1.12.0 ours 1m back"}), want: `AddOns v1.37.2
			take add-on dns back to v1.11.0
			AddOnChanging: add-on dns goes back from v1.12.0 to v1.11.0: as Helm says
			again in 2s`},
		{name: "was not accepted, and is new", situation: at(situation{addOns: "Broken 1.12.0 ours 1m"}), want: `ended Failed
			AddOnFailed: add-on dns did not come to v1.12.0, and there is nothing to take it back to: as Helm says`},
		{name: "its way back was left half done", situation: at(situation{addOns: "Broken 1.11.0 ours 7m back taken tried"}), want: `AddOns v1.37.2
			take add-on dns back to v1.11.0
			AddOnChanging: add-on dns goes back from v1.11.0 to v1.11.0: as Helm says
			again in 2s`},
		{name: "was taken back", situation: at(situation{addOns: "Deployed 1.11.0 ours 1m back taken tried sick"}), want: `ended Failed
			AddOnFailed: add-on dns did not come to v1.12.0: it was taken back to v1.11.0`},
		{name: "was taken back by a person", situation: at(situation{addOns: "Deployed 1.11.0 theirs 1m tried"}), want: `ended Failed
			AddOnFailed: add-on dns did not come to v1.12.0: it was taken back to v1.11.0`},
		{name: "was taken back for somebody else", situation: at(situation{addOns: "Deployed 1.11.0 theirs 1h taken"}), want: `AddOns v1.37.2
			upgrade add-on dns v1.11.0 → v1.12.0
			AddOnChanging: add-on dns goes from v1.11.0 to v1.12.0
			again in 2s`},
		{name: "the nodes have begun: nobody asks for its health", situation: at(situation{
			addOns: "Deployed 1.12.0 ours 11m back sick", memory: "v1.37.2 ControlPlane 29m 28m\n v1.37.2 AddOns 20m 9m\n v1.37.2 Nodes 9m",
		}), want: afterAddOns},
		{name: "the nodes have begun: nobody asks whether it is known", situation: at(situation{
			addOns: "unseen", memory: "v1.37.2 ControlPlane 29m 28m\n v1.37.2 AddOns 20m 9m\n v1.37.2 Nodes 9m",
		}), want: afterAddOns},
		{name: "frozen: is not begun", situation: at(situation{addOns: "absent", frozen: true}), want: `AddOns v1.37.2
			Frozen: frozen by ann: incident
			again in 15s`},
		{name: "frozen: is waited for, and taken back", situation: at(situation{addOns: "Broken 1.12.0 ours 1m back", frozen: true}), want: `AddOns v1.37.2
			take add-on dns back to v1.11.0
			AddOnChanging: add-on dns goes back from v1.12.0 to v1.11.0: as Helm says
			again in 2s`},
		{name: "withdrawn: is not begun", situation: at(situation{addOns: "absent", withdrawn: true}), want: `AddOns v1.37.2
			Withdrawn: release 2026.11 was withdrawn: loses volumes
			again in 15s`},
		{name: "the fleet halted: goes on", situation: at(situation{addOns: "absent", halted: true}), want: `AddOns v1.37.2
			install add-on dns v1.12.0
			AddOnChanging: add-on dns is installed at v1.12.0
			again in 2s`},
		{name: "aborted: what is half done is brought to its end", situation: at(situation{addOns: "Pending 1.12.0 ours 59s back", aborted: true}), want: `AddOns v1.37.2
			AddOnChanging: add-on dns is being changed
			again in 2s`},
		{name: "aborted: what was not accepted is taken back", situation: at(situation{addOns: "Broken 1.12.0 ours 1m back", aborted: true}), want: `AddOns v1.37.2
			take add-on dns back to v1.11.0
			AddOnChanging: add-on dns goes back from v1.12.0 to v1.11.0: as Helm says
			again in 2s`},
		{name: "aborted: what became of it may stay", situation: at(situation{addOns: "Deployed 1.12.0 ours 1m back sick", aborted: true}), want: `ended Aborted
			Aborted: aborted by ann: wrong night`},
	}.run(t)
}

// afterAddOns is the step that follows.
const afterAddOns = `Nodes v1.37.2
	set template of pool a v1.36.3 → v1.37.2
	NodeReplacing: replacing nodes of pool a: 2 of 2 left
	again in 2s`

// TestAddOnPlaces: each add-on has its place in a pass, and what a minor has no
// version for is left alone.
func TestAddOnPlaces(t *testing.T) {
	place := func(when fleet.When, s situation) situation {
		s.wanted, s.addOns = dns(when), or(s.addOns, "Deployed 1.11.0 theirs 1h")
		return s
	}
	steps{
		{name: "before the control plane", situation: place(fleet.BeforeControlPlane, situation{from: "v1.36.3", memory: "v1.37.2 Settle 1m"}), want: `AddOnsBefore v1.37.2
			upgrade add-on dns v1.11.0 → v1.12.0
			AddOnChanging: add-on dns goes from v1.11.0 to v1.12.0
			again in 2s`},
		{name: "between: not before", situation: place(fleet.BetweenControlPlaneAndNodes, situation{from: "v1.36.3", memory: "v1.37.2 Settle 1m"}), want: `ControlPlane v1.37.2
			upgrade control plane v1.36.3 → v1.37.2
			OperationRunning: control plane goes from v1.36.3 to v1.37.2
			again in 2s`},
		{name: "before, frozen", situation: place(fleet.BeforeControlPlane, situation{from: "v1.36.3", memory: "v1.37.2 Settle 1m", frozen: true}), want: `AddOnsBefore v1.37.2
			Frozen: frozen by ann: incident
			again in 15s`},
		{name: "before, withdrawn", situation: place(fleet.BeforeControlPlane, situation{from: "v1.36.3", memory: "v1.37.2 Settle 1m", withdrawn: true}), want: `ended Superseded
			Withdrawn: release 2026.11 was withdrawn: loses volumes`},
		{name: "before, halted", situation: place(fleet.BeforeControlPlane, situation{from: "v1.36.3", memory: "v1.37.2 Settle 1m", halted: true}), want: `AddOnsBefore v1.37.2
			Halted: fleet main halted
			again in 15s`},
		{name: "before, and the control plane is under way: nobody asks for its health", situation: place(fleet.BeforeControlPlane, situation{
			from: "v1.36.3", memory: "v1.37.2 Settle 9m 8m\n v1.37.2 AddOnsBefore 8m 7m\n v1.37.2 ControlPlane 7m", addOns: "Deployed 1.12.0 ours 8m sick",
		}), want: `ControlPlane v1.37.2
			upgrade control plane v1.36.3 → v1.37.2
			OperationRunning: control plane goes from v1.36.3 to v1.37.2
			again in 2s`},
		{name: "before: settled once, it is not settled again", situation: place(fleet.BeforeControlPlane, situation{
			from: "v1.36.3", memory: "v1.37.2 Settle 31m 30m\n v1.37.2 AddOnsBefore 30m", addOns: "Deployed 1.12.0 ours 5m sick", nodes: "v1.36.3 v1.36.3!",
		}), want: `AddOnsBefore v1.37.2
			AddOnUnhealthy: add-on dns is at v1.12.0, and not healthy yet: Deployment kube-system/coredns is InProgress: 1 of 2
			again in 2s`},
		{name: "before, and aborted right after the control plane was asked for", situation: place(fleet.BeforeControlPlane, situation{
			from: "v1.36.3", memory: "v1.37.2 AddOnsBefore 20m 9m\n v1.37.2 ControlPlane 9m", addOns: "Deployed 1.12.0 ours 12m", aborted: true,
		}), want: `ControlPlane unknown
			Aborted: aborted by ann: wrong night; waiting to see what became of the control plane's change
			again in 2s`},
		{name: "before, and aborted long after the control plane was asked for", situation: place(fleet.BeforeControlPlane, situation{
			from: "v1.36.3", memory: "v1.37.2 AddOnsBefore 20m 10m\n v1.37.2 ControlPlane 10m", addOns: "Deployed 1.12.0 ours 12m", aborted: true,
		}), want: `ended Aborted
			Aborted: aborted by ann: wrong night`},
		{name: "after the nodes", situation: place(fleet.AfterNodes, situation{
			from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.37.2", memory: "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Nodes 5m 1m",
		}), want: `AddOnsAfter v1.37.2
			upgrade add-on dns v1.11.0 → v1.12.0
			AddOnChanging: add-on dns goes from v1.11.0 to v1.12.0
			again in 2s`},
		{name: "alone, on a cluster that is there", situation: place(fleet.AfterNodes, situation{
			from: "v1.37.2", controlPlane: "v1.37.2", nodes: "v1.37.2", memory: "v1.37.2 Settle 1m",
		}), want: `AddOnsAfter v1.37.2
			upgrade add-on dns v1.11.0 → v1.12.0
			AddOnChanging: add-on dns goes from v1.11.0 to v1.12.0
			again in 2s`},
		{name: "on the way to a minor that it has no version for", situation: place(fleet.BeforeControlPlane, situation{
			from: "v1.35.7", controlPlane: "v1.35.7", nodes: "v1.35.7", memory: "v1.36.3 Settle 1m",
		}), want: `ControlPlane v1.36.3
			upgrade control plane v1.35.7 → v1.36.3
			OperationRunning: control plane goes from v1.35.7 to v1.36.3
			again in 2s`},
	}.run(t)
}

// TestAddOnActions hold what their execution needs.
func TestAddOnActions(t *testing.T) {
	at := func(addOns string) []plan.Action {
		s := situation{from: "v1.36.3", controlPlane: "v1.37.2", memory: "v1.37.2 ControlPlane 9m 8m\n v1.37.2 AddOns 1m"}
		s.wanted, s.addOns = dns(fleet.BetweenControlPlaneAndNodes), addOns
		return upgrade.Next(s.input()).Actions
	}
	helm := dns("")[0].Helm
	for _, test := range []struct {
		addOns string
		want   plan.Action
	}{
		{"absent", plan.UpgradeAddOn{AddOn: "dns", Helm: helm, Version: "1.12.0", To: version("1.12.0"), Upgrade: us}},
		{"Deployed 1.11.0 theirs 1h", plan.UpgradeAddOn{AddOn: "dns", Helm: helm, Version: "1.12.0", From: version("1.11.0"), To: version("1.12.0"), Upgrade: us, After: 3}},
		{"Broken 1.12.0 ours 1m back", plan.TakeBackAddOn{AddOn: "dns", Helm: helm, To: version("1.11.0"), Upgrade: us, After: 3}},
		{"Pending 1.12.0 ours 1m", plan.UnlockAddOn{AddOn: "dns", Helm: helm, Revision: 3}},
	} {
		if diff := cmp.Diff([]plan.Action{test.want}, at(test.addOns)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.addOns, diff)
		}
	}
}
