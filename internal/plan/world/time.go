package world

import (
	"fmt"
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
)

// Tick lets time pass.
func (c *Cluster) Tick() {
	c.now = c.now.Add(Tick)
	c.operate()
	if !c.silent() {
		c.join()
		c.roll()
		c.runPods()
	}
	c.judgeBudgets()
	c.past, c.present = c.present, c.picture()
}

// judgeBudgets is asked at every tick: what a budget demands stays as long as
// only evictions and the like go on.
func (c *Cluster) judgeBudgets() {
	for _, w := range c.shape.Workloads {
		if w.Floor < 0 {
			continue
		}
		b := c.budget(w)
		if b.Healthy < b.Desired && c.kept[w.Name] && !c.troubled {
			c.breaks("%s has %d healthy pods; its budget demands %d", w.Name, b.Healthy, b.Desired)
		}
		c.kept[w.Name] = b.Healthy >= b.Desired
	}
}

func (c *Cluster) after(ticks int) time.Time { return c.now.Add(time.Duration(ticks) * Tick) }

func (c *Cluster) silent() bool { return c.now.Before(c.silentTo) }

// operate takes a running operation to its end, and falls silent on the way.
func (c *Cluster) operate() {
	op := c.operation
	if op == nil {
		return
	}
	if c.now.Equal(op.Started.Add(Tick)) {
		c.silentTo = c.after(c.shape.Pace.Silence)
	}
	if c.now.Before(op.endsAt) {
		return
	}
	op.Phase = fleet.Succeeded
	if c.failNext {
		op.Phase, op.Code, op.Message, c.failNext = fleet.Failed, "EtcdUnhealthy", "no quorum", false
		c.failed[op.Token] = true
	} else {
		c.version = op.To
	}
	c.ended, c.operation = []fleet.Operation{op.Operation}, nil
}

// join lets machines register whose time has come.
func (c *Cluster) join() {
	for _, m := range c.machines {
		if m.joined || c.now.Before(m.joinsAt) {
			continue
		}
		m.joined = true
		if m.version.Minor > c.version.Minor {
			c.breaks("node %s joins with kubelet %s, newer than the API server at %s", m.node, m.version, c.version)
		}
		for _, w := range c.shape.Workloads {
			if w.Owner == fleet.OwnedByNode {
				c.start(w, 1)
				c.pods[len(c.pods)-1].node = m.node
			}
		}
	}
}

// runPods is what controllers, scheduler and kubelets do in a tick.
func (c *Cluster) runPods() {
	c.pods = slices.DeleteFunc(c.pods, func(p *pod) bool {
		return !p.terminating.IsZero() && !c.now.Before(p.terminating.Add(time.Duration(c.shape.Pace.Grace)*Tick))
	})
	for _, w := range c.shape.Workloads {
		if w.Owner == fleet.OwnedByController {
			c.start(w, w.Replicas-c.alive(w))
		}
	}
	for _, p := range c.pods {
		if p.node == "" {
			c.schedule(p)
		}
	}
}

// start makes pods of a workload.
func (c *Cluster) start(w Workload, count int) {
	for range count {
		c.serial++
		c.pods = append(c.pods, &pod{
			workload: w, readyAt: c.after(c.shape.Pace.Start),
			name: fmt.Sprintf("%s-%03d", w.Name, c.serial), uid: fmt.Sprintf("pod-%03d", c.serial),
		})
	}
}

// alive are the pods that are not on their way out.
func (c *Cluster) alive(w Workload) int {
	count := 0
	for _, p := range c.pods {
		if p.workload.Name == w.Name && p.terminating.IsZero() {
			count++
		}
	}
	return count
}

// schedule binds a pod to the node with fewest pods, if there is any.
func (c *Cluster) schedule(p *pod) {
	var best *machine
	for _, m := range c.machines {
		fits := c.takesPods(m) && (p.workload.Pool == "" || p.workload.Pool == m.pool)
		if fits && (best == nil || c.load(m) < c.load(best)) {
			best = m
		}
	}
	if best != nil {
		p.node, p.readyAt = best.node, c.after(c.shape.Pace.Start)
	}
}

func (c *Cluster) load(m *machine) int {
	count := 0
	for _, p := range c.pods {
		if p.node == m.node {
			count++
		}
	}
	return count
}

func (c *Cluster) ready(m *machine) bool {
	return m.joined && !c.now.Before(m.readyAt) && !c.now.Before(m.sickTo)
}

// takesPods tells whether new pods can be scheduled to a machine.
func (c *Cluster) takesPods(m *machine) bool { return c.ready(m) && !m.cordoned }

// healthy pods are those that a budget counts.
func (c *Cluster) healthy(p *pod) bool {
	m := c.find(func(m *machine) bool { return m.node == p.node })
	return m != nil && c.ready(m) && p.terminating.IsZero() && !c.now.Before(p.readyAt)
}

func (c *Cluster) find(match func(*machine) bool) *machine {
	if i := slices.IndexFunc(c.machines, match); i >= 0 {
		return c.machines[i]
	}
	return nil
}

// machine is bought, and joins when its time has come.
func (c *Cluster) machine(pool string, version fleet.Version) *machine {
	c.serial++
	m := &machine{
		pool: pool, version: version, revision: 1,
		instance: fmt.Sprintf("i-%03d", c.serial), node: fmt.Sprintf("%s-%03d", pool, c.serial),
		joinsAt: c.after(c.shape.Pace.Join),
	}
	m.readyAt = m.joinsAt.Add(time.Duration(c.shape.Pace.Ready) * Tick)
	c.machines = append(c.machines, m)
	return m
}
