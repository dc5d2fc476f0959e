package control_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// How long things take in a made-up cluster.
const (
	operationTakes = 20 * time.Second // a control plane's change,
	silentFor      = 6 * time.Second  // at whose end its API server does not answer
	joining        = 2 * time.Second  // from machine to node
	gettingReady   = 2 * time.Second  // from node to Ready
	podStarts      = 1 * time.Second
	podGrace       = 2 * time.Second
)

// cluster behaves as a cluster does. It is seen from two sides, which share what
// is so: its provider (see cloud) and its own API server (see kube). Time passes
// with the clock: operations end, machines join, pods come and go.
//
// It judges by itself what is done to it: see judge.
type cluster struct {
	t     *testing.T
	clock clock.PassiveClock
	uid   string
	// arriving is told of each call that changes something, before it does.
	arriving func(call)

	mu       sync.Mutex
	version  fleet.Version
	ahead    fleet.Version // of its newest API server, where they differ
	offers   []fleet.Version
	pools    []*pool
	machines []*machine
	pods     []*pod
	// floor is how many pods the budget wants healthy; below 0 there is none.
	floor      int
	operations []*operation
	tokens     map[string]bool
	serial     int

	// surge and unavailable are what a pool may have too much and lack.
	surge, unavailable int
	// most machines of a pool, and fewest nodes that took pods, at any write.
	most, fewest map[string]int
	calls        []call
	// Answers of the Eviction API.
	accepted, refused int

	// What goes wrong: the provider is down, or answers with an error of its own,
	// the API server is silent.
	down, silent bool
	observing    error
	// The next calls by name are not carried out, or are, but for their replies.
	faults, lost map[string][]error
	// Somebody else uses the budget up before the next evictions arrive.
	stolen int
}

type pool struct {
	name     string
	size     int
	template fleet.Version
	rolledBy fleet.RolledBy
}

type machine struct {
	id, pool, replaces string
	version            fleet.Version
	joins, ready       time.Time
	sick               bool
	cordoned           bool
	annotations        map[string]string
	revision           int
}

type pod struct {
	name, node  string
	ready, gone time.Time // when it will be, or was; gone is zero until it is evicted
}

type operation struct {
	provider.Operation
	ends time.Time
}

// call is one call that changes something.
type call struct {
	name, what, token string
	at                time.Time
}

// shape is how a cluster is made.
type shape struct {
	version string
	offers  []string
	pools   map[string]int // sizes
	// pods of one workload, of which the budget wants floor healthy.
	pods, floor int
}

// newCluster makes a cluster at rest: all nodes Ready, all pods running.
func newCluster(t *testing.T, clk clock.PassiveClock, name string, s shape) *cluster {
	t.Helper()
	c := &cluster{
		t: t, clock: clk, uid: "uid-of-" + name, version: version(t, s.version), floor: s.floor,
		tokens: map[string]bool{}, faults: map[string][]error{}, lost: map[string][]error{},
		most: map[string]int{}, fewest: map[string]int{},
	}
	for _, offer := range s.offers {
		c.offers = append(c.offers, version(t, offer))
	}
	for name, size := range s.pools {
		c.pools = append(c.pools, &pool{name: name, size: size, template: c.version, rolledBy: fleet.ByRefit})
		c.most[name], c.fewest[name] = size, size
	}
	slices.SortFunc(c.pools, func(a, b *pool) int { return compareNames(a.name, b.name) })
	start := clk.Now()
	for _, p := range c.pools {
		for range p.size {
			m := c.newMachine(p)
			m.joins, m.ready = start, start
		}
	}
	for range s.pods {
		c.newPod()
	}
	c.pass()
	for _, p := range c.pods {
		p.ready = start
	}
	return c
}

func compareNames(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

func version(t *testing.T, text string) fleet.Version {
	t.Helper()
	v, ok := fleet.ParseVersion(text)
	if !ok {
		t.Fatalf("%q is no version", text)
	}
	return v
}

func (c *cluster) newMachine(p *pool) *machine {
	c.serial++
	now := c.clock.Now()
	m := &machine{
		id: fmt.Sprintf("%s-%d", p.name, c.serial), pool: p.name, version: p.template,
		joins: now.Add(joining), ready: now.Add(joining + gettingReady), annotations: map[string]string{},
	}
	c.machines = append(c.machines, m)
	return m
}

func (c *cluster) newPod() {
	c.serial++
	c.pods = append(c.pods, &pod{name: fmt.Sprintf("web-%d", c.serial)})
}

// pass lets happen what was to happen until now. Everybody who looks calls it.
func (c *cluster) pass() {
	now := c.clock.Now()
	if op := c.running(); op != nil && !now.Before(op.ends) {
		op.Phase, c.version = provider.Succeeded, op.To.Version
	}
	c.pods = slices.DeleteFunc(c.pods, func(p *pod) bool { return !p.gone.IsZero() && !now.Before(p.gone) })
	for _, p := range c.pods {
		if p.node == "" {
			c.schedule(p)
		}
	}
}

// schedule puts a pod where fewest are; it stays pending where no node takes it.
func (c *cluster) schedule(p *pod) {
	var best *machine
	for _, m := range c.machines {
		if c.takesPods(m) && (best == nil || c.podsOn(m) < c.podsOn(best)) {
			best = m
		}
	}
	if best != nil {
		p.node, p.ready = best.id, c.clock.Now().Add(podStarts)
	}
}

func (c *cluster) podsOn(m *machine) int {
	count := 0
	for _, p := range c.pods {
		if p.node == m.id {
			count++
		}
	}
	return count
}

func (c *cluster) joined(m *machine) bool { return !c.clock.Now().Before(m.joins) }

func (c *cluster) isReady(m *machine) bool { return !m.sick && !c.clock.Now().Before(m.ready) }

func (c *cluster) takesPods(m *machine) bool { return c.isReady(m) && !m.cordoned }

// healthy are the pods that the budget counts.
func (c *cluster) healthy() int {
	count := 0
	for _, p := range c.pods {
		if c.podReady(p) && p.gone.IsZero() {
			count++
		}
	}
	return count
}

func (c *cluster) podReady(p *pod) bool { return p.node != "" && !c.clock.Now().Before(p.ready) }

func (c *cluster) running() *operation {
	for _, op := range c.operations {
		if op.Phase == provider.Running {
			return op
		}
	}
	return nil
}

func (c *cluster) isSilent() bool {
	op := c.running()
	return c.silent || op != nil && op.ends.Sub(c.clock.Now()) <= silentFor
}

// judge counts, after each write, what a pool has too much and what it lacks.
func (c *cluster) judge(after string) {
	c.t.Helper()
	for _, p := range c.pools {
		machines, taking := 0, 0
		for _, m := range c.machines {
			if m.pool == p.name {
				machines++
				if c.takesPods(m) {
					taking++
				}
			}
		}
		c.most[p.name], c.fewest[p.name] = max(c.most[p.name], machines), min(c.fewest[p.name], taking)
		if machines > p.size+c.surge {
			c.t.Errorf("after %q pool %s has %d machines: size is %d, surge %d", after, p.name, machines, p.size, c.surge)
		}
		if taking < p.size-c.unavailable {
			c.t.Errorf("after %q %d nodes of pool %s take pods: size is %d, %d may be missing", after, taking, p.name, p.size, c.unavailable)
		}
	}
}

// arrives notes a call, and answers with the fault that was put up for it.
func (c *cluster) arrives(name, what, token string) error {
	arrived := call{name: name, what: what, token: token, at: c.clock.Now()}
	if c.arriving != nil {
		c.arriving(arrived)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pass()
	c.calls = append(c.calls, arrived)
	if faults := c.faults[name]; len(faults) > 0 {
		c.faults[name] = faults[1:]
		return faults[0]
	}
	return nil
}

// fail puts up answers to the next calls of a name, which come to nothing.
func (c *cluster) fail(name string, faults ...error) {
	c.faults[name] = append(c.faults[name], faults...)
}

// lose puts up answers to the next calls of a name, which take effect.
func (c *cluster) lose(name string, faults ...error) { c.lost[name] = append(c.lost[name], faults...) }

// reply is nil, but for a lost reply.
func (c *cluster) reply(name string) error {
	lost := c.lost[name]
	if len(lost) == 0 {
		return nil
	}
	c.lost[name] = lost[1:]
	return lost[0]
}

// called are the calls of a name; of any where it is empty.
func (c *cluster) called(name string) []call {
	var calls []call
	for _, arrived := range c.calls {
		if name == "" || arrived.name == name {
			calls = append(calls, arrived)
		}
	}
	return calls
}

// cordoned are the nodes that take no pods because somebody said so.
func (c *cluster) cordoned() []string {
	var names []string
	for _, m := range c.machines {
		if m.cordoned || len(m.annotations) > 0 {
			names = append(names, m.id)
		}
	}
	return names
}

// versions are those of the machines, by id.
func (c *cluster) versions() map[string]string {
	all := map[string]string{}
	for _, m := range c.machines {
		all[m.id] = m.version.String()
	}
	return all
}
