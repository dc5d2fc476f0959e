package upgrade_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/upgrade"
)

// TestSettleIsContinuous: whenever the cluster is seen sick, it has to settle
// anew, whichever step saw it.
func TestSettleIsContinuous(t *testing.T) {
	for _, test := range []struct {
		name string
		situation
		healthy string // nodes, once they are
	}{
		{
			name:      "in Settle",
			situation: situation{nodes: "v1.36.3 v1.36.3!", from: "v1.36.3", memory: "v1.37.2 Settle 29s"},
			healthy:   "v1.36.3 v1.36.3",
		},
		{
			name: "in the bake of the hop before",
			situation: situation{
				from: "v1.35.1", controlPlane: "v1.36.3", nodes: "v1.35.1 v1.35.1!", bake: time.Nanosecond,
				memory: "v1.36.3 ControlPlane 5m 4m\n v1.37.2 Settle 29s",
			},
			healthy: "v1.35.1 v1.35.1",
		},
		{
			name: "at the very end",
			situation: situation{
				from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.37.2 v1.37.2!", memory: "v1.37.2 Nodes 5m 1m\n end Settle 29s",
			},
			healthy: "v1.37.2 v1.37.2",
		},
		{
			name: "at the very end, with nothing but the control plane silent",
			situation: situation{
				from: "v1.36.3", controlPlane: "v1.37.2", nodes: "v1.37.2", silent: "connection refused", memory: "v1.37.2 Nodes 5m 1m\n end Settle 29s",
			},
			healthy: "v1.37.2",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			sick := upgrade.Next(test.input())
			test.nodes, test.silent = test.healthy, ""
			in := test.input()
			in.Memory, in.Now = sick.Memory, now.Add(10*time.Second)
			step := upgrade.Next(in)
			want := in.Now.Add(30 * time.Second)
			if step.Why.Code != fleet.Settling || !step.Recheck.Equal(want) {
				t.Errorf("after sickness: %s, again at %s; want Settling until %s\nmemory:\n%s", step.Why.Code, step.Recheck, want, told(sick.Memory))
			}
		})
	}
}

// TestForgotten: where the memory is lost, the cluster itself tells where the
// upgrade is.
func TestForgotten(t *testing.T) {
	settled := "v1.37.2 Settle 1m"
	steps{
		{
			name:      "half the nodes replaced",
			situation: situation{controlPlane: "v1.37.2", nodes: "v1.36.3~ v1.36.3 v1.37.2", template: "v1.37.2", memory: settled},
			want: `Nodes v1.37.2
				add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 2 of 3 left
				again in 2s`,
		},
		{
			name:      "at a hop: the next control plane does not begin while a node is in hand",
			situation: situation{controlPlane: "v1.36.3", nodes: "v1.34.0~ v1.36.3 v1.36.3", memory: "v1.36.3 Settle 1m"},
			want: `Nodes v1.36.3
				add node to pool a for i-a
				NodeReplacing: replacing nodes of pool a: 1 of 3 left
				again in 2s`,
		},
		{
			name:      "in the middle of our own operation",
			situation: situation{memory: settled, operations: []fleet.Operation{running(token("v1.37.2"), "v1.37.2")}},
			want: `ControlPlane v1.37.2
				OperationRunning: control plane goes to v1.37.2
				again in 2s`,
		},
		{
			name:      "everything there",
			situation: situation{controlPlane: "v1.37.2", nodes: "v1.37.2", memory: settled},
			want: `Settle v1.37.2
				Settling: seen healthy for less than 30s
				again in 30s`,
		},
	}.run(t)
}

// TestMemory: what is to be remembered of each step.
func TestMemory(t *testing.T) {
	for _, test := range []struct {
		name string
		situation
		want string
	}{
		{name: "a settle begins", want: "v1.37.2 Settle 0s"},
		{
			name:      "and is left when its time is over",
			situation: situation{from: "v1.36.3", memory: "v1.37.2 Settle 40s"},
			want:      "v1.37.2 Settle 40s 0s\n v1.37.2 ControlPlane 0s",
		},
		{
			name:      "since when is not moved by looking again",
			situation: situation{from: "v1.36.3", memory: "v1.37.2 Settle 40s 30s\n v1.37.2 ControlPlane 30s"},
			want:      "v1.37.2 Settle 40s 30s\n v1.37.2 ControlPlane 30s",
		},
		{
			name:      "a step that is gone back to is open again",
			situation: situation{from: "v1.36.3", memory: "v1.37.2 Settle 40s 30s\n v1.37.2 ControlPlane 30s 20s"},
			want:      "v1.37.2 Settle 40s 30s\n v1.37.2 ControlPlane 30s",
		},
		{
			name:      "a step with nothing to do leaves no trace",
			situation: situation{from: "v1.36.3", settle: -1, memory: "v1.37.2 ControlPlane 30s", controlPlane: "v1.37.2", bake: -1},
			want:      "v1.37.2 ControlPlane 30s 0s\n v1.37.2 Nodes 0s",
		},
		{
			name:      "what lapsed is forgotten",
			situation: situation{from: "v1.36.3", memory: "v1.37.2 Settle 12m 11m\n v1.37.2 ControlPlane 11m"},
			want:      "v1.37.2 Settle 0s",
		},
		{
			name:      "so is a bake, where somebody has taken the control plane back since",
			situation: situation{from: "v1.36.3", memory: "v1.37.2 ControlPlane 13m 12m\n v1.37.2 Bake 12m"},
			want:      "v1.37.2 Settle 0s",
		},
		{
			name:      "a pass that is behind is not",
			situation: situation{from: "v1.35.1", controlPlane: "v1.36.3", nodes: "v1.35.1", memory: "v1.36.3 Settle 2h 1h\n v1.36.3 ControlPlane 1h 1h", bake: -1},
			want:      "v1.36.3 Settle 2h0m0s 1h0m0s\n v1.36.3 ControlPlane 1h0m0s 1h0m0s\n v1.37.2 Settle 0s",
		},
		{
			name:      "sickness is remembered as nothing settled",
			situation: situation{from: "v1.36.3", memory: "v1.37.2 Settle 10s", nodes: "v1.36.3!"},
			want:      "v1.37.2 Settle",
		},
		{
			name:      "of a finished Settle too, before the change",
			situation: situation{from: "v1.36.3", memory: "v1.37.2 Settle 50s 10s\n v1.37.2 Preflight 10s", nodes: "v1.36.3!"},
			want:      "v1.37.2 Preflight 10s\n v1.37.2 Settle",
		},
		{
			name:      "but not after it",
			situation: situation{from: "v1.36.3", memory: "v1.37.2 Settle 50s 10s\n v1.37.2 ControlPlane 10s", nodes: "v1.36.3!"},
			want:      "v1.37.2 Settle 50s 10s\n v1.37.2 ControlPlane 10s",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := upgrade.Next(test.input()).Memory
			if diff := cmp.Diff(strings.ReplaceAll(test.want, "\n ", "\n"), told(got)); diff != "" {
				t.Errorf("memory (-want +got):\n%s", diff)
			}
			from := version(or(test.from, or(test.controlPlane, "v1.36.3")))
			if got.From != from {
				t.Errorf("from is %s; want %s", got.From, from)
			}
		})
	}
}

// TestTokenOfAHop: it is the same however often the change is planned, and
// another for each hop and each upgrade.
func TestTokenOfAHop(t *testing.T) {
	in := situation{from: "v1.36.3", memory: "v1.37.2 Settle 1m"}.input()
	before := upgrade.Next(in).Actions[0]
	in.Now = in.Now.Add(time.Minute)
	in.Cluster.Claim.Renewed = in.Now
	if diff := cmp.Diff(before, upgrade.Next(in).Actions[0]); diff != "" {
		t.Errorf("a minute later (-before +after):\n%s", diff)
	}
	in.UID, in.Cluster.Claim.Upgrade = "uid-of-eu-1.2", "uid-of-eu-1.2"
	if cmp.Equal(before, upgrade.Next(in).Actions[0]) {
		t.Error("another upgrade has the same token")
	}
}
