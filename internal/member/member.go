// Package member talks to a member's own API server: nodes, pods, budgets,
// evictions, and the undo that is kept on nodes.
//
// Everything that changes something carries what was seen of it (a UID, a
// resource version), so that a call that comes late is refused by the API
// server rather than wrong.
package member

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"refit.dev/refit/internal/provider"
)

// callTimeout bounds every call but watches: a member that does not answer
// within it counts as unreachable.
const callTimeout = 10 * time.Second

// Client speaks to one member.
type Client struct {
	Kube kubernetes.Interface
	// Metadata is what watches are made of.
	Metadata metadata.Interface
	// Config is what both were made with.
	Config *rest.Config
}

// Dial makes a client; it does not connect yet.
func Dial(config *rest.Config) (*Client, error) {
	calls := rest.CopyConfig(config)
	calls.Timeout = callTimeout
	calls.QPS, calls.Burst = 50, 100 // an upgrade in flight reads three lists a second
	calls.ContentType = runtime.ContentTypeProtobuf
	kube, err := kubernetes.NewForConfig(calls)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	meta, err := metadata.NewForConfig(rest.CopyConfig(config))
	if err != nil {
		return nil, fmt.Errorf("make metadata client: %w", err)
	}
	return &Client{Kube: kube, Metadata: meta, Config: config}, nil
}

// Clients keeps one client per member, so that connections are reused.
type Clients struct {
	// Dial makes a client; nil is the Dial of this package.
	Dial func(*rest.Config) (*Client, error)

	mu      sync.Mutex
	clients map[string]dialled
}

// dialled is a client, and which cluster it reaches: a member's name can come to
// stand for another cluster.
type dialled struct {
	ref    provider.Ref
	client *Client
}

// For is the member's client, made with credentials from its provider.
func (c *Clients) For(ctx context.Context, cluster provider.Cluster) (*Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.clients[cluster.Name]; ok && known.ref == cluster.Ref {
		return known.client, nil
	}
	config, err := cluster.Provider.Connect(ctx, cluster.Ref)
	if err != nil {
		return nil, fmt.Errorf("get credentials for %s: %w", cluster.Name, err)
	}
	dial := c.Dial
	if dial == nil {
		dial = Dial
	}
	client, err := dial(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", cluster.Name, err)
	}
	if c.clients == nil {
		c.clients = map[string]dialled{}
	}
	c.clients[cluster.Name] = dialled{ref: cluster.Ref, client: client}
	return client, nil
}

// Forget drops a client whose credentials or address no longer serve.
func (c *Clients) Forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.clients, name)
}
