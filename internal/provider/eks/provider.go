// Package eks is the provider of Amazon EKS: control planes, and managed node
// groups, which Amazon rolls itself.
//
// EKS is asked for a minor and picks the patch. It takes a token with a change, and
// answers the same request with the same update, but tells no update's token: so
// an update that another process has begun is foreign, the one before a restart too.
package eks

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// GroupLabel is on every node of a managed node group, and names it
// (https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html).
const GroupLabel = "eks.amazonaws.com/nodegroup"

// Provider implements the port over the API of EKS.
type Provider struct {
	// Load is the configuration for calls to a region: endpoint and credentials.
	Load func(ctx context.Context, region string) (aws.Config, error)

	mu      sync.Mutex
	clients map[string]*client // by region
}

var _ provider.Provider = (*Provider)(nil)

// New uses what the environment has, as all of Amazon's tools do.
func New() *Provider {
	return &Provider{Load: func(ctx context.Context, region string) (aws.Config, error) {
		return config.LoadDefaultConfig(ctx, config.WithRegion(region))
	}}
}

// client makes calls to one region.
type client struct {
	*eks.Client

	config aws.Config
	memory memory
}

// client is the one of a region. Nothing is tried twice: who calls a provider
// decides when to come again.
func (p *Provider) client(ctx context.Context, region string) (*client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.clients[region]; known != nil {
		return known, nil
	}
	config, err := p.Load(ctx, region)
	if err != nil {
		return nil, &provider.Fault{Class: provider.Retry, Code: provider.CodeUnauthorized, Err: fmt.Errorf("load the AWS configuration: %w", err)}
	}
	config.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	if p.clients == nil {
		p.clients = map[string]*client{}
	}
	p.clients[region] = &client{Client: eks.NewFromConfig(config), config: config}
	return p.clients[region], nil
}

// callsAtOnce is how many of a cluster's node groups are asked about at once.
const callsAtOnce = 4

// Observe asks for the cluster, its node groups and its updates.
func (p *Provider) Observe(ctx context.Context, ref provider.Ref) (provider.Observation, error) {
	c, err := p.client(ctx, ref.Region)
	if err != nil {
		return provider.Observation{}, err
	}
	o := provider.Observation{At: time.Now().UTC(), Limits: provider.Limits{PicksPatch: true}}
	cluster, err := c.cluster(ctx, ref.Name)
	if err != nil {
		return o, err
	}
	o.UID = fmt.Sprintf("%s@%d", aws.ToString(cluster.Arn), aws.ToTime(cluster.CreatedAt).Unix())
	o.ControlPlane = controlPlaneOf(cluster)
	if o.Offers, err = c.offers(ctx, o.ControlPlane.Oldest); err != nil {
		return o, err
	}
	if o.Pools, err = c.pools(ctx, ref.Name); err != nil {
		return o, err
	}
	o.Operations, err = c.operations(ctx, ref.Name, o.Pools)
	return o, err
}

func (c *client) cluster(ctx context.Context, name string) (*types.Cluster, error) {
	out, err := c.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &name})
	if err != nil {
		return nil, classify("describe the cluster", err, provider.CodeUnknownCluster)
	}
	if out.Cluster == nil {
		return nil, classify("describe the cluster", errEmpty, "")
	}
	return out.Cluster, nil
}

func controlPlaneOf(cluster *types.Cluster) provider.ControlPlane {
	at := version(cluster.Version)
	cp := provider.ControlPlane{Oldest: at, Newest: at, Ready: true}
	if cluster.Status != types.ClusterStatusActive && cluster.Status != types.ClusterStatusUpdating {
		cp.Ready, cp.Message = false, fmt.Sprintf("EKS says that the cluster is %s", cluster.Status)
	}
	if cluster.Health != nil && len(cluster.Health.Issues) > 0 && !cp.Ready {
		issue := cluster.Health.Issues[0]
		cp.Message += fmt.Sprintf(": %s: %s", issue.Code, aws.ToString(issue.Message))
	}
	return cp
}

// version of the API's text, such as 1.37; zero where it is none.
func version(text *string) fleet.Version {
	v, _ := fleet.ParseVersion(aws.ToString(text))
	return v
}

// offers are the minors that are supported, and the one that runs, oldest first.
func (c *client) offers(ctx context.Context, running fleet.Version) ([]fleet.Version, error) {
	offers := []fleet.Version{running}
	pages := eks.NewDescribeClusterVersionsPaginator(c, &eks.DescribeClusterVersionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, classify("describe the versions of clusters", err, "")
		}
		for _, offered := range page.ClusterVersions {
			if offered.VersionStatus != types.VersionStatusUnsupported {
				offers = append(offers, version(offered.ClusterVersion))
			}
		}
	}
	slices.SortFunc(offers, fleet.Version.Compare)
	return slices.Compact(offers), nil
}

// pools are the managed node groups, by name. Their nodes are known by a label.
func (c *client) pools(ctx context.Context, name string) ([]provider.Pool, error) {
	var names []string
	pages := eks.NewListNodegroupsPaginator(c, &eks.ListNodegroupsInput{ClusterName: &name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, classify("list the node groups", err, provider.CodeUnknownCluster)
		}
		names = append(names, page.Nodegroups...)
	}
	slices.Sort(names)
	pools := make([]provider.Pool, len(names))
	calls, ctx := errgroup.WithContext(ctx)
	calls.SetLimit(callsAtOnce)
	for i, group := range names {
		calls.Go(func() error {
			found, err := c.group(ctx, name, group)
			if err == nil {
				pools[i] = poolOf(found)
			}
			return err
		})
	}
	return pools, calls.Wait()
}

func (c *client) group(ctx context.Context, cluster, name string) (*types.Nodegroup, error) {
	out, err := c.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: &cluster, NodegroupName: &name})
	if err != nil {
		return nil, classify("describe node group "+name, err, provider.CodeInvalid)
	}
	if out.Nodegroup == nil {
		return nil, classify("describe node group "+name, errEmpty, "")
	}
	return out.Nodegroup, nil
}

func poolOf(group *types.Nodegroup) provider.Pool {
	pool := provider.Pool{
		Name: aws.ToString(group.NodegroupName), Template: provider.State{Version: version(group.Version)},
		RolledBy: fleet.ByProvider, NodeLabel: provider.Label{Key: GroupLabel, Value: aws.ToString(group.NodegroupName)},
	}
	if group.ScalingConfig != nil {
		pool.Size = int(aws.ToInt32(group.ScalingConfig.DesiredSize))
	}
	return pool
}

// Connect gives the cluster's endpoint, with tokens that are made as they are
// needed.
func (p *Provider) Connect(ctx context.Context, ref provider.Ref) (*rest.Config, error) {
	c, err := p.client(ctx, ref.Region)
	if err != nil {
		return nil, err
	}
	cluster, err := c.cluster(ctx, ref.Name)
	if err != nil {
		return nil, err
	}
	if cluster.Endpoint == nil || cluster.CertificateAuthority == nil {
		return nil, retry(provider.CodeUnreachable, fmt.Errorf("the cluster has no endpoint yet: it is %s", cluster.Status))
	}
	authority, err := base64.StdEncoding.DecodeString(aws.ToString(cluster.CertificateAuthority.Data))
	if err != nil {
		return nil, retry(provider.CodeUnreachable, fmt.Errorf("read the cluster's certificate authority: %w", err))
	}
	config := &rest.Config{Host: *cluster.Endpoint, TLSClientConfig: rest.TLSClientConfig{CAData: authority}}
	config.Wrap(tokens(c.config, ref.Name))
	return config, nil
}
