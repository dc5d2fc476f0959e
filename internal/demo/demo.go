// Package demo is Refit on one machine, for somebody who has a few minutes: a
// hub, three real clusters with workloads behind PodDisruptionBudgets, and a
// fleet whose release is changed. What happens is judged by a witness that
// watches the clusters themselves.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/local"
	"refit.dev/refit/internal/view"
	"refit.dev/refit/internal/witness"
)

// Demo is one demonstration.
type Demo struct {
	// Dir is the demonstration's own data directory: it is removed at the end,
	// and at the start where one was cut short.
	Dir string
	// Count of members, with Nodes each in two pools.
	Count, Nodes int
	// From and To are the versions.
	From, To fleet.Version
	Out      io.Writer
	// Draw shows where the fleet is.
	Draw func(view.Status)

	// Get finds the binaries of a version, and says what it is busy with.
	Get func(ctx context.Context, version fleet.Version) error
	// Up runs hub and loops until ctx ends; it calls ready with the hub.
	Up        func(ctx context.Context, ready func(*rest.Config)) error
	Client    func(*rest.Config) (client.Client, error)
	Register  func(ctx context.Context, c client.Client, name string, labels map[string]string) error
	Members   local.Members
	Provider  provider.Provider
	Namespace string
}

// limit is how long the fleet may take: ten times what it takes on two cores.
const limit = 15 * time.Minute

// Run demonstrates, and cleans up. It fails when anything fell short.
func (d *Demo) Run(ctx context.Context) (err error) {
	if err := d.clean(ctx); err != nil {
		return fmt.Errorf("clean up after the last demonstration: %w", err)
	}
	defer func() {
		d.say("cleaning up")
		err = errors.Join(err, d.clean(context.WithoutCancel(ctx)))
	}()
	for _, version := range []fleet.Version{d.From, d.To} {
		if err := d.Get(ctx, version); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	parts, ctx := errgroup.WithContext(ctx)
	hub := make(chan *rest.Config, 1)
	parts.Go(func() error { return d.Up(ctx, func(config *rest.Config) { hub <- config }) })
	parts.Go(func() error {
		defer cancel() // the show is over: the hub may go
		select {
		case config := <-hub:
			return d.show(ctx, config)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return parts.Wait()
}

// show is the demonstration itself, once the hub is there.
func (d *Demo) show(ctx context.Context, config *rest.Config) error {
	c, err := d.Client(config)
	if err != nil {
		return err
	}
	stages := newStages(d.Out)
	names := d.names()
	stages.begin("creating %d clusters at %s, %d nodes each", d.Count, d.From, d.Nodes)
	if err := d.createMembers(ctx, c, names); err != nil {
		return err
	}
	stages.begin("starting workloads behind PodDisruptionBudgets")
	if err := d.startWorkloads(ctx, names); err != nil {
		return err
	}
	witnesses, err := d.watch(ctx, names)
	if err != nil {
		return err
	}
	stages.begin("creating the fleet at %s", d.From)
	if err := createFleet(ctx, c, d.Namespace, d.From); err != nil {
		return err
	}
	if err := d.settled(ctx, c); err != nil {
		return err
	}
	stages.begin("setting spec.release to %s", d.To)
	if err := changeRelease(ctx, c, d.Namespace, d.To); err != nil {
		return err
	}
	if err := d.settled(ctx, c); err != nil {
		return err
	}
	stages.end()
	return d.summarize(ctx, c, witnesses)
}

func (d *Demo) names() []string {
	var names []string
	for i := range d.Count {
		names = append(names, fmt.Sprintf("demo-%d", i+1))
	}
	return names
}

func (d *Demo) createMembers(ctx context.Context, c client.Client, names []string) error {
	creating, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		creating.Go(func() error {
			err := d.Members.Create(ctx, local.Spec{
				Name: name, Version: d.From,
				Pools: []local.PoolSpec{{Name: "a", Size: d.Nodes - d.Nodes/2}, {Name: "b", Size: d.Nodes / 2}},
			}, func(string) {})
			if err != nil {
				return err
			}
			var labels map[string]string
			if name == names[0] {
				labels = canary()
			}
			return d.Register(ctx, c, name, labels)
		})
	}
	return creating.Wait()
}

func (d *Demo) startWorkloads(ctx context.Context, names []string) error {
	starting, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		starting.Go(func() error {
			config, err := d.Provider.Connect(ctx, provider.Ref{Name: name})
			if err != nil {
				return err
			}
			return startWorkloads(ctx, config)
		})
	}
	return starting.Wait()
}

func (d *Demo) watch(ctx context.Context, names []string) (map[string]observer, error) {
	witnesses := map[string]observer{}
	for _, name := range names {
		w, err := witness.Watch(ctx, d.Members.Folder(name))
		if err != nil {
			return nil, err
		}
		witnesses[name] = w
	}
	return witnesses, nil
}

// settled shows the fleet until every member is at its release.
func (d *Demo) settled(ctx context.Context, c client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		hub, err := observe.ReadHub(ctx, c, d.Namespace)
		if err != nil {
			return err
		}
		status := view.Of(hub, time.Now())
		d.Draw(status)
		for _, f := range status.Fleets {
			if f.Halt.Code != "" && len(f.Waves) > 0 && f.Counts()[view.Failed] > 0 {
				return fmt.Errorf("the fleet halted: %s", f.Halt.Message)
			}
		}
		if status.Settled() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the fleet is not at its release: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

// clean ends and removes everything of this or an earlier demonstration.
func (d *Demo) clean(ctx context.Context) error {
	names, err := d.Members.Names()
	if err != nil {
		return err
	}
	var deleting errgroup.Group
	for _, name := range names {
		deleting.Go(func() error { return d.Members.Delete(ctx, name) })
	}
	if err := deleting.Wait(); err != nil {
		return err
	}
	if err := os.RemoveAll(d.Dir); err != nil {
		return fmt.Errorf("remove %s: %w", filepath.Base(d.Dir), err)
	}
	return nil
}

func (d *Demo) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.Out, format+"\n", args...) // a closed terminal ends us by signal
}

// stages prints what is being done, and how long it took.
type stages struct {
	out   io.Writer
	since time.Time
}

func newStages(out io.Writer) *stages { return &stages{out: out} }

func (s *stages) begin(format string, args ...any) {
	s.end()
	s.since = time.Now()
	_, _ = fmt.Fprintf(s.out, "▸ "+format+"\n", args...) // a closed terminal ends us by signal
}

func (s *stages) end() {
	if !s.since.IsZero() {
		_, _ = fmt.Fprintf(s.out, "  %s\n", time.Since(s.since).Round(100*time.Millisecond)) // as above
	}
	s.since = time.Time{}
}
