package control

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/member"
	"refit.dev/refit/internal/observe"
)

// pollMember is how often an idle member is looked at: a node that breaks is
// noticed within a minute, and 5,000 members make 170 looks a second.
const pollMember = 30 * time.Second

// pollUnready is how often a member is looked at that has not been Ready for
// less than unreadyFor: it was made or started just now, most likely, and what
// waits for it is to begin soon. What is broken for longer is in no hurry, and
// thousands that break at once are not asked more often for ever.
const (
	pollUnready = 5 * time.Second
	unreadyFor  = 2 * time.Minute
)

// writeAfter is how old observedAt may grow before it is written without any
// other change.
const writeAfter = 10 * time.Minute

// Members looks at each member, cheaply, and writes down what it saw.
type Members struct {
	Client client.Client
	// Reader reads from the API server itself.
	Reader   client.Reader
	Clock    clock.PassiveClock
	Clusters *observe.Clusters
	// Jitter spreads looks over time, so that not all members are asked at once;
	// nil draws up to a tenth.
	Jitter func(time.Duration) time.Duration
	Log    *slog.Logger
}

// Reconcile looks at one member.
func (m *Members) Reconcile(ctx context.Context, key types.NamespacedName) (ctrl.Result, error) {
	mc := &v1.MemberCluster{}
	if err := m.Client.Get(ctx, key, mc); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !mc.DeletionTimestamp.IsZero() {
		return again(m.letGo(ctx, mc))
	}
	if err := setFinalizer(ctx, m.Client, mc, controllerutil.AddFinalizer); err != nil {
		return again(err)
	}
	before := mc.Status.DeepCopy()
	now := m.Clock.Now()

	cluster, err := m.look(ctx, mc)
	mc.Status.ObservedGeneration = mc.Generation
	setMemberReady(mc, cluster, err, now)
	cluster.Source = m.Clusters.SourceOf(mc, sourceOfMember)
	setSource(mc, cluster, now)
	if err == nil {
		setSeen(&mc.Status, cluster)
		if err := m.setForeign(ctx, mc, before, now); err != nil {
			return ctrl.Result{}, err
		}
		if before.ObservedAt.IsZero() || now.Sub(before.ObservedAt.Time) >= writeAfter || !equality.Semantic.DeepEqual(before, &mc.Status) {
			mc.Status.ObservedAt = metav1.NewTime(now)
		}
	}
	if !equality.Semantic.DeepEqual(before, &mc.Status) {
		if err := m.Client.Status().Update(ctx, mc); apierrors.IsConflict(err) {
			return again(err)
		} else if client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, fmt.Errorf("record status of member %s: %w", mc.Name, err)
		}
		m.logTransition(before, mc)
	}
	return ctrl.Result{RequeueAfter: m.jittered(nextLook(mc.Status.Conditions, now))}, nil
}

// nextLook is when a member is to be looked at again if nothing else asks for it.
func nextLook(conditions []metav1.Condition, now time.Time) time.Duration {
	ready := meta.FindStatusCondition(conditions, v1.ConditionReady)
	if ready.Status != metav1.ConditionTrue && now.Sub(ready.LastTransitionTime.Time) < unreadyFor {
		return pollUnready
	}
	return pollMember
}

// letGo lets a member go that is being deleted, once its upgrade has ended. The end
// of the upgrade wakes this loop.
func (m *Members) letGo(ctx context.Context, mc *v1.MemberCluster) error {
	var upgrades v1.ClusterUpgradeList
	if err := m.Reader.List(ctx, &upgrades, client.InNamespace(mc.Namespace)); err != nil {
		return fmt.Errorf("list upgrades: %w", err)
	}
	for i := range upgrades.Items {
		if up := &upgrades.Items[i]; up.Spec.Member == mc.Name && !observe.Ended(up) {
			return nil
		}
	}
	return setFinalizer(ctx, m.Client, mc, controllerutil.RemoveFinalizer)
}

func (m *Members) look(ctx context.Context, mc *v1.MemberCluster) (fleet.Cluster, error) {
	cluster, err := m.Clusters.Reach(mc)
	if err != nil {
		return fleet.Cluster{}, err
	}
	return m.Clusters.Cluster(ctx, cluster, member.NodesOnly)
}

// setSeen writes what was seen. Of a member whose API server does not answer
// the last known nodes stay; Ready tells that they are not to be relied on.
func setSeen(status *v1.MemberClusterStatus, cluster fleet.Cluster) {
	status.UID = cluster.UID
	if !cluster.ControlPlane.Oldest.IsZero() {
		status.ControlPlane = v1.ControlPlaneStatus{Version: cluster.ControlPlane.Oldest.String(), PicksPatch: cluster.PicksPatch}
		if cluster.ControlPlane.Oldest.Less(cluster.ControlPlane.Newest) {
			status.ControlPlane.Newest = cluster.ControlPlane.Newest.String()
		}
	}
	if !cluster.ControlPlane.Ready {
		return
	}
	status.Nodes = v1.NodesStatus{Oldest: text(cluster.OldestNode())}
	status.Pools = nil
	for _, pool := range cluster.Pools {
		seen := v1.PoolStatus{Name: pool.Name, Version: text(fleet.Cluster{Pools: []fleet.Pool{pool}}.OldestNode())}
		for _, node := range pool.Nodes {
			seen.Nodes++
			status.Nodes.Total++
			if node.Ready {
				status.Nodes.Ready++
			}
		}
		if roomFor(seen, status.Pools) {
			status.Pools = append(status.Pools, seen)
		}
	}
}

// setMemberReady sums up. Not to have been seen is not to be ready.
func setMemberReady(mc *v1.MemberCluster, cluster fleet.Cluster, err error, now time.Time) {
	condition := metav1.Condition{
		Type: v1.ConditionReady, Status: metav1.ConditionTrue, Reason: string(fleet.Healthy), Message: "healthy",
		ObservedGeneration: mc.Generation, LastTransitionTime: metav1.NewTime(now),
	}
	if err != nil {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionUnknown, string(fleet.Unreachable), err.Error()
	} else if sick := cluster.Sick(); !sick.IsZero() {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, string(sick.Code), sick.Message
	}
	condition.Message = clip(condition.Message, conditionRoom)
	meta.SetStatusCondition(&mc.Status.Conditions, condition)
}

func (m *Members) logTransition(before *v1.MemberClusterStatus, mc *v1.MemberCluster) {
	is, was := meta.FindStatusCondition(mc.Status.Conditions, v1.ConditionReady), meta.FindStatusCondition(before.Conditions, v1.ConditionReady)
	if was != nil && was.Status == is.Status && before.ControlPlane == mc.Status.ControlPlane {
		return
	}
	m.Log.Info("member seen", "member", mc.Name, "ready", string(is.Status), "why", is.Message, "version", mc.Status.ControlPlane.Version)
}

// jittered is about as long.
func (m *Members) jittered(d time.Duration) time.Duration {
	if m.Jitter != nil {
		return m.Jitter(d)
	}
	return d - d/10 + rand.N(d/5) //nolint:gosec // spreading load needs no secret
}
