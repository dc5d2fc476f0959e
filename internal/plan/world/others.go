package world

import (
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
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

// MoveBack builds every machine anew at an older version, past all rules. A pool
// that the provider rolls is made anew with them.
func (c *Cluster) MoveBack(version fleet.Version) {
	for _, shape := range c.shape.Pools {
		if shape.RolledBy == fleet.ByProvider {
			c.template[shape.Name] = version
		}
	}
	for _, m := range c.machines {
		m.version = version
		m.revision++
	}
	c.present = c.picture()
}

// GrabbedBy is the cordon of another upgrade on the n-th machine.
func (c *Cluster) GrabbedBy(upgrade string, n int) {
	if len(c.machines) == 0 {
		return
	}
	m := c.machines[n%len(c.machines)]
	if m.cordonedBy == "" {
		m.wasCordoned, m.cordoned, m.cordonedBy, m.cordonedAt = m.cordoned, true, upgrade, c.now
		m.revision++
		c.present = c.picture()
	}
}

// GivenBackBy gives back what an upgrade has cordoned.
func (c *Cluster) GivenBackBy(upgrade string) {
	for _, m := range c.machines {
		if m.cordonedBy == upgrade {
			m.cordoned, m.cordonedBy, m.cordonedAt = m.wasCordoned, "", time.Time{}
			m.revision++
		}
	}
	c.present = c.picture()
}

// Squeeze makes every budget demand all of its pods, and Relax gives one up.
func (c *Cluster) Squeeze() { c.demand(func(w Workload) int { return w.Replicas }) }

// Relax lets every budget do without one pod.
func (c *Cluster) Relax() {
	c.demand(func(w Workload) int { return max(0, min(w.Floor, w.Replicas-1)) })
}

func (c *Cluster) demand(floor func(Workload) int) {
	c.shape.Workloads = slices.Clone(c.shape.Workloads)
	floors := map[string]int{}
	for i, w := range c.shape.Workloads {
		if w.Floor >= 0 {
			c.shape.Workloads[i].Floor = floor(w)
		}
		floors[w.Name] = c.shape.Workloads[i].Floor
	}
	for _, p := range c.pods {
		p.workload.Floor = floors[p.workload.Name]
	}
	clear(c.kept) // what it demands now was not demanded before
	c.present = c.picture()
}

// Stray is a node that no provider answers for; an older one than anybody wants.
func (c *Cluster) Stray(there bool) {
	c.stray = there
	c.present = c.picture()
}

// AnswerNext lets the next action that can be answered so be answered so, and come
// to nothing: an eviction with Refused, a cordon with Outdated, a call of the
// provider with Waiting or Stopped, any with Unanswered.
func (c *Cluster) AnswerNext(answer Answer) { c.answerNext = answer }

// answered is the answer that was put up for an action; empty where none was.
func (c *Cluster) answered(action plan.Action) Answer {
	var fits []Answer
	switch action.(type) {
	case plan.UpgradeControlPlane, plan.SetPoolTemplate, plan.UpgradePool, plan.AddNode, plan.RemoveNode:
		fits = []Answer{Unanswered, Waiting, Stopped}
	case plan.Evict:
		fits = []Answer{Unanswered, Refused}
	case plan.Cordon:
		fits = []Answer{Unanswered, Outdated}
	default:
		fits = []Answer{Unanswered}
	}
	next := c.answerNext
	if !slices.Contains(fits, next) {
		return ""
	}
	c.answerNext = ""
	return next
}

// Orphan runs a pod that nobody would make anew; DeletePods ends it.
func (c *Cluster) Orphan(name string) {
	w := Workload{Name: name, Replicas: 1, Floor: -1, Owner: fleet.OwnedByNobody}
	c.shape.Workloads = append(slices.Clone(c.shape.Workloads), w)
	c.start(w, 1)
}

// Double lets every budget have a twin, which no eviction gets past, or takes the
// twins away.
func (c *Cluster) Double(doubled bool) {
	c.doubled = doubled
	c.present = c.picture()
}
