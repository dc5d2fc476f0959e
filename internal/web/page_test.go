package web

import (
	"errors"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/view"
)

var update = flag.Bool("update", false, "write the golden files")

func clock() time.Time { return now }

// every is how often a made-up hub is looked at.
const every = 2 * time.Millisecond

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; go test -update writes it):\n%s", path, diff)
	}
}

func of(hub observe.Hub) func() (view.Picture, error) {
	return func() (view.Picture, error) { return seen(hub), nil }
}

func TestPages(t *testing.T) {
	halted := rolling(0)
	halted.Fleets[0].Spec.MaxFailures.IntVal = 0
	halted.Members[8].Labels = nil
	for file, test := range map[string]struct {
		hub    observe.Hub
		held   fleet.Reason
		target string
	}{
		"fleets.html":          {rolling(0), fleet.Reason{}, "/"},
		"fleets-held.html":     {halted, fleet.Reason{Code: fleet.RestoredHub, Message: "restored", Fix: "take over"}, "/"},
		"fleets-empty.html":    {observe.Hub{}, fleet.Reason{}, "/"},
		"cluster-running.html": {rolling(0), fleet.Reason{}, "/members/eu-2"},
		"cluster-failed.html":  {halted, fleet.Reason{}, "/members/eu-3"},
		"cluster-done.html":    {rolling(0), fleet.Reason{}, "/members/dev-1"},
		"cluster-waiting.html": {rolling(0), fleet.Reason{}, "/members/us-1"},
		"cluster-missing.html": {rolling(0), fleet.Reason{}, "/members/nobody"},
	} {
		d := dashboard(t, func() (view.Picture, error) { return view.Seen(test.hub, test.held, now), nil })
		golden(t, file, ask(d, http.MethodGet, test.target, enter(t, d)).Body.String())
	}
}

// A hub that does not answer is said so; the page fills later.
func TestHubDoesNotAnswer(t *testing.T) {
	d := dashboard(t, func() (view.Picture, error) { return view.Picture{}, errors.New("read the hub: <refused>") })
	w := ask(d, http.MethodGet, "/", enter(t, d))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "read the hub: &lt;refused&gt;") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Names and reasons are other people's words, and no part of the page.
func TestHostileWords(t *testing.T) {
	const evil = `"'></title><script>alert(1)</script><img src=x onerror=alert(2)>`
	hub := rolling(0)
	hub.Members[2].Name, hub.Members[5].Name = evil, "javascript:alert(3)"
	hub.Members[2].Status.ControlPlane.Version, hub.Members[2].Status.Nodes.Oldest = evil, evil
	hub.Members[2].Status.Pools[0].Name = evil
	hub.Fleets[0].Name, hub.Fleets[0].Spec.Waves[1].Name = evil, evil
	hub.Upgrades[2].Spec.Member, hub.Upgrades[2].Spec.Fleet, hub.Upgrades[2].Name = evil, evil, evil+".1"
	hub.Upgrades[2].Status.Why = &v1.Why{Code: evil, Message: evil, Fix: "refit " + evil, Object: evil, Since: ago(time.Minute)}
	hub.Upgrades[2].Status.Step, hub.Upgrades[2].Status.From = evil, evil
	hub.Freezes[0].Spec.Reason = evil
	hub.Fleets[0].Spec.Release, hub.Releases[0].Name = evil, evil
	d := dashboard(t, of(hub))
	inside := enter(t, d)
	tags := regexp.MustCompile(`<(script|img)[^>]*>`)
	for _, target := range []string{"/", "/members/%22%27%3E%3C%2Ftitle%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E%3Cimg%20src=x%20onerror=alert%282%29%3E", "/members/javascript:alert(3)", "/members/%3Cscript%3Ex"} {
		w := ask(d, http.MethodGet, target, inside)
		page := w.Body.String()
		want := []string{`<script type="module" src="/assets/refit.js">`, `<img src="/assets/icon.svg" alt="" width="20" height="20">`}
		if diff := cmp.Diff(want, tags.FindAllString(page, -1)); diff != "" {
			t.Errorf("%s: %d, tags (-want +got):\n%s", target, w.Code, diff)
		}
		for _, bad := range []string{"onerror=alert(2)>", ` style=`, `href="javascript:`} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has %s", target, bad)
			}
		}
		if !strings.Contains(page, "&lt;script&gt;") && !strings.Contains(target, "javascript") {
			t.Errorf("%s does not show what it was given", target)
		}
	}
}

// At two hundred members cells are small, and all are there.
func TestManyMembers(t *testing.T) {
	d := dashboard(t, of(rolling(191)))
	page := ask(d, http.MethodGet, "/", enter(t, d)).Body.String()
	if n := strings.Count(page, `class="cell"`); n != 200 {
		t.Errorf("%d cells, want 200", n)
	}
	if strings.Count(page, "cells dense") != 1 {
		t.Error("the large wave alone is to be dense")
	}
}

func TestBarsFillTheWhole(t *testing.T) {
	for _, counts := range [][]view.Count{{{State: view.Done, N: 1}}, {{State: view.Done, N: 1}, {State: view.Running, N: 1}, {State: view.Failed, N: 1}}, {{State: view.Done, N: 199}, {State: view.Failed, N: 1}}} {
		at := 0
		for _, b := range bars(counts) {
			if b.X != at || b.W < 1 {
				t.Errorf("%v: %v begins at %d, want %d", counts, b, b.X, at)
			}
			at += b.W
		}
		if at != 1000 {
			t.Errorf("%v fills %d", counts, at)
		}
	}
}
