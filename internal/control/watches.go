package control

import (
	"context"
	"log/slog"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"refit.dev/refit/internal/member"
	"refit.dev/refit/internal/provider"
)

// Watches holds one watch per member in flight: idle members have none, for a
// watch costs memory on both sides.
type Watches struct {
	Members *member.Clients
	// Changed is called with the upgrade whose member changed; it must not block.
	Changed func(upgrade types.NamespacedName)
	Log     *slog.Logger

	mu   sync.Mutex
	open map[types.NamespacedName]context.CancelFunc
}

// Open watches the upgrade's member, if nobody does yet. Without a watch the
// upgrade still goes on, by polling.
func (w *Watches) Open(ctx context.Context, upgrade types.NamespacedName, cluster provider.Cluster) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, open := w.open[upgrade]; open {
		return
	}
	client, err := w.Members.For(ctx, cluster)
	if err != nil {
		return // the observation that follows says so
	}
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx)) // ends by Close, not with this call
	if err := client.Watch(watching, func() { w.Changed(upgrade) }); err != nil {
		cancel()
		w.Log.Warn("no watch; polling instead", "member", cluster.Name, "error", err)
		return
	}
	if w.open == nil {
		w.open = map[types.NamespacedName]context.CancelFunc{}
	}
	w.open[upgrade] = cancel
}

// Close ends the upgrade's watch.
func (w *Watches) Close(upgrade types.NamespacedName) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if cancel, open := w.open[upgrade]; open {
		cancel()
		delete(w.open, upgrade)
	}
}
