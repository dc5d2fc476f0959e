package world

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"refit.dev/refit/internal/fleet"
)

// Lag says which of the two sources is a tick late: it then does not show what
// was done at the last tick.
type Lag struct {
	Provider, API bool
}

// picture is the cluster at one moment, by source.
type picture struct {
	// What the provider tells.
	version    fleet.Version
	operations []fleet.Operation
	pools      []fleet.Pool // with machines that have not joined
	source     fleet.Source
	// What the API server tells; nothing where it is silent.
	silent  bool
	nodes   []fleet.Node
	budgets []fleet.Budget
	claim   fleet.Claim
	addOns  []fleet.AddOn
}

// Observe is a look at the cluster, as package observe would take it.
func (c *Cluster) Observe(lag Lag) fleet.Cluster {
	provider, api := c.present, c.present
	if lag.Provider {
		provider = c.past
	}
	if lag.API {
		api = c.past
	}
	cp := fleet.ControlPlane{Oldest: provider.version, Newest: provider.version, Ready: !api.silent}
	if api.silent {
		cp.Message = "connection refused"
		if c.shape.Mute {
			cp.Oldest, cp.Newest = fleet.Version{}, fleet.Version{}
		}
	}
	return fleet.Cluster{
		Name: "eu-1", UID: "uid-of-eu-1", ControlPlane: cp, At: c.now,
		Pools: joined(provider.pools, api.nodes), Budgets: slices.Clone(api.budgets),
		Claim: api.claim, AddOns: slices.Clone(api.addOns), Source: provider.source,
		Operations: slices.Clone(provider.operations), Offers: c.shape.Offers, MaxNodeSkew: c.shape.MaxNodeSkew,
	}
}

// joined fills the provider's machines with what the API server says of their
// nodes. Nodes of no machine are nobody's.
func joined(pools []fleet.Pool, nodes []fleet.Node) []fleet.Pool {
	byName := map[string]fleet.Node{}
	for _, node := range nodes {
		byName[node.Name] = node
	}
	var list []fleet.Pool
	for _, pool := range pools {
		pool.Nodes = slices.Clone(pool.Nodes)
		for i, m := range pool.Nodes {
			if node, ok := byName[m.Name]; ok {
				node.Instance, node.Replaces, node.Built = m.Instance, m.Replaces, m.Built
				pool.Nodes[i] = node
				delete(byName, m.Name)
			}
		}
		list = append(list, pool)
	}
	stray := fleet.Pool{RolledBy: fleet.ByNobody}
	for _, node := range nodes {
		if _, left := byName[node.Name]; left {
			stray.Nodes = append(stray.Nodes, node)
			stray.Size++
		}
	}
	if stray.Size > 0 {
		list = append(list, stray)
	}
	return list
}

func (c *Cluster) picture() picture {
	p := picture{version: c.version, silent: c.silent(), source: c.seenSource()}
	// The ended one first: who takes the first for the one that runs is wrong.
	p.operations = append(p.operations, c.ended...)
	if c.operation != nil {
		p.operations = append(p.operations, c.operation.Operation)
	}
	for _, shape := range c.shape.Pools {
		pool := fleet.Pool{Name: shape.Name, Template: c.template[shape.Name], Size: len(shape.Nodes), RolledBy: cmp.Or(shape.RolledBy, fleet.ByRefit)}
		if ended, rolled := c.rolled[shape.Name]; rolled {
			p.operations = append(p.operations, ended)
		}
		if running := c.rolls[shape.Name]; running != nil {
			p.operations = append(p.operations, *running)
		}
		for _, m := range c.machines {
			if m.pool == shape.Name {
				pool.Nodes = append(pool.Nodes, fleet.Node{
					Name: m.node, Instance: m.instance, Replaces: m.replaces, Built: m.version, Message: "has not joined the cluster",
				})
			}
		}
		slices.SortFunc(pool.Nodes, func(a, b fleet.Node) int { return strings.Compare(a.Name, b.Name) })
		p.pools = append(p.pools, pool)
	}
	if p.silent {
		return p
	}
	p.claim = c.claim
	p.claim.Seen = true
	for _, a := range c.addOns.all {
		p.addOns = append(p.addOns, c.addOns.Seen(a.shape.Name, c.now))
	}
	for _, m := range c.machines {
		if m.joined {
			p.nodes = append(p.nodes, c.node(m))
		}
	}
	if c.stray {
		older := c.version
		older.Patch, older.Suffix = 0, ""
		p.nodes = append(p.nodes, fleet.Node{Name: "stray", UID: "uid-stray", ResourceVersion: "1", Version: older, Ready: true, ReadySince: c.now})
	}
	for _, w := range c.shape.Workloads {
		if w.Floor >= 0 {
			p.budgets = append(p.budgets, c.budget(w))
		}
	}
	return p
}

func (c *Cluster) node(m *machine) fleet.Node {
	node := fleet.Node{
		Name: m.node, UID: "uid-" + m.node, ResourceVersion: strconv.Itoa(m.revision),
		Version: m.version, Ready: c.ready(m), Message: "kubelet is starting",
		Cordoned: m.cordoned, CordonedBy: m.cordonedBy, CordonedAt: m.cordonedAt,
	}
	if node.Ready {
		node.ReadySince, node.Message = m.readyAt, ""
	}
	for _, p := range c.pods {
		if p.node != m.node {
			continue
		}
		seen := fleet.Pod{
			Namespace: "default", Name: p.name, UID: p.uid,
			Ready: c.healthy(p), Terminating: p.terminating, Owner: p.workload.Owner,
		}
		if p.workload.Floor >= 0 {
			seen.Budgets = []string{"default/" + p.workload.Name}
			if c.doubled {
				seen.Budgets = append(seen.Budgets, seen.Budgets[0]+"-twin")
			}
		}
		node.Pods = append(node.Pods, seen)
	}
	return node
}

// budget counts as the disruption controller does, except that it is never late.
func (c *Cluster) budget(w Workload) fleet.Budget {
	b := fleet.Budget{Namespace: "default", Name: w.Name, Desired: w.Floor, Expected: w.Replicas}
	for _, p := range c.pods {
		if p.workload.Name == w.Name && c.healthy(p) {
			b.Healthy++
		}
	}
	b.Allowed = max(0, b.Healthy-b.Desired)
	return b
}
