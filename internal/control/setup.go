package control

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
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
	answers := make(chan event.GenericEvent, 1)
	if l.Fleets.Gates != nil {
		l.Fleets.Gates.OnAnswer(func() { tell(answers, &v1.Fleet{}) })
	}
	return ctrl.NewControllerManagedBy(mgr).Named("fleets").
		Watches(&v1.Fleet{}, all).
		Watches(&v1.Release{}, all).
		Watches(&v1.MemberCluster{}, all).
		Watches(&v1.ClusterUpgrade{}, all).
		Watches(&v1.Freeze{}, all).
		Watches(&v1.Approval{}, all).
		WatchesRawSource(source.Channel(answers, all)).
		WithEventFilter(when(WakesFleets)).
		Complete(reconcile.Func(func(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
			return l.Fleets.Reconcile(ctx)
		}))
}

func (l Loops) setupUpgrades(mgr ctrl.Manager) error {
	changes := make(chan event.GenericEvent, 1024)
	l.Upgrades.Watch.Changed = func(key types.NamespacedName) {
		up := &v1.ClusterUpgrade{}
		up.Namespace, up.Name = key.Namespace, key.Name
		tell(changes, up)
	}
	depending := handler.EnqueueRequestsFromMapFunc(l.dependingOn)
	return ctrl.NewControllerManagedBy(mgr).Named("upgrades").
		For(&v1.ClusterUpgrade{}, builder.WithPredicates(when(Respecified))).
		Watches(&v1.Fleet{}, depending, builder.WithPredicates(when(WakesUpgrades))).
		Watches(&v1.Release{}, depending, builder.WithPredicates(when(WakesUpgrades))).
		Watches(&v1.Freeze{}, depending, builder.WithPredicates(when(WakesUpgrades))).
		Watches(&v1.MemberCluster{}, depending, builder.WithPredicates(when(WakesUpgrades))).
		WatchesRawSource(source.Channel(changes, handler.Funcs{GenericFunc: gathered})).
		WithOptions(controller.Options{MaxConcurrentReconciles: l.Workers}).
		Complete(reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
			return l.Upgrades.Reconcile(ctx, req.NamespacedName)
		}))
}

// tell says that something changed beside the hub; it does not wait.
func tell(changes chan<- event.GenericEvent, of client.Object) {
	select {
	case changes <- event.GenericEvent{Object: of}:
	default: // so many are on their way that one more tells nothing new
	}
}

func gathered(_ context.Context, e event.GenericEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	queue.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(e.Object)}, gather)
}

// dependingOn are the upgrades that depend on an object.
func (l Loops) dependingOn(ctx context.Context, on client.Object) []reconcile.Request {
	var upgrades v1.ClusterUpgradeList
	if err := l.Upgrades.Client.List(ctx, &upgrades, client.InNamespace(l.Fleets.Namespace)); err != nil {
		return nil // they look by themselves soon
	}
	var requests []reconcile.Request
	for i := range upgrades.Items {
		if up := &upgrades.Items[i]; !observe.Ended(up) && DependsOn(up, on) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(up)})
		}
	}
	return requests
}

// setupMembers looks at a member now and then, and whenever an upgrade of it
// enters a step or ends.
func (l Loops) setupMembers(mgr ctrl.Manager) error {
	memberOf := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, up client.Object) []reconcile.Request {
		name := up.(*v1.ClusterUpgrade).Spec.Member
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: up.GetNamespace(), Name: name}}}
	})
	return ctrl.NewControllerManagedBy(mgr).Named("members").
		For(&v1.MemberCluster{}, builder.WithPredicates(when(Respecified))).
		Watches(&v1.ClusterUpgrade{}, memberOf, builder.WithPredicates(when(Moved))).
		WithOptions(controller.Options{MaxConcurrentReconciles: l.Workers}).
		Complete(reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
			return l.Members.Reconcile(ctx, req.NamespacedName)
		}))
}
