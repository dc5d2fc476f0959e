package world

import (
	"fmt"
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
)

// Answer is what became of an action.
type Answer string

// The answers.
const (
	Accepted   Answer = "Accepted"
	Refused    Answer = "Refused"    // a budget does not allow it now
	Outdated   Answer = "Outdated"   // the object is another by now
	Unanswered Answer = "Unanswered" // the API server is silent
	Waiting    Answer = "Waiting"    // another operation runs
	Stopped    Answer = "Stopped"    // it will not get better by itself
)

// Do is an action arriving.
func (c *Cluster) Do(action plan.Action) Answer {
	if answer := c.answered(action); answer != "" {
		return answer
	}
	switch a := action.(type) {
	case plan.UpgradeControlPlane:
		return c.upgrade(a)
	case plan.SetPoolTemplate:
		return c.setTemplate(a)
	case plan.UpgradePool:
		return c.upgradePool(a)
	case plan.AddNode:
		return c.add(a)
	case plan.RemoveNode:
		return c.remove(a)
	case plan.WriteSource:
		return c.writeSource(a)
	case plan.Cordon, plan.Evict, plan.Restore, plan.Claim, plan.Release, plan.UpgradeAddOn, plan.TakeBackAddOn, plan.UnlockAddOn:
		if c.silent() {
			return Unanswered
		}
		return c.inside(action)
	}
	return Stopped
}

// inside is what goes to the cluster's own API server.
func (c *Cluster) inside(action plan.Action) Answer {
	switch a := action.(type) {
	case plan.Cordon:
		return c.cordon(a)
	case plan.Evict:
		return c.evict(a)
	case plan.Restore:
		return c.restore(a)
	case plan.Claim:
		return c.take(a)
	case plan.Release:
		return c.release(a)
	case plan.UpgradeAddOn, plan.TakeBackAddOn, plan.UnlockAddOn:
		return c.changeAddOn(action)
	default:
		return Stopped
	}
}

func (c *Cluster) upgrade(a plan.UpgradeControlPlane) Answer {
	switch {
	case c.failed[a.Token]:
		return Stopped
	case c.operation != nil && c.operation.Token == a.Token, c.version == a.To:
		return Accepted
	case c.operation != nil:
		return Waiting
	case c.version != a.From || !slices.Contains(c.shape.Offers, a.To):
		return Stopped
	}
	if a.To.Less(c.version) || a.To.Minor > c.version.Minor+1 {
		c.breaks("control plane goes from %s to %s", c.version, a.To)
	}
	for _, m := range c.machines {
		if allowed := c.allowedSkew(m.version); a.To.Minor-m.version.Minor > allowed {
			c.breaks("control plane goes to %s with node %s at %s; %d minors are allowed", a.To, m.node, m.version, allowed)
		}
		if m.cordonedBy != "" {
			c.breaks("control plane goes to %s while node %s is cordoned by %s", a.To, m.node, m.cordonedBy)
		}
	}
	c.begin(fleet.Operation{Token: a.Token, To: a.To})
	c.rewrite()
	return Accepted
}

func (c *Cluster) begin(op fleet.Operation) {
	c.counts.Operations++
	op.ID, op.Phase, op.Started = fmt.Sprintf("op-%d", c.counts.Operations), fleet.Running, c.now
	c.operation = &operation{Operation: op, endsAt: c.after(c.shape.Pace.Operation + c.shape.Pace.Silence)}
}

// allowedSkew is the version skew policy, by heart.
func (c *Cluster) allowedSkew(kubelet fleet.Version) int {
	allowed := map[bool]int{true: 3, false: 2}[kubelet.Minor >= 25]
	if c.shape.MaxNodeSkew > 0 && c.shape.MaxNodeSkew < allowed {
		allowed = c.shape.MaxNodeSkew
	}
	return allowed
}

func (c *Cluster) setTemplate(a plan.SetPoolTemplate) Answer {
	now := c.template[a.Pool]
	switch {
	case now == a.To:
		return Accepted
	case now != a.From, !slices.Contains(c.shape.Offers, a.To):
		return Stopped
	}
	if a.To.Less(now) || a.To.Minor > c.version.Minor {
		c.breaks("template of pool %s goes from %s to %s, control plane at %s", a.Pool, now, a.To, c.version)
	}
	c.template[a.Pool] = a.To
	return Accepted
}

func (c *Cluster) add(a plan.AddNode) Answer {
	if c.tokens[a.Token] {
		return Accepted
	}
	c.tokens[a.Token] = true
	c.added[a.Pool]++
	c.machine(a.Pool, c.template[a.Pool]).replaces = a.Replaces
	size := c.size(a.Pool)
	if surge, _ := c.shape.Limits(size); c.Machines(a.Pool) > size+surge {
		c.breaks("pool %s has %d machines; size is %d, surge %d", a.Pool, c.Machines(a.Pool), size, surge)
	}
	return Accepted
}

func (c *Cluster) size(pool string) int {
	i := slices.IndexFunc(c.shape.Pools, func(p Pool) bool { return p.Name == pool })
	return len(c.shape.Pools[i].Nodes)
}

func (c *Cluster) remove(a plan.RemoveNode) Answer {
	m := c.find(func(m *machine) bool { return m.instance == a.Instance })
	if m == nil {
		return Accepted
	}
	for _, p := range c.pods {
		if p.node == m.node && (p.workload.Owner == fleet.OwnedByController || p.workload.Owner == fleet.OwnedByNobody) {
			c.breaks("node %s is removed with pod %s on it", m.node, p.name)
		}
	}
	if m.cordonedBy == "" {
		c.breaks("node %s is removed without a cordon", m.node)
	}
	lost := c.takesPods(m)
	c.machines = slices.DeleteFunc(c.machines, func(other *machine) bool { return other == m })
	c.pods = slices.DeleteFunc(c.pods, func(p *pod) bool { return p.node == m.node })
	c.counts.Removed++
	if lost {
		c.judgeFloor(m.pool, "removing node "+m.node)
	}
	return Accepted
}

func (c *Cluster) cordon(a plan.Cordon) Answer {
	m := c.find(func(m *machine) bool { return m.node == a.Node && m.joined })
	if m == nil || "uid-"+m.node != a.UID || a.ResourceVersion != c.node(m).ResourceVersion {
		return Outdated
	}
	if m.cordonedBy != "" && m.cordonedBy != a.Upgrade {
		c.breaks("node %s is taken from upgrade %s", m.node, m.cordonedBy)
	}
	if a.WasCordoned != m.cordoned {
		c.breaks("undo of node %s would leave it cordoned: %t", m.node, a.WasCordoned)
	}
	lost := c.takesPods(m)
	m.wasCordoned, m.cordoned, m.cordonedBy, m.cordonedAt = m.cordoned, true, a.Upgrade, c.now
	m.revision++
	if lost {
		c.judgeFloor(m.pool, "cordoning node "+m.node)
	}
	return Accepted
}

// judgeFloor is asked where an action took a node that took pods. Where nothing
// may be too much and nothing missing, one may be missing: else nothing would
// ever move.
func (c *Cluster) judgeFloor(pool, doing string) {
	size := c.size(pool)
	surge, unavailable := c.shape.Limits(size)
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	taking := 0
	for _, m := range c.machines {
		if m.pool == pool && c.takesPods(m) {
			taking++
		}
	}
	if taking < size-unavailable {
		c.breaks("%s leaves pool %s with %d nodes that take pods; size is %d, %d may be missing", doing, pool, taking, size, unavailable)
	}
}

// evict does what the API server does with an Eviction: a healthy pod needs a
// budget that allows it, an unhealthy one a budget that is kept without it.
func (c *Cluster) evict(a plan.Evict) Answer {
	i := slices.IndexFunc(c.pods, func(p *pod) bool { return p.uid == a.UID })
	if i < 0 || !c.pods[i].terminating.IsZero() {
		return Accepted
	}
	p := c.pods[i]
	if p.workload.Owner != fleet.OwnedByController {
		c.breaks("pod %s of owner %s is evicted", p.name, p.workload.Owner)
	}
	if !c.lets(p) {
		c.counts.Refused++
		return Refused
	}
	p.terminating = c.now
	c.counts.Evicted++
	return Accepted
}

func (c *Cluster) restore(a plan.Restore) Answer {
	m := c.find(func(m *machine) bool { return m.node == a.Node && m.cordonedBy == a.Upgrade })
	if m != nil {
		m.cordoned, m.cordonedBy, m.cordonedAt = m.wasCordoned, "", time.Time{}
		m.revision++
	}
	return Accepted
}

func (c *Cluster) breaks(format string, args ...any) {
	if sentence := fmt.Sprintf(format, args...); !slices.Contains(c.broken, sentence) {
		c.broken = append(c.broken, sentence)
	}
}
