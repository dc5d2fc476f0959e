// Package observe turns what can be seen (objects of the hub, a cluster through
// its provider and its own API server) into the nouns of package fleet.
//
// All parsing happens here, so that plans need none: what cannot be read is
// unknown, and unknown is not healthy.
package observe

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/member"
	"refit.dev/refit/internal/provider"
)

// Clusters looks at members.
type Clusters struct {
	// Providers by the name that MemberCluster.spec.provider has for them.
	Providers map[string]provider.Provider
	Members   *member.Clients
	// AddOns looks at what runs beside Kubernetes; without it, that is not known.
	AddOns AddOns
	// Sources looks at where members' versions are declared; without it, that is not
	// known.
	Sources Sources
	Clock   clock.PassiveClock
}

// AddOns looks at add-ons of a member.
type AddOns interface {
	Observe(ctx context.Context, config *rest.Config, wanted []fleet.WantedAddOn) []fleet.AddOn
}

// Reach finds who runs a member.
func (c *Clusters) Reach(mc *v1.MemberCluster) (provider.Cluster, error) {
	name, ref := "", provider.Ref{}
	if local := mc.Spec.Provider.Local; local != nil {
		name, ref = "local", provider.Ref{Name: local.Name}
	}
	if eks := mc.Spec.Provider.EKS; eks != nil {
		name, ref = "eks", provider.Ref{Name: eks.Name, Region: eks.Region}
	}
	if object := mc.Spec.Provider.Object; object != nil {
		name, ref = "object", objectRef(mc.Namespace, object)
	}
	if mc.Spec.Provider.Fake != nil {
		name, ref = "fake", provider.Ref{Name: mc.Name}
	}
	found, ok := c.Providers[name]
	if !ok {
		served := strings.Join(slices.Sorted(maps.Keys(c.Providers)), ", ")
		if name == "fake" {
			served += `; made-up members are for trying Refit: start it with "refit up --fake-provider", or delete this one`
		}
		return provider.Cluster{}, fmt.Errorf("member %s: provider %q is not served here; served: %s", mc.Name, name, served)
	}
	return provider.Cluster{Name: mc.Name, Provider: found, Ref: ref}, nil
}

// objectRef is a member's object. Its Secret is in the member's own namespace.
func objectRef(namespace string, object *v1.ObjectProvider) provider.Ref {
	ref := provider.Ref{Name: object.Name, Object: provider.Object{Profile: object.Profile, Namespace: object.Namespace}}
	if secret := object.Kubeconfig; secret != nil {
		ref.Object.Kubeconfig = provider.SecretKey{Namespace: namespace, Name: secret.SecretName, Key: secret.Key}
	}
	return ref
}

// Cluster is one look at a member. It fails where the provider does not answer;
// a member whose own API server does not answer is a picture too: of a control
// plane that is not ready, with nodes unknown.
func (c *Clusters) Cluster(ctx context.Context, reach provider.Cluster, depth member.Depth) (fleet.Cluster, error) {
	seen, err := reach.Provider.Observe(ctx, reach.Ref)
	if err != nil {
		return fleet.Cluster{}, fmt.Errorf("observe %s through its provider: %w", reach.Name, err)
	}
	facts, silence := c.facts(ctx, reach, depth)
	cluster := fleet.Cluster{
		Name: reach.Name, UID: seen.UID,
		ControlPlane: controlPlaneOf(seen, facts, silence),
		Pools:        poolsOf(seen, facts),
		Budgets:      facts.Budgets,
		Offers:       namable(seen.Offers),
		MaxNodeSkew:  seen.Limits.MaxNodeSkew,
		PicksPatch:   seen.Limits.PicksPatch,
		AnyVersion:   seen.Limits.AnyVersion,
		Claim:        facts.Claim,
		At:           c.Clock.Now(),
	}
	for _, op := range seen.Operations {
		cluster.Operations = append(cluster.Operations, fleet.Operation{
			ID: op.ID, Token: op.Token, Pool: op.Part.Pool, To: op.To.Version,
			Phase: op.Phase, Code: op.Code, Message: op.Message, Started: op.Started, Foreign: op.Foreign,
		})
	}
	return cluster, nil
}

// AddOnsOf is a look at the add-ons that a release bundles. What cannot be seen is
// unseen.
func (c *Clusters) AddOnsOf(ctx context.Context, reach provider.Cluster, wanted []fleet.WantedAddOn) []fleet.AddOn {
	if len(wanted) == 0 || c.AddOns == nil {
		return nil
	}
	client, err := c.Members.For(ctx, reach)
	if err != nil {
		return nil // the look at the cluster tells
	}
	return c.AddOns.Observe(ctx, client.Config, wanted)
}

// facts asks the member itself. Its silence is an answer, not an error; the
// client is dropped, since credentials and addresses can change.
func (c *Clusters) facts(ctx context.Context, reach provider.Cluster, depth member.Depth) (member.Facts, error) {
	client, err := c.Members.For(ctx, reach)
	if err != nil {
		return member.Facts{}, err
	}
	facts, err := client.Observe(ctx, depth)
	if err != nil {
		c.Members.Forget(reach.Name)
	}
	return facts, err
}

// controlPlaneOf trusts the version that an API server itself told over what
// the provider says it runs, and the provider over its silence.
func controlPlaneOf(seen provider.Observation, facts member.Facts, silence error) fleet.ControlPlane {
	cp := fleet.ControlPlane{
		Oldest: seen.ControlPlane.Oldest, Newest: seen.ControlPlane.Newest,
		Ready: seen.ControlPlane.Ready, Message: seen.ControlPlane.Message, Fix: seen.ControlPlane.Fix,
	}
	if silence != nil {
		if cp.Ready || cp.Message == "" { // else who runs it knows more of why
			cp.Message = silence.Error()
		}
		cp.Ready = false
		return cp
	}
	if facts.Version.Less(cp.Oldest) || cp.Oldest.IsZero() {
		cp.Oldest = facts.Version
	}
	if cp.Newest.Less(facts.Version) {
		cp.Newest = facts.Version
	}
	return cp
}

// poolsOf joins the provider's instances with the cluster's nodes, by name, or by
// the label of those of a pool. A node of neither is in the pool "", which nobody
// rolls.
func poolsOf(seen provider.Observation, facts member.Facts) []fleet.Pool {
	byName := map[string]fleet.Node{}
	for _, node := range facts.Nodes {
		byName[node.Name] = node
	}
	var pools []fleet.Pool
	for _, p := range seen.Pools {
		pool := fleet.Pool{Name: p.Name, Template: p.Template.Version, Size: p.Size, RolledBy: p.RolledBy}
		for _, instance := range p.Instances {
			pool.Nodes = append(pool.Nodes, join(instance, byName[instance.Node]))
			delete(byName, instance.Node)
		}
		for name, node := range byName {
			if value, labelled := facts.Labels[name][p.NodeLabel.Key]; labelled && value == p.NodeLabel.Value {
				pool.Nodes = append(pool.Nodes, node)
				delete(byName, name)
			}
		}
		slices.SortFunc(pool.Nodes, func(a, b fleet.Node) int { return strings.Compare(a.Name, b.Name) })
		pools = append(pools, pool)
	}
	slices.SortFunc(pools, func(a, b fleet.Pool) int { return strings.Compare(a.Name, b.Name) })
	if len(byName) > 0 {
		stray := fleet.Pool{RolledBy: fleet.ByNobody, Size: len(byName)}
		for _, name := range slices.Sorted(maps.Keys(byName)) {
			stray.Nodes = append(stray.Nodes, byName[name])
		}
		pools = append(pools, stray)
	}
	return pools
}

// join is the node of an instance; one that has not joined has no UID.
func join(instance provider.Instance, node fleet.Node) fleet.Node {
	if node.Name == "" {
		node.Message = "has not joined the cluster"
	}
	node.Name, node.Instance, node.Replaces = instance.Node, instance.ID, instance.Replaces
	node.Built = instance.State.Version
	return node
}
