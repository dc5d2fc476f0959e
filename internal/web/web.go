// Package web is the dashboard: pages of the same picture that the commands
// print, on loopback, for one person, and read-only.
//
// Whoever opens it sees what the hub lets them see: it reads with the kubeconfig
// of the command that serves it, and never as Refit.
package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"refit.dev/refit/internal/view"
)

// Options are what a dashboard needs.
type Options struct {
	// Look draws the hub as it is now.
	Look func(ctx context.Context) (view.Picture, error)
	// Now is the clock that people are told times by.
	Now func() time.Time
	// Every is how often the hub is looked at while somebody watches; 0 is Refresh.
	Every time.Duration
}

// Refresh is how often a watched hub is looked at: as fast as people read, and as
// often as "refit status --watch" does.
const Refresh = time.Second

// The limits of a server that one person uses. What takes longer than patience is
// not going to be of use to anybody who waits before a screen.
const (
	patience   = 10 * time.Second
	idle       = 2 * time.Minute
	maxHeaders = 16 << 10
)

// Dashboard is one that can be served, once.
type Dashboard struct {
	listener net.Listener
	door     *door
	feed     *feed
	now      func() time.Time
}

// New makes the dashboard of a listener, which has to be on loopback.
func New(listener net.Listener, options Options) (*Dashboard, error) {
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok || !address.IP.IsLoopback() {
		return nil, fmt.Errorf("serve the dashboard at %s: is not on loopback; its pages are for who is on this machine", listener.Addr())
	}
	if options.Every == 0 {
		options.Every = Refresh
	}
	return &Dashboard{
		listener: listener, door: newDoor(address), now: options.Now,
		feed: &feed{look: options.Look, every: options.Every, joined: make(chan struct{}, 1)},
	}, nil
}

// URL opens the dashboard, once.
func (d *Dashboard) URL() string { return d.door.url() }

// Serve serves until ctx ends.
func (d *Dashboard) Serve(ctx context.Context) error {
	serving, ctx := errgroup.WithContext(ctx)
	server := &http.Server{
		Handler:           d.Handler(),
		ReadHeaderTimeout: patience, WriteTimeout: patience, IdleTimeout: idle, MaxHeaderBytes: maxHeaders,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	serving.Go(func() error {
		if err := server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the dashboard: %w", err)
		}
		return nil
	})
	serving.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	serving.Go(func() error {
		d.feed.run(ctx)
		return nil
	})
	return serving.Wait()
}

// Handler is all that is served, behind the door.
func (d *Dashboard) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /assets/{name}", http.HandlerFunc(asset))
	mux.Handle("GET /{$}", d.page(d.fleets))
	mux.Handle("GET /members/{name}", d.page(d.cluster))
	mux.Handle("GET /events/{$}", d.events(d.fleets))
	mux.Handle("GET /events/members/{name}", d.events(d.cluster))
	return d.door.guard(mux)
}
