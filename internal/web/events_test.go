package web

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/view"
)

// A world is a hub that a test changes while it is looked at.
type world struct {
	mu    sync.Mutex
	hub   observe.Hub
	err   error
	looks chan struct{} // one for every look, where somebody waits for it
}

func (w *world) look() (view.Picture, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case w.looks <- struct{}{}:
	default:
	}
	return seen(w.hub), w.err
}

func (w *world) set(change func(w *world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

// serve serves a dashboard until the test ends.
func serve(t *testing.T, w *world) *Dashboard {
	t.Helper()
	w.looks = make(chan struct{})
	d := dashboard(t, w.look)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("served to the end: %v", err)
		}
	})
	return d
}

// A watcher is a page that is open.
type watcher struct {
	t     *testing.T
	lines *bufio.Scanner
	leave func()
}

func watch(t *testing.T, d *Dashboard, path string, header http.Header) watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.door.hosts[0]+"/events"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("GET /events%s: %s %s", path, response.Status, response.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	return watcher{t: t, lines: lines, leave: cancel}
}

// event is the next one, as a browser reads it.
func (w watcher) event() map[string]string {
	w.t.Helper()
	event := map[string]string{}
	for w.lines.Scan() {
		line := w.lines.Text()
		if line == "" && len(event) > 0 {
			return event
		}
		if name, value, ok := strings.Cut(line, ": "); ok && name != "" {
			event[name] += value + "\n"
		}
	}
	w.t.Fatalf("the stream ended: %v", w.lines.Err())
	return nil
}

func TestStreamTellsOfChange(t *testing.T) {
	w := &world{hub: rolling(0)}
	d := serve(t, w)
	inside := enter(t, d)
	fleets, cluster := watch(t, d, "/", inside), watch(t, d, "/members/eu-5", inside)
	first := fleets.event()
	if first["event"] != "content\n" || !strings.Contains(first["data"], `data-member="eu-5" data-state="Waiting"`) || strings.Contains(first["data"], "<html") {
		t.Errorf("at first %q", first)
	}
	if event := cluster.event(); !strings.Contains(event["data"], `<h1 data-member="eu-5" data-state="Waiting"`) {
		t.Errorf("at first %q", event)
	}
	for range 5 {
		<-w.looks // nothing has changed, and nothing is sent
	}
	w.set(func(w *world) { w.hub.Upgrades = append(w.hub.Upgrades, upgrade("eu-5", "most", "", draining())) })
	second := fleets.event()
	if !strings.Contains(second["data"], `data-member="eu-5" data-state="Running" data-step="Nodes"`) || second["id"] == first["id"] {
		t.Errorf("then %q", second)
	}
	if event := cluster.event(); !strings.Contains(event["data"], `<h1 data-member="eu-5" data-state="Running" data-step="Nodes"`) {
		t.Errorf("then %q", event)
	}

	// Who comes back with what is shown is told of what is new only.
	header := inside.Clone()
	header.Set("Last-Event-ID", strings.TrimSpace(second["id"]))
	again := watch(t, d, "/", header)
	<-w.looks
	<-w.looks
	w.set(func(w *world) { w.err = errors.New("read the hub: refused\nand more") })
	if event := again.event(); event["event"] != "trouble\n" || event["data"] != "read the hub: refused\nand more\n" {
		t.Errorf("when the hub is away: %q", event)
	}
	w.set(func(w *world) { w.err = nil })
	for {
		event := again.event()
		if event["event"] == "content\n" {
			if event["id"] != second["id"] {
				t.Errorf("when it is back: %q", event)
			}
			break
		}
	}
}

// A carriage return is a line's end on the wire: words cannot become fields.
func TestStreamOfHostileWords(t *testing.T) {
	got := event("content", "1", []byte("a\rid: 2\r\n\r\nevent: trouble\n\ndata: b"))
	if want := "event: content\nid: 1\ndata: aid: 2\ndata: \ndata: event: trouble\ndata: \ndata: data: b\n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestStreamEndsWithItsClient(t *testing.T) {
	w := &world{hub: rolling(0)}
	d := serve(t, w)
	inside := enter(t, d)
	one, other := watch(t, d, "/", inside), watch(t, d, "/members/eu-1", inside)
	one.event()
	other.event()
	one.leave()
	other.leave()
	for d.feed.watched() { // its own writes tell a stream that nobody is there
		<-time.After(every)
	}
}

// The hub is looked at once a second for all, and not at all when nobody is there.
func TestFeedLooksWhileSomebodyWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		f := &feed{every: Refresh, joined: make(chan struct{}, 1), look: func(context.Context) (view.Picture, error) {
			looks.Add(1)
			return quiet()
		}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go f.run(ctx)
		within := func(d time.Duration) int64 {
			before := looks.Load()
			time.Sleep(d) //nolint:forbidigo // in a bubble, where time is made up
			synctest.Wait()
			return looks.Load() - before
		}
		if n := within(time.Minute); n != 0 {
			t.Errorf("%d looks while nobody watches", n)
		}
		one, _ := f.join()
		other, _ := f.join()
		if n := within(time.Minute); n < 60 || n > 62 {
			t.Errorf("%d looks in a minute that two watch", n)
		}
		one()
		other()
		if n := within(time.Minute); n != 0 {
			t.Errorf("%d looks after all have left", n)
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	d := dashboard(t, quiet)
	var left []func()
	for range maxWatchers {
		leave, ok := d.feed.join()
		if !ok {
			t.Fatal("there is room")
		}
		left = append(left, leave)
	}
	inside := enter(t, d)
	if w := ask(d, http.MethodGet, "/events/", inside); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %d %v", w.Code, w.Header())
	}
	left[0]()
	if _, ok := d.feed.join(); !ok {
		t.Error("who left has made room")
	}
}
