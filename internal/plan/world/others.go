package world

import (
	"slices"

	"refit.dev/refit/internal/fleet"
)

// What follows is done by others than the planner: people, other programs, and
// misfortune.

// FailNext lets the next operation to end end badly.
func (c *Cluster) FailNext() { c.failNext = true }

// Silence keeps the API server from answering for some ticks.
func (c *Cluster) Silence(ticks int) {
	c.silentTo = c.after(ticks)
	c.present = c.picture()
}

// Sicken makes the n-th machine's kubelet fall silent for some ticks.
func (c *Cluster) Sicken(n, ticks int) {
	if len(c.machines) > 0 {
		c.troubled = true
		c.machines[n%len(c.machines)].sickTo = c.after(ticks)
		c.present = c.picture()
	}
}

// Foreign takes the control plane to its next patch, unless it is busy.
func (c *Cluster) Foreign() {
	if c.operation != nil {
		return
	}
	to := c.version
	to.Patch++
	c.shape.Offers = append(slices.Clone(c.shape.Offers), to)
	c.begin(fleet.Operation{To: to, Foreign: true})
	c.present = c.picture()
}

// Uncordon is somebody's kubectl uncordon.
func (c *Cluster) Uncordon(node string) {
	if m := c.find(func(m *machine) bool { return m.node == node }); m != nil {
		m.cordoned = false
		m.revision++
		c.present = c.picture()
	}
}

// DropBudget deletes a workload's budget.
func (c *Cluster) DropBudget(workload string) {
	c.shape.Workloads = slices.Clone(c.shape.Workloads)
	for i := range c.shape.Workloads {
		if c.shape.Workloads[i].Name == workload {
			c.shape.Workloads[i].Floor = -1
		}
	}
	for _, p := range c.pods {
		if p.workload.Name == workload {
			p.workload.Floor = -1
		}
	}
	c.present = c.picture()
}

// DeletePods deletes a workload with its pods.
func (c *Cluster) DeletePods(workload string) {
	c.shape.Workloads = slices.DeleteFunc(slices.Clone(c.shape.Workloads), func(w Workload) bool { return w.Name == workload })
	c.pods = slices.DeleteFunc(c.pods, func(p *pod) bool { return p.workload.Name == workload })
	c.present = c.picture()
}

// Withdraw takes a version from what the provider offers.
func (c *Cluster) Withdraw(version fleet.Version) {
	c.shape.Offers = slices.DeleteFunc(slices.Clone(c.shape.Offers), func(v fleet.Version) bool { return v == version })
}

// Offer lets the provider offer a version again.
func (c *Cluster) Offer(version fleet.Version) {
	if !slices.Contains(c.shape.Offers, version) {
		c.shape.Offers = append(slices.Clone(c.shape.Offers), version)
	}
}

// MoveBack builds every machine anew at an older version, past all rules.
func (c *Cluster) MoveBack(version fleet.Version) {
	for _, m := range c.machines {
		m.version = version
		m.revision++
	}
	c.present = c.picture()
}

// GrabbedBy is the cordon of another upgrade on the n-th machine; nobody's where
// it is given back.
func (c *Cluster) GrabbedBy(upgrade string, n int) {
	if len(c.machines) == 0 {
		return
	}
	m := c.machines[n%len(c.machines)]
	m.cordoned, m.cordonedBy, m.cordonedAt = upgrade != "", upgrade, c.now
	m.revision++
	c.present = c.picture()
}
