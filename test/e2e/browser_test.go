//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
)

// A tab is a page, and all that it did.
type tab struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // what chromedp knows a tab by
	url string

	mu       sync.Mutex
	requests []string
	asked    map[network.RequestID]string
	answers  []answer
	errors   []string
}

type answer struct {
	url    string
	status int64
}

// open opens a page in a tab of its own, and listens from the start.
func (b *browser) open(to string) *tab {
	t := b.t
	t.Helper()
	ctx, leave := chromedp.NewContext(b.ctx)
	t.Cleanup(leave)
	p := &tab{t: t, ctx: ctx, url: to, asked: map[network.RequestID]string{}}
	if err := chromedp.Listen(ctx, p.hear); err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.Navigate(to))
	return p
}

func (p *tab) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch event := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, event.Request.URL)
		p.asked[event.RequestID] = event.Request.URL
	case *network.EventWebSocketCreated:
		p.requests = append(p.requests, event.URL)
	case *network.EventResponseReceivedExtraInfo: // also of what the page itself may not see
		p.answers = append(p.answers, answer{p.asked[event.RequestID], event.StatusCode})
	case *log.EventEntryAdded:
		if event.Entry.Level == log.EntryLevelError || event.Entry.Level == log.EntryLevelWarning {
			p.errors = append(p.errors, event.Entry.Text+" "+event.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		p.errors = append(p.errors, fmt.Sprintf("console.%s", event.Type))
	case *runtime.EventExceptionThrown:
		p.errors = append(p.errors, event.ExceptionDetails.Text)
	}
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v", p.url, err)
	}
}

// statuses are how requests to an origin were answered.
func (p *tab) statuses(origin string) []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []int64
	for _, a := range p.answers {
		if strings.HasPrefix(a.url, origin+"/") {
			all = append(all, a.status)
		}
	}
	return all
}

// clean wants that the page said nothing on its console, and asked nobody but
// this machine. That it would have been heard is tried last.
func (p *tab) clean() {
	p.t.Helper()
	heard := func() (requests, errors []string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return slices.Clone(p.requests), slices.Clone(p.errors)
	}
	requests, errors := heard()
	if len(errors) > 0 {
		p.t.Errorf("%s says on its console: %q", p.url, errors)
	}
	p.t.Logf("%s asked for %q", p.url, requests)
	if away := slices.DeleteFunc(slices.Clone(requests), onLoopback); len(requests) < 4 || len(away) > 0 {
		p.t.Errorf("%s asked for %q, of which %q are not on loopback", p.url, requests, away)
	}
	p.do(chromedp.Evaluate[chromedp.Void](`console.error('heard?'); fetch('http://elsewhere.example/').catch(() => {})`))
	eventually(p.t, time.Minute, "what a page says is heard", func() (bool, string) {
		_, errors := heard()
		return slices.Contains(errors, "console.error") && slices.ContainsFunc(errors, func(text string) bool { return strings.Contains(text, "Content Security Policy") }), strings.Join(errors, "; ")
	})
}

// A sample is what a page showed of a member at a time.
type sample struct {
	Member, State, Step, Version string
	from, to                     time.Time
}

type samples []sample

func (s sample) text() string { return strings.TrimSpace(s.State + " " + s.Step) }

func (all samples) texts() []string {
	var texts []string
	for _, s := range all {
		texts = append(texts, s.Member+": "+s.text()+" "+s.Version)
	}
	return texts
}

// course is what was seen of a member, one after the other.
func (all samples) course(member string) []string {
	var course []string
	for _, s := range all {
		if s.Member == member {
			course = append(course, s.text())
		}
	}
	return slices.Compact(course)
}

// shown is what the page shows of members now, as its elements say it.
func (p *tab) shown() samples {
	p.t.Helper()
	from := time.Now()
	all, err := chromedp.Run(p.ctx, chromedp.Evaluate[samples](`[...document.querySelectorAll('[data-member]')].map(({dataset: d}) => ({Member: d.member, State: d.state, Step: d.step, Version: d.version}))`))
	if err != nil {
		p.t.Fatalf("%s: %v", p.url, err)
	}
	for i := range all {
		all[i].from, all[i].to = from, time.Now()
	}
	return all
}

// A history is what the hub's objects said of members, and from when on.
type history struct {
	mu    sync.Mutex
	steps map[string][]said // of its newest upgrade: the step, or how it ended
	runs  map[string][]said // the version
}

type said struct {
	at   time.Time
	what string
}

// watchMembers watches the hub until the test ends.
func watchMembers(t *testing.T, u *user) *history {
	t.Helper()
	h := &history{steps: map[string][]said{}, runs: map[string][]said{}}
	for _, list := range []client.ObjectList{&v1.MemberClusterList{}, &v1.ClusterUpgradeList{}} {
		events, err := u.hub().Watch(t.Context(), list, client.InNamespace(namespace))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(events.Stop)
		go func() {
			for event := range events.ResultChan() {
				h.hear(event)
			}
		}()
	}
	return h
}

func (h *history) hear(event watch.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch object := event.Object.(type) {
	case *v1.MemberCluster:
		h.runs[object.Name] = append(h.runs[object.Name], said{time.Now(), object.Status.ControlPlane.Version})
	case *v1.ClusterUpgrade:
		what := object.Status.Step
		if observe.Ended(object) {
			what = "ended"
		}
		h.steps[object.Spec.Member] = append(h.steps[object.Spec.Member], said{time.Now(), what})
	}
}

// lag is how much later than the hub a page may be: looks are a second apart, and
// this machine has other things to do as well.
const lag = 10 * time.Second

// judge wants that pages showed what the hub said then, or shortly before.
func (h *history) judge(t *testing.T, seen samples) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.steps["two"]) < 5 || len(h.runs["two"]) < 2 {
		t.Fatalf("the hub said %v and %v: too little to judge by", h.steps, h.runs)
	}
	for _, s := range seen {
		step := s.Step
		if s.State != "Running" {
			step = "ended"
		}
		// A member without an upgrade is as one whose upgrade has ended.
		steps := append([]said{{what: "ended"}}, h.steps[s.Member]...)
		if !slices.Contains(during(steps, s), step) {
			t.Errorf("at %s %s is shown as %s, and the hub said %v", s.to.Format(time.TimeOnly), s.Member, s.text(), during(steps, s))
		}
		if runs := during(h.runs[s.Member], s); !slices.Contains(runs, s.Version) {
			t.Errorf("at %s %s is shown at %s, and the hub said %v", s.to.Format(time.TimeOnly), s.Member, s.Version, runs)
		}
	}
}

// during is what was said when a sample was taken, and shortly before and after:
// the page may hear of a change before we do.
func during(all []said, s sample) []string {
	var now []string
	for i, one := range all {
		ended := i+1 < len(all) && all[i+1].at.Before(s.from.Add(-lag))
		if !ended && one.at.Before(s.to.Add(time.Second)) {
			now = append(now, one.what)
		}
	}
	return slices.Compact(now)
}
