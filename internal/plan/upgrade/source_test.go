package upgrade_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/upgrade"
)

// sourceOf reads a source: its mode and what it says, "bare" where without quotes; or
// the code of why that is not known.
func sourceOf(text string) fleet.Source {
	fields := strings.Fields(text)
	s := fleet.Source{SourceRef: eksTF(), Mode: fleet.SourceMode(fields[0]), Line: 12, Commit: "c0ffee", At: now, Bare: len(fields) > 2}
	if fleet.Code(fields[1]) == fleet.SourceUnreachable {
		s.Why = fleet.Reason{Code: fleet.SourceUnreachable, Message: "no route to git.example"}
		return s
	}
	s.Says = fleet.Declared(fields[1])
	return s
}

func eksTF() fleet.SourceRef {
	return fleet.SourceRef{URL: "https://git.example/infra", Branch: "main", File: "infra/eks.tf", Attribute: "module.eu_1.version"}
}

// TestWriteBack: once every part is there, the source is to say so, and until it does,
// the upgrade is not done. What somebody has changed meanwhile is left to them.
func TestWriteBack(t *testing.T) {
	at := func(s situation) situation {
		s.from, s.controlPlane, s.nodes = or(s.from, "v1.36.3"), or(s.controlPlane, "v1.37.2"), "v1.37.2 v1.37.2"
		s.memory = or(s.memory, "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Nodes 5m 1m")
		return s
	}
	const settles = `Settle v1.37.2
		Settling: seen healthy for less than 30s
		again in 30s`
	steps{
		{name: "there is none", situation: at(situation{}), want: settles},
		{name: "is only reported", situation: at(situation{source: "Report 1.36"}), want: settles},
		{name: "says less", situation: at(situation{source: "WriteBack 1.36"}), want: `WriteBack v1.37.2
			write "1.37" instead of "1.36" as module.eu_1.version in infra/eks.tf
			SourceWriting: infra/eks.tf:12 is to say "1.37" instead of "1.36"
			again in 2s`},
		{name: "says less, patch and all", situation: at(situation{source: "WriteBack v1.36.3", declared: "v1.36.3"}), want: `WriteBack v1.37.2
			write "v1.37.2" instead of "v1.36.3" as module.eu_1.version in infra/eks.tf
			SourceWriting: infra/eks.tf:12 is to say "v1.37.2" instead of "v1.36.3"
			again in 2s`},
		{name: "says what an earlier upgrade left", situation: at(situation{source: "WriteBack 1.34"}), want: `WriteBack v1.37.2
			write "1.37" instead of "1.34" as module.eu_1.version in infra/eks.tf
			SourceWriting: infra/eks.tf:12 is to say "1.37" instead of "1.34"
			again in 2s`},
		{name: "says it already", situation: at(situation{source: "WriteBack 1.37", declared: "1.36"}), want: settles},
		{name: "is ahead", situation: at(situation{source: "WriteBack 1.38", declared: "1.36"}), want: settles},
		{name: "the cluster is ahead of the release", situation: at(situation{source: "WriteBack 1.36.3", controlPlane: "v1.37.4"}), want: `WriteBack v1.37.2
			write "1.37.4" instead of "1.36.3" as module.eu_1.version in infra/eks.tf
			SourceWriting: infra/eks.tf:12 is to say "1.37.4" instead of "1.36.3"
			again in 2s`},
		{name: "was written, and somebody took the cluster further since", situation: at(situation{
			source: "WriteBack 1.37.2", declared: "1.36.3", controlPlane: "v1.37.4",
		}), want: settles},
		{name: "was changed by somebody", situation: at(situation{source: "WriteBack 1.35", declared: "1.36"}), want: `WriteBack v1.37.2
			SourceChanged: infra/eks.tf:12 said "1.36" when the upgrade began, and says "1.35" by now: it is not made "1.37"
			again in 15s`},
		{name: "is not known", situation: at(situation{source: "WriteBack SourceUnreachable", declared: "1.36"}), want: `WriteBack v1.37.2
			SourceUnreachable: no route to git.example
			again in 2s`},
		{name: "would be another number", situation: situation{
			source: "WriteBack 1.39 bare", from: "v1.39.1", controlPlane: "v1.40.0", target: "v1.40.0", offers: "v1.40.0", nodes: "v1.40.0",
			memory: "v1.40.0 ControlPlane 9m 8m\n v1.40.0 Nodes 5m 1m",
		}, want: `WriteBack v1.40.0
			SourceRefused: infra/eks.tf:12 has 1.39 without quotes, and 1.40 without quotes is 1.4
			again in 15s`},
		{name: "frozen: waits", situation: at(situation{source: "WriteBack 1.36", frozen: true}), want: `WriteBack v1.37.2
			Frozen: frozen by ann: incident
			again in 15s`},
		{name: "withdrawn: the cluster runs it all the same", situation: at(situation{source: "WriteBack 1.36", withdrawn: true}), want: `WriteBack v1.37.2
			write "1.37" instead of "1.36" as module.eu_1.version in infra/eks.tf
			SourceWriting: infra/eks.tf:12 is to say "1.37" instead of "1.36"
			again in 2s`},
		{name: "aborted: is not begun", situation: at(situation{source: "WriteBack 1.36", aborted: true}), want: `ended Aborted
			Aborted: aborted by ann: wrong night`},
		{name: "nothing is written before the nodes are there", situation: situation{
			source: "WriteBack 1.36", from: "v1.36.3", controlPlane: "v1.37.2", memory: "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Bake 8m 3m",
		}, want: afterAddOns},
		{name: "is asked for before anything is changed", situation: situation{source: "WriteBack SourceUnreachable", from: "v1.36.3", memory: "v1.37.2 Settle 1m"}, want: `Preflight v1.37.2
			finding SourceWritable: the new version could not be written back: no route to git.example
			PreflightBlocked: the new version could not be written back: no route to git.example
			again in 15s`},
		{name: "only reported: is in nobody's way", situation: situation{source: "Report SourceUnreachable", from: "v1.36.3", memory: "v1.37.2 Settle 1m"}, want: `ControlPlane v1.37.2
			upgrade control plane v1.36.3 → v1.37.2
			OperationRunning: control plane goes from v1.36.3 to v1.37.2
			again in 2s`},
	}.run(t)
}

// TestWriteSource holds what its execution needs, and what is remembered of the
// beginning.
func TestWriteSource(t *testing.T) {
	s := situation{
		source: "WriteBack 1.36", from: "v1.35.4", controlPlane: "v1.37.2", nodes: "v1.37.2", memory: "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Nodes 5m 1m",
	}
	got := upgrade.Next(s.input())
	want := plan.WriteSource{Source: eksTF(), From: "1.36", To: "1.37", Message: `Upgrade eu-1 to Kubernetes 1.37

Member: eu-1
Release: 2026.11
Control plane: v1.37.2, from v1.35.4
`}
	if diff := cmp.Diff([]plan.Action{want}, got.Actions); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	silent := s.input()
	silent.Cluster.Pools, silent.Cluster.ControlPlane.Ready = nil, false
	if got := upgrade.Next(silent); len(got.Actions) > 0 || got.Name != upgrade.WriteBack || got.Why.Code != fleet.Unreachable {
		t.Errorf("of a silent cluster: %s", stepInWords(got))
	}
	for _, test := range []struct {
		name           string
		says, declared string
		memory         string
		want           fleet.Declared
	}{
		{"in the beginning", "1.36", "", "", "1.36"},
		{"changed before anything was", "1.36", "1.35", "v1.37.2 Settle 1m", "1.36"},
		{"changed after that", "1.35", "1.36", "v1.37.2 Settle 2m 1m\n v1.37.2 ControlPlane 1m", "1.36"},
		{"named later", "1.36", "", "v1.37.2 Settle 2m 1m\n v1.37.2 ControlPlane 1m", "1.36"},
		{"not known for a while", "SourceUnreachable", "1.36", "v1.37.2 Settle 1m", "1.36"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := situation{source: "WriteBack " + test.says, declared: test.declared, from: "v1.36.3", memory: test.memory}
			if got := upgrade.Next(s.input()).Memory.Declared; got != test.want {
				t.Errorf("remembers %q, want %q", got, test.want)
			}
		})
	}
}

// TestCourseWithASource: its step comes before the last Settle, where there is one.
func TestCourseWithASource(t *testing.T) {
	to := version("v1.37.2")
	memory := remembered("v1.37.2 Settle 9m 8m\n v1.37.2 ControlPlane 8m 7m\n v1.37.2 Nodes 5m 1m\n end WriteBack 1m")
	memory.From = version("v1.36.3")
	way := upgrade.Way{Memory: memory, Target: to, Hop: to, Step: upgrade.WriteBack, WritesBack: true}
	want := "v1.37.2: +Settle +Preflight +ControlPlane +Bake +Nodes\nend: >WriteBack Settle"
	if got := courseTold(upgrade.Course(way)); got != want {
		t.Errorf("course:\n%s\nwant\n%s", got, want)
	}
	way.Step, way.Memory.Records = upgrade.Settle, append(memory.Records, remembered("end Settle 30s").Records...)
	if got, want := courseTold(upgrade.Course(way)), strings.Replace(want, ">WriteBack Settle", "+WriteBack >Settle", 1); got != want {
		t.Errorf("course:\n%s\nwant\n%s", got, want)
	}
	way.Outcome = upgrade.Done
	if got, want := courseTold(upgrade.Course(way)), strings.Replace(want, ">WriteBack Settle", "+WriteBack +Settle", 1); got != want {
		t.Errorf("course:\n%s\nwant\n%s", got, want)
	}
}
