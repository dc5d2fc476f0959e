package fake

import (
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// past is what was observed until a call was accepted, and how long it is still
// shown.
type past struct {
	until time.Time
	seen  provider.Observation
}

// remember keeps what is to be shown for a while after the change that follows.
func (c *Cluster) remember() {
	if c.mode.Lag > 0 {
		c.past = append(c.past, past{until: c.clock.Now().Add(c.mode.Lag), seen: c.seen()})
	}
}

func (c *Cluster) observe() (provider.Observation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pass()
	if err := c.outage(); err != nil {
		return provider.Observation{}, err
	}
	if err := c.script.draw(Observe).answer(); err != nil {
		return provider.Observation{}, err
	}
	now := c.clock.Now()
	c.past = slices.DeleteFunc(c.past, func(p past) bool { return !now.Before(p.until) })
	seen := c.seen()
	if len(c.past) > 0 {
		seen = c.past[0].seen
	}
	seen.At = now
	return seen, nil
}

// seen is what Observe shows where nothing lags.
func (c *Cluster) seen() provider.Observation {
	s := c.state
	seen := provider.Observation{
		UID: s.UID, Offers: slices.Clone(s.Offers),
		ControlPlane: provider.ControlPlane{Oldest: s.Version, Newest: s.Version, Ready: true},
		Limits:       provider.Limits{MaxNodeSkew: c.mode.MaxNodeSkew, PicksPatch: c.mode.PicksPatch},
	}
	if !s.Newest.IsZero() {
		seen.ControlPlane.Newest = s.Newest
	}
	for _, pool := range s.Pools {
		seen.Pools = append(seen.Pools, c.seenPool(pool))
		seen.Operations = append(seen.Operations, c.seenOperations(provider.Part{Kind: provider.PartPool, Pool: pool.Name})...)
	}
	seen.Operations = append(seen.Operations, c.seenOperations(provider.Part{Kind: provider.PartControlPlane})...)
	return seen
}

func (c *Cluster) seenPool(pool Pool) provider.Pool {
	seen := provider.Pool{
		Name: pool.Name, Size: pool.Size, RolledBy: pool.RolledBy, Template: provider.State{Version: pool.Template},
	}
	if pool.RolledBy == fleet.ByProvider { // who rolls them, need not list them
		seen.NodeLabel = provider.Label{Key: poolLabel, Value: pool.Name}
		return seen
	}
	for _, m := range c.state.Machines {
		if m.Pool == pool.Name {
			seen.Instances = append(seen.Instances, provider.Instance{
				ID: m.ID, Node: m.ID, Replaces: m.Replaces, State: provider.State{Version: m.Version},
			})
		}
	}
	return seen
}

// seenOperations are those of a part that run, and the one that ended last,
// newest first.
func (c *Cluster) seenOperations(part provider.Part) []provider.Operation {
	var all []provider.Operation
	for _, op := range slices.Backward(c.state.Operations) {
		if op.Part != part {
			continue
		}
		all = append(all, op.Operation)
		if op.Phase != provider.Running {
			break
		}
	}
	return all
}
