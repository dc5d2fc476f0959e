package object

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// Provider implements the port over objects of management clusters. It keeps no
// state.
type Provider struct {
	// Hub is the cluster that Refit's own objects are in.
	Hub *rest.Config
}

var _ provider.Provider = (*Provider)(nil)

// look is one look at the objects of a cluster.
type look struct {
	profile

	api          api
	cluster      *unstructured.Unstructured
	controlPlane *unstructured.Unstructured
	controlKind  kind
	pools        []unstructured.Unstructured
	machines     []unstructured.Unstructured
}

// look reads what is declared of a cluster.
func (p *Provider) look(ctx context.Context, ref provider.Ref) (*look, error) {
	profile, err := profileOf(ref)
	if err != nil {
		return nil, err
	}
	l := &look{profile: profile}
	if l.api, err = p.management(ctx, ref); err != nil {
		return nil, err
	}
	namespace := ref.Object.Namespace
	if l.cluster, err = l.api.get(ctx, profile.cluster, namespace, ref.Name, provider.CodeUnknownCluster); err != nil {
		return nil, err
	}
	if err := l.readControlPlane(ctx); err != nil {
		return nil, err
	}
	if l.pools, err = l.api.list(ctx, profile.pools, namespace, profile.clusterLabel, ref.Name); err != nil {
		return nil, err
	}
	l.machines, err = l.api.list(ctx, profile.machines, namespace, profile.clusterLabel, ref.Name)
	return l, err
}

func (l *look) readControlPlane(ctx context.Context) (err error) {
	name, named := text(l.cluster, append(l.profile.controlPlane, "name")...), text(l.cluster, append(l.profile.controlPlane, "kind")...)
	known := false
	if l.controlKind, known = l.controlPlanes[named]; !known {
		return stop(provider.CodeInvalid, "the control plane of cluster %s is a %q, which is not known here; name a cluster whose control plane is a KubeadmControlPlane", l.cluster.GetName(), named)
	}
	l.controlPlane, err = l.api.get(ctx, l.controlKind, l.cluster.GetNamespace(), name, provider.CodeInvalid)
	if err != nil {
		return err
	}
	_, owned := l.controlPlane.GetLabels()[l.owned]
	switch of := l.carrierOf(); {
	case owned && of == l.controlPlane:
		return stop(provider.CodeInvalid, "the control plane of cluster %s follows from the cluster's topology; name it with the profile ClusterAPITopology", l.cluster.GetName())
	case !owned && of == l.cluster:
		return stop(provider.CodeInvalid, "cluster %s has no topology; name it with the profile ClusterAPI", l.cluster.GetName())
	}
	return nil
}

// carrierOf is the object that the control plane's version is asked of.
func (l *look) carrierOf() *unstructured.Unstructured {
	if l.carrier == cluster {
		return l.cluster
	}
	return l.controlPlane
}

// Observe reads the cluster's objects.
func (p *Provider) Observe(ctx context.Context, ref provider.Ref) (provider.Observation, error) {
	l, err := p.look(ctx, ref)
	if err != nil {
		return provider.Observation{}, err
	}
	o := provider.Observation{
		UID: string(l.cluster.GetUID()), At: time.Now().UTC(), Limits: provider.Limits{AnyVersion: true},
		ControlPlane: l.observeControlPlane(), Pools: []provider.Pool{l.controlPlanePool()},
	}
	parts := []part{l.controlPlanePart()}
	for i := range l.pools {
		o.Pools = append(o.Pools, l.pool(&l.pools[i]))
		if l.rolledBy == fleet.ByProvider {
			parts = append(parts, l.poolPart(&l.pools[i]))
		}
	}
	for _, part := range parts {
		if op, found := part.operation(); found {
			o.Operations = append(o.Operations, op)
		}
	}
	return o, nil
}

func (l *look) observeControlPlane() provider.ControlPlane {
	r := rolloutOf(l.controlPlane, path{"spec", "version"})
	cp := provider.ControlPlane{Oldest: r.oldest, Newest: r.newest, Ready: true}
	available := conditionOf(l.controlPlane, "Available")
	switch {
	case available.Status != "True":
		cp.Ready, cp.Message = false, fmt.Sprintf("%s: %s", l.controlPlane.GetName(), available)
	case !r.ready():
		cp.Ready, cp.Message = false, fmt.Sprintf("%s: %d of %d machines are ready", l.controlPlane.GetName(), r.isReady, r.wanted)
	}
	return cp
}

// controlPlanePart is finished where its machines are, and the carrier says that
// all that follows from it is.
func (l *look) controlPlanePart() part {
	r := rolloutOf(l.controlPlane, path{"spec", "version"})
	p := part{
		Part: provider.Part{Kind: provider.PartControlPlane}, object: l.carrierOf(), field: l.desired,
		kind: l.controlKind, desired: r.desired, finished: r.finished(), moving: !r.atVersion(), busy: r.message(), paused: l.pausedBy(l.controlPlane),
	}
	if l.carrier == cluster {
		p.kind, p.desired = l.profile.cluster, versionAt(l.cluster, l.desired)
		p.finished = p.finished && p.desired == r.desired
		p.moving = p.moving || p.desired != r.desired
		for _, name := range l.settled {
			if !holds(l.cluster, name) {
				p.finished = false
				p.busy += "; " + conditionOf(l.cluster, name).String()
			}
		}
		for i := range l.pools {
			follows := rolloutOf(&l.pools[i], l.poolDesired)
			p.finished = p.finished && follows.finished() && follows.desired == p.desired
			p.moving = p.moving || !follows.atVersion() || follows.desired != p.desired
		}
	}
	return p
}

func (l *look) poolPart(o *unstructured.Unstructured) part {
	r := rolloutOf(o, l.poolDesired)
	return part{
		Part: provider.Part{Kind: provider.PartPool, Pool: o.GetName()}, kind: l.profile.pools, object: o, field: l.poolDesired,
		desired: r.desired, finished: r.finished(), moving: !r.atVersion(), busy: r.message(), paused: l.pausedBy(o),
	}
}

// pausedBy tells whether the managers leave an object alone.
func (l *look) pausedBy(o *unstructured.Unstructured) bool {
	_, noted := o.GetAnnotations()[l.pausedNote]
	return noted || isSet(l.cluster, l.paused...)
}

// controlPlanePool are the control plane's own nodes. Its name is none that a pool
// can have.
func (l *look) controlPlanePool() provider.Pool {
	r := rolloutOf(l.controlPlane, path{"spec", "version"})
	return provider.Pool{
		Name: "control plane", RolledBy: fleet.WithControlPlane, Template: provider.State{Version: r.desired}, Size: int(r.wanted),
		Instances: l.instances(func(labels map[string]string) bool { _, is := labels[l.controlPlaneLabel]; return is }),
	}
}

func (l *look) pool(o *unstructured.Unstructured) provider.Pool {
	r := rolloutOf(o, l.poolDesired)
	return provider.Pool{
		Name: o.GetName(), RolledBy: l.rolledBy, Template: provider.State{Version: r.desired}, Size: int(r.wanted),
		Instances: l.instances(func(labels map[string]string) bool { return labels[l.poolLabel] == o.GetName() }),
	}
}

// instances are machines, and the nodes they are; one that is none yet will be
// called as its machine is.
func (l *look) instances(of func(labels map[string]string) bool) []provider.Instance {
	var all []provider.Instance
	for i := range l.machines {
		m := &l.machines[i]
		if !of(m.GetLabels()) {
			continue
		}
		instance := provider.Instance{ID: m.GetName(), Node: text(m, "status", "nodeRef", "name"), State: provider.State{Version: versionAt(m, path{"spec", "version"})}}
		if instance.Node == "" {
			instance.Node = m.GetName()
		}
		all = append(all, instance)
	}
	slices.SortFunc(all, func(a, b provider.Instance) int { return strings.Compare(a.ID, b.ID) })
	return all
}
