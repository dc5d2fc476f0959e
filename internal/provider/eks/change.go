package eks

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// Ensure asks for a minor of the control plane or of a node group.
func (p *Provider) Ensure(ctx context.Context, ref provider.Ref, change provider.Change) (provider.Operation, error) {
	c, err := p.client(ctx, ref.Region)
	if err != nil {
		return provider.Operation{}, err
	}
	cluster, err := c.cluster(ctx, ref.Name)
	if err != nil {
		return provider.Operation{}, err
	}
	if err := provider.CheckToken(change.Token); err != nil {
		return provider.Operation{}, err
	}
	at := version(cluster.Version)
	if change.Part.Kind == provider.PartPool {
		return c.ensurePool(ctx, ref.Name, at, change)
	}
	if err := oneMinor(change); err != nil {
		return provider.Operation{}, err
	}
	return c.ensure(ctx, ref.Name, at, change, func() (*types.Update, error) {
		if err := c.offered(ctx, at, change.To.Version); err != nil {
			return nil, err
		}
		out, err := c.UpdateClusterVersion(ctx, &eks.UpdateClusterVersionInput{
			Name: &ref.Name, Version: aws.String(change.To.Version.MinorName()), ClientRequestToken: &change.Token,
		})
		if err != nil {
			return nil, err
		}
		return out.Update, nil
	})
}

// offered refuses a minor that EKS does not support.
func (c *client) offered(ctx context.Context, at, to fleet.Version) error {
	offers, err := c.offers(ctx, at)
	if err == nil && !slices.ContainsFunc(offers, to.SameMinor) {
		err = stop(provider.CodeNotOffered, "EKS does not offer %s; it offers %v", to.MinorName(), offers)
	}
	return err
}

// oneMinor refuses what EKS would refuse in other words: to go back, which is a
// rollback, and to skip a minor.
func oneMinor(change provider.Change) error {
	from, to := change.From.Version, change.To.Version
	switch {
	case to.Major == from.Major && to.Minor < from.Minor:
		return stop(provider.CodeInvalid, "a control plane never goes back, and %s is older than %s", to.MinorName(), from.MinorName())
	case to.Major != from.Major || to.Minor > from.Minor+1:
		return stop(provider.CodeInvalid, "a control plane never skips a minor, and %s is more than one after %s", to.MinorName(), from.MinorName())
	}
	return nil
}

func (c *client) ensurePool(ctx context.Context, cluster string, controlPlane fleet.Version, change provider.Change) (provider.Operation, error) {
	group, err := c.group(ctx, cluster, change.Part.Pool)
	if err != nil {
		return provider.Operation{}, err
	}
	if to := change.To.Version; controlPlane.Minor < to.Minor {
		return provider.Operation{}, stop(provider.CodeInvalid, "nodes of %s would be newer than the control plane, which is at %s; upgrade that first", to.MinorName(), controlPlane.MinorName())
	}
	return c.ensure(ctx, cluster, version(group.Version), change, func() (*types.Update, error) {
		out, err := c.UpdateNodegroupVersion(ctx, &eks.UpdateNodegroupVersionInput{
			ClusterName: &cluster, NodegroupName: &change.Part.Pool,
			Version: aws.String(change.To.Version.MinorName()), ClientRequestToken: &change.Token,
		})
		if err != nil {
			return nil, err
		}
		return out.Update, nil
	})
}

// ensure finds a change done or under way, or begins it.
func (c *client) ensure(
	ctx context.Context, cluster string, at fleet.Version, change provider.Change, begin func() (*types.Update, error),
) (provider.Operation, error) {
	updates, err := c.updates(ctx, cluster, change.Part)
	if err != nil {
		return provider.Operation{}, err
	}
	for _, u := range updates {
		op := c.operationOf(u, change.Part)
		switch {
		case op.Phase != provider.Running:
		case u.Type == types.UpdateTypeVersionUpdate && op.To.Version.SameMinor(change.To.Version):
			return op, nil
		default:
			return provider.Operation{}, wait(fmt.Errorf("update %s (%s) of the %s is under way", op.ID, u.Type, change.Part))
		}
	}
	switch from, to := change.From.Version, change.To.Version; {
	case at.SameMinor(to):
		return provider.Operation{ID: "at-" + to.MinorName(), Token: change.Token, Part: change.Part, To: change.To, Phase: provider.Succeeded}, nil
	case !at.SameMinor(from):
		return provider.Operation{}, stop(provider.CodeChanged, "the %s is at %s, neither at %s nor at %s", change.Part, at.MinorName(), from.MinorName(), to.MinorName())
	}
	begun, err := begin()
	if err == nil && begun == nil {
		err = errEmpty
	}
	if err != nil {
		return provider.Operation{}, classify(fmt.Sprintf("update the %s to %s", change.Part, change.To.Version.MinorName()), err, provider.CodeUnknownCluster)
	}
	c.memory.begun(aws.ToString(begun.Id), change.Token)
	return c.operationOf(*begun, change.Part), nil
}

// operationOf is an update as the port has it.
func (c *client) operationOf(u types.Update, part provider.Part) provider.Operation {
	token := c.memory.token(aws.ToString(u.Id))
	op := provider.Operation{
		ID: aws.ToString(u.Id), Token: token, Part: part, Phase: provider.Running, Started: aws.ToTime(u.CreatedAt), Foreign: token == "",
	}
	for _, p := range u.Params {
		if p.Type == types.UpdateParamTypeVersion {
			op.To.Version = version(p.Value)
		}
	}
	switch u.Status {
	case types.UpdateStatusSuccessful:
		op.Phase = provider.Succeeded
	case types.UpdateStatusFailed, types.UpdateStatusCancelled:
		op.Phase, op.Code, op.Message = provider.Failed, string(u.Status), "EKS says no more"
	case types.UpdateStatusInProgress:
		if u.Type != types.UpdateTypeVersionUpdate {
			op.Message = string(u.Type)
		}
	}
	if len(u.Errors) > 0 {
		first := u.Errors[0]
		op.Code, op.Message = string(first.ErrorCode), aws.ToString(first.ErrorMessage)
		if more := len(u.Errors) - 1; more > 0 {
			op.Message += " (and " + strconv.Itoa(more) + " more)"
		}
	}
	return op
}
