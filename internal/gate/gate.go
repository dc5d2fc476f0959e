// Package gate asks the questions that gates are: of Prometheus, in the background,
// so that nobody who plans waits for a network.
//
// An answer is kept in memory only, with the time it was asked for. Nothing that
// went wrong is a yes, and no answer outlives its question.
package gate

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"refit.dev/refit/internal/fleet"
)

// atOnce is how many questions wait for their answer at the same time: more would
// be a load to somebody.
const atOnce = 8

// longest is how long an answer may take, where the interval is not shorter.
const longest = 10 * time.Second

// Asker asks each question that is open again and again, until it is closed.
type Asker struct {
	prometheus *prometheus
	clock      clock.Clock
	slots      chan struct{}

	mu     sync.Mutex
	open   map[fleet.Question]*open
	ended  bool
	answer func()
}

// open is a question that is being asked.
type open struct {
	heard fleet.Heard
	close context.CancelFunc
}

// New makes an asker that calls these hosts only.
func New(hosts Hosts, clock clock.Clock) *Asker {
	return &Asker{
		prometheus: newPrometheus(hosts), clock: clock, slots: make(chan struct{}, atOnce),
		open: map[fleet.Question]*open{}, answer: func() {},
	}
}

// OnAnswer has somebody called after each answer, who must not block: a yes that is
// the same as before is news as well, for an old one is none.
func (a *Asker) OnAnswer(call func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = call
}

// Start runs until ctx ends, and then closes all questions for good.
func (a *Asker) Start(ctx context.Context) error {
	<-ctx.Done()
	a.Ask(nil)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	return nil
}

// Ask opens the questions that are not open, and closes all others: what was
// answered to those is forgotten.
func (a *Asker) Ask(questions []fleet.Question) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for q, o := range a.open {
		if !slices.Contains(questions, q) {
			o.close()
			delete(a.open, q)
		}
	}
	for _, q := range questions {
		if _, open := a.open[q]; !open && !a.ended {
			a.begin(q)
		}
	}
}

// begin opens a question. It is closed by Ask, whoever calls it.
func (a *Asker) begin(q fleet.Question) {
	ctx, cancel := context.WithCancel(context.Background())
	o := &open{close: cancel}
	a.open[q] = o
	go a.repeat(ctx, q, o)
}

// Heard is the last answer to each open question that has one.
func (a *Asker) Heard() map[fleet.Question]fleet.Heard {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := map[fleet.Question]fleet.Heard{}
	for q, o := range a.open {
		if !o.heard.AskedAt.IsZero() {
			all[q] = o.heard
		}
	}
	return all
}

// repeat asks a question every interval, from asking to asking.
func (a *Asker) repeat(ctx context.Context, q fleet.Question, o *open) {
	for ctx.Err() == nil {
		begun := a.clock.Now()
		heard := a.once(ctx, q)
		if ctx.Err() != nil {
			return
		}
		a.keep(o, heard)
		select {
		case <-ctx.Done():
		case <-a.clock.After(begun.Add(q.Interval).Sub(a.clock.Now())):
		}
	}
}

// keep keeps an answer with its question, which may have been closed: then nobody
// reads it any more.
func (a *Asker) keep(o *open, heard fleet.Heard) {
	a.mu.Lock()
	heard.YesAt = o.heard.YesAt
	if heard.Answer == fleet.Yes {
		heard.YesAt = heard.AskedAt
	}
	o.heard = heard
	call := a.answer
	a.mu.Unlock()
	call()
}

// once asks once. Waiting for a turn is a part of the time that there is.
func (a *Asker) once(ctx context.Context, q fleet.Question) fleet.Heard {
	limit := min(longest, q.Interval)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	at := a.clock.Now()
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return fleet.Heard{Answer: fleet.Unknown, AskedAt: at, Said: "not asked within " + limit.String() + ": too many gates are being asked"}
	}
	at = a.clock.Now()
	heard := a.prometheus.ask(ctx, q)
	if ctx.Err() != nil && heard.Answer != fleet.No { // what came too late is no answer
		heard = fleet.Heard{Answer: fleet.Unknown, Said: "no answer within " + limit.String(), Fix: "see that " + q.URL + " answers"}
	}
	heard.AskedAt = at
	return heard
}
