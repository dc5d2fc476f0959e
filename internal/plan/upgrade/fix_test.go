package upgrade_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/upgrade"
)

// TestFix: what a provider says is to be done about a control plane is told in
// every step that waits for it, and what to do after a failure is a command.
func TestFix(t *testing.T) {
	const mend = "put a good program in its place"
	asked := "v1.37.2 Settle 2m 1m\n v1.37.2 ControlPlane 1m"
	for _, test := range []struct {
		name string
		situation
		want string
	}{
		{"settle", situation{}, mend},
		{"our own operation that runs", situation{from: "v1.36.3", memory: asked, operations: []fleet.Operation{running(token("v1.37.2"), "v1.37.2")}}, mend},
		{"somebody else's", situation{from: "v1.36.3", memory: asked, operations: []fleet.Operation{running("", "v1.36.6")}}, ""},
		{"silent in its step", situation{from: "v1.36.3", controlPlane: "v1.37.2", memory: asked}, mend},
		{"bake", situation{from: "v1.36.3", controlPlane: "v1.37.2", memory: "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Bake 1m"}, mend},
		{"nodes", situation{from: "v1.36.3", controlPlane: "v1.37.2", memory: "v1.37.2 ControlPlane 9m 8m\n v1.37.2 Nodes 1m"}, mend},
		{"another hub at work", situation{claim: "uid-of-other theirs 4m59s"}, ""},
		{"another hub that is gone", situation{claim: "uid-of-other theirs 5m"}, "if it is gone for good, let this hub take its place: refit takeover uid-of-other --reason …"},
		{
			"our own operation that failed",
			situation{from: "v1.36.3", memory: asked, operations: []fleet.Operation{ended(token("v1.37.2"), "v1.37.2", fleet.Failed)}},
			"repair the cause, then let it start again: refit retry eu-1 --reason …; or release another version: create a Release of another name, and set the fleet's spec.release to it",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.silent = "connection refused"
			in := test.input()
			in.Cluster.ControlPlane.Fix = mend
			if diff := cmp.Diff(test.want, upgrade.Next(in).Why.Fix); diff != "" {
				t.Errorf("fix (-want +got):\n%s", diff)
			}
		})
	}
}
