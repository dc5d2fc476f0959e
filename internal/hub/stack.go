package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// How long a part may take to stop. The API server answers what it was asked, and ends watches; once a part has failed,
// the others wait for answers that will not come.
const (
	stopTimeout    = 20 * time.Second
	abandonTimeout = time.Second
)

// A stack is what runs, in the order in which it was started.
type stack []part

type part struct {
	name string
	stop func(context.Context) error
}

func (s *stack) push(name string, stop func(context.Context) error) {
	*s = append(*s, part{name: name, stop: stop})
}

// run pushes a part that runs in the background: until it is stopped, rather than until ctx ends, for parts are stopped
// one after another. One that ends by itself is reported to fail.
func (s *stack) run(ctx context.Context, name string, run func(context.Context) error, fail func(error)) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() {
		err := run(running)
		if running.Err() == nil {
			fail(errors.Join(fmt.Errorf("%s of the hub ended by itself", name), err))
		}
		ended <- err
	}()
	s.push(name, func(ctx context.Context) error {
		cancel()
		return await(ctx, ended)
	})
}

// unwind stops everything, last started first. A part that does not stop in time keeps none of the others running.
func (s *stack) unwind(timeout time.Duration) error {
	var errs []error
	for _, p := range slices.Backward(*s) {
		ctx, cancel := context.WithTimeoutCause(context.Background(), timeout, fmt.Errorf("still running after %s", timeout))
		if err := p.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s of the hub: %w", p.name, err))
		}
		cancel()
	}
	*s = nil
	return errors.Join(errs...)
}

// await gives up on what hangs: a process must be able to end.
func await(ctx context.Context, ended <-chan error) error {
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
