package notify

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
)

const (
	// toldWithin is how old a notice may be: an API server keeps an Event for an hour,
	// and within it a name that is there is not taken again.
	toldWithin = time.Hour
	// room is how many notices may wait for a teller: all steps that 5,000 members take
	// within a minute, and more.
	room = 4096
)

// Teller tells a notice to somebody.
type Teller interface {
	// Name is for the log.
	Name() string
	Tell(ctx context.Context, notice Notice) error
}

// Notifier tells what changes in a hub, to each teller by itself: one that is silent
// keeps no other waiting. It is run by the process that leads.
type Notifier struct {
	// Cache of the hub's objects.
	Cache   cache.Cache
	Clock   clock.PassiveClock
	Tellers []Teller
	Log     *slog.Logger
	// Backoff is that of a teller that fails; the zero one tries for some minutes.
	Backoff wait.Backoff
}

// Start tells until ctx ends.
func (n *Notifier) Start(ctx context.Context) error {
	var lines []chan Notice
	var tellers sync.WaitGroup
	for _, teller := range n.Tellers {
		line := make(chan Notice, room)
		lines = append(lines, line)
		tellers.Go(func() { n.tell(ctx, teller, line) })
	}
	defer tellers.Wait()
	for _, kind := range []client.Object{&v1.Fleet{}, &v1.ClusterUpgrade{}, &v1.MemberCluster{}} {
		informer, err := n.Cache.GetInformer(ctx, kind)
		if err != nil {
			return fmt.Errorf("watch what is to be told: %w", err)
		}
		if _, err := informer.AddEventHandler(n.listener(lines)); err != nil {
			return fmt.Errorf("watch what is to be told: %w", err)
		}
	}
	<-ctx.Done()
	return nil
}

// listener hears of changes, and never waits.
func (n *Notifier) listener(lines []chan Notice) toolscache.ResourceEventHandler {
	hear := func(before, after any, old bool) {
		was, _ := before.(client.Object)
		now, ok := after.(client.Object)
		if !ok {
			return
		}
		for _, notice := range Of(was, now) {
			if n.Clock.Since(notice.At) > toldWithin {
				continue
			}
			notice.Old = old
			for i, line := range lines {
				select {
				case line <- notice:
				default:
					n.Log.Warn("told nobody: too much waits to be told", "teller", n.Tellers[i].Name(), "kind", string(notice.Kind), "about", notice.About.GetName())
				}
			}
		}
	}
	return toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(object any, isInInitialList bool) { hear(nil, object, isInInitialList) },
		UpdateFunc: func(before, after any) { hear(before, after, false) },
	}
}

// tell has a teller tell one notice after the other, each until it succeeds or its
// patience ends.
func (n *Notifier) tell(ctx context.Context, teller Teller, line <-chan Notice) {
	for {
		select {
		case <-ctx.Done():
			return
		case notice := <-line:
			if err := n.try(ctx, teller, notice); err != nil && ctx.Err() == nil {
				n.Log.Warn("told nobody", "teller", teller.Name(), "kind", string(notice.Kind), "about", notice.About.GetName(), "error", err)
			}
		}
	}
}

func (n *Notifier) try(ctx context.Context, teller Teller, notice Notice) error {
	backoff := n.Backoff
	if backoff.Steps == 0 {
		backoff = wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.1, Steps: 8} // four minutes
	}
	var last error
	err := wait.ExponentialBackoffWithContext(ctx, backoff, func(ctx context.Context) (bool, error) {
		last = teller.Tell(ctx, notice)
		return last == nil, nil
	})
	if err != nil && last != nil {
		return last
	}
	return err
}
