package control

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/upgrade"
)

// A move is a part of a cluster at another version than it was last seen at.
type move struct {
	part     string
	from, to fleet.Version
}

func (m move) String() string { return fmt.Sprintf("%s %s → %s", m.part, m.from, m.to) }

// setForeign counts what moved that no upgrade of ours can have moved.
func (m *Members) setForeign(ctx context.Context, mc *v1.MemberCluster, before *v1.MemberClusterStatus, now time.Time) error {
	moved := movesBetween(before, &mc.Status)
	if len(moved) == 0 {
		return nil
	}
	var upgrades v1.ClusterUpgradeList // of the API server itself: an upgrade that a cache does not have yet is ours, too
	if err := m.Reader.List(ctx, &upgrades, client.InNamespace(mc.Namespace)); err != nil {
		return fmt.Errorf("list upgrades: %w", err)
	}
	for _, move := range moved {
		if !ours(move, mc.Name, upgrades.Items, before.ObservedAt.Time) {
			addForeign(&mc.Status, move, now)
		}
	}
	return nil
}

// movesBetween are the parts that two looks at a member have both seen, and at
// different versions.
func movesBetween(before, after *v1.MemberClusterStatus) []move {
	var moved []move
	compare := func(part, from, to string) {
		was, _ := fleet.ParseVersion(from) // zero: not known
		is, _ := fleet.ParseVersion(to)
		if !was.IsZero() && !is.IsZero() && was != is {
			moved = append(moved, move{part: part, from: was, to: is})
		}
	}
	compare("control plane", before.ControlPlane.Version, after.ControlPlane.Version)
	for _, is := range after.Pools {
		for _, was := range before.Pools {
			if was.Name == is.Name {
				compare("pool "+is.Name, was.Version, is.Version)
			}
		}
	}
	return moved
}

// ours tells whether an upgrade may have moved a part since a time: one that was
// under way since then. Of one that was done by now, that took the part to where it
// was already or further back, it is told that it did not.
func ours(m move, member string, upgrades []v1.ClusterUpgrade, since time.Time) bool {
	for i := range upgrades {
		up := &upgrades[i]
		if up.Spec.Member != member {
			continue
		}
		ended := meta.FindStatusCondition(up.Status.Conditions, v1.ConditionEnded)
		switch {
		case ended == nil || ended.Status != metav1.ConditionTrue:
			return true
		case ended.LastTransitionTime.Time.Before(since.Truncate(time.Second)):
		case ended.Reason != string(upgrade.Done):
			return true
		default:
			to, _ := fleet.ParseVersion(up.Status.To) // written by us
			if m.from.Less(m.to) && !m.from.Reaches(to) {
				return true
			}
		}
	}
	return false
}

func addForeign(status *v1.MemberClusterStatus, m move, now time.Time) {
	if status.Foreign == nil {
		status.Foreign = &v1.ForeignChanges{}
	}
	f := status.Foreign
	f.Count++
	f.Last = append(f.Last, v1.ForeignChange{At: metav1.NewTime(now).Rfc3339Copy(), What: clip(m.String(), moveRoom)})
	f.Last = f.Last[max(0, len(f.Last)-keptMoves):]
}
