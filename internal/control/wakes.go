package control

import (
	"maps"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
)

// Who is woken by what. Objects are as they were before a change and after it:
// nil before of one that is new, nil after of one that is gone.

// WakesFleets tells whether the Fleets loop looks because of a change. It writes
// the statuses of fleets and releases itself, and needs not be told.
func WakesFleets(before, after client.Object) bool {
	switch either(before, after).(type) {
	case *v1.Fleet, *v1.Release:
		return Respecified(before, after)
	default:
		return true
	}
}

// WakesUpgrades tells whether upgrades look because of a change of what they
// depend on: it may want something else of them. See DependsOn.
func WakesUpgrades(before, after client.Object) bool {
	switch either(before, after).(type) {
	case *v1.Fleet:
		return Respecified(before, after) || pinned(before, after)
	case *v1.Release:
		return Respecified(before, after)
	case *v1.MemberCluster:
		return Respecified(before, after) || !maps.Equal(before.GetLabels(), after.GetLabels())
	case *v1.Freeze:
		return true
	default:
		return false
	}
}

// DependsOn tells whether what becomes of an upgrade depends on an object.
func DependsOn(up *v1.ClusterUpgrade, on client.Object) bool {
	switch on := on.(type) {
	case *v1.Fleet:
		return up.Spec.Fleet == on.Name
	case *v1.Release:
		return up.Spec.Release.Name == on.Name
	case *v1.MemberCluster:
		return up.Spec.Member == on.Name
	case *v1.Freeze:
		return (on.Spec.Fleet == "" || on.Spec.Fleet == up.Spec.Fleet) && (on.Spec.Member == "" || on.Spec.Member == up.Spec.Member)
	default:
		return false
	}
}

// Respecified tells whether an object is new, gone, or wanted otherwise.
func Respecified(before, after client.Object) bool {
	return before == nil || after == nil || before.GetGeneration() != after.GetGeneration()
}

// pinned tells whether a fleet pinned a version, which an upgrade may wait for.
func pinned(before, after client.Object) bool {
	was, _ := before.(*v1.Fleet)
	is, _ := after.(*v1.Fleet)
	return was != nil && is != nil && (was.Status.Revision != is.Status.Revision || !slices.Equal(was.Status.Pins, is.Status.Pins))
}

// Moved tells whether an upgrade began, entered a step, replaced a node, or ended:
// its member is then worth a look.
func Moved(before, after client.Object) bool {
	was, _ := before.(*v1.ClusterUpgrade)
	is, _ := after.(*v1.ClusterUpgrade)
	if was == nil || is == nil {
		return true
	}
	return was.Status.Step != is.Status.Step || was.Status.Hop != is.Status.Hop ||
		observe.Ended(was) != observe.Ended(is) || was.Status.Nodes != is.Status.Nodes
}

func either(before, after client.Object) client.Object {
	if after == nil {
		return before
	}
	return after
}

// when makes a predicate of a question about a change.
func when(so func(before, after client.Object) bool) predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return so(nil, e.Object) },
		DeleteFunc: func(e event.DeleteEvent) bool { return so(e.Object, nil) },
		UpdateFunc: func(e event.UpdateEvent) bool { return so(e.ObjectOld, e.ObjectNew) },
	}
}
