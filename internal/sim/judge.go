package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/plan/world"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/fake"
)

// cluster is one of the cloud's, that tells what is done to it.
type cluster struct {
	*fake.Cluster

	name   string
	world  *World
	addOns world.AddOns
}

// AddCluster makes a cluster at rest, that is judged by how many nodes a pool of
// it may have too much, and how many it may lack.
func (w *World) AddCluster(name string, shape fake.Shape, surge, unavailable int) *fake.Cluster {
	c := &cluster{Cluster: w.Cloud.Add(name, shape), name: name, world: w, addOns: world.AddOns{Start: time.Second, Breaks: w.breaks}}
	judge := fake.Judge{Cluster: c.Cluster, Surge: surge, Unavailable: unavailable, Breaks: w.breaks}
	c.Arriving = judge.Before
	c.Answered = func(call fake.Call) {
		judge.After(call)
		c.tell(call)
	}
	w.clusters[name] = c
	return c.Cluster
}

// Cluster finds a cluster by name; nil where there is none.
func (w *World) Cluster(name string) *fake.Cluster {
	if c := w.clusters[name]; c != nil {
		return c.Cluster
	}
	return nil
}

// judge judges an upgrade that is new, by what the hub holds: no wave has more in
// flight than it may, no member two upgrades at a time, and no freeze covers it.
func (h *Hub) judge(ctx context.Context, o client.Object) {
	up, ok := o.(*v1.ClusterUpgrade)
	if !ok {
		return
	}
	all := h.all(ctx)
	for i := range all.Fleets {
		if all.Fleets[i].Name == up.Spec.Fleet {
			h.judgeWave(up, &all.Fleets[i], all.Upgrades)
		}
	}
	for i := range all.Upgrades {
		if other := &all.Upgrades[i]; other.Spec.Member == up.Spec.Member && other.Name != up.Name && Outcome(other) == "" {
			h.world.breaks("%s begins while %s goes on", up.Name, other.Name)
		}
	}
	for i := range all.Freezes {
		if f := all.Freezes[i].Spec; (f.Fleet == "" || f.Fleet == up.Spec.Fleet) && (f.Member == "" || f.Member == up.Spec.Member) {
			h.world.breaks("%s begins against freeze %s", up.Name, all.Freezes[i].Name)
		}
	}
}

// judgeWave judges how many upgrades of its wave are in flight with a new one.
func (h *Hub) judgeWave(up *v1.ClusterUpgrade, f *v1.Fleet, upgrades []v1.ClusterUpgrade) {
	flying := 0
	for i := range upgrades {
		if s := upgrades[i].Spec; s.FleetUID == string(f.UID) && s.Wave == up.Spec.Wave && Outcome(&upgrades[i]) == "" {
			flying++
		}
	}
	for _, wave := range f.Spec.Waves {
		if most := wave.MaxConcurrent.IntValue(); wave.Name == up.Spec.Wave && flying > most {
			h.world.breaks("with %s, wave %s has %d in flight; %d are allowed", up.Name, wave.Name, flying, most)
		}
	}
}

// tell adds what changed a cluster to the timeline, but for pods and cordons, of
// which there are many.
func (c *cluster) tell(call fake.Call) {
	told := slices.Contains([]fake.Verb{fake.UpgradeControlPlane, fake.SetPoolTemplate, fake.AddNode, fake.RemoveNode}, call.Verb)
	if !told || call.Err != nil {
		return
	}
	words := map[fake.Verb]string{
		fake.UpgradeControlPlane: "is told:", fake.SetPoolTemplate: "is told:", fake.AddNode: "gets a node in pool", fake.RemoveNode: "loses node",
	}
	c.world.tell("%s %s %s", c.name, words[call.Verb], call.What)
}

// Effects is what was done to a cluster, from its side.
type Effects struct {
	Version string
	// Nodes by version.
	Nodes map[string]int
	// Operations of the control plane that were begun, with their phases, and
	// Templates that were set.
	Operations, Templates []string
	// Made is how many machines there ever were, Evicted how many pods.
	Made, Evicted int
	// AddOns by name: version, and how it ended.
	AddOns map[string]string
	// Left behind: nodes cordoned or with an undo, machines too many, a claim.
	Left []string
}

// Effects of a cluster so far.
func (w *World) Effects(name string) Effects {
	c := w.clusters[name]
	s := c.Look()
	seen := Effects{Version: s.Version.String(), Nodes: map[string]int{}, AddOns: map[string]string{}, Evicted: s.Accepted}
	for _, op := range s.Operations {
		told := fmt.Sprintf("%s %s", op.To.Version, op.Phase)
		if op.Part.Kind == provider.PartPool {
			seen.Templates = append(seen.Templates, op.Part.Pool+" "+told)
			continue
		}
		seen.Operations = append(seen.Operations, told)
	}
	sizes := map[string]int{}
	for _, m := range s.Machines {
		seen.Nodes[m.Version.String()]++
		sizes[m.Pool]++
		if m.Cordoned || len(m.Annotations) > 0 {
			seen.Left = append(seen.Left, fmt.Sprintf("node %s cordoned %t, with %d annotations", m.ID, m.Cordoned, len(m.Annotations)))
		}
	}
	for _, p := range s.Pools {
		seen.Made += p.Size
		if sizes[p.Name] != p.Size {
			seen.Left = append(seen.Left, fmt.Sprintf("pool %s has %d machines, its size is %d", p.Name, sizes[p.Name], p.Size))
		}
	}
	added := map[string]bool{} // by token: who is told twice has added once
	for _, call := range c.Calls(fake.AddNode) {
		if call.Err == nil || lost(call.Err) {
			added[call.Token] = true
		}
	}
	seen.Made += len(added)
	for _, name := range c.addOns.Names() {
		a := c.addOns.Seen(name, w.Clock.Now())
		seen.AddOns[name] = fmt.Sprintf("%s %s %s", a.Phase, a.Version, a.Sick)
	}
	for key, lease := range s.Leases {
		if lease.Spec.HolderIdentity != nil {
			seen.Left = append(seen.Left, fmt.Sprintf("lease %s of %s", key, *lease.Spec.HolderIdentity))
		}
	}
	return seen
}

// lost tells whether an error is of a reply, and not of the call.
func lost(err error) bool { return strings.Contains(err.Error(), "connection reset by peer") }
