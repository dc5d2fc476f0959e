package fake

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/clock"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// Cluster behaves as a cluster does: operations end, machines join, pods come
// and go.
type Cluster struct {
	name  string
	clock clock.WithTicker
	mode  Mode
	mux   *http.ServeMux
	// Arriving is told of each call that changes something, before it does, and
	// Answered after. Neither is told within another call.
	Arriving, Answered func(Call)

	mu     sync.Mutex
	state  State
	script staged
	calls  []Call
	tokens map[string]bool // of nodes that were added, also of those that are gone
	past   []past
	serial int
	// revision counts changes of objects, and deleted is that of the last
	// deletion; changed is closed at the next.
	revision, deleted int
	changed           chan struct{}
	watches           int
}

// State is all that is so in a cluster.
type State struct {
	UID      string
	Version  fleet.Version
	Newest   fleet.Version // of its API servers, where they differ
	Offers   []fleet.Version
	Pools    []Pool
	Machines []Machine
	Pods     []Pod
	// Floor is how many pods the budget wants healthy; below 0 there is none.
	Floor      int
	Operations []Operation                     // oldest first
	Leases     map[string]coordinationv1.Lease // by namespace/name

	// What goes wrong until somebody mends it: the provider does not answer, or
	// takes no credentials; the API server does not answer.
	Down, Expired, Silent bool
	// OpenChecks are those of /readyz that are not passed.
	OpenChecks []string
	// Stolen is how many evictions find the budget used up by somebody else.
	Stolen int
	// Accepted and Refused are answers of the Eviction API.
	Accepted, Refused int

	budget budgetView
}

// Pool is a group of machines.
type Pool struct {
	Name     string
	Size     int
	Template fleet.Version
	RolledBy fleet.RolledBy
}

// Machine is an instance, and the node that it is or will be. The node has the
// instance's name.
type Machine struct {
	ID, Pool, Replaces string
	Version            fleet.Version
	Joins, Ready       time.Time
	Sick               bool // it is not Ready, whatever the time
	NeverJoins         bool
	Cordoned           bool
	Annotations        map[string]string
	Labels             map[string]string

	view     nodeView
	revision int
}

// Pod is one pod of the workload.
type Pod struct {
	Name, Node string
	// Ready is when it will be, or was; Gone is zero until it is evicted.
	Ready, Gone time.Time

	view     podView
	revision int
}

// Operation is a change of a control plane or of a pool's template.
type Operation struct {
	provider.Operation

	// Ends is when a running one does, and Fails tells how.
	Ends  time.Time
	Fails bool
}

// Call is one call that changes something.
type Call struct {
	Verb        Verb
	What, Token string
	At          time.Time
	// Err is the answer; Arriving is not told it yet.
	Err error
}

// What of an object depends on the time: its resource version changes with it.
type (
	nodeView struct {
		joined, ready, cordoned bool
		version                 fleet.Version
	}
	podView struct {
		node        string
		ready, gone bool
	}
	budgetView struct {
		healthy, floor, revision int
	}
)

func newCluster(name string, clk clock.WithTicker, mode Mode, shape Shape) *Cluster {
	c := &Cluster{
		name: name, clock: clk, mode: mode, tokens: map[string]bool{}, changed: make(chan struct{}),
		state: State{UID: "uid-of-" + name, Version: shape.Version, Offers: slices.Clone(shape.Offers), Floor: shape.Floor, Leases: map[string]coordinationv1.Lease{}},
	}
	c.mux = c.routes()
	start := clk.Now()
	for _, p := range shape.Pools {
		pool := Pool{Name: p.Name, Size: p.Size, Template: shape.Version, RolledBy: cmp.Or(p.RolledBy, fleet.ByRefit)}
		c.state.Pools = append(c.state.Pools, pool)
		for range p.Size {
			m := c.newMachine(pool)
			m.Joins, m.Ready = start, start
		}
	}
	for range shape.Pods {
		c.newPod()
	}
	c.pass()
	for i := range c.state.Pods {
		c.state.Pods[i].Ready = start
	}
	c.pass()
	return c
}

// newMachine joins, and becomes Ready, in its time.
func (c *Cluster) newMachine(pool Pool) *Machine {
	c.serial++
	joins := c.clock.Now().Add(c.mode.Latency.Joining)
	c.state.Machines = append(c.state.Machines, Machine{
		ID: fmt.Sprintf("%s-%d", pool.Name, c.serial), Pool: pool.Name, Version: pool.Template,
		Joins: joins, Ready: joins.Add(c.mode.Latency.Ready), Annotations: map[string]string{}, Labels: map[string]string{poolLabel: pool.Name},
	})
	return &c.state.Machines[len(c.state.Machines)-1]
}

// poolLabel is on every node, and names its pool.
const poolLabel = "fake/pool"

func (c *Cluster) newPod() {
	c.serial++
	c.state.Pods = append(c.state.Pods, Pod{Name: fmt.Sprintf("web-%d", c.serial)})
}

// Look is all that is so now.
func (c *Cluster) Look() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pass()
	s := c.state
	s.Offers, s.Pools, s.Pods, s.Operations = slices.Clone(s.Offers), slices.Clone(s.Pools), slices.Clone(s.Pods), slices.Clone(s.Operations)
	s.Machines, s.Leases = slices.Clone(s.Machines), copyLeases(s.Leases)
	for i := range s.Machines {
		s.Machines[i].Annotations, s.Machines[i].Labels = maps.Clone(s.Machines[i].Annotations), maps.Clone(s.Machines[i].Labels)
	}
	return s
}

// Change is done by somebody else, past all rules.
func (c *Cluster) Change(by func(*State)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pass()
	before := copyLeases(c.state.Leases)
	by(&c.state)
	c.reviseLeases(before)
	c.pass()
}

// Inject lets more go wrong.
func (c *Cluster) Inject(faults ...Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, fault := range faults {
		c.script.add(fault)
	}
}

// Begin is how somebody else begins an operation, which takes as long as is said.
func (c *Cluster) Begin(to fleet.Version, takes time.Duration) provider.Operation {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pass()
	op := c.begin("", to)
	op.Ends = c.clock.Now().Add(takes)
	return op.Operation
}

// Calls are the calls of a verb; of any where it is empty.
func (c *Cluster) Calls(verb Verb) []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	var calls []Call
	for _, call := range c.calls {
		if verb == "" || call.Verb == verb {
			calls = append(calls, call)
		}
	}
	return calls
}

// serve lets one call arrive, go wrong if it is to, and take effect.
func (c *Cluster) serve(call Call, effect func(Mishap) error) error {
	call.At = c.clock.Now()
	if c.Arriving != nil {
		c.Arriving(call)
		call.At = c.clock.Now()
	}
	call.Err = c.effect(call, effect)
	if c.Answered != nil {
		c.Answered(call)
	}
	return call.Err
}

func (c *Cluster) effect(call Call, effect func(Mishap) error) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pass()
	defer func() {
		call.Err = err
		c.calls = append(c.calls, call)
	}()
	if err := c.outage(); err != nil && !call.Verb.ofMember() {
		return err
	}
	befalls := c.script.draw(call.Verb)
	if err := befalls.answer(); err != nil && befalls.Mishap != Lost {
		return err
	}
	if err := effect(befalls.Mishap); err != nil {
		return err
	}
	c.pass()
	return befalls.answer()
}

// outage is why nobody gets through to the provider; nil if they do.
func (c *Cluster) outage() error {
	switch {
	case c.state.Down:
		return &provider.Fault{Class: provider.Retry, Code: provider.CodeUnreachable, Err: errNoRoute}
	case c.state.Expired:
		return errExpired()
	}
	return nil
}

// pass lets happen what was to happen until now. Everybody who looks calls it.
func (c *Cluster) pass() {
	now := c.clock.Now()
	for i := range c.state.Operations {
		switch op := &c.state.Operations[i]; {
		case op.Phase != provider.Running:
		case op.Part.Kind == provider.PartPool:
			c.roll(op)
		case !now.Before(op.Ends):
			c.end(op)
		}
	}
	before := len(c.state.Pods)
	c.state.Pods = slices.DeleteFunc(c.state.Pods, func(p Pod) bool { return !p.Gone.IsZero() && !now.Before(p.Gone) })
	if len(c.state.Pods) < before {
		c.delete()
	}
	for i := range c.state.Pods {
		if p := &c.state.Pods[i]; p.Node == "" {
			c.schedule(p)
		}
	}
	c.revise()
}

func (c *Cluster) end(op *Operation) {
	op.Message = ""
	if !op.Fails {
		op.Phase, c.state.Version = provider.Succeeded, op.To.Version
		return
	}
	op.Phase, op.Code = provider.Failed, "NeverReady"
	op.Message = fmt.Sprintf("the API server of %s was not Ready in time; %s serves again", op.To.Version, c.state.Version)
}

// schedule puts a pod where fewest are; it stays pending where no node takes it.
func (c *Cluster) schedule(p *Pod) {
	var best *Machine
	for i := range c.state.Machines {
		m := &c.state.Machines[i]
		if c.takesPods(*m) && (best == nil || c.podsOn(m.ID) < c.podsOn(best.ID)) {
			best = m
		}
	}
	if best != nil {
		p.Node, p.Ready = best.ID, c.clock.Now().Add(c.mode.Latency.PodStart)
	}
}

func (c *Cluster) podsOn(machine string) int {
	count := 0
	for _, p := range c.state.Pods {
		if p.Node == machine {
			count++
		}
	}
	return count
}

func (c *Cluster) joined(m Machine) bool { return !m.NeverJoins && !c.clock.Now().Before(m.Joins) }

func (c *Cluster) ready(m Machine) bool {
	return c.joined(m) && !m.Sick && !c.clock.Now().Before(m.Ready)
}

func (c *Cluster) takesPods(m Machine) bool { return c.ready(m) && !m.Cordoned }

// healthy are the pods that the budget counts.
func (c *Cluster) healthy() int {
	count := 0
	for _, p := range c.state.Pods {
		if c.podReady(p) && p.Gone.IsZero() {
			count++
		}
	}
	return count
}

func (c *Cluster) podReady(p Pod) bool { return p.Node != "" && !c.clock.Now().Before(p.Ready) }

// revise gives a new resource version to whatever looks different by now.
func (c *Cluster) revise() {
	for i := range c.state.Machines {
		m := &c.state.Machines[i]
		if view := (nodeView{c.joined(*m), c.ready(*m), m.Cordoned, m.Version}); view != m.view {
			m.view, m.revision = view, c.revised()
		}
	}
	for i := range c.state.Pods {
		p := &c.state.Pods[i]
		if view := (podView{p.Node, c.podReady(*p), !p.Gone.IsZero()}); view != p.view || p.revision == 0 {
			p.view, p.revision = view, c.revised()
		}
	}
	budget := &c.state.budget
	if healthy := c.healthy(); budget.revision == 0 || healthy != budget.healthy || c.state.Floor != budget.floor {
		*budget = budgetView{healthy: healthy, floor: c.state.Floor, revision: c.revised()}
	}
}

// revised is the next resource version; it wakes who watches.
func (c *Cluster) revised() int {
	c.revision++
	close(c.changed)
	c.changed = make(chan struct{})
	return c.revision
}

// delete notes that an object is gone.
func (c *Cluster) delete() { c.deleted = c.revised() }

// Count is how many machines a pool has.
func (s State) Count(pool string) int {
	count := 0
	for _, m := range s.Machines {
		if m.Pool == pool {
			count++
		}
	}
	return count
}

// TakesPods are the machines of a pool that do, by id.
func (c *Cluster) TakesPods(pool string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pass()
	var ids []string
	for _, m := range c.state.Machines {
		if m.Pool == pool && c.takesPods(m) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// Watches are how many watches of the cluster's API are open.
func (c *Cluster) Watches() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watches
}

func (c *Cluster) isSilent() bool {
	op := c.running()
	return c.state.Silent || op != nil && op.Ends.Sub(c.clock.Now()) <= c.mode.Latency.Silence
}

// running is the operation of the control plane that runs.
func (c *Cluster) running() *Operation {
	return c.runningOf(provider.Part{Kind: provider.PartControlPlane})
}

func (c *Cluster) pool(name string) (*Pool, error) {
	var names []string
	for i := range c.state.Pools {
		if c.state.Pools[i].Name == name {
			return &c.state.Pools[i], nil
		}
		names = append(names, c.state.Pools[i].Name)
	}
	return nil, stop(provider.CodeInvalid, "there is no pool %q; there are: %s", name, strings.Join(names, ", "))
}
