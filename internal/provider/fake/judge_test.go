package fake_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/fake"
)

// TestJudge: each rule is told when it is broken, by the call that broke it, and
// by no other.
func TestJudge(t *testing.T) {
	invalid := &provider.Fault{Class: provider.Stop, Code: provider.CodeInvalid, Err: errors.New("skips a minor")}
	cordon := func(s *fake.State, nodes int) {
		for i := range nodes {
			s.Machines[i].Cordoned = true
		}
	}
	for _, test := range []struct {
		name   string
		change func(*fake.State)
		call   fake.Call
		want   []string
	}{
		{name: "nothing is wrong", call: fake.Call{Verb: fake.PatchNode}},
		{name: "one machine more", change: func(s *fake.State) { s.Machines = append(s.Machines, s.Machines[0]) }, call: fake.Call{Verb: fake.AddNode}},
		{
			name: "two more", change: func(s *fake.State) { s.Machines = append(s.Machines, s.Machines[:2]...) }, call: fake.Call{Verb: fake.AddNode},
			want: []string{"eu-1: after AddNode pool a has 5 machines; its size is 3, surge 1"},
		},
		{name: "two more, by another call", change: func(s *fake.State) { s.Machines = append(s.Machines, s.Machines[:2]...) }, call: fake.Call{Verb: fake.PatchNode}},
		{name: "one cordoned", change: func(s *fake.State) { cordon(s, 1) }, call: fake.Call{Verb: fake.PatchNode, What: "n"}},
		{
			name: "two cordoned", change: func(s *fake.State) { cordon(s, 2) }, call: fake.Call{Verb: fake.PatchNode, What: "n"},
			want: []string{"eu-1: after PatchNode n 1 nodes of pool a take pods; its size is 3, 1 may be missing"},
		},
		{
			name: "two cordoned, and one removed", change: func(s *fake.State) { cordon(s, 2) }, call: fake.Call{Verb: fake.RemoveNode, What: "n"},
			want: []string{"eu-1: after RemoveNode n 1 nodes of pool a take pods; its size is 3, 1 may be missing"},
		},
		{
			name: "a minor skipped", call: fake.Call{Verb: fake.UpgradeControlPlane, What: "v1.38.0", Err: invalid},
			want: []string{fmt.Sprintf("eu-1 was asked for what must never be: v1.38.0: %v", invalid)},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, told := judgedCluster(t)
			if test.change != nil {
				c.Change(test.change)
			}
			c.Answered(test.call)
			if diff := cmp.Diff(test.want, *told); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

// TestJudgeBefore: what only shows before a call is told then.
func TestJudgeBefore(t *testing.T) {
	c, told := judgedCluster(t)
	node := c.Look().Pods[0].Node
	c.Arriving(fake.Call{Verb: fake.PatchNode, What: node})
	c.Arriving(fake.Call{Verb: fake.RemoveNode, What: "of no pods"})
	if len(*told) > 0 {
		t.Errorf("told %q", *told)
	}
	c.Arriving(fake.Call{Verb: fake.RemoveNode, What: node})
	if diff := cmp.Diff([]string{"eu-1: node " + node + " is removed with pods on it"}, *told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// judgedCluster has three nodes, of which one may be too many and one missing.
func judgedCluster(t *testing.T) (*fake.Cluster, *[]string) {
	t.Helper()
	cloud := &fake.Cloud{Clock: clocktesting.NewFakeClock(start())}
	c := cloud.Add("eu-1", fake.Shape{
		Version: parse(t, "v1.36.3"), Offers: []fleet.Version{parse(t, "v1.37.2")}, Pools: []fake.PoolShape{{Name: "a", Size: 3}}, Pods: 3, Floor: 2,
	})
	told := new([]string)
	judge := fake.Judge{Cluster: c, Surge: 1, Unavailable: 1, Breaks: func(format string, args ...any) {
		*told = append(*told, fmt.Sprintf(format, args...))
	}}
	c.Arriving, c.Answered = judge.Before, judge.After
	return c, told
}
