package controlplane

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/kube/controlplane/fakepart"
	"refit.dev/refit/internal/kube/controlplane/process"
)

// A part that ended by itself has to run for twice as long as it did before it
// is relied on.
func TestShaky(t *testing.T) {
	// lived is an API server that ended by itself after a life, and runs since.
	lived := func(life time.Duration, since int) func(*view) {
		return func(v *view) {
			set(v, APIServer, func(p *partView) {
				p.exit = &exit{version: old, started: at(100), ended: at(100).Add(life), how: "exit status 2"}
				p.since = at(since)
			})
		}
	}
	tests := map[string]struct {
		change func(*view)
		want   string
	}{
		"never ended":                     {func(*view) {}, ""},
		"ended":                           {func(v *view) { lived(time.Minute, 0)(v); set(v, APIServer, func(p *partView) { p.running = false }) }, "v1.36.3 ended by itself after 1m0s (exit status 2), and is started again"},
		"runs again":                      {lived(time.Minute, 990), "v1.36.3 ended by itself after 1m0s (exit status 2); it runs again since 10:16:30, and is relied on from 10:18:30 UTC"},
		"for nearly twice as long":        {lived(time.Minute, 881), "v1.36.3 ended by itself after 1m0s (exit status 2); it runs again since 10:14:41, and is relied on from 10:16:41 UTC"},
		"for twice as long":               {lived(time.Minute, 880), ""},
		"that it is not healthy is apart": {func(v *view) { lived(time.Minute, 880)(v); set(v, APIServer, func(p *partView) { p.healthy = false }) }, ""},
		"after days, for nearly 5 minutes": {
			lived(240*time.Hour, 701), "v1.36.3 ended by itself after 240h0m0s (exit status 2); it runs again since 10:11:41, and is relied on from 10:16:41 UTC",
		},
		"after days, for 5 minutes": {lived(240*time.Hour, 700), ""},
		"runs again; nobody saw the other end": {func(v *view) {
			lived(time.Minute, 999)(v)
			set(v, APIServer, func(p *partView) { p.exit.ended = time.Time{} })
		}, ""},
		"ended, and nobody saw it": {func(v *view) {
			lived(time.Minute, 999)(v)
			set(v, APIServer, func(p *partView) { p.exit.ended, p.running = time.Time{}, false })
		}, "v1.36.3 ended by itself (exit status 2), and is started again"},
		"is asked to end": {func(v *view) {
			lived(time.Minute, 990)(v)
			set(v, APIServer, func(p *partView) { p.asked = at(999) })
		}, ""},
		"it was another version": {func(v *view) {
			lived(time.Minute, 999)(v)
			set(v, APIServer, func(p *partView) { p.exit.version = newer })
		}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v, got := settled(test.change), ""
			if v.shaky(APIServer) {
				got = v.parts[APIServer].story()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("story (-want +got):\n%s", diff)
			}
		})
	}
}

// A new API server that was Ready and dies is started again, whatever that takes:
// the old one is not taken back. It is relied on again once it has shown that it
// was mended.
func TestDiesAfterReady(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	s := supervise(t, config)
	s.until(t, "all healthy", allHealthy)
	if _, err := s.Upgrade(Request{Token: "t", From: old, To: fakepart.DiesAfterReady}); err != nil {
		t.Fatal(err)
	}
	server := func(s Status) PartStatus { return s.Parts[1] }
	ended := s.until(t, "ended", notRunning)
	if u := ended.Upgrades[0]; u.Phase != Succeeded || ended.Version != fakepart.DiesAfterReady {
		t.Errorf("upgrade = %+v, at %s", u, ended.Version)
	}
	story := server(s.until(t, "runs again", func(s Status) bool { return server(s).Shaky && server(s).Healthy })).Message
	for _, want := range []string{"v1.36.96 ended by itself after ", "(exit status 1); it runs again since ", "; see " + Log(config.Dir, APIServer)} {
		if !strings.Contains(story, want) {
			t.Errorf("message = %q, want %q", story, want)
		}
	}

	// The next supervisor has not seen it die, and knows.
	s.cancel()
	if err := <-s.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	s = supervise(t, config)
	if seen := server(s.Status()); !seen.Shaky {
		t.Errorf("the next supervisor says %+v, want it shaky", seen)
	}
	s.until(t, "died again", func(s Status) bool { return server(s).PID == 0 })
	if err := fakepart.Mend(filepath.Join(config.Dir, "binaries", "kubernetes", fakepart.DiesAfterReady)); err != nil {
		t.Fatal(err)
	}
	mended := time.Now()
	s.until(t, "mended", func(s Status) bool { return allHealthy(s) && !server(s).Shaky })
	if took := time.Since(mended); took < 2*fakepart.ShortLife {
		t.Errorf("relied on after %s, want at least twice %s", took, fakepart.ShortLife)
	}
	if n := starts(journal(t, config.Dir), old)[string(APIServer)]; n != 1 {
		t.Errorf("the old API server was started %d times, want once", n)
	}
	s.stop(t)
}

// An upgrade whose API server is away after it was Ready waits, and says so.
func TestBusyWithoutAnAPIServer(t *testing.T) {
	config := Config{Dir: "/dev"}
	c := &ControlPlane{config: config, parts: map[Part]*part{APIServer: {exit: &exit{version: newer, how: "exit status 2"}}}}
	u := Upgrade{Snapshot: "a.db", Ready: at(990)}
	v := upgrading(u, func(v *view) {
		v.parts[APIServer] = partView{exit: &exit{version: newer, started: at(960), ended: at(999), how: "exit status 2"}}
	})
	want := "kube-apiserver was Ready, so that there is no way back, and is not any more: " +
		"v1.37.2 ended by itself after 39s (exit status 2), and is started again; see /dev/logs/kube-apiserver.log"
	if got := c.busyWith(v, *v.upgrade); got != want {
		t.Errorf("busy with %q, want %q", got, want)
	}
}

// What the supervisor before this one saw is read in its journal.
func TestLastExit(t *testing.T) {
	id := process.ID{PID: 7, Ticks: 1, Boot: "this"}
	started := process.Entry{Time: at(100), Event: process.Started, Part: string(APIServer), Version: newer, ID: id}
	ended := process.Entry{Time: at(160), Event: process.Ended, Part: string(APIServer), Version: newer, ID: id, Reason: "exit status 2"}
	with := func(change func(*process.Entry)) []process.Entry {
		other := ended
		change(&other)
		return []process.Entry{started, other}
	}
	tests := map[string]struct {
		journal []process.Entry
		want    *exit
	}{
		"never started":           {nil, nil},
		"runs":                    {[]process.Entry{started}, nil},
		"ended":                   {[]process.Entry{started, ended}, &exit{version: newer, started: at(100), ended: at(160), how: "exit status 2"}},
		"was asked to end":        {with(func(e *process.Entry) { e.Asked = true }), nil},
		"ended with the machine":  {with(func(e *process.Entry) { e.Boot = "last" }), nil},
		"nobody saw when":         {with(func(e *process.Entry) { e.Reason = unwatched }), &exit{version: newer, started: at(100), how: unwatched}},
		"its start was forgotten": {[]process.Entry{ended}, &exit{version: newer, how: "exit status 2"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			journal, err := process.OpenJournal(filepath.Join(t.TempDir(), "starts.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			defer journal.Close()
			for _, entry := range test.journal {
				if err := journal.Add(entry); err != nil {
					t.Fatal(err)
				}
			}
			got := (&ControlPlane{journal: journal}).lastExit(APIServer, "this")
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(exit{})); diff != "" {
				t.Errorf("last exit (-want +got):\n%s", diff)
			}
		})
	}
}
