package invariant_test

import (
	"testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/upgrade"
)

// TestWriteSource: only what the cluster is seen to run, over what was there before.
func TestWriteSource(t *testing.T) {
	ref := fleet.SourceRef{URL: "https://git.example/infra", File: "eks.tf", Attribute: "module.a.version"}
	write := func(to fleet.Declared) []plan.Action {
		return []plan.Action{plan.WriteSource{Source: ref, From: "1.36", To: to}}
	}
	says := func(how func(*upgrade.Input)) upgrade.Input {
		return changed(there(), func(in *upgrade.Input) {
			in.Cluster.Source = fleet.Source{SourceRef: ref, Mode: fleet.WriteBack, Says: "1.36"}
			in.Memory.Declared = "1.36"
			if how != nil {
				how(in)
			}
		})
	}
	const what = `write "1.37" instead of "1.36" as module.a.version in eks.tf`
	judged{
		{name: "as it should be", in: says(nil), actions: write("1.37")},
		{name: "only reported", in: says(func(in *upgrade.Input) { in.Cluster.Source.Mode = fleet.Report }), actions: write("1.37"), want: []string{
			what + `: the member's source is another, or not to be written: "Report"`,
		}},
		{name: "another place", in: says(func(in *upgrade.Input) { in.Cluster.Source.File = "gke.tf" }), actions: write("1.37"), want: []string{
			what + `: the member's source is another, or not to be written: "WriteBack"`,
		}},
		{name: "it is not known", in: says(func(in *upgrade.Input) { in.Cluster.Source.Says = "" }), actions: write("1.37"), want: []string{what + `: it says ""`}},
		{name: "somebody changed it", in: says(func(in *upgrade.Input) { in.Memory.Declared = "1.35" }), actions: write("1.37"), want: []string{
			what + `: it said "1.35" in the beginning`,
		}},
		{name: "the control plane is silent", in: says(func(in *upgrade.Input) { in.Cluster.ControlPlane.Ready = false }), actions: write("1.37"), want: []string{
			what + `: the control plane is seen at v1.37.2, ready false`,
		}},
		{name: "another minor", in: says(nil), actions: write("1.38"), want: []string{
			`write "1.38" instead of "1.36" as module.a.version in eks.tf: the control plane is at v1.37.2`,
		}},
		{name: "back", in: says(func(in *upgrade.Input) {
			in.Cluster.Source.Says, in.Memory.Declared = "1.36", "1.36"
			in.Target, in.Cluster.ControlPlane.Oldest = version("v1.35.1"), version("v1.35.1")
			in.Cluster.Pools = nil
		}), actions: write("1.35"), want: []string{
			`write "1.35" instead of "1.36" as module.a.version in eks.tf: it would go back, or nowhere`,
		}},
		{name: "a node is in hand", in: says(nodeIs(0, func(n *fleet.Node) { n.Cordoned, n.CordonedBy = true, us })), actions: write("1.37"), want: []string{
			what + `: node a is in hand`,
		}},
		{name: "frozen", in: says(func(in *upgrade.Input) { in.Frozen = no }), actions: write("1.37"), want: []string{what + " is begun against the will of a person"}},
		{name: "withdrawn", in: says(func(in *upgrade.Input) { in.Withdrawn = no }), actions: write("1.37")},
		{name: "done, and it says less", in: says(nil), outcome: upgrade.Done, want: []string{`done is claimed with a source that says "1.36", wanted v1.37.2`}},
		{name: "done, and it is not known", in: says(func(in *upgrade.Input) { in.Cluster.Source.Says = "" }), outcome: upgrade.Done, want: []string{
			`done is claimed with a source that says "", wanted v1.37.2`,
		}},
		{name: "done, and it says so", in: says(func(in *upgrade.Input) { in.Cluster.Source.Says = "1.37" }), outcome: upgrade.Done},
		{name: "done, and it is only reported", in: says(func(in *upgrade.Input) { in.Cluster.Source.Mode = fleet.Report }), outcome: upgrade.Done},
	}.run(t)
}
