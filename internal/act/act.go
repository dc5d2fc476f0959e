// Package act is the only code that changes a cluster: one case per action.
//
// It decides nothing. Every action holds what it needs, is idempotent, and
// returns without waiting for its effect, which the next observation will show.
package act

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/member"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/source"
)

// Actor carries actions out.
type Actor struct {
	Members *member.Clients
	AddOns  AddOns
	Sources Sources
	Clock   clock.PassiveClock
}

// AddOns changes what runs beside Kubernetes in a member.
type AddOns interface {
	Upgrade(ctx context.Context, config *rest.Config, what fleet.Helm, version, upgrade string, after int) error
	TakeBack(config *rest.Config, what fleet.Helm, upgrade string, after int) error
	Unlock(config *rest.Config, what fleet.Helm, revision int) error
}

// Sources changes where members' versions are declared.
type Sources interface {
	Write(ctx context.Context, what fleet.SourceRef, from, to fleet.Declared, message string) error
}

// Result is what an action came to, where that is no error.
type Result string

// The results.
const (
	// Accepted: the effect will show, or had shown already.
	Accepted Result = "Accepted"
	// Refused: a budget does not allow the eviction now.
	Refused Result = "Refused"
	// Outdated: the world has changed since the plan; plan again.
	Outdated Result = "Outdated"
	// NotClaimed: the member says that somebody else changes it, or nobody;
	// nothing was done, and nothing more may be.
	NotClaimed Result = "NotClaimed"
)

// Do carries out one action on one cluster, on behalf of who has claimed it. Its
// errors are faults: see provider.AsFault.
func (a *Actor) Do(ctx context.Context, cluster provider.Cluster, as fleet.Holder, action plan.Action) (Result, error) {
	result, err := a.do(ctx, cluster, as, action)
	switch {
	case errors.Is(err, member.ErrNotClaimed):
		return NotClaimed, nil
	case errors.Is(err, member.ErrRefusedByBudget):
		return Refused, nil
	case errors.Is(err, member.ErrChanged), errors.Is(err, source.ErrChanged):
		return Outdated, nil
	case err != nil:
		return "", fmt.Errorf("%s: %s: %w", cluster.Name, action, err)
	}
	return result, nil
}

// do asks the member, right before each change of it, whether it is still the
// holder's to change.
func (a *Actor) do(ctx context.Context, cluster provider.Cluster, as fleet.Holder, action plan.Action) (Result, error) {
	client, err := a.Members.For(ctx, cluster)
	if err != nil {
		return "", err
	}
	switch act := action.(type) {
	case plan.Claim:
		seen := member.ClaimRef{UID: act.UID, ResourceVersion: act.ResourceVersion}
		return Accepted, client.Claim(ctx, seen, act.Holder, act.Lasts, a.Clock.Now().UTC())
	case plan.Release:
		return Accepted, client.Release(ctx, member.ClaimRef{UID: act.UID, ResourceVersion: act.ResourceVersion})
	default:
		if err := client.Holds(ctx, as); err != nil {
			return "", err
		}
		return a.change(ctx, cluster, client, action)
	}
}

func (a *Actor) change(ctx context.Context, cluster provider.Cluster, client *member.Client, action plan.Action) (Result, error) {
	switch act := action.(type) {
	case plan.UpgradeControlPlane:
		return a.ensure(ctx, cluster, provider.Change{
			Part: provider.Part{Kind: provider.PartControlPlane},
			From: provider.State{Version: act.From}, To: provider.State{Version: act.To}, Token: act.Token,
		})
	case plan.SetPoolTemplate:
		return a.ensure(ctx, cluster, provider.Change{
			Part: provider.Part{Kind: provider.PartPool, Pool: act.Pool},
			From: provider.State{Version: act.From}, To: provider.State{Version: act.To}, Token: act.Token,
		})
	case plan.UpgradePool:
		return a.ensure(ctx, cluster, provider.Change{
			Part: provider.Part{Kind: provider.PartPool, Pool: act.Pool},
			From: provider.State{Version: act.From}, To: provider.State{Version: act.To}, Token: act.Token,
		})
	case plan.AddNode:
		nodes, err := replacer(cluster)
		if err != nil {
			return "", err
		}
		return Accepted, nodes.AddNode(ctx, cluster.Ref, provider.NodeAddition{Pool: act.Pool, Replaces: act.Replaces, Token: act.Token})
	case plan.RemoveNode:
		nodes, err := replacer(cluster)
		if err != nil {
			return "", err
		}
		return Accepted, nodes.RemoveNode(ctx, cluster.Ref, provider.NodeRemoval{Pool: act.Pool, Instance: act.Instance})
	case plan.Cordon, plan.Evict, plan.Restore:
		return a.inMember(ctx, client, action)
	case plan.UpgradeAddOn, plan.TakeBackAddOn, plan.UnlockAddOn:
		return a.addOn(ctx, client, action)
	case plan.WriteSource:
		return Accepted, a.Sources.Write(ctx, act.Source, act.From, act.To, act.Message)
	case plan.Claim, plan.Release: // are what the others wait for
	}
	return "", fmt.Errorf("action %T is not known", action)
}

// inMember carries out what goes to the member's own API server.
func (a *Actor) inMember(ctx context.Context, client *member.Client, action plan.Action) (Result, error) {
	switch act := action.(type) {
	case plan.Cordon:
		return Accepted, client.Cordon(ctx,
			member.NodeRef{Name: act.Node, UID: act.UID, ResourceVersion: act.ResourceVersion},
			member.Undo{Upgrade: act.Upgrade, Unschedulable: act.WasCordoned, At: a.Clock.Now().UTC()})
	case plan.Evict:
		return Accepted, client.Evict(ctx, act.Namespace, act.Pod, act.UID)
	case plan.Restore:
		return Accepted, client.Restore(ctx, act.Node, act.Upgrade)
	default:
		return "", fmt.Errorf("action %T does not go to the member", action)
	}
}

// addOn carries out what changes an add-on.
func (a *Actor) addOn(ctx context.Context, client *member.Client, action plan.Action) (Result, error) {
	switch act := action.(type) {
	case plan.UpgradeAddOn:
		return Accepted, a.AddOns.Upgrade(ctx, client.Config, act.Helm, act.Version, act.Upgrade, act.After)
	case plan.TakeBackAddOn:
		return Accepted, a.AddOns.TakeBack(client.Config, act.Helm, act.Upgrade, act.After)
	case plan.UnlockAddOn:
		return Accepted, a.AddOns.Unlock(client.Config, act.Helm, act.Revision)
	default:
		return "", fmt.Errorf("action %T does not change an add-on", action)
	}
}

func (a *Actor) ensure(ctx context.Context, cluster provider.Cluster, change provider.Change) (Result, error) {
	operation, err := cluster.Provider.Ensure(ctx, cluster.Ref, change)
	if err == nil && operation.Phase == fleet.Failed {
		err = &provider.Fault{
			Class: provider.Stop, Code: operation.Code,
			Err: fmt.Errorf("operation %s failed: %s", operation.ID, operation.Message),
		}
	}
	return Accepted, err
}

func replacer(cluster provider.Cluster) (provider.NodeReplacer, error) {
	nodes, ok := cluster.Provider.(provider.NodeReplacer)
	if !ok {
		return nil, &provider.Fault{
			Class: provider.Stop, Code: provider.CodeInvalid,
			Err: fmt.Errorf("the provider of %s cannot replace single nodes", cluster.Name),
		}
	}
	return nodes, nil
}
