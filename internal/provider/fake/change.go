package fake

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

var errNoRoute = errors.New("no route to host")

// inProgressAfter is when another look at an operation under way is worth it.
const inProgressAfter = 5 * time.Second

// upgrade begins an operation, or finds it under way, or done.
func (c *Cluster) upgrade(change provider.Change, befalls Mishap) (provider.Operation, error) {
	from, to := change.From.Version, c.pick(change.To.Version)
	if err := provider.CheckToken(change.Token); err != nil {
		return provider.Operation{}, err
	}
	known, running := c.byToken(change), c.running()
	switch {
	case known != nil:
		return known.Operation, nil
	case running != nil && c.same(running.To.Version, to):
		return running.Operation, nil
	case running != nil:
		return provider.Operation{}, &provider.Fault{
			Class: provider.Wait, Code: provider.CodeInProgress, After: inProgressAfter,
			Err: fmt.Errorf("operation %s to %s is under way", running.ID, running.To.Version),
		}
	case to.Less(from) && !c.same(to, from):
		return provider.Operation{}, stop(provider.CodeInvalid, "a control plane never goes back, and %s is older than %s", to, from)
	case to.Major != from.Major || to.Minor > from.Minor+1:
		return provider.Operation{}, stop(provider.CodeInvalid, "a control plane never skips a minor, and %s is more than one after %s", to, from)
	case c.same(c.state.Version, to):
		return c.done(change), nil
	case !c.same(c.state.Version, from):
		return provider.Operation{}, stop(provider.CodeChanged, "the control plane is at %s, neither at %s nor at %s", c.state.Version, from, to)
	case !slices.Contains(c.state.Offers, to):
		return provider.Operation{}, stop(provider.CodeNotOffered, "%s is not offered; offered are: %v", to, c.state.Offers)
	}
	c.remember()
	op := c.begin(change.Token, to)
	op.Fails = befalls == OperationFails
	return op.Operation, nil
}

// pick is the version that comes of being asked for one.
func (c *Cluster) pick(wanted fleet.Version) fleet.Version {
	if !c.mode.PicksPatch {
		return wanted
	}
	picked := fleet.Version{}
	for _, offer := range c.state.Offers {
		if offer.SameMinor(wanted) && picked.Less(offer) {
			picked = offer
		}
	}
	if picked.IsZero() {
		return wanted // which is not offered
	}
	return picked
}

// same tells whether to be at one version is to be at the other.
func (c *Cluster) same(a, b fleet.Version) bool {
	return a == b || c.mode.PicksPatch && a.SameMinor(b)
}

// byToken is the operation of a token. A cloud without tokens remembers none;
// it keeps those of pools, whose changes are its own doing.
func (c *Cluster) byToken(change provider.Change) *Operation {
	for i, op := range c.state.Operations {
		if op.Token != "" && op.Token == change.Token {
			return &c.state.Operations[i]
		}
	}
	return nil
}

func (c *Cluster) done(change provider.Change) provider.Operation {
	return provider.Operation{
		ID: "at-" + change.To.Version.String(), Token: change.Token, Part: change.Part, To: change.To, Phase: provider.Succeeded,
	}
}

func (c *Cluster) begin(token string, to fleet.Version) *Operation {
	if c.mode.NoTokens {
		token = ""
	}
	now := c.clock.Now()
	c.state.Operations = append(c.state.Operations, Operation{
		Ends: now.Add(c.mode.Latency.Operation),
		Operation: provider.Operation{
			ID: fmt.Sprintf("op-%d", len(c.state.Operations)+1), Token: token, Part: provider.Part{Kind: provider.PartControlPlane},
			To: provider.State{Version: to}, Phase: provider.Running, Started: now, Foreign: token == "",
		},
	})
	return &c.state.Operations[len(c.state.Operations)-1]
}

// changePool sets a template, or rolls the pool where nobody else does.
func (c *Cluster) changePool(change provider.Change, befalls Mishap) (provider.Operation, error) {
	if err := provider.CheckToken(change.Token); err != nil {
		return provider.Operation{}, err
	}
	if c.rolledBy(change.Part.Pool) == fleet.ByProvider {
		return c.upgradePool(change, befalls)
	}
	return c.setTemplate(change)
}

// setTemplate is done at once.
func (c *Cluster) setTemplate(change provider.Change) (provider.Operation, error) {
	if known := c.byToken(change); known != nil {
		return known.Operation, nil
	}
	pool, err := c.pool(change.Part.Pool)
	if err != nil {
		return provider.Operation{}, err
	}
	from, to := change.From.Version, change.To.Version
	if c.mode.PicksPatch && to.SameMinor(c.state.Version) {
		to = c.state.Version
	}
	switch {
	case c.state.Version.Less(to):
		return provider.Operation{}, stop(provider.CodeInvalid, "nodes of %s would be newer than the control plane, which is at %s; upgrade that first", to, c.state.Version)
	case pool.Template == to:
		return c.done(change), nil
	case !c.same(pool.Template, from):
		return provider.Operation{}, stop(provider.CodeChanged, "pool %s is at %s, neither at %s nor at %s", pool.Name, pool.Template, from, to)
	}
	c.remember()
	pool.Template = to
	op := Operation{Operation: provider.Operation{
		ID: fmt.Sprintf("op-%d", len(c.state.Operations)+1), Token: change.Token, Part: change.Part,
		To: provider.State{Version: to}, Phase: provider.Succeeded, Started: c.clock.Now(), Foreign: change.Token == "",
	}}
	c.state.Operations = append(c.state.Operations, op)
	return op.Operation, nil
}

// addNode adds one machine by a token, also where that machine is gone again.
func (c *Cluster) addNode(add provider.NodeAddition, befalls Mishap) error {
	if err := provider.CheckToken(add.Token); err != nil {
		return err
	}
	if add.Token == "" {
		return stop(provider.CodeInvalid, "a node is added with a token, so that it is added once")
	}
	if c.tokens[add.Token] {
		return nil
	}
	pool, err := c.pool(add.Pool)
	if err != nil {
		return err
	}
	c.remember()
	c.tokens[add.Token] = true
	m := c.newMachine(*pool)
	m.Replaces, m.NeverJoins = add.Replaces, befalls == NeverJoins
	return nil
}

// removeNode removes a machine and its node. One of another pool stays, since
// then the caller is mistaken about what it removes. Its pods are gone with it.
func (c *Cluster) removeNode(removal provider.NodeRemoval) error {
	i := slices.IndexFunc(c.state.Machines, func(m Machine) bool { return m.ID == removal.Instance })
	if i < 0 {
		return nil
	}
	if m := c.state.Machines[i]; m.Pool != removal.Pool {
		return stop(provider.CodeInvalid, "instance %q is of pool %q, not %q", m.ID, m.Pool, removal.Pool)
	}
	c.remember()
	c.state.Machines = slices.Delete(c.state.Machines, i, i+1)
	lost := c.podsOn(removal.Instance)
	c.state.Pods = slices.DeleteFunc(c.state.Pods, func(p Pod) bool { return p.Node == removal.Instance })
	for range lost {
		c.newPod() // by their controller
	}
	c.delete()
	return nil
}
