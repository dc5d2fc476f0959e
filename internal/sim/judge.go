package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/fake"
)

// cluster is one of the cloud's, with what is allowed of it.
type cluster struct {
	*fake.Cluster

	name  string
	world *World
	// surge and unavailable are what a pool may have too much, and lack.
	surge, unavailable int
}

// AddCluster makes a cluster at rest, that is judged by how many nodes a pool of
// it may have too much, and how many it may lack.
func (w *World) AddCluster(name string, shape fake.Shape, surge, unavailable int) *fake.Cluster {
	c := &cluster{
		Cluster: w.Cloud.Add(name, shape), name: name, world: w, surge: surge, unavailable: unavailable,
	}
	c.Arriving, c.Answered = c.before, c.after
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
		for _, wave := range all.Fleets[i].Spec.Waves {
			flying := 0
			for j := range all.Upgrades {
				other := &all.Upgrades[j]
				if other.Spec.FleetUID == string(all.Fleets[i].UID) && other.Spec.Wave == wave.Name && Outcome(other) == "" {
					flying++
				}
			}
			if most := wave.MaxConcurrent.IntValue(); up.Spec.Fleet == all.Fleets[i].Name && up.Spec.Wave == wave.Name && flying > most {
				h.world.breaks("with %s, wave %s has %d in flight; %d are allowed", up.Name, wave.Name, flying, most)
			}
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

// before judges what only shows before a call takes effect.
func (c *cluster) before(call fake.Call) {
	if call.Verb != fake.RemoveNode {
		return
	}
	if slices.ContainsFunc(c.Look().Pods, func(p fake.Pod) bool { return p.Node == call.What }) {
		c.world.breaks("%s: node %s is removed with pods on it", c.name, call.What)
	}
}

// after judges what a call led to: control planes that would skip or go back,
// pools with too many machines or too few that take pods.
func (c *cluster) after(call fake.Call) {
	if call.Verb == fake.UpgradeControlPlane && call.Err != nil && provider.AsFault(call.Err).Code == provider.CodeInvalid {
		c.world.breaks("%s was asked for what must never be: %s: %v", c.name, call.What, call.Err)
	}
	s := c.Look()
	for _, p := range s.Pools {
		machines, taking := 0, len(c.TakesPods(p.Name))
		for _, m := range s.Machines {
			if m.Pool == p.Name {
				machines++
			}
		}
		if machines > p.Size+c.surge && call.Verb == fake.AddNode {
			c.world.breaks("%s: pool %s has %d machines; its size is %d, surge %d", c.name, p.Name, machines, p.Size, c.surge)
		}
		if taking < p.Size-c.unavailable && (call.Verb == fake.PatchNode || call.Verb == fake.RemoveNode) {
			c.world.breaks("%s: after %s %s %d nodes of pool %s take pods; its size is %d, %d may be missing",
				c.name, call.Verb, call.What, taking, p.Name, p.Size, c.unavailable)
		}
	}
	c.tell(call)
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
	// Left behind: nodes cordoned or with an undo, machines too many, a claim.
	Left []string
}

// Effects of a cluster so far.
func (w *World) Effects(name string) Effects {
	c := w.clusters[name]
	s := c.Look()
	seen := Effects{Version: s.Version.String(), Nodes: map[string]int{}, Evicted: s.Accepted}
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
	for key, lease := range s.Leases {
		if lease.Spec.HolderIdentity != nil {
			seen.Left = append(seen.Left, fmt.Sprintf("lease %s of %s", key, *lease.Spec.HolderIdentity))
		}
	}
	return seen
}

// lost tells whether an error is of a reply, and not of the call.
func lost(err error) bool { return strings.Contains(err.Error(), "connection reset by peer") }
