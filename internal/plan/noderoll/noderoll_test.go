package noderoll_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/noderoll"
)

const us = "uid-of-eu-1.1"

var (
	want       = version("v1.37.2")
	cordonedAt = time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC)
)

// version reads what a test is sure of.
func version(text string) fleet.Version {
	v, ok := fleet.ParseVersion(text)
	if !ok {
		panic("no version: " + text)
	}
	return v
}

// nodes reads one node a line: its name, its version, what it is besides, and
// after a colon the pods on it.
//
//	a v1.36.0 ours: web-1#web web-2#web! log-1@Node
//
// A version of "?" is a machine that has not joined, "?v1.36.0" one of which
// the provider tells what it was built from. A node is Ready unless it is
// "sick"; "ours", "theirs" and "cordoned" say by whom it is cordoned,
// "uncordoned" that somebody took our cordon off; "for=b" what it replaces.
//
// A pod is a name, with @ its owner if that is no controller, with # its
// budgets; ! is one that is not Ready, ~ one that is terminating.
func nodes(text string) []fleet.Node {
	var list []fleet.Node
	for line := range strings.Lines(text) {
		words, pods, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields := strings.Fields(words)
		if len(fields) == 0 {
			continue
		}
		node := fleet.Node{Name: fields[0], Instance: "i-" + fields[0]}
		if built, unjoined := strings.CutPrefix(fields[1], "?"); !unjoined {
			node.UID, node.ResourceVersion, node.Ready = "uid-"+fields[0], "rv-"+fields[0], true
			node.Version = version(fields[1])
		} else if built != "" {
			node.Built = version(built)
		}
		for _, word := range fields[2:] {
			mark(&node, word)
		}
		for pod := range strings.FieldsSeq(pods) {
			node.Pods = append(node.Pods, podOf(pod))
		}
		list = append(list, node)
	}
	return list
}

func mark(node *fleet.Node, word string) {
	switch word {
	case "sick":
		node.Ready = false
	case "cordoned":
		node.Cordoned = true
	case "ours", "uncordoned":
		node.Cordoned, node.CordonedBy, node.CordonedAt = word == "ours", us, cordonedAt
	case "theirs":
		node.Cordoned, node.CordonedBy, node.CordonedAt = true, "uid-of-eu-1.0", cordonedAt
	default:
		replaced, ok := strings.CutPrefix(word, "for=")
		if !ok {
			panic("what is a node that is " + word + "?")
		}
		node.Replaces = "i-" + replaced
	}
}

func podOf(text string) fleet.Pod {
	pod := fleet.Pod{Namespace: "shop", Owner: fleet.OwnedByController, Ready: true}
	text, terminating := strings.CutSuffix(text, "~")
	if terminating {
		pod.Terminating = cordonedAt
	}
	text, sick := strings.CutSuffix(text, "!")
	pod.Ready = !sick
	text, budgets, guarded := strings.Cut(text, "#")
	if guarded {
		for name := range strings.SplitSeq(budgets, ",") {
			pod.Budgets = append(pod.Budgets, "shop/"+name)
		}
	}
	text, owner, owned := strings.Cut(text, "@")
	if owned {
		pod.Owner = fleet.PodOwner(owner)
	}
	pod.Name, pod.UID = text, "uid-"+text
	return pod
}

func budget(name string, healthy, desired int) fleet.Budget {
	return fleet.Budget{
		Namespace: "shop", Name: name,
		Healthy: healthy, Desired: desired, Expected: max(healthy, desired), Allowed: max(0, healthy-desired),
	}
}

// input is a pool of the nodes whose template is set already.
func input(size int, policy noderoll.Policy, text string) noderoll.Input {
	return noderoll.Input{
		Upgrade: us, Want: want, Policy: policy,
		Pool:  fleet.Pool{Name: "a", Template: want, Size: size, RolledBy: fleet.ByRefit, Nodes: nodes(text)},
		Token: func(what string) string { return "token of " + what },
	}
}

// decision is a decision in words: its actions, then why no more is done.
func decision(d noderoll.Decision) string {
	var lines []string
	for _, action := range d.Actions {
		lines = append(lines, action.String())
	}
	if d.Done {
		lines = append(lines, "done")
	}
	if !d.Why.IsZero() {
		lines = append(lines, string(d.Why.Code)+": "+d.Why.Message)
	}
	return strings.Join(lines, "\n")
}

// text is a wanted decision without the indentation it is written with.
func text(indented string) string {
	var lines []string
	for line := range strings.Lines(indented) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// TestActionsHoldWhatTheirExecutionNeeds: each is refused rather than wrong when
// it comes late.
func TestActionsHoldWhatTheirExecutionNeeds(t *testing.T) {
	in := input(4, noderoll.Policy{MaxSurge: 1, MaxUnavailable: 4}, `
		a v1.36.0 ours
		b v1.36.0 ours: web-1
		c v1.36.0 cordoned
		d v1.36.0 sick`)
	want := []plan.Action{
		plan.RemoveNode{Pool: "a", Instance: "i-a", Node: "a", UID: "uid-a"},
		plan.Evict{Namespace: "shop", Pod: "web-1", UID: "uid-web-1", Node: "b"},
		plan.Cordon{Node: "d", UID: "uid-d", ResourceVersion: "rv-d", Upgrade: us},
		plan.Cordon{Node: "c", UID: "uid-c", ResourceVersion: "rv-c", Upgrade: us, WasCordoned: true},
		plan.AddNode{Pool: "a", Replaces: "i-a", Token: "token of node/0"},
	}
	if diff := cmp.Diff(want, noderoll.Decide(in).Actions); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}

	in = input(1, noderoll.Policy{MaxSurge: 1}, "a v1.36.0")
	in.Pool.Template = version("v1.36.0")
	want = []plan.Action{plan.SetPoolTemplate{Pool: "a", From: version("v1.36.0"), To: version("v1.37.2"), Token: "token of template"}}
	if diff := cmp.Diff(want, noderoll.Decide(in).Actions); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

// TestTokens: the n-th new node has the n-th token, whatever it was asked for
// after. A provider that is late to show what it was asked for is asked for the
// same again.
func TestTokens(t *testing.T) {
	for _, test := range []struct {
		name  string
		nodes string
		want  []string // tokens, with what the nodes replace
	}{
		{
			name:  "from the beginning",
			nodes: "a v1.36.0\n b v1.36.0\n c v1.36.0",
			want:  []string{"node/0 for i-a", "node/1 for i-b"},
		},
		{
			name:  "one is there",
			nodes: "a v1.36.0\n b v1.36.0\n c v1.36.0\n n ? for=a",
			want:  []string{"node/1 for i-b"},
		},
		{
			name:  "an old one is gone, and its replacement not seen yet: the same tokens, and one more",
			nodes: "b v1.36.0\n c v1.36.0",
			want:  []string{"node/0 for i-b", "node/1 for i-c", "node/2 for "},
		},
		{
			name:  "nodes that were there before count, those that merely suffice do not",
			nodes: "a v1.36.0\n b v1.35.0\n n v1.37.2",
			want:  []string{"node/1 for i-b"},
		},
		{
			name:  "not even while they are sick",
			nodes: "a v1.36.0 sick\n b v1.35.0\n n v1.37.2",
			want:  []string{"node/1 for i-b"},
		},
		{
			name:  "a removed machine that is still listed does not",
			nodes: "a ?v1.35.0\n b v1.35.0\n n v1.37.2",
			want:  []string{"node/1 for i-b", "node/2 for "},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := input(3, noderoll.Policy{MaxSurge: 2}, test.nodes)
			in.Token = func(what string) string { return what }
			if strings.Contains(test.nodes, "v1.35.0") {
				in.Enough = version("v1.36.0")
			}
			var got []string
			for _, action := range noderoll.Decide(in).Actions {
				if add, ok := action.(plan.AddNode); ok {
					got = append(got, add.Token+" for "+add.Replaces)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("tokens (-want +got):\n%s", diff)
			}
		})
	}
}
