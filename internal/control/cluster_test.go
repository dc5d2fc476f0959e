package control_test

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/fake"
)

// cluster is a made-up one that judges what is done to it.
type cluster struct {
	*fake.Cluster

	t *testing.T
	// arriving is told of each call that changes something, before it does.
	arriving func(fake.Call)
	// claiming is told of each write of the member's Lease, before it is done.
	claiming func()
	// surge and unavailable are what a pool may have too much and lack.
	surge, unavailable int
	// most machines of a pool, and fewest nodes that took pods, at any write.
	most, fewest map[string]int
}

// shape is how a cluster is made.
type shape struct {
	version string
	offers  []string
	pools   map[string]int // sizes
	// pods of one workload, of which the budget wants floor healthy.
	pods, floor int
}

// claimed is the Lease that says who changes a member.
const claimed = "kube-system/refit"

// operationTakes is how long a made-up control plane's change takes.
var operationTakes = fake.DefaultLatency().Operation

// newCluster makes a cluster at rest: all nodes Ready, all pods running.
func newCluster(t *testing.T, cloud *fake.Cloud, name string, s shape) *cluster {
	t.Helper()
	made := fake.Shape{Version: version(t, s.version), Pods: s.pods, Floor: s.floor}
	for _, offer := range s.offers {
		made.Offers = append(made.Offers, version(t, offer))
	}
	for _, pool := range slices.Sorted(maps.Keys(s.pools)) {
		made.Pools = append(made.Pools, fake.PoolShape{Name: pool, Size: s.pools[pool]})
	}
	c := &cluster{t: t, Cluster: cloud.Add(name, made), most: maps.Clone(s.pools), fewest: maps.Clone(s.pools)}
	c.Arriving, c.Answered = c.before, c.after
	return c
}

func version(t *testing.T, text string) fleet.Version {
	t.Helper()
	v, ok := fleet.ParseVersion(text)
	if !ok {
		t.Fatalf("%q is no version", text)
	}
	return v
}

// before judges what only shows before a call takes effect.
func (c *cluster) before(call fake.Call) {
	c.t.Helper()
	switch {
	case saysWho(call):
		if c.claiming != nil {
			c.claiming()
		}
	case c.arriving != nil:
		c.arriving(call)
	}
	c.judge().Before(call)
}

// after judges what a call led to, and counts what a pool has too much and what it
// lacks.
func (c *cluster) after(call fake.Call) {
	c.t.Helper()
	c.judge().After(call)
	s := c.Look()
	for _, p := range s.Pools {
		c.most[p.Name] = max(c.most[p.Name], s.Count(p.Name))
		c.fewest[p.Name] = min(c.fewest[p.Name], len(c.TakesPods(p.Name)))
	}
}

func (c *cluster) judge() fake.Judge {
	return fake.Judge{Cluster: c.Cluster, Surge: c.surge, Unavailable: c.unavailable, Breaks: c.t.Errorf}
}

// saysWho tells whether a call changes nothing but who may change the member.
func saysWho(call fake.Call) bool {
	return call.Verb == fake.WriteLease || call.Verb == fake.DeleteLease
}

// changes are the calls that change something of the cluster itself.
func (c *cluster) changes() []fake.Call { return slices.DeleteFunc(c.Calls(""), saysWho) }

// claim is the member's Lease; nil where nobody has claimed it.
func (c *cluster) claim() *coordinationv1.Lease {
	if lease, ok := c.Look().Leases[claimed]; ok {
		return &lease
	}
	return nil
}

// holder is who has claimed the member; empty where nobody has.
func (c *cluster) holder() string {
	if lease := c.claim(); lease != nil {
		return *lease.Spec.HolderIdentity
	}
	return ""
}

// takeClaim is how somebody else gets the claim, past all rules.
func (c *cluster) takeClaim(holder string) {
	c.Change(func(s *fake.State) {
		lease := s.Leases[claimed]
		lease.Spec.HolderIdentity = &holder
		s.Leases[claimed] = lease
	})
}

// made is how many machines and pods there ever were: they are numbered.
func (c *cluster) made() int {
	c.t.Helper()
	s, last := c.Look(), 0
	var names []string
	for _, m := range s.Machines {
		names = append(names, m.ID)
	}
	for _, p := range s.Pods {
		names = append(names, p.Name)
	}
	for _, name := range names {
		number, err := strconv.Atoi(name[strings.LastIndex(name, "-")+1:])
		if err != nil {
			c.t.Fatal(err)
		}
		last = max(last, number)
	}
	return last
}

// fail puts up answers to the next calls of a verb, which come to nothing.
func (c *cluster) fail(verb fake.Verb, faults ...error) { c.put(verb, fake.Refused, faults) }

// lose puts up answers to the next calls of a verb, which take effect.
func (c *cluster) lose(verb fake.Verb, faults ...error) { c.put(verb, fake.Lost, faults) }

func (c *cluster) put(verb fake.Verb, mishap fake.Mishap, faults []error) {
	for _, fault := range faults {
		c.Inject(fake.Fault{Verb: verb, Mishap: mishap, Err: fault})
	}
}

func stop(code, message string) error {
	return &provider.Fault{Class: provider.Stop, Code: code, Err: errors.New(message)}
}

// cordoned are the nodes that take no pods because somebody said so.
func (c *cluster) cordoned() []string {
	var names []string
	for _, m := range c.Look().Machines {
		if m.Cordoned || len(m.Annotations) > 0 {
			names = append(names, m.ID)
		}
	}
	return names
}

// versions are those of the machines, by id.
func (c *cluster) versions() map[string]string {
	all := map[string]string{}
	for _, m := range c.Look().Machines {
		all[m.ID] = m.Version.String()
	}
	return all
}

// count is how many machines are of a version.
func (c *cluster) count(version string) int {
	count := 0
	for _, v := range c.versions() {
		if v == version {
			count++
		}
	}
	return count
}

// operations are those of the control plane.
func (c *cluster) operations() []fake.Operation {
	return slices.DeleteFunc(c.Look().Operations, func(op fake.Operation) bool { return op.Part.Kind == provider.PartPool })
}

// running tells whether the control plane is being changed.
func (c *cluster) running() bool {
	return slices.ContainsFunc(c.operations(), func(op fake.Operation) bool { return op.Phase == provider.Running })
}

// set changes what is so, past all rules.
func (c *cluster) silence(silent bool) { c.Change(func(s *fake.State) { s.Silent = silent }) }
func (c *cluster) takeDown(down bool)  { c.Change(func(s *fake.State) { s.Down = down }) }

func (c *cluster) newest(v fleet.Version) { c.Change(func(s *fake.State) { s.Newest = v }) }

// at is when a call arrived, as the tests write times.
func at(call fake.Call) string { return call.At.Format(time.TimeOnly) }
