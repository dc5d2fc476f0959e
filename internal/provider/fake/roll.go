package fake

import (
	"fmt"
	"slices"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// upgradePool begins the roll of a pool that the cloud rolls itself, one node
// after the other, or finds it under way, or done.
func (c *Cluster) upgradePool(change provider.Change, befalls Mishap) (provider.Operation, error) {
	pool, err := c.pool(change.Part.Pool)
	if err != nil {
		return provider.Operation{}, err
	}
	from, to := change.From.Version, c.pick(change.To.Version)
	if c.mode.PicksPatch && to.SameMinor(c.state.Version) {
		to = c.state.Version
	}
	known, running := c.byToken(change), c.runningOf(change.Part)
	switch {
	case known != nil:
		return known.Operation, nil
	case running != nil && c.same(running.To.Version, to):
		return running.Operation, nil
	case running != nil, c.running() != nil:
		return provider.Operation{}, &provider.Fault{
			Class: provider.Wait, Code: provider.CodeInProgress, After: inProgressAfter,
			Err: fmt.Errorf("an operation of the cluster or of pool %s is under way", pool.Name),
		}
	case c.state.Version.Less(to):
		return provider.Operation{}, stop(provider.CodeInvalid, "nodes of %s would be newer than the control plane, which is at %s; upgrade that first", to, c.state.Version)
	case c.same(pool.Template, to):
		return c.done(change), nil
	case !c.same(pool.Template, from):
		return provider.Operation{}, stop(provider.CodeChanged, "pool %s is at %s, neither at %s nor at %s", pool.Name, pool.Template, from, to)
	}
	c.remember()
	op := c.begin(change.Token, to)
	op.Part, op.Fails = change.Part, befalls == OperationFails
	return op.Operation, nil
}

// runningOf is the operation of a part that runs.
func (c *Cluster) runningOf(part provider.Part) *Operation {
	for i := range c.state.Operations {
		if op := &c.state.Operations[i]; op.Part == part && op.Phase == provider.Running {
			return op
		}
	}
	return nil
}

// roll takes the operation of a pool further: a new machine is added, then an old
// one is cordoned, emptied within the budget, and removed.
func (c *Cluster) roll(op *Operation) {
	pool, err := c.pool(op.Part.Pool)
	if err != nil {
		return
	}
	var old, fresh []*Machine
	for i := range c.state.Machines {
		if m := &c.state.Machines[i]; m.Pool == pool.Name && m.Version.Less(op.To.Version) {
			old = append(old, m)
		} else if m.Pool == pool.Name {
			fresh = append(fresh, m)
		}
	}
	switch {
	case op.Fails && len(fresh) > 0:
		op.Phase, op.Code, op.Message = provider.Failed, "PodEvictionFailure", "pods of the first node did not move in time"
	case slices.ContainsFunc(fresh, func(m *Machine) bool { return !c.ready(*m) }):
	case len(old) == 0:
		op.Phase, pool.Template = provider.Succeeded, op.To.Version
	case len(old)+len(fresh) <= pool.Size:
		wanted := *pool
		wanted.Template = op.To.Version
		c.newMachine(wanted)
	default:
		c.empty(old[0])
	}
}

// empty moves the pods of a machine away as far as the budget lets it, and removes
// it when none is left.
func (c *Cluster) empty(m *Machine) {
	m.Cordoned = true
	left := 0
	for i := range c.state.Pods {
		p := &c.state.Pods[i]
		if p.Node != m.ID {
			continue
		}
		left++
		spare := c.state.Floor < 0 || c.healthy() > c.state.Floor
		if p.Gone.IsZero() && (spare || !c.podReady(*p)) {
			p.Gone = c.clock.Now().Add(c.mode.Latency.PodGrace)
			c.newPod()
			return // which may have moved the pods; the next look goes on
		}
	}
	if left == 0 {
		id := m.ID
		c.state.Machines = slices.DeleteFunc(c.state.Machines, func(m Machine) bool { return m.ID == id })
		c.delete()
	}
}

// rolledBy is who rolls a pool.
func (c *Cluster) rolledBy(name string) fleet.RolledBy {
	for _, pool := range c.state.Pools {
		if pool.Name == name {
			return pool.RolledBy
		}
	}
	return fleet.ByRefit
}
