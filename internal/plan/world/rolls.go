package world

import (
	"fmt"
	"slices"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
)

// upgradePool begins the roll of a pool that the provider rolls itself.
func (c *Cluster) upgradePool(a plan.UpgradePool) Answer {
	now, running := c.template[a.Pool], c.rolls[a.Pool]
	switch {
	case running != nil && running.To == a.To, now == a.To:
		return Accepted
	case running != nil, c.operation != nil:
		return Waiting
	case now != a.From, !slices.Contains(c.shape.Offers, a.To):
		return Stopped
	}
	if a.To.Less(now) || a.To.Minor > c.version.Minor {
		c.breaks("pool %s goes from %s to %s, control plane at %s", a.Pool, now, a.To, c.version)
	}
	c.counts.Operations++
	c.rolls[a.Pool] = &fleet.Operation{
		ID: fmt.Sprintf("op-%d", c.counts.Operations), Pool: a.Pool, Token: a.Token, To: a.To, Phase: fleet.Running, Started: c.now,
	}
	return Accepted
}

// roll takes the rolls under way further, one node after the other: another is
// added, then an old one is cordoned, emptied as far as budgets let it, and
// removed.
func (c *Cluster) roll() {
	for _, shape := range c.shape.Pools {
		op := c.rolls[shape.Name]
		if op == nil {
			continue
		}
		var old, fresh []*machine
		for _, m := range c.machines {
			if m.pool == shape.Name && m.version.Less(op.To) {
				old = append(old, m)
			} else if m.pool == shape.Name {
				fresh = append(fresh, m)
			}
		}
		switch {
		case slices.ContainsFunc(fresh, func(m *machine) bool { return !c.ready(m) }):
		case len(old) == 0:
			op.Phase, c.template[shape.Name] = fleet.Succeeded, op.To
			c.rolled[shape.Name], c.rolls[shape.Name] = *op, nil
		case len(old)+len(fresh) <= len(shape.Nodes):
			c.added[shape.Name]++
			c.machine(shape.Name, op.To)
		default:
			c.empty(old[0])
		}
	}
}

// empty moves the pods of a machine as an API server would let anybody, and removes
// it when none is left.
func (c *Cluster) empty(m *machine) {
	if !m.cordoned {
		m.cordoned = true
		m.revision++
	}
	left := false
	for _, p := range c.pods {
		if p.node != m.node || p.workload.Owner != fleet.OwnedByController && p.workload.Owner != fleet.OwnedByNobody {
			continue
		}
		left = true
		if p.terminating.IsZero() && c.lets(p) {
			p.terminating = c.now
		}
	}
	if !left {
		c.machines = slices.DeleteFunc(c.machines, func(other *machine) bool { return other == m })
		c.pods = slices.DeleteFunc(c.pods, func(p *pod) bool { return p.node == m.node })
	}
}

// lets tells whether the budget of a pod lets it be evicted.
func (c *Cluster) lets(p *pod) bool {
	if p.workload.Floor < 0 {
		return true
	}
	budget := c.budget(p.workload)
	guarded := c.healthy(p) || budget.Healthy < budget.Desired
	return !c.doubled && (!guarded || budget.Allowed > 0)
}
