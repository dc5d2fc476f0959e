package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
)

// gather is how long changes in a member are gathered before the upgrade looks
// again: a drain makes many at once.
const gather = 200 * time.Millisecond

// Loops are the three loops, to be run by one manager.
type Loops struct {
	Fleets   *Fleets
	Upgrades *Upgrades
	Members  *Members
	// Workers is how many members, and how many upgrades, are looked at at once.
	Workers int
}

// Setup adds the loops to a manager.
func (l Loops) Setup(mgr ctrl.Manager) error {
	if err := l.setupFleets(mgr); err != nil {
		return fmt.Errorf("set up the fleets loop: %w", err)
	}
	if err := l.setupUpgrades(mgr); err != nil {
		return fmt.Errorf("set up the upgrades loop: %w", err)
	}
	if err := l.setupMembers(mgr); err != nil {
		return fmt.Errorf("set up the members loop: %w", err)
	}
	return nil
}

// setupFleets has one worker and one key: all fleets are planned together.
func (l Loops) setupFleets(mgr ctrl.Manager) error {
	all := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: l.Fleets.Namespace, Name: "all"}}}
	})
	return ctrl.NewControllerManagedBy(mgr).Named("fleets").
		Watches(&v1.Fleet{}, all, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1.Release{}, all, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1.MemberCluster{}, all).
		Watches(&v1.ClusterUpgrade{}, all).
		Watches(&v1.Freeze{}, all).
		Watches(&v1.Approval{}, all).
		Complete(reconcile.Func(func(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
			return l.Fleets.Reconcile(ctx)
		}))
}

func (l Loops) setupUpgrades(mgr ctrl.Manager) error {
	changes := make(chan event.GenericEvent, 1024)
	l.Upgrades.Watch.Changed = func(key types.NamespacedName) {
		up := &v1.ClusterUpgrade{}
		up.Namespace, up.Name = key.Namespace, key.Name
		select {
		case changes <- event.GenericEvent{Object: up}:
		default: // so many are on their way that one more tells nothing new
		}
	}
	return ctrl.NewControllerManagedBy(mgr).Named("upgrades").
		For(&v1.ClusterUpgrade{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1.Fleet{}, l.upgradesOf(ofFleet), builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, pinsChanged()))).
		Watches(&v1.Release{}, l.upgradesOf(ofRelease), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1.Freeze{}, l.upgradesOf(ofFreeze)).
		Watches(&v1.MemberCluster{}, l.upgradesOf(ofMember), builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))).
		WatchesRawSource(source.Channel(changes, handler.Funcs{GenericFunc: gathered})).
		WithOptions(controller.Options{MaxConcurrentReconciles: l.Workers}).
		Complete(reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
			return l.Upgrades.Reconcile(ctx, req.NamespacedName)
		}))
}

func gathered(_ context.Context, e event.GenericEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	queue.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(e.Object)}, gather)
}

// upgradesOf are the upgrades that are woken when what they depend on changes: it
// may want something else of them.
func (l Loops) upgradesOf(depends func(up *v1.ClusterUpgrade, on client.Object) bool) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, on client.Object) []reconcile.Request {
		var upgrades v1.ClusterUpgradeList
		if err := l.Upgrades.Client.List(ctx, &upgrades, client.InNamespace(l.Fleets.Namespace)); err != nil {
			return nil // they look by themselves soon
		}
		var requests []reconcile.Request
		for i := range upgrades.Items {
			if up := &upgrades.Items[i]; !observe.Ended(up) && depends(up, on) {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(up)})
			}
		}
		return requests
	})
}

func ofFleet(up *v1.ClusterUpgrade, f client.Object) bool { return up.Spec.Fleet == f.GetName() }

// pinsChanged lets an update through that an upgrade may wait for.
func pinsChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, after := e.ObjectOld.(*v1.Fleet).Status, e.ObjectNew.(*v1.Fleet).Status
			return before.Revision != after.Revision || !slices.Equal(before.Pins, after.Pins)
		},
	}
}

func ofRelease(up *v1.ClusterUpgrade, release client.Object) bool {
	return up.Spec.Release.Name == release.GetName()
}

func ofMember(up *v1.ClusterUpgrade, mc client.Object) bool { return up.Spec.Member == mc.GetName() }

func ofFreeze(up *v1.ClusterUpgrade, freeze client.Object) bool {
	spec := freeze.(*v1.Freeze).Spec
	return (spec.Fleet == "" || spec.Fleet == up.Spec.Fleet) && (spec.Member == "" || spec.Member == up.Spec.Member)
}

// setupMembers looks at a member now and then, and whenever an upgrade of it
// enters a step or ends.
func (l Loops) setupMembers(mgr ctrl.Manager) error {
	moved := predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1.ClusterUpgrade), e.ObjectNew.(*v1.ClusterUpgrade)
		return before.Status.Step != after.Status.Step || before.Status.Hop != after.Status.Hop ||
			observe.Ended(before) != observe.Ended(after) || before.Status.Nodes != after.Status.Nodes
	}}
	memberOf := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, up client.Object) []reconcile.Request {
		name := up.(*v1.ClusterUpgrade).Spec.Member
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: up.GetNamespace(), Name: name}}}
	})
	return ctrl.NewControllerManagedBy(mgr).Named("members").
		For(&v1.MemberCluster{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1.ClusterUpgrade{}, memberOf, builder.WithPredicates(moved)).
		WithOptions(controller.Options{MaxConcurrentReconciles: l.Workers}).
		Complete(reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
			return l.Members.Reconcile(ctx, req.NamespacedName)
		}))
}
