package app

import (
	"context"
	"fmt"
	"maps"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"refit.dev/refit/internal/cli"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/hold"
	"refit.dev/refit/internal/provider/local"
)

// A registry keeps the hub's MemberClusters in step with the local members.
type registry struct {
	client    client.Client
	namespace string
	members   local.Members
	// alone tells that no other machine's members are on this hub: the embedded
	// one is in the same data directory as they are.
	alone bool
	// uid is the hub's own.
	uid   string
	known map[string]bool
}

func newRegistry(config *rest.Config, options cli.UpOptions, uid string, members local.Members) (*registry, error) {
	c, err := newClient(config)
	if err != nil {
		return nil, err
	}
	return &registry{
		client: c, namespace: options.Namespace, members: members, alone: options.Kubeconfig == "", uid: uid, known: map[string]bool{},
	}, nil
}

// begin takes over what happened while no hub ran.
func (r *registry) begin(ctx context.Context) error {
	if r.alone {
		if err := r.forget(ctx); err != nil {
			return err
		}
	}
	return r.add(ctx)
}

// add makes a MemberCluster of every local member that is new. What a person
// deletes on the hub stays deleted until the next start.
func (r *registry) add(ctx context.Context) error {
	declared, err := r.members.Declared()
	if err != nil {
		return err
	}
	maps.DeleteFunc(r.known, func(name string, _ bool) bool { _, there := declared[name]; return !there })
	for name, labels := range declared {
		if r.known[name] {
			continue
		}
		if err := cli.Register(ctx, r.client, r.namespace, name, labels); err != nil {
			return err
		}
		r.known[name] = true
	}
	return nil
}

// forget deletes the MemberClusters of local members that were deleted. A folder
// of members that is missing, say because it is not mounted, deletes nobody; nor
// does a hub that only watches, since its members are where it was backed up.
func (r *registry) forget(ctx context.Context) error {
	hub, err := observe.ReadHub(ctx, r.client, r.namespace)
	if err != nil {
		return err
	}
	if !r.members.Known() || !hold.Why(observe.Hold(r.uid, hub.Upgrades, hub.Approvals)).IsZero() {
		return nil
	}
	names, err := r.members.Names()
	if err != nil {
		return err
	}
	exists := map[string]bool{}
	for _, name := range names {
		exists[name] = true
	}
	for i := range hub.Members {
		provider := hub.Members[i].Spec.Provider.Local
		if provider == nil || exists[provider.Name] {
			continue
		}
		if err := client.IgnoreNotFound(r.client.Delete(ctx, &hub.Members[i])); err != nil {
			return fmt.Errorf("forget member %s, which was deleted: %w", hub.Members[i].Name, err)
		}
	}
	return nil
}
