package web

import (
	"context"
	"sync"
	"time"

	"refit.dev/refit/internal/view"
)

// A feed looks at the hub as long as anybody watches, once for all who do.
type feed struct {
	look  func(ctx context.Context) (view.Picture, error)
	every time.Duration

	mu       sync.Mutex
	watchers int
	last     *sight
	joined   chan struct{} // somebody watches now
}

// A sight is what was seen at one look.
type sight struct {
	picture view.Picture
	err     error // the hub did not answer: the picture is the zero one
	// next is closed when there is a later one.
	next chan struct{}
}

// maxWatchers is more than a person has windows: a browser opens six connections
// to a host.
const maxWatchers = 32

// join counts a watcher, until left is called; false where there are too many.
func (f *feed) join() (left func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers >= maxWatchers {
		return nil, false
	}
	f.watchers++
	select {
	case f.joined <- struct{}{}:
	default: // it was told already
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.watchers--
	}, true
}

// now is the last sight; of one that was not looked at yet there is only a next.
func (f *feed) now() *sight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil {
		f.last = &sight{next: make(chan struct{})}
	}
	return f.last
}

// watched tells whether anybody watches.
func (f *feed) watched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.watchers > 0
}

// run looks until ctx ends: at once when somebody joins, and then now and then.
func (f *feed) run(ctx context.Context) {
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.joined:
		case <-tick.C:
		}
		if f.watched() {
			f.tell(f.see(ctx))
		}
	}
}

func (f *feed) see(ctx context.Context) (view.Picture, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return f.look(ctx)
}

func (f *feed) tell(picture view.Picture, err error) {
	was := f.now()
	f.mu.Lock()
	f.last = &sight{picture: picture, err: err, next: make(chan struct{})}
	f.mu.Unlock()
	close(was.next)
}
