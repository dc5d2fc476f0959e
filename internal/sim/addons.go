package sim

import (
	"context"
	"fmt"

	"k8s.io/client-go/rest"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/member"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/world"
)

// helm is the way from one hub's Refit to the add-ons of all clusters, which have the
// names of their Helm releases. As Helm does, it writes twice: that a change has begun,
// and what it came to.
type helm struct{ hub *Hub }

// Observe looks at add-ons of a cluster.
func (h helm) Observe(_ context.Context, config *rest.Config, wanted []fleet.WantedAddOn) []fleet.AddOn {
	c := h.cluster(config)
	var seen []fleet.AddOn
	for _, want := range wanted {
		one := c.addOns.Seen(want.Helm.Release, h.hub.world.Clock.Now())
		one.Name = want.Name
		seen = append(seen, one)
	}
	return seen
}

// Upgrade begins a change, and ends it.
func (h helm) Upgrade(_ context.Context, config *rest.Config, what fleet.Helm, version, upgrade string, after int) error {
	to, _ := fleet.ParseVersion(version)
	return h.change(config, plan.UpgradeAddOn{AddOn: what.Release, Helm: what, Version: version, To: to, Upgrade: upgrade, After: after}, what.Release)
}

// TakeBack begins a way back, and ends it.
func (h helm) TakeBack(config *rest.Config, what fleet.Helm, upgrade string, after int) error {
	return h.change(config, plan.TakeBackAddOn{AddOn: what.Release, Helm: what, Upgrade: upgrade, After: after}, what.Release)
}

// Unlock ends what was left half done.
func (h helm) Unlock(config *rest.Config, what fleet.Helm, revision int) error {
	return h.begin(h.cluster(config), plan.UnlockAddOn{AddOn: what.Release, Helm: what, Revision: revision})
}

func (h helm) change(config *rest.Config, action plan.Action, name string) error {
	c := h.cluster(config)
	before := c.addOns.Seen(name, c.world.Clock.Now()).Version
	if err := h.begin(c, action); err != nil {
		return err
	}
	c.world.tell("%s is told: add-on %s %s → %s", c.name, name, before, c.addOns.Seen(name, c.world.Clock.Now()).Version)
	end := func() { c.addOns.End(name, c.world.Clock.Now()) }
	return h.hub.cross(fmt.Sprintf("end of: %s of %s", action, c.name), func() error { end(); return nil }, end)
}

func (h helm) begin(c *cluster, action plan.Action) error {
	do := func() error {
		if answer := c.addOns.Begin(action, c.world.Clock.Now()); answer != world.Accepted {
			return fmt.Errorf("%s: %w", action, member.ErrChanged)
		}
		return nil
	}
	return h.hub.cross(fmt.Sprintf("%s of %s", action, c.name), do, func() { _ = do() })
}

// AddAddOn adds an add-on to a cluster.
func (w *World) AddAddOn(cluster string, shape world.AddOn) {
	w.clusters[cluster].addOns.Add(shape, w.Clock.Now())
}

func (h helm) cluster(config *rest.Config) *cluster {
	border, _ := config.Transport.(*border)
	return h.hub.world.clusters[border.member]
}
