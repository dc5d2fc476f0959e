package demo

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/witness"
)

func version(text string) fleet.Version {
	v, ok := fleet.ParseVersion(text)
	if !ok {
		panic(text + " is no version")
	}
	return v
}

// nodes are named from a letter and 1, and of one version.
func nodes(letter, version string, count int) []witness.Node {
	var nodes []witness.Node
	for n := range count {
		name := fmt.Sprintf("%s-%d", letter, n+1)
		nodes = append(nodes, witness.Node{Name: name, UID: "uid-" + name, Version: version})
	}
	return nodes
}

// fine is what a witness reports of an upgrade of two nodes with nothing amiss.
func fine() witness.Report {
	return witness.Report{
		Events: 900,
		Budgets: []witness.Budget{
			{Key: "default/api", Floor: 3, Lowest: 3, Most: 4},
			{Key: "default/web", Floor: 5, Lowest: 6, Most: 6},
		},
		Created: nodes("new", "v1.37.2", 2), Removed: nodes("old", "v1.36.3", 2), Nodes: nodes("new", "v1.37.2", 2),
	}
}

// Whatever falls short is told, each by itself; and nothing else is.
func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name   string
		served string
		spoil  func(*witness.Report)
		want   []string
	}{
		{name: "all fine"},
		{
			name: "a gap", spoil: func(r *witness.Report) { r.Gaps = []string{"revision 9 follows 7", "etcd ended the watch"} },
			want: []string{"one: gap in the observation: revision 9 follows 7", "one: gap in the observation: etcd ended the watch"},
		},
		{
			name: "no budget", spoil: func(r *witness.Report) { r.Budgets = nil },
			want: []string{"one: no budget was seen, so none can have been kept"},
		},
		{
			name: "a broken budget", spoil: func(r *witness.Report) { r.Budgets[0].Lowest = 2 },
			want: []string{"one: budget default/api saw 2 available, 3 are its floor"},
		},
		{
			name: "a node rotated twice", spoil: func(r *witness.Report) {
				r.Created, r.Removed = nodes("new", "v1.37.2", 3), append(r.Removed, nodes("new", "v1.37.2", 1)...)
			},
			want: []string{"one: 3 nodes created and 3 removed, 2 were to be rotated"},
		},
		{
			name: "one node rotated twice, and one left alone", spoil: func(r *witness.Report) {
				r.Removed[1], r.Nodes[1] = r.Created[0], r.Removed[1]
			},
			want: []string{"one: node old-2 runs v1.36.3"},
		},
		{
			name: "a node created that was not removed", spoil: func(r *witness.Report) { r.Removed = r.Removed[:1] },
			want: []string{"one: 2 nodes created and 1 removed, 2 were to be rotated"},
		},
		{
			name: "a node removed that was not created", spoil: func(r *witness.Report) { r.Created = r.Created[:1] },
			want: []string{"one: 1 nodes created and 2 removed, 2 were to be rotated"},
		},
		{
			name: "a node removed too many", spoil: func(r *witness.Report) { r.Removed = nodes("old", "v1.36.3", 3) },
			want: []string{"one: 2 nodes created and 3 removed, 2 were to be rotated"},
		},
		{
			name: "a node of another version", spoil: func(r *witness.Report) { r.Nodes[0].Version = "v1.37.1" },
			want: []string{"one: node new-1 runs v1.37.1"},
		},
		{
			name: "a control plane of another version", served: "v1.36.3",
			want: []string{"one: its API server serves v1.36.3, not v1.37.2"},
		},
		{
			name: "nothing done", served: "v1.36.3", spoil: func(r *witness.Report) {
				r.Created, r.Removed, r.Nodes = nil, nil, r.Removed
			},
			want: []string{
				"one: its API server serves v1.36.3, not v1.37.2",
				"one: 0 nodes created and 0 removed, 2 were to be rotated",
				"one: node old-1 runs v1.36.3", "one: node old-2 runs v1.36.3",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := &Demo{To: version("v1.37.2"), Nodes: 2}
			report, served := fine(), "v1.37.2"
			if test.spoil != nil {
				test.spoil(&report)
			}
			if test.served != "" {
				served = test.served
			}
			var got []string
			if err := d.judge("one", served, report); err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			slices.Sort(got)
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
