package gate_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/gate"
)

// asker is an Asker on a clock of the test, and a channel of its answers.
type asker struct {
	*gate.Asker

	t        *testing.T
	clock    *clocktesting.FakeClock
	answered chan struct{}
}

func newAsker(t *testing.T, host string) *asker {
	t.Helper()
	hosts, err := gate.ParseHosts([]string{host})
	if err != nil {
		t.Fatal(err)
	}
	clock := clocktesting.NewFakeClock(time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC))
	a := &asker{Asker: gate.New(hosts, clock), t: t, clock: clock, answered: make(chan struct{}, 100)}
	a.OnAnswer(func() { a.answered <- struct{}{} })
	t.Cleanup(func() { a.Ask(nil) })
	return a
}

// within fails the test where something takes far longer than it can.
func within[T any](t *testing.T, what <-chan T) T {
	t.Helper()
	select {
	case it := <-what:
		return it
	case <-time.After(time.Minute):
		t.Fatal("not within a minute")
		panic("unreachable")
	}
}

// pass lets time pass once everybody waits for that.
func (a *asker) pass(waiting int, d time.Duration) {
	for a.clock.Waiters() < waiting {
		<-time.After(time.Millisecond)
	}
	a.clock.Step(d)
}

// TestAskedAgain: a question is asked every interval, and each answer replaces the
// one before, with its own time; a good one is never kept for a bad one.
func TestAskedAgain(t *testing.T) {
	var asked atomic.Int32
	url, host := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch asked.Add(1) {
		case 1, 4:
			_, _ = io.WriteString(w, vector(sample("a", "0.3")))
		case 2:
			_, _ = io.WriteString(w, vector(sample("a", "3")))
		default:
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	a, q := newAsker(t, host), question(url)
	begun := a.clock.Now()
	a.Ask([]fleet.Question{q})
	for i, want := range []fleet.Answer{fleet.Yes, fleet.No, fleet.Unknown, fleet.Yes, fleet.Unknown} {
		within(t, a.answered)
		at := begun.Add(time.Duration(i) * time.Second)
		yes := begun
		if i >= 3 {
			yes = begun.Add(3 * time.Second)
		}
		if got := a.Heard()[q]; got.Answer != want || !got.AskedAt.Equal(at) || !got.YesAt.Equal(yes) {
			t.Errorf("answer %d is %+v, want %s of %s, the last yes of %s", i, got, want, at, yes)
		}
		a.Ask([]fleet.Question{q}) // asking for the same changes nothing
		a.pass(1, time.Second)
	}
}

// TestClosedIsForgotten: the answer to a question that was closed is not read again,
// be it asked anew, and one that comes late is not heard.
func TestClosedIsForgotten(t *testing.T) {
	arrived, left, answer := make(chan struct{}, 9), make(chan struct{}, 9), make(chan string, 9)
	url, host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		arrived <- struct{}{}
		select {
		case text := <-answer:
			_, _ = io.WriteString(w, text)
		case <-r.Context().Done():
			left <- struct{}{}
		}
	})
	a, q := newAsker(t, host), question(url)
	q.Interval = time.Hour
	answer <- vector(sample("a", "0.3"))
	a.Ask([]fleet.Question{q})
	within(t, arrived)
	within(t, a.answered)
	a.Ask(nil)
	if heard := a.Heard(); len(heard) > 0 {
		t.Errorf("of a closed question is heard %v", heard)
	}
	a.Ask([]fleet.Question{q})
	within(t, arrived)
	if heard := a.Heard(); len(heard) > 0 {
		t.Errorf("before the answer is heard %v", heard)
	}
	a.Ask(nil)
	within(t, left)
	other := q
	other.Max = fleet.Bound{Number: 0.2, Text: "0.2"}
	answer <- vector(sample("a", "0.3"))
	a.Ask([]fleet.Question{other})
	within(t, a.answered)
	if heard := a.Heard(); len(heard) != 1 || heard[other].Answer != fleet.No {
		t.Errorf("heard is %v, want a no to the other question alone", heard)
	}
}

// TestOneIsSlow: who is slow keeps nobody waiting, neither him who asks for answers
// nor other questions, and only so many are asked at once.
func TestOneIsSlow(t *testing.T) {
	slow, end := make(chan struct{}, 99), make(chan struct{})
	var now, most atomic.Int32
	url, host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		if r.FormValue("query") == "quick" {
			_, _ = io.WriteString(w, vector(sample("a", "0.3")))
			return
		}
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		slow <- struct{}{}
		<-end
		now.Add(-1)
	})
	a := newAsker(t, host)
	var questions []fleet.Question
	for i := range 7 {
		q := question(url)
		q.Query, q.Interval = fmt.Sprint(i), time.Hour
		questions = append(questions, q)
	}
	a.Ask(questions)
	for range questions {
		within(t, slow)
	}
	quick := question(url)
	quick.Query = "quick"
	a.Ask(append(questions, quick))
	within(t, a.answered)
	if a.Heard()[quick].Answer != fleet.Yes || len(a.Heard()) != 1 {
		t.Errorf("heard is %v", a.Heard())
	}
	for i := range 9 {
		q := question(url)
		q.Query, q.Interval = fmt.Sprint("more", i), time.Hour
		questions = append(questions, q)
	}
	a.Ask(questions)
	within(t, slow)
	close(end)
	for range questions {
		within(t, a.answered)
	}
	if most.Load() != 8 {
		t.Errorf("%d were asked at once, want 8", most.Load())
	}
}

// TestEnd closes all questions for good.
func TestEnd(t *testing.T) {
	url, host := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, vector(sample("a", "0.3"))) })
	a, q := newAsker(t, host), question(url)
	a.Ask([]fleet.Question{q})
	within(t, a.answered)
	ended := make(chan error)
	go func() { ended <- a.Start(stopped()) }()
	if err := within(t, ended); err != nil {
		t.Error(err)
	}
	a.Ask([]fleet.Question{q})
	if heard := a.Heard(); len(heard) > 0 {
		t.Errorf("after the end is heard %v", heard)
	}
	select {
	case <-a.answered:
		t.Error("asked after the end")
	default:
	}
}

// stopped is a context that has ended.
func stopped() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
