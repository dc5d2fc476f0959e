// Package world is a small made-up cluster to test planners against.
//
// It does with actions what a provider and an API server do with them: now, some
// ticks later, or not at all. A control plane takes its time and falls silent
// meanwhile, machines join as nodes, evicted pods come back elsewhere, budgets
// are kept by whoever answers evictions. It may be looked at late.
//
// It knows nothing of planners, and judges what happens to it in its own words:
// see Broken.
package world

import (
	"fmt"
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
)

// Tick is the world's unit of time.
const Tick = 10 * time.Second

// Shape is how a cluster is made.
type Shape struct {
	ControlPlane fleet.Version
	Offers       []fleet.Version
	// MaxNodeSkew is the provider's own limit; 0 is upstream's.
	MaxNodeSkew int
	Pools       []Pool
	Workloads   []Workload
	AddOns      []AddOn
	Source      Source
	// Limits are how many nodes a pool of a size may have too many, and how
	// many may be missing.
	Limits func(size int) (surge, unavailable int)
	Pace   Pace
	// Mute makes the provider forget the control plane's version as long as the
	// API server is silent.
	Mute bool
}

// Pool is a pool's template, and the kubelet of each node. Its size is their
// number.
type Pool struct {
	Name     string
	Template fleet.Version
	Nodes    []fleet.Version
	// Cordoned nodes, by index: somebody had reasons of their own.
	Cordoned []int
	// RolledBy is Refit where it is empty.
	RolledBy fleet.RolledBy
}

// Workload is a number of equal pods.
type Workload struct {
	Name string
	// Pool that its pods must run in; any where it is empty.
	Pool     string
	Replicas int
	// Floor is the number of healthy pods that its budget demands; without a
	// budget it is negative.
	Floor int
	// Owner that makes its pods anew: a controller, or each node its own one.
	Owner fleet.PodOwner
}

// Pace is how many ticks things take.
type Pace struct {
	// Operation is a control plane's change, in the middle of which the API
	// server is silent for Silence ticks.
	Operation, Silence int
	// Join is from machine to node, Ready from there to readiness.
	Join, Ready int
	// Start is a pod's way to readiness, Grace its way out.
	Start, Grace int
}

// Cluster is the made-up cluster.
type Cluster struct {
	shape    Shape
	now      time.Time
	version  fleet.Version
	template map[string]fleet.Version
	machines []*machine
	pods     []*pod

	claim     fleet.Claim
	operation *operation
	ended     []fleet.Operation
	// rolls are those that the provider has under way, and rolled the last that
	// ended, by pool.
	rolls    map[string]*fleet.Operation
	rolled   map[string]fleet.Operation
	addOns   AddOns
	source   source
	silentTo time.Time
	failNext bool
	// diesNext lets the process die in the middle of the next change of an add-on.
	diesNext bool
	// answerNext is how the next action is answered, doubled that budgets have
	// twins, and stray that there is a node of no machine; see others.go.
	answerNext     Answer
	doubled, stray bool
	// kept are the workloads that had as many healthy pods as their budgets
	// demand; troubled is set where others than the planner take that away.
	kept     map[string]bool
	troubled bool

	tokens map[string]bool // of nodes that were added
	failed map[string]bool // of operations that failed
	serial int
	broken []string
	counts Counts
	added  map[string]int // machines, by pool
	// pictures taken at the last two ticks; see Observe.
	present, past picture
}

// Counts is what has been done to a cluster so far.
type Counts struct {
	Operations, Removed, Evicted, Refused int
}

type machine struct {
	instance, node, pool, replaces string
	version                        fleet.Version
	joinsAt, readyAt               time.Time
	sickTo                         time.Time
	joined                         bool
	revision                       int
	cordoned, wasCordoned          bool
	cordonedBy                     string
	cordonedAt                     time.Time
}

type pod struct {
	name, uid, node string
	workload        Workload
	readyAt         time.Time
	terminating     time.Time
}

type operation struct {
	fleet.Operation
	endsAt time.Time
}

// New makes a cluster that is at rest: all nodes Ready, all pods running.
func New(shape Shape) *Cluster {
	c := &Cluster{
		shape: shape, version: shape.ControlPlane,
		now:      time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC),
		template: map[string]fleet.Version{}, tokens: map[string]bool{}, failed: map[string]bool{}, kept: map[string]bool{}, added: map[string]int{},
		rolls: map[string]*fleet.Operation{}, rolled: map[string]fleet.Operation{},
	}
	c.source.Source = shape.Source
	c.addOns = AddOns{Start: time.Duration(shape.Pace.Start) * Tick, Breaks: c.breaks}
	for _, a := range shape.AddOns {
		c.addOns.Add(a, c.now)
	}
	c.shape.Offers = append([]fleet.Version{shape.ControlPlane}, shape.Offers...) // what ran can be had again
	for _, pool := range shape.Pools {
		c.template[pool.Name] = pool.Template
		for i, version := range pool.Nodes {
			m := c.machine(pool.Name, version)
			m.joinsAt, m.readyAt = c.now, c.now
			m.cordoned = slices.Contains(pool.Cordoned, i)
		}
	}
	c.join()
	for _, w := range shape.Workloads {
		if w.Owner != fleet.OwnedByNode {
			c.start(w, w.Replicas)
		}
	}
	c.runPods()
	for _, p := range c.pods {
		p.readyAt = c.now
	}
	c.judgeBudgets()
	c.present = c.picture()
	c.past = c.present
	return c
}

// Now is the world's time.
func (c *Cluster) Now() time.Time { return c.now }

// Counts is what has been done so far.
func (c *Cluster) Counts() Counts { return c.counts }

// Broken is what must never happen, and did; each sentence once.
func (c *Cluster) Broken() []string { return c.broken }

// Machines are the number of machines in a pool.
func (c *Cluster) Machines(pool string) int {
	count := 0
	for _, m := range c.machines {
		if m.pool == pool {
			count++
		}
	}
	return count
}

// AddedTo is how many machines were added to a pool.
func (c *Cluster) AddedTo(pool string) int { return c.added[pool] }

// CordonedBy are the nodes that carry an upgrade's cordon.
func (c *Cluster) CordonedBy(upgrade string) []string {
	var names []string
	for _, m := range c.machines {
		if m.cordonedBy == upgrade {
			names = append(names, m.node)
		}
	}
	return names
}

// Busy tells whether an operation runs that is not somebody else's.
func (c *Cluster) Busy() bool {
	for _, roll := range c.rolls {
		if roll != nil {
			return true
		}
	}
	return c.operation != nil && !c.operation.Foreign
}

// Behind is the first part that is not at a version; empty where there is none.
func (c *Cluster) Behind(version fleet.Version) string {
	if c.version.Less(version) {
		return "control plane at " + c.version.String()
	}
	for _, m := range c.machines {
		if !m.joined || m.version.Less(version) {
			return fmt.Sprintf("node %s at %s, joined %t", m.node, m.version, m.joined)
		}
	}
	return ""
}
