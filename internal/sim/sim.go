// Package sim is a made-up fleet on a virtual clock: the real loops, called
// directly, over a hub and clusters that are in memory.
//
// Nothing in it happens by itself. The world has a queue of what is to be looked
// at and when, as the loops and their watches would have it; Step lets one loop
// look at one thing, and time passes only when nothing is due. So the same seed
// and the same commands make the same history, to the last call, whatever the
// order in which that seed lets things happen that are due at once.
//
// What is done to clusters is judged from their side, see judge.go, and every
// call and write that leaves the process can be made to go wrong, see cross.go.
package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"refit.dev/refit/internal/control"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider/fake"
)

// Began is when every world begins.
func Began() time.Time { return time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC) }

// World is hubs and clusters, and what time it is.
type World struct {
	Clock *clocktesting.FakeClock
	Cloud *fake.Cloud
	// Skew is how far the clock of Refit is ahead of the hubs'.
	Skew time.Duration
	// Says is what gates hear, by their query; who is not in it does not answer.
	Says map[string]fleet.Answer

	// order lets things happen in another order than that of their names; nil
	// keeps to it.
	order    *rand.Rand
	hubs     []*Hub
	clusters map[string]*cluster
	declared map[fleet.SourceRef]declaration
	queue    map[key]time.Time
	stage    stage

	timeline []string
	broken   []string
	looks    int
}

// key is one thing that a loop looks at.
type key struct {
	hub  string
	loop loop
	name string
}

// loop is one of the three, or what asks gates, in the order in which they look by
// default.
type loop int

const (
	members loop = iota
	fleets
	upgrades
	gates
)

// New makes an empty world. Seed 0 lets things that are due at once happen in the
// order of their names; any other draws an order, and how late each look is.
func New(seed uint64, mode fake.Mode) *World {
	clock := clocktesting.NewFakeClock(Began())
	w := &World{
		Clock: clock, Cloud: &fake.Cloud{Clock: clock, Mode: mode},
		Says: map[string]fleet.Answer{}, clusters: map[string]*cluster{}, declared: map[fleet.SourceRef]declaration{}, queue: map[key]time.Time{},
	}
	if seed != 0 {
		w.order = rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // to be repeatable is the point
	}
	return w
}

// Broken is what must never happen, and did; each sentence once.
func (w *World) Broken() []string { return w.broken }

// Timeline is what happened, a line each, by the time since the beginning.
func (w *World) Timeline() []string { return w.timeline }

// Looks are how often a loop looked at something.
func (w *World) Looks() int { return w.looks }

// lateness is the most by which a look is late where the order is drawn: a queue
// has others before it.
const lateness = 2 * time.Second

// wake makes something due at a time, or sooner where it is so already.
func (w *World) wake(k key, at time.Time) {
	if w.order != nil {
		at = at.Add(time.Duration(w.order.Int64N(int64(lateness))))
	}
	if due, ok := w.queue[k]; !ok || at.Before(due) {
		w.queue[k] = at
	}
}

// next is what is due first.
func (w *World) next() (key, bool) {
	if len(w.queue) == 0 {
		return key{}, false
	}
	keys := make([]key, 0, len(w.queue))
	for k := range w.queue {
		keys = append(keys, k)
	}
	return slices.MinFunc(keys, func(a, b key) int {
		return cmp.Or(w.queue[a].Compare(w.queue[b]), strings.Compare(a.hub, b.hub), cmp.Compare(a.loop, b.loop), strings.Compare(a.name, b.name))
	}), true
}

// Step lets one loop look at what is due next, but for what is due after a time:
// then it is that time, and Step is false.
func (w *World) Step(ctx context.Context, before time.Time) bool {
	k, ok := w.next()
	if !ok || w.queue[k].After(before) {
		w.Clock.SetTime(before)
		return false
	}
	if due := w.queue[k]; due.After(w.Clock.Now()) {
		w.Clock.SetTime(due)
	}
	delete(w.queue, k)
	w.looks++
	hub := w.hub(k.hub)
	result, err := hub.look(ctx, k)
	switch {
	case errors.Is(err, control.ErrInvariant):
		w.breaks("%s: %v", k.hub, err)
	case err != nil: // as a queue does, which backs off
		w.wake(k, w.Clock.Now().Add(time.Second))
	case result.RequeueAfter > 0:
		w.wake(k, w.Clock.Now().Add(result.RequeueAfter))
	}
	w.redeliver()
	hub.note(ctx)
	return true
}

// Until steps until something is so, for so long at most.
func (w *World) Until(ctx context.Context, within time.Duration, so func() bool) bool {
	deadline := w.Clock.Now().Add(within)
	for !so() {
		if !w.Step(ctx, deadline) {
			return so()
		}
	}
	return true
}

// Run lets time pass.
func (w *World) Run(ctx context.Context, d time.Duration) {
	w.Until(ctx, d, func() bool { return false })
}

func (w *World) hub(name string) *Hub {
	i := slices.IndexFunc(w.hubs, func(h *Hub) bool { return h.name == name })
	return w.hubs[i]
}

// tell adds a line to the timeline.
func (w *World) tell(format string, args ...any) {
	since := w.Clock.Since(Began()).Truncate(time.Second)
	hours, minutes, seconds := int(since.Hours()), int(since.Minutes())%60, int(since.Seconds())%60
	w.timeline = append(w.timeline, fmt.Sprintf("%02d:%02d:%02d  %s", hours, minutes, seconds, fmt.Sprintf(format, args...)))
}

func (w *World) breaks(format string, args ...any) {
	if sentence := fmt.Sprintf(format, args...); !slices.Contains(w.broken, sentence) {
		w.broken = append(w.broken, sentence)
	}
}
