package control

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/upgrade"
)

// TestReplacedNodes: old nodes that went count once nodes are replaced in this pass,
// and where some go along with the control plane from when that is changed.
func TestReplacedNodes(t *testing.T) {
	from, to := fleet.Version{Major: 1, Minor: 36, Patch: 3}, fleet.Version{Major: 1, Minor: 37, Patch: 2}
	for name, test := range map[string]struct {
		step     upgrade.StepName
		rolledBy fleet.RolledBy
		want     v1.UpgradeNodes
	}{
		"before":                       {upgrade.Settle, fleet.WithControlPlane, v1.UpgradeNodes{Old: 2, Replaced: 4}},
		"the control plane is changed": {upgrade.ControlPlane, fleet.ByProvider, v1.UpgradeNodes{Old: 2, Replaced: 4}},
		"the control plane is changed, and a node goes along": {upgrade.ControlPlane, fleet.WithControlPlane, v1.UpgradeNodes{Old: 2, Replaced: 5}},
		"nodes are replaced":                        {upgrade.Nodes, fleet.ByRefit, v1.UpgradeNodes{Old: 2, Replaced: 5}},
		"nodes are replaced, after some went along": {upgrade.Nodes, fleet.WithControlPlane, v1.UpgradeNodes{Old: 2, Replaced: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			old := fleet.Node{UID: "x", Version: from, Ready: true}
			in := upgrade.Input{Target: to, Cluster: fleet.Cluster{Pools: []fleet.Pool{
				{Name: "control plane", RolledBy: test.rolledBy, Nodes: []fleet.Node{{UID: "y", Version: to, Ready: true}}},
				{Name: "workers", RolledBy: fleet.ByProvider, Nodes: []fleet.Node{old, old}},
			}}}
			in.Memory.Records = []upgrade.Record{{Hop: to, Step: test.step}}
			before := &v1.ClusterUpgradeStatus{Hop: to.String(), Nodes: v1.UpgradeNodes{Old: 3, Replaced: 4}}
			if diff := cmp.Diff(test.want, replaced(in, upgrade.Step{Hop: to}, before)); diff != "" {
				t.Errorf("nodes (-want +got):\n%s", diff)
			}
		})
	}
}
