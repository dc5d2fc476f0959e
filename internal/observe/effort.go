package observe

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/upgrade"
)

// Thing is what an object tells, for as long as it is there: a hash of its UID and
// of what that is. No UID comes again, and so no thing does.
type Thing uint32

// mayBeTakenBack is set in things that people delete to take back what they said.
const mayBeTakenBack Thing = 1

// MayBeTakenBack tells whether deleting the object is something that a person does.
func (t Thing) MayBeTakenBack() bool { return t&mayBeTakenBack != 0 }

// Act is one thing that a person did.
type Act struct {
	Thing Thing
	Kind  v1.Act
	// By is who did it; empty where the object does not tell.
	By string
	// Revision of the fleet that it is about; 0 for whichever is rolled.
	Revision int64
}

// Acts are what people did about a fleet since a time, as far as the hub's objects
// tell it. What was said of more than one fleet is told of each.
func Acts(hub Hub, f *v1.Fleet, since time.Time) []Act {
	return slices.Concat(actsOfApprovals(hub, f, since), actsOfFreezes(hub, f, since), actsOfAborts(hub, f), actsOfObjects(hub, f))
}

func actsOfApprovals(hub Hub, f *v1.Fleet, since time.Time) []Act {
	var acts []Act
	for i := range hub.Approvals {
		if a := &hub.Approvals[i]; !a.CreationTimestamp.Time.Before(since) && (a.Spec.Fleet == f.Name || a.Spec.Subject == v1.SubjectTakeOver) {
			acts = append(acts, Act{Thing: said(a), Kind: v1.Act(a.Spec.Subject), By: by(a), Revision: a.Spec.Revision})
		}
	}
	return acts
}

func actsOfFreezes(hub Hub, f *v1.Fleet, since time.Time) []Act {
	var acts []Act
	for i := range hub.Freezes {
		if z := &hub.Freezes[i]; !z.CreationTimestamp.Time.Before(since) && concerns(z, f, hub.Members) {
			kind := v1.ActPause
			if z.Spec.Stops == v1.StopsSkip {
				kind = v1.ActSkip
			}
			acts = append(acts, Act{Thing: said(z), Kind: kind, By: by(z)})
		}
	}
	return acts
}

func actsOfAborts(hub Hub, f *v1.Fleet) []Act {
	var acts []Act
	for i := range hub.Upgrades {
		up := &hub.Upgrades[i]
		deleted := !up.DeletionTimestamp.IsZero() && !Ended(up)
		if up.Spec.FleetUID == string(f.UID) && (up.Spec.End == v1.EndAbort || deleted) {
			acts = append(acts, Act{Thing: thing("abort", up.UID), Kind: v1.ActAbort, By: by(up), Revision: up.Spec.Revision})
		}
	}
	return acts
}

// actsOfObjects are of a release that was withdrawn, and of members to be forgotten:
// said on objects that were there before.
func actsOfObjects(hub Hub, f *v1.Fleet) []Act {
	var acts []Act
	for i := range hub.Releases {
		if r := &hub.Releases[i]; r.Name == f.Spec.Release && r.Spec.Withdrawn != nil {
			acts = append(acts, Act{Thing: thing("withdraw", r.UID), Kind: v1.ActWithdraw, By: by(r)})
		}
	}
	for i := range hub.Members {
		if mc := &hub.Members[i]; mc.Annotations[v1.ForgetAnnotation] != "" && matches(f.Spec.Selector, mc) {
			acts = append(acts, Act{Thing: thing("forget", mc.UID), Kind: v1.ActForget, By: by(mc)})
		}
	}
	return acts
}

// Things are all that the hub's objects could tell of: what is counted and not among
// them is gone.
func Things(hub Hub) map[Thing]bool {
	all := map[Thing]bool{}
	for i := range hub.Approvals {
		all[said(&hub.Approvals[i])] = true
	}
	for i := range hub.Freezes {
		all[said(&hub.Freezes[i])] = true
	}
	for i := range hub.Upgrades {
		all[thing("abort", hub.Upgrades[i].UID)] = true
		all[Pruned(&hub.Upgrades[i])] = true
	}
	for i := range hub.Releases {
		all[thing("withdraw", hub.Releases[i].UID)] = true
	}
	for i := range hub.Members {
		all[thing("forget", hub.Members[i].UID)] = true
	}
	return all
}

// Pruned is that an upgrade is about to be deleted, and its work was added up.
func Pruned(up *v1.ClusterUpgrade) Thing { return thing("pruned", up.UID) }

// Counted unpacks the things that were counted.
func Counted(e *v1.FleetEffort) []Thing {
	var things []Thing
	for packed := range slices.Chunk(e.Counted, 4) {
		if len(packed) == 4 { // else cut short by somebody else
			things = append(things, Thing(binary.BigEndian.Uint32(packed)))
		}
	}
	return things
}

// Packed are things as a status has them.
func Packed(things []Thing) []byte {
	var packed []byte
	for _, t := range things {
		packed = binary.BigEndian.AppendUint32(packed, uint32(t))
	}
	return packed
}

// WorkOf is what Refit did in one upgrade so far.
func WorkOf(up *v1.ClusterUpgrade) v1.Work {
	work := v1.Work{Nodes: up.Status.Nodes.Replaced, AddOns: up.Status.AddOns}
	for _, step := range up.Status.Steps {
		if step.Name == string(upgrade.ControlPlane) && !step.Finished.IsZero() {
			work.ControlPlanes++
		}
	}
	ended := meta.FindStatusCondition(up.Status.Conditions, v1.ConditionEnded)
	if ended == nil || ended.Status != metav1.ConditionTrue {
		return work
	}
	switch rollout.Outcome(ended.Reason) {
	case rollout.Done:
		work.Done = 1
	case rollout.Failed:
		work.Failed = 1
	case rollout.Aborted:
		work.Aborted = 1
	case rollout.Superseded:
		work.Superseded = 1
	case rollout.Running: // no end has that name
	}
	return work
}

// AddWork is the sum of both.
func AddWork(a, b v1.Work) v1.Work {
	return v1.Work{
		Done: a.Done + b.Done, Failed: a.Failed + b.Failed, Aborted: a.Aborted + b.Aborted, Superseded: a.Superseded + b.Superseded,
		ControlPlanes: a.ControlPlanes + b.ControlPlanes, Nodes: a.Nodes + b.Nodes, AddOns: a.AddOns + b.AddOns,
	}
}

// concerns tells whether a freeze is about a fleet, or about a member of it.
func concerns(z *v1.Freeze, f *v1.Fleet, members []v1.MemberCluster) bool {
	if z.Spec.Fleet != "" && z.Spec.Fleet != f.Name {
		return false
	}
	return z.Spec.Member == "" || slices.ContainsFunc(members, func(mc v1.MemberCluster) bool {
		return mc.Name == z.Spec.Member && matches(f.Spec.Selector, &mc)
	})
}

// matches tells whether a selector picks a member, also one that is being deleted.
func matches(selector v1.Selector, mc *v1.MemberCluster) bool {
	match, err := metav1.LabelSelectorAsSelector(&selector)
	return err == nil && match.Matches(labels.Set(mc.Labels))
}

func by(object metav1.Object) string { return object.GetAnnotations()[v1.ByAnnotation] }

// said is a Freeze or an Approval.
func said(object metav1.Object) Thing { return thing("said", object.GetUID()) | mayBeTakenBack }

func thing(what string, uid types.UID) Thing {
	sum := sha256.Sum256([]byte(what + "/" + string(uid)))
	return Thing(binary.BigEndian.Uint32(sum[:])) &^ mayBeTakenBack
}
