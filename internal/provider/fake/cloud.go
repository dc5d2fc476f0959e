// Package fake is a cloud in memory that behaves: its clusters take their time,
// its answers get lost, its calls are throttled, and somebody else may be at
// work. It is for tests, and for "refit up --fake-provider".
//
// A cluster is seen from two sides, which share what is so: through its provider
// (see Cloud), and through its own Kubernetes API, which it serves in the process
// to any client made of what Connect gives (see api). Time passes with a clock
// that is given, and what goes wrong is in a Script: the same script, calls and
// times make the same history.
package fake

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// Cloud is the provider of made-up clusters.
type Cloud struct {
	Clock clock.WithTicker
	Mode  Mode
	// Script is what goes wrong in clusters added later.
	Script Script
	// Found is the shape of a cluster that was not added, and is made when it is
	// first asked for; nil means that there is none.
	Found func(name string) (Shape, bool)

	mu       sync.Mutex
	clusters map[string]*Cluster
}

// Mode is what kind of cloud it is. The zero Mode honours tokens, installs the
// very version that is asked for, and shows at once what it has accepted.
type Mode struct {
	// NoTokens is a cloud that takes no token with an operation of a control
	// plane, and so reports none: it has one operation at a time instead.
	NoTokens bool
	// PicksPatch is a cloud that is told a minor and chooses the patch itself.
	PicksPatch bool
	// MaxNodeSkew is what it allows; 0 is upstream's rule.
	MaxNodeSkew int
	// Lag is how long Observe goes on to show what was before an accepted call.
	Lag time.Duration
	// Credentials is how long those that Connect gives last; 0 is for ever.
	Credentials time.Duration
	// Latency is how long things take; the zero Latency is DefaultLatency.
	Latency Latency
}

// Latency is how long things take.
type Latency struct {
	Operation time.Duration // a control plane's change,
	Silence   time.Duration // at whose end its API server does not answer
	Joining   time.Duration // from instance to node
	Ready     time.Duration // from node to Ready
	PodStart  time.Duration
	PodGrace  time.Duration
}

// DefaultLatency is that of a quick cloud, so that a whole upgrade shows within
// a minute.
func DefaultLatency() Latency {
	return Latency{
		Operation: 20 * time.Second, Silence: 6 * time.Second,
		Joining: 2 * time.Second, Ready: 2 * time.Second, PodStart: time.Second, PodGrace: 2 * time.Second,
	}
}

// Shape is how a cluster is made.
type Shape struct {
	Version fleet.Version
	Offers  []fleet.Version
	Pools   []PoolShape
	// Pods of one workload, of which its budget wants Floor healthy; below 0 it
	// has no budget.
	Pods, Floor int
}

// PoolShape is a pool to be made.
type PoolShape struct {
	Name string
	Size int
	// RolledBy is Refit where it is empty; the other is the provider.
	RolledBy fleet.RolledBy
}

var (
	_ provider.Provider     = (*Cloud)(nil)
	_ provider.NodeReplacer = (*Cloud)(nil)
)

// Add makes a cluster at rest: all nodes Ready, all pods running.
func (c *Cloud) Add(name string, shape Shape) *Cluster {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.add(name, shape)
}

func (c *Cloud) add(name string, shape Shape) *Cluster {
	mode := c.Mode
	mode.Latency = cmp.Or(mode.Latency, DefaultLatency())
	if c.clusters == nil {
		c.clusters = map[string]*Cluster{}
	}
	c.clusters[name] = newCluster(name, c.Clock, mode, shape)
	c.clusters[name].script = c.Script.forCluster(name)
	return c.clusters[name]
}

// reach finds a cluster for one call. Nobody is reached by a call that was given
// up before it began.
func (c *Cloud) reach(ctx context.Context, ref provider.Ref) (*Cluster, error) {
	if err := ctx.Err(); err != nil {
		return nil, &provider.Fault{Class: provider.Retry, Code: provider.CodeUnreachable, Err: err}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.clusters[ref.Name]; ok {
		return known, nil
	}
	if c.Found != nil {
		if shape, ok := c.Found(ref.Name); ok {
			return c.add(ref.Name, shape), nil
		}
	}
	return nil, stop(provider.CodeUnknownCluster, "there is no made-up cluster %q", ref.Name)
}

// Observe looks at a cluster.
func (c *Cloud) Observe(ctx context.Context, ref provider.Ref) (provider.Observation, error) {
	cluster, err := c.reach(ctx, ref)
	if err != nil {
		return provider.Observation{}, err
	}
	return cluster.observe()
}

// Connect gives a config that reaches the cluster's API within this process.
func (c *Cloud) Connect(ctx context.Context, ref provider.Ref) (*rest.Config, error) {
	cluster, err := c.reach(ctx, ref)
	if err != nil {
		return nil, err
	}
	return cluster.connect()
}

// Ensure changes a control plane, which takes its time, or the template of a
// pool, which does not.
func (c *Cloud) Ensure(ctx context.Context, ref provider.Ref, change provider.Change) (operation provider.Operation, err error) {
	cluster, err := c.reach(ctx, ref)
	if err != nil {
		return provider.Operation{}, err
	}
	call := Call{
		Verb: UpgradeControlPlane, Token: change.Token,
		What: fmt.Sprintf("%s %s → %s", change.Part, change.From.Version, change.To.Version),
	}
	do := cluster.upgrade
	if change.Part.Kind == provider.PartPool {
		call.Verb, do = SetPoolTemplate, cluster.changePool
	}
	err = cluster.serve(call, func(befalls Mishap) (err error) {
		operation, err = do(change, befalls)
		return err
	})
	if err != nil {
		return provider.Operation{}, err // also where only the reply was lost
	}
	return operation, nil
}

// AddNode adds an instance from the pool's template.
func (c *Cloud) AddNode(ctx context.Context, ref provider.Ref, add provider.NodeAddition) error {
	cluster, err := c.reach(ctx, ref)
	if err != nil {
		return err
	}
	return cluster.serve(Call{Verb: AddNode, What: add.Pool, Token: add.Token}, func(befalls Mishap) error {
		return cluster.addNode(add, befalls)
	})
}

// RemoveNode removes an instance, and its node.
func (c *Cloud) RemoveNode(ctx context.Context, ref provider.Ref, removal provider.NodeRemoval) error {
	cluster, err := c.reach(ctx, ref)
	if err != nil {
		return err
	}
	// The instance is the token: there is never another of its name.
	return cluster.serve(Call{Verb: RemoveNode, What: removal.Instance, Token: removal.Instance}, func(Mishap) error {
		return cluster.removeNode(removal)
	})
}

func stop(code, format string, args ...any) error {
	return &provider.Fault{Class: provider.Stop, Code: code, Err: fmt.Errorf(format, args...)}
}
