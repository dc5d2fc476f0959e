package sim

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/control"
	"refit.dev/refit/internal/observe"
)

// changed wakes whom the watches of package control would wake: see its setup.go.
// Before is nil of an object that is new, after of one that is gone.
func (h *Hub) changed(ctx context.Context, before, after client.Object) {
	o := after
	if o == nil {
		o = before
	}
	if o == nil {
		return
	}
	if control.WakesFleets(before, after) {
		h.wake(fleets, "all")
	}
	switch o := o.(type) {
	case *v1.MemberCluster:
		if control.Respecified(before, after) {
			h.wake(members, o.Name)
		}
	case *v1.ClusterUpgrade:
		if control.Respecified(before, after) {
			h.wake(upgrades, o.Name)
		}
		if control.Moved(before, after) {
			h.wake(members, o.Spec.Member)
		}
	}
	if !control.WakesUpgrades(before, after) {
		return
	}
	all := h.all(ctx)
	for i := range all.Upgrades {
		if up := &all.Upgrades[i]; !observe.Ended(up) && control.DependsOn(up, o) {
			h.wake(upgrades, up.Name)
		}
	}
}

// wakeAll is what a process begins with: the lists that its watches begin with.
func (h *Hub) wakeAll() {
	for k := range h.world.queue {
		if k.hub == h.name {
			delete(h.world.queue, k)
		}
	}
	all := h.all(context.Background())
	for _, mc := range all.Members {
		h.wake(members, mc.Name)
	}
	for _, up := range all.Upgrades {
		h.wake(upgrades, up.Name)
	}
	h.wake(fleets, "all")
}

// wake makes a loop look at once, or when its cache has caught up: what changed
// is told then.
func (h *Hub) wake(l loop, name string) {
	at := h.world.Clock.Now()
	if h.stale != nil && at.Before(h.staleUntil) {
		at = h.staleUntil
	}
	h.world.wake(key{h.name, l, name}, at)
}

