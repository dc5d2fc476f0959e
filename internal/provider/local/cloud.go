package local

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// A cloud is the part of a member that is not its control plane: pools and
// their machines. It is a value: a change answers with the changed cloud, which
// counts once it is on disk.
type cloud struct {
	Pools    []pool    `json:"pools,omitempty"`
	Machines []machine `json:"machines,omitempty"`
	// Made counts the machines ever made; their addresses come from it.
	Made int `json:"made"`
	// Changes are the latest changes of templates, oldest first.
	Changes []templateChange `json:"changes,omitempty"`
	// Spent are the latest tokens of machines that are gone: a late repetition
	// of the call that added one must not add another.
	Spent []string `json:"spent,omitempty"`
}

type pool struct {
	Name string `json:"name"`
	Size int    `json:"size"`
	// Template is the version that the pool's next machine gets.
	Template string `json:"template"`
}

// A machine is what a Node object stands for. Its ID is the node's name.
type machine struct {
	ID       string    `json:"id"`
	Pool     string    `json:"pool"`
	Version  string    `json:"version"`
	Zone     string    `json:"zone"`
	Address  string    `json:"address"`
	Replaces string    `json:"replaces,omitempty"`
	Token    string    `json:"token,omitempty"`
	Created  time.Time `json:"created"`
	// Removed machines are forgotten when their node is gone.
	Removed bool `json:"removed,omitempty"`
}

// templateChange is a change of a pool, which is done as soon as it is recorded.
type templateChange struct {
	ID    string    `json:"id"`
	Token string    `json:"token"`
	Pool  string    `json:"pool"`
	From  string    `json:"from"`
	To    string    `json:"to"`
	At    time.Time `json:"at"`
}

// How much is remembered for the sake of repeated calls.
const (
	changesKept = 50
	tokensKept  = 2 * MaxNodes
)

func zones() []string { return []string{"a", "b", "c"} }

// newCloud has as many machines in each pool as were asked for.
func newCloud(spec Spec, now time.Time) cloud {
	c := cloud{}
	for _, p := range spec.Pools {
		c.Pools = append(c.Pools, pool{Name: p.Name, Size: p.Size, Template: spec.Version.String()})
		for i := range p.Size {
			c = c.make(machine{Pool: p.Name, Version: spec.Version.String(), Zone: zones()[i%len(zones())], Created: now})
		}
	}
	return c
}

// make gives the machine what makes it one of a kind.
func (c cloud) make(m machine) cloud {
	c.Made++
	m.Address = fmt.Sprintf("10.128.%d.%d", c.Made/250%250, c.Made%250+1)
	for m.ID == "" || c.find(m.ID) != nil {
		m.ID = m.Pool + "-" + rand.String(5)
	}
	c.Machines = append(slices.Clone(c.Machines), m)
	return c
}

func (c cloud) find(id string) *machine {
	i := slices.IndexFunc(c.Machines, func(m machine) bool { return m.ID == id })
	if i < 0 {
		return nil
	}
	return &c.Machines[i]
}

func (c cloud) pool(name string) (int, error) {
	i := slices.IndexFunc(c.Pools, func(p pool) bool { return p.Name == name })
	if i < 0 {
		return 0, stop(provider.CodeInvalid, "there is no pool %q; there are: %s", name, c.poolNames())
	}
	return i, nil
}

func (c cloud) poolNames() string {
	if len(c.Pools) == 0 {
		return "none"
	}
	var names []string
	for _, p := range c.Pools {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

// add adds a machine from the pool's template, unless the token did before.
func (c cloud) add(addition provider.NodeAddition, now time.Time) (cloud, error) {
	known := slices.ContainsFunc(c.Machines, func(m machine) bool { return m.Token == addition.Token })
	if addition.Token == "" {
		return c, stop(provider.CodeInvalid, "a node is added with a token, so that it is added once")
	}
	if known || slices.Contains(c.Spent, addition.Token) {
		return c, nil
	}
	at, err := c.pool(addition.Pool)
	if err != nil {
		return c, err
	}
	if len(c.Machines) >= 2*MaxNodes {
		return c, stop(provider.CodeInvalid, "the member has %d machines, which is all that it may", len(c.Machines))
	}
	zone := zones()[c.Made%len(zones())]
	if replaced := c.find(addition.Replaces); replaced != nil {
		zone = replaced.Zone // so that a pool stays spread as it was
	}
	return c.make(machine{
		Pool: addition.Pool, Version: c.Pools[at].Template, Zone: zone,
		Replaces: addition.Replaces, Token: addition.Token, Created: now,
	}), nil
}

// remove marks a machine as removed. One that is gone is no error; one of
// another pool is, since then the caller is mistaken about what it removes.
func (c cloud) remove(removal provider.NodeRemoval) (cloud, error) {
	m := c.find(removal.Instance)
	if m == nil {
		return c, nil
	}
	if m.Pool != removal.Pool {
		return c, stop(provider.CodeInvalid, "instance %q is of pool %q, not %q", m.ID, m.Pool, removal.Pool)
	}
	c.Machines = slices.Clone(c.Machines)
	c.find(removal.Instance).Removed = true
	return c, nil
}

// forget lets go of a removed machine whose node is gone.
func (c cloud) forget(id string) cloud {
	m := c.find(id)
	if m == nil {
		return c
	}
	if m.Token != "" {
		c.Spent = append(slices.Clone(c.Spent), m.Token)
		c.Spent = c.Spent[max(0, len(c.Spent)-tokensKept):]
	}
	c.Machines = slices.DeleteFunc(slices.Clone(c.Machines), func(m machine) bool { return m.ID == id })
	return c
}

// templated is a cloud after a change of a template, and that change as it was
// recorded.
type templated struct {
	cloud  cloud
	change templateChange
}

// setTemplate changes what the pool's next machines are. A kubelet is never
// newer than the API server.
func (c cloud) setTemplate(change templateChange, controlPlane fleet.Version) (templated, error) {
	for _, done := range c.Changes {
		if change.Token != "" && done.Token == change.Token {
			return templated{c, done}, nil
		}
	}
	at, err := c.pool(change.Pool)
	if err != nil {
		return templated{}, err
	}
	to, ok := fleet.ParseVersion(change.To)
	if !ok {
		return templated{}, stop(provider.CodeInvalid, "%q is no Kubernetes version", change.To)
	}
	if controlPlane.Less(to) {
		return templated{}, stop(provider.CodeInvalid, "nodes of %s would be newer than the control plane, which is at %s; upgrade that first", to, controlPlane)
	}
	switch current := c.Pools[at].Template; current {
	case change.To:
		change.ID = "at-" + change.To
		return templated{c, change}, nil
	case change.From:
	default:
		return templated{}, stop(provider.CodeChanged, "pool %s is at %s, neither at %s nor at %s", change.Pool, current, change.From, change.To)
	}
	change.ID = fmt.Sprintf("template-%s-%d", change.Pool, change.At.UnixMilli())
	c.Pools = slices.Clone(c.Pools)
	c.Pools[at].Template = change.To
	c.Changes = append(slices.Clone(c.Changes), change)
	c.Changes = c.Changes[max(0, len(c.Changes)-changesKept):]
	return templated{c, change}, nil
}

func stop(code, format string, args ...any) *provider.Fault {
	return &provider.Fault{Class: provider.Stop, Code: code, Err: fmt.Errorf(format, args...)}
}

func retryLater(code string, err error) *provider.Fault {
	return &provider.Fault{Class: provider.Retry, Code: code, After: time.Second, Err: err}
}
