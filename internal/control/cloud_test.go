package control_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/client-go/rest"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// cloud is the provider of made-up clusters, by name.
type cloud struct {
	clusters map[string]*cluster
}

func (p *cloud) find(ref provider.Ref) (*cluster, error) {
	c, ok := p.clusters[ref.Name]
	if !ok {
		return nil, stop(provider.CodeUnknownCluster, "there is no cluster "+ref.Name)
	}
	return c, nil
}

func stop(code, message string) error {
	return &provider.Fault{Class: provider.Stop, Code: code, Err: errors.New(message)}
}

func (p *cloud) Observe(_ context.Context, ref provider.Ref) (provider.Observation, error) {
	c, err := p.find(ref)
	if err != nil {
		return provider.Observation{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pass()
	if c.observing != nil {
		return provider.Observation{}, c.observing
	}
	if c.down {
		return provider.Observation{}, &provider.Fault{
			Class: provider.Retry, Code: provider.CodeUnreachable, Err: errors.New("no route to host"),
		}
	}
	seen := provider.Observation{
		UID: c.uid, At: c.clock.Now(), Offers: slices.Clone(c.offers),
		ControlPlane: provider.ControlPlane{Oldest: c.version, Newest: c.version, Ready: true},
	}
	if !c.ahead.IsZero() {
		seen.ControlPlane.Newest = c.ahead
	}
	for _, pool := range c.pools {
		seen.Pools = append(seen.Pools, c.poolOf(pool))
	}
	for i, op := range c.operations {
		if op.Phase == provider.Running || i == len(c.operations)-1 {
			seen.Operations = append(seen.Operations, op.Operation)
		}
	}
	return seen, nil
}

func (c *cluster) poolOf(pool *pool) provider.Pool {
	seen := provider.Pool{
		Name: pool.name, Size: pool.size, RolledBy: pool.rolledBy, Template: provider.State{Version: pool.template},
	}
	for _, m := range c.machines {
		if m.pool == pool.name {
			seen.Instances = append(seen.Instances, provider.Instance{
				ID: m.id, Node: m.id, Replaces: m.replaces, State: provider.State{Version: m.version},
			})
		}
	}
	return seen
}

// Connect gives an address that dial understands.
func (p *cloud) Connect(_ context.Context, ref provider.Ref) (*rest.Config, error) {
	if _, err := p.find(ref); err != nil {
		return nil, err
	}
	return &rest.Config{Host: ref.Name}, nil
}

func (p *cloud) Ensure(_ context.Context, ref provider.Ref, change provider.Change) (provider.Operation, error) {
	c, err := p.find(ref)
	if err != nil {
		return provider.Operation{}, err
	}
	what := fmt.Sprintf("%s %s → %s", change.Part, change.From.Version, change.To.Version)
	name, do := "UpgradeControlPlane", c.upgrade
	if change.Part.Kind == provider.PartPool {
		name, do = "SetPoolTemplate", c.setTemplate
	}
	if err := c.arrives(name, what, change.Token); err != nil {
		return provider.Operation{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return provider.Operation{}, cmp.Or(do(change), c.reply(name))
}

// upgrade takes its time: see pass.
func (c *cluster) upgrade(change provider.Change) error {
	from, to := change.From.Version, change.To.Version
	switch op := c.running(); {
	case c.tokens[change.Token], c.version == to:
		return nil
	case op != nil:
		return &provider.Fault{
			Class: provider.Wait, Code: provider.CodeInProgress, Err: fmt.Errorf("operation %s is under way", op.ID),
		}
	case c.version != from:
		return stop(provider.CodeChanged, "control plane is at "+c.version.String())
	case !slices.Contains(c.offers, to):
		return stop(provider.CodeNotOffered, to.String()+" is not offered")
	}
	if to.Minor > from.Minor+1 || to.Less(from) {
		c.t.Errorf("control plane goes from %s to %s", from, to)
	}
	c.tokens[change.Token] = true
	c.begin(change.Token, to)
	return nil
}

func (c *cluster) begin(token string, to fleet.Version) {
	now := c.clock.Now()
	c.operations = append(c.operations, &operation{ends: now.Add(operationTakes), Operation: provider.Operation{
		ID: fmt.Sprintf("op-%d", len(c.operations)+1), Token: token, Part: provider.Part{Kind: provider.PartControlPlane},
		To: provider.State{Version: to}, Phase: provider.Running, Started: now, Foreign: token == "",
	}})
}

func (c *cluster) setTemplate(change provider.Change) error {
	i := slices.IndexFunc(c.pools, func(p *pool) bool { return p.name == change.Part.Pool })
	switch pool := c.pools[i]; {
	case pool.template == change.To.Version:
	case pool.template != change.From.Version:
		return stop(provider.CodeChanged, "template is at "+pool.template.String())
	default:
		pool.template = change.To.Version
	}
	return nil
}

func (p *cloud) AddNode(_ context.Context, ref provider.Ref, add provider.NodeAddition) error {
	c, err := p.find(ref)
	if err != nil {
		return err
	}
	if err := c.arrives("AddNode", add.Pool, add.Token); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tokens[add.Token] {
		return nil
	}
	c.tokens[add.Token] = true
	i := slices.IndexFunc(c.pools, func(p *pool) bool { return p.name == add.Pool })
	c.newMachine(c.pools[i]).replaces = add.Replaces
	c.judge("add a node to pool " + add.Pool)
	return c.reply("AddNode")
}

func (p *cloud) RemoveNode(_ context.Context, ref provider.Ref, removal provider.NodeRemoval) error {
	c, err := p.find(ref)
	if err != nil {
		return err
	}
	if err := c.arrives("RemoveNode", removal.Instance, removal.Instance); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.pods, func(p *pod) bool { return p.node == removal.Instance }) {
		c.t.Errorf("node %s is removed with pods on it", removal.Instance)
	}
	c.machines = slices.DeleteFunc(c.machines, func(m *machine) bool { return m.id == removal.Instance })
	c.judge("remove node " + removal.Instance)
	return c.reply("RemoveNode")
}
