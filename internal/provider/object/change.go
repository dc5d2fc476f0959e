package object

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// Ensure writes the version into the object that carries it, with a note of whose
// change it is, unless that is so already.
func (p *Provider) Ensure(ctx context.Context, ref provider.Ref, change provider.Change) (provider.Operation, error) {
	l, err := p.look(ctx, ref)
	if err != nil {
		return provider.Operation{}, err
	}
	if err := provider.CheckToken(change.Token); err != nil {
		return provider.Operation{}, err
	}
	part, err := l.partOf(change)
	if err != nil {
		return provider.Operation{}, err
	}
	if op, found := part.operation(); found && op.Phase == provider.Running {
		if op.To.Version == change.To.Version {
			return op, nil
		}
		return provider.Operation{}, wait("the %s is being changed: %s", change.Part, op.Message)
	}
	switch from, to := change.From.Version, change.To.Version; part.desired {
	case to:
		if op, ours := part.operation(); ours {
			return op, nil
		}
		return provider.Operation{ID: "at-" + to.String(), Token: change.Token, Part: change.Part, To: change.To, Phase: provider.Succeeded}, nil
	case from:
	default:
		return provider.Operation{}, stop(provider.CodeChanged, "the %s is at %s, neither at %s nor at %s", change.Part, part.desired, from, to)
	}
	if part.paused {
		return provider.Operation{}, wait("Cluster API is paused for %s %s; unpause it", part.kind.resource, part.object.GetName())
	}
	return l.begin(ctx, part, change)
}

// partOf finds what a change is of, and refuses what Cluster API would not refuse,
// or in other words.
func (l *look) partOf(change provider.Change) (part, error) {
	control := l.controlPlanePart()
	if change.Part.Kind == provider.PartControlPlane {
		return control, oneMinor(change)
	}
	i := slices.IndexFunc(l.pools, func(o unstructured.Unstructured) bool { return o.GetName() == change.Part.Pool })
	if i < 0 {
		return part{}, stop(provider.CodeInvalid, "cluster %s has no group of machines %q", l.cluster.GetName(), change.Part.Pool)
	}
	if l.rolledBy != fleet.ByProvider {
		return part{}, stop(provider.CodeInvalid, "pool %s follows from the topology of cluster %s", change.Part.Pool, l.cluster.GetName())
	}
	if at := l.observeControlPlane().Oldest; at.Major != change.To.Version.Major || at.Minor < change.To.Version.Minor {
		return part{}, stop(provider.CodeInvalid, "nodes of %s would be newer than the control plane, which is at %s; upgrade that first", change.To.Version, at)
	}
	if op, found := control.operation(); found && op.Phase == provider.Running {
		return part{}, wait("the control plane is being changed: %s", op.Message)
	}
	return l.poolPart(&l.pools[i]), nil
}

// oneMinor refuses to go back, and to skip a minor, whether or not webhooks do.
func oneMinor(change provider.Change) error {
	from, to := change.From.Version, change.To.Version
	switch {
	case to.Less(from):
		return stop(provider.CodeInvalid, "a control plane never goes back, and %s is older than %s", to, from)
	case to.Major != from.Major || to.Minor > from.Minor+1:
		return stop(provider.CodeInvalid, "a control plane never skips a minor, and %s is more than one after %s", to, from)
	}
	return nil
}

// begin writes version and note in one call, into the object as it was read.
func (l *look) begin(ctx context.Context, p part, change provider.Change) (provider.Operation, error) {
	written, err := json.Marshal(note{
		Token: change.Token, From: change.From.Version.String(), To: change.To.Version.String(), Started: time.Now().UTC().Truncate(time.Second),
	})
	if err != nil {
		return provider.Operation{}, err
	}
	fields := map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotation: string(written)}}}
	if err := unstructured.SetNestedField(fields, change.To.Version.String(), p.field...); err != nil {
		return provider.Operation{}, err
	}
	changed, err := l.api.patch(ctx, p.kind, p.object, fields)
	if err != nil {
		return provider.Operation{}, err
	}
	p.object, p.desired, p.finished, p.moving = changed, change.To.Version, false, true
	p.busy = "its managers have not seen it yet"
	op, _ := p.operation()
	return op, nil
}
