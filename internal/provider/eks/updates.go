package eks

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"refit.dev/refit/internal/provider"
)

// memory is what EKS need not be asked for again, or does not tell.
type memory struct {
	mu sync.Mutex
	// ended are updates that have: they never change.
	ended map[string]types.Update
	// tokens are those of updates that this process has begun.
	tokens map[string]string
}

// remembered is far more than one look needs: an update that is forgotten is asked
// for again, and one whose token is, is somebody else's.
const remembered = 10_000

func (m *memory) token(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tokens[id]
}

func (m *memory) begun(id, token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tokens == nil || len(m.tokens) >= remembered {
		m.tokens = map[string]string{}
	}
	m.tokens[id] = token
}

func (m *memory) find(id string) (types.Update, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, found := m.ended[id]
	return u, found
}

func (m *memory) keep(id string, u types.Update) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended == nil || len(m.ended) >= remembered {
		m.ended = map[string]types.Update{}
	}
	m.ended[id] = u
}

// updates are those of one part, newest first: EKS lists them in no order.
func (c *client) updates(ctx context.Context, cluster string, part provider.Part) ([]types.Update, error) {
	in := &eks.ListUpdatesInput{Name: &cluster}
	if part.Kind == provider.PartPool {
		in.NodegroupName = &part.Pool
	}
	var all []types.Update
	pages := eks.NewListUpdatesPaginator(c, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, classify("list the updates of the "+part.String(), err, provider.CodeUnknownCluster)
		}
		for _, id := range page.UpdateIds {
			u, err := c.update(ctx, cluster, part, id)
			if err != nil {
				return nil, err
			}
			all = append(all, u)
		}
	}
	slices.SortStableFunc(all, func(a, b types.Update) int { return aws.ToTime(b.CreatedAt).Compare(aws.ToTime(a.CreatedAt)) })
	return all, nil
}

func (c *client) update(ctx context.Context, cluster string, part provider.Part, id string) (types.Update, error) {
	key := cluster + "/" + id
	if u, found := c.memory.find(key); found {
		return u, nil
	}
	in := &eks.DescribeUpdateInput{Name: &cluster, UpdateId: &id}
	if part.Kind == provider.PartPool {
		in.NodegroupName = &part.Pool
	}
	out, err := c.DescribeUpdate(ctx, in)
	if err == nil && out.Update == nil {
		err = errEmpty
	}
	if err != nil {
		return types.Update{}, classify("describe update "+id, err, provider.CodeUnknownCluster)
	}
	if out.Update.Status != types.UpdateStatusInProgress {
		c.memory.keep(key, *out.Update)
	}
	return *out.Update, nil
}

// operations are the updates that run, and the last ended change of version of
// each part.
func (c *client) operations(ctx context.Context, cluster string, pools []provider.Pool) ([]provider.Operation, error) {
	parts := []provider.Part{{Kind: provider.PartControlPlane}}
	for _, pool := range pools {
		parts = append(parts, provider.Part{Kind: provider.PartPool, Pool: pool.Name})
	}
	var all []provider.Operation
	for _, part := range parts {
		updates, err := c.updates(ctx, cluster, part)
		if err != nil {
			return nil, err
		}
		ended := false
		for _, u := range updates {
			op := c.operationOf(u, part)
			if op.Phase == provider.Running || (u.Type == types.UpdateTypeVersionUpdate && !ended) {
				all = append(all, op)
			}
			ended = ended || (op.Phase != provider.Running && u.Type == types.UpdateTypeVersionUpdate)
		}
	}
	return all, nil
}

// inProgressAfter is when another look at an update is worth it: they take minutes.
const inProgressAfter = 5 * time.Second
