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
	h.touched = true
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

// wakeAll is what a process begins with: the lists that its watches begin with,
// of what its cache shows, and what that is told later.
func (h *Hub) wakeAll() {
	for k := range h.world.queue {
		if k.hub == h.name {
			delete(h.world.queue, k)
		}
	}
	now := h.world.Clock.Now()
	for _, k := range h.keys(h.cache(h.memory)) {
		h.world.wake(k, now)
	}
	for _, k := range h.keys(h.memory) {
		h.wake(k.loop, k.name)
	}
}

// keys are all that the loops look at, of what a reader shows.
func (h *Hub) keys(reader client.Reader) []key {
	all := []key{{h.name, fleets, "all"}}
	seen := read(context.Background(), reader)
	for _, mc := range seen.Members {
		all = append(all, key{h.name, members, mc.Name})
	}
	for _, up := range seen.Upgrades {
		all = append(all, key{h.name, upgrades, up.Name})
	}
	return all
}

// wake makes a loop look at once, or when its cache has caught up: what changed
// is told then.
func (h *Hub) wake(l loop, name string) {
	at := h.world.Clock.Now()
	if h.late() {
		at = h.staleUntil
	}
	h.world.wake(key{h.name, l, name}, at)
}
