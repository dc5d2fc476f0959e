package controlplane

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	old     = "v1.36.3"
	newer   = "v1.37.2"
	etcdV   = "v3.7.0"
	kwokV   = "v0.8.0"
	aMinute = time.Minute
)

func at(seconds int) time.Time {
	return time.Date(2026, 11, 22, 10, 0, seconds, 0, time.UTC)
}

// now is when all views of these tests are.
func now() time.Time { return at(1000) }

// up is a part that has run for a while.
func up(version string) partView {
	return partView{running: true, healthy: true, version: version, since: at(0)}
}

// settled is a control plane at rest: everything runs and is healthy.
func settled(change func(*view)) view {
	v := view{
		now: now(), version: old, etcdVersion: etcdV, kwokVersion: kwokV,
		parts: map[Part]partView{
			Etcd: up(etcdV), APIServer: up(old), ControllerManager: up(old), Scheduler: up(old), Kwok: up(kwokV),
		},
		binaries: map[binary]binaryView{
			{"etcd", etcdV}: {here: true}, {"kwok", kwokV}: {here: true}, {"kubernetes", old}: {here: true}, {"kubernetes", newer}: {here: true},
		},
	}
	change(&v)
	return v
}

// upgrading is one with an upgrade under way.
func upgrading(u Upgrade, change func(*view)) view {
	u.Request = Request{From: old, To: newer, Limit: aMinute}
	u.Phase, u.Started = Running, at(900)
	return settled(func(v *view) { v.upgrade = &u; change(v) })
}

func down(v *view, parts ...Part) {
	for _, part := range parts {
		v.parts[part] = partView{}
	}
}

func set(v *view, part Part, change func(*partView)) {
	p := v.parts[part]
	change(&p)
	v.parts[part] = p
}

// summary is what a table names of an action.
func summary(a action) string {
	text := string(a.do)
	switch a.do {
	case start:
		text += " " + string(a.part) + " " + a.version + ": " + a.reason
	case ask, kill:
		text += " " + string(a.part)
	case fetch:
		text += " " + a.binary.artefact + " " + a.binary.version
	case note:
		switch u := a.upgrade; {
		case u.Phase != Running:
			text += " " + string(u.Phase) + " " + u.Code
		case !u.Undone.IsZero():
			text += " undone " + u.Code
		case !u.Ready.IsZero():
			text += " ready"
		}
	case wait, snapshot, finished:
	}
	return text
}

func TestNextAtRest(t *testing.T) {
	tests := map[string]struct {
		view view
		want string
	}{
		"everything runs": {settled(func(*view) {}), "wait"},
		"nothing runs":    {settled(func(v *view) { down(v, Parts()...) }), "start etcd v3.7.0: start"},
		"only etcd runs": {settled(func(v *view) {
			down(v, APIServer, ControllerManager, Scheduler, Kwok)
		}), "start kube-apiserver v1.36.3: start"},
		"etcd is not healthy yet": {settled(func(v *view) {
			down(v, APIServer, ControllerManager, Scheduler, Kwok)
			set(v, Etcd, func(p *partView) { p.healthy = false })
		}), "wait"},
		"the API server is not Ready yet": {settled(func(v *view) {
			down(v, ControllerManager, Scheduler, Kwok)
			set(v, APIServer, func(p *partView) { p.healthy = false })
		}), "wait"},
		"the API server is Ready": {settled(func(v *view) { down(v, ControllerManager, Scheduler, Kwok) }), "start kube-controller-manager v1.36.3: start"},
		"a part crashed": {settled(func(v *view) {
			v.parts[Scheduler] = partView{exit: &exit{version: old, how: "exit status 1"}, retry: at(999)}
		}), "start kube-scheduler v1.36.3: again, after: exit status 1"},
		"a part crashed a moment ago": {settled(func(v *view) {
			v.parts[Scheduler] = partView{exit: &exit{version: old}, retry: at(1001)}
		}), "wait"},
		"a part of another version runs": {settled(func(v *view) { v.parts[Scheduler] = up(newer) }), "ask to end kube-scheduler"},
		"binaries are not known": {settled(func(v *view) {
			down(v, Parts()...)
			v.binaries = nil
		}), "fetch etcd v3.7.0"},
		"binaries are being fetched": {settled(func(v *view) {
			down(v, Parts()...)
			v.binaries[binary{"etcd", etcdV}] = binaryView{fetching: true}
		}), "wait"},
		"binaries could not be had": {settled(func(v *view) {
			down(v, Parts()...)
			v.binaries[binary{"etcd", etcdV}] = binaryView{err: "no network", retry: at(1001)}
		}), "wait"},
		"binaries could not be had a while ago": {settled(func(v *view) {
			down(v, Parts()...)
			v.binaries[binary{"etcd", etcdV}] = binaryView{err: "no network", retry: at(999)}
		}), "fetch etcd v3.7.0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := summary(next(test.view)); got != test.want {
				t.Errorf("next = %q, want %q", got, test.want)
			}
		})
	}
}

func TestNextOfUpgrade(t *testing.T) {
	saved := Upgrade{Snapshot: "a.db"}
	ready := Upgrade{Snapshot: "a.db", Ready: at(990)}
	undone := Upgrade{Snapshot: "a.db", Code: NeverReady, Undone: at(990)}
	tests := map[string]struct {
		view view
		want string
	}{
		"binaries are missing": {upgrading(Upgrade{}, func(v *view) {
			delete(v.binaries, binary{"kubernetes", newer})
		}), "fetch kubernetes v1.37.2"},
		"binaries are being built, and a part crashes": {upgrading(Upgrade{}, func(v *view) {
			v.binaries[binary{"kubernetes", newer}] = binaryView{fetching: true}
			v.parts[Scheduler] = partView{exit: &exit{how: "exit status 1"}}
		}), "start kube-scheduler v1.36.3: again, after: exit status 1"},
		"binaries cannot be had": {upgrading(Upgrade{}, func(v *view) {
			v.binaries[binary{"kubernetes", newer}] = binaryView{err: "no such version"}
		}), "record Failed NoBinaries"},
		"etcd is away": {upgrading(Upgrade{}, func(v *view) { set(v, Etcd, func(p *partView) { p.healthy = false }) }), "wait"},
		"all is there": {upgrading(Upgrade{}, func(*view) {}), "snapshot"},
		"saved":        {upgrading(saved, func(*view) {}), "ask to end kube-apiserver"},
		"the old API server is ending": {upgrading(saved, func(v *view) {
			set(v, APIServer, func(p *partView) { p.asked = at(999) })
		}), "wait"},
		"the old API server does not end": {upgrading(saved, func(v *view) {
			set(v, APIServer, func(p *partView) { p.asked = at(900) })
		}), "kill kube-apiserver"},
		"the old API server ended": {upgrading(saved, func(v *view) { down(v, APIServer) }), "start kube-apiserver v1.37.2: upgrade from v1.36.3"},
		"the old API server crashed before it was asked": {upgrading(saved, func(v *view) {
			v.parts[APIServer] = partView{exit: &exit{version: old, started: at(0)}}
		}), "start kube-apiserver v1.37.2: upgrade from v1.36.3"},
		"an earlier attempt's new API server had ended": {upgrading(saved, func(v *view) {
			v.parts[APIServer] = partView{exit: &exit{version: newer, started: at(800)}}
		}), "start kube-apiserver v1.37.2: upgrade from v1.36.3"},
		"the new API server starts; the others stay": {upgrading(saved, func(v *view) {
			v.parts[APIServer] = partView{running: true, version: newer, since: at(995)}
		}), "wait"},
		"the new API server ends at once": {upgrading(saved, func(v *view) {
			v.parts[APIServer] = partView{exit: &exit{version: newer, started: at(999), how: "exit status 1"}}
		}), "record undone ExitedAtOnce"},
		"the new API server is never Ready": {upgrading(saved, func(v *view) {
			v.parts[APIServer] = partView{running: true, version: newer, since: at(939)}
		}), "record undone NeverReady"},
		"the new API server is Ready":           {upgrading(saved, func(v *view) { v.parts[APIServer] = up(newer) }), "record ready"},
		"Ready; the controller-manager follows": {upgrading(ready, func(v *view) { v.parts[APIServer] = up(newer) }), "ask to end kube-controller-manager"},
		"Ready; the controller-manager ended": {upgrading(ready, func(v *view) {
			v.parts[APIServer] = up(newer)
			down(v, ControllerManager)
		}), "start kube-controller-manager v1.37.2: upgrade from v1.36.3"},
		"Ready; the scheduler follows": {upgrading(ready, func(v *view) {
			v.parts[APIServer], v.parts[ControllerManager] = up(newer), up(newer)
		}), "ask to end kube-scheduler"},
		"Ready; the new API server crashed later": {upgrading(ready, func(v *view) {
			v.parts[APIServer] = partView{exit: &exit{version: newer, started: at(980), how: "killed"}}
		}), "start kube-apiserver v1.37.2: upgrade from v1.36.3"},
		"Ready; the scheduler is not healthy in time": {upgrading(Upgrade{Snapshot: "a.db", Ready: at(930)}, func(v *view) {
			v.parts[APIServer], v.parts[ControllerManager] = up(newer), up(newer)
			v.parts[Scheduler] = partView{running: true, version: newer, since: at(935)}
		}), "record Failed NotHealthy"},
		"Ready; the API server is away for longer than the limit": {upgrading(Upgrade{Snapshot: "a.db", Ready: at(930)}, func(v *view) {
			v.parts[APIServer] = partView{exit: &exit{version: newer, started: at(920)}, retry: at(1001)}
			down(v, ControllerManager, Scheduler)
		}), "wait"},
		"Ready; it runs, and is not Ready for longer than the limit": {upgrading(Upgrade{Snapshot: "a.db", Ready: at(930)}, func(v *view) {
			v.parts[APIServer] = partView{running: true, version: newer, since: at(925)}
			down(v, ControllerManager, Scheduler)
		}), "wait"},
		"Ready; back from being away, what follows has its time again": {upgrading(Upgrade{Snapshot: "a.db", Ready: at(900)}, func(v *view) {
			v.parts[APIServer] = partView{running: true, healthy: true, version: newer, since: at(995)}
			down(v, ControllerManager)
		}), "start kube-controller-manager v1.37.2: upgrade from v1.36.3"},
		"everything is there": {upgrading(ready, func(v *view) {
			v.parts[APIServer], v.parts[ControllerManager], v.parts[Scheduler] = up(newer), up(newer), up(newer)
		}), "record Succeeded "},
		"back: the new API server still runs": {upgrading(undone, func(v *view) {
			v.parts[APIServer] = partView{running: true, version: newer, since: at(900)}
		}), "ask to end kube-apiserver"},
		"back: it ended": {upgrading(undone, func(v *view) { down(v, APIServer) }), "start kube-apiserver v1.36.3: back from v1.37.2: NeverReady"},
		"back: the old one starts": {upgrading(undone, func(v *view) {
			v.parts[APIServer] = partView{running: true, version: old, since: at(995)}
		}), "wait"},
		"back: the old one serves": {upgrading(undone, func(*view) {}), "record Failed NeverReady"},
		"back: the old one does not become Ready either": {upgrading(Upgrade{Snapshot: "a.db", Code: NeverReady, Undone: at(800)}, func(v *view) {
			v.parts[APIServer] = partView{running: true, version: old, since: at(850)}
		}), "record Failed NeverReady"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := summary(next(test.view)); got != test.want {
				t.Errorf("next = %q, want %q", got, test.want)
			}
		})
	}
}

func TestNextToStop(t *testing.T) {
	asked := func(parts ...Part) func(*view) {
		return func(v *view) {
			v.stopping = true
			for _, part := range parts {
				set(v, part, func(p *partView) { p.asked = at(999) })
			}
		}
	}
	tests := map[string]struct {
		view view
		want string
	}{
		"everything runs":              {settled(asked()), "ask to end kwok"},
		"the clients are ending":       {settled(asked(Kwok, Scheduler, ControllerManager)), "wait"},
		"one client is left":           {settled(func(v *view) { asked(Scheduler)(v); down(v, Kwok, ControllerManager) }), "wait"},
		"the clients ended":            {settled(func(v *view) { asked()(v); down(v, Kwok, Scheduler, ControllerManager) }), "ask to end kube-apiserver"},
		"the API server is ending":     {settled(func(v *view) { asked(APIServer)(v); down(v, Kwok, Scheduler, ControllerManager) }), "wait"},
		"only etcd is left":            {settled(func(v *view) { asked()(v); down(v, Kwok, Scheduler, ControllerManager, APIServer) }), "ask to end etcd"},
		"nothing is left":              {settled(func(v *view) { asked()(v); down(v, Parts()...) }), "finished"},
		"an upgrade waits for a start": {upgrading(Upgrade{Snapshot: "a.db"}, func(v *view) { asked()(v); down(v, Parts()...) }), "finished"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := summary(next(test.view)); got != test.want {
				t.Errorf("next = %q, want %q", got, test.want)
			}
		})
	}
}

// A part that does not end is killed once, when its patience is over.
func TestKillOnce(t *testing.T) {
	v := settled(func(v *view) {
		v.stopping = true
		down(v, Kwok, ControllerManager)
		set(v, Scheduler, func(p *partView) { p.asked = at(900) })
	})
	if a := next(v); a.do != kill || a.part != Scheduler {
		t.Errorf("next = %q, want the scheduler killed", summary(a))
	}
	set(&v, Scheduler, func(p *partView) { p.killed = true })
	if a := next(v); a.do != wait {
		t.Errorf("next = %q, want to wait for what was killed", summary(a))
	}
}

// Whoever waits is told until when: nothing depends on being woken.
func TestWaitHasAnEnd(t *testing.T) {
	views := map[string]struct {
		view   view
		atMost time.Duration
	}{
		"at rest":            {settled(func(*view) {}), lazily},
		"a part is starting": {settled(func(v *view) { v.parts[Scheduler] = partView{running: true, version: old, since: at(999)} }), quickly},
		"a part is ending":   {settled(func(v *view) { set(v, Kwok, func(p *partView) { p.asked = at(999) }) }), quickly},
		"a part is not well": {settled(func(v *view) { v.parts[Scheduler] = partView{running: true, version: old, since: at(0)} }), slowly},
		"a part rests":       {settled(func(v *view) { v.parts[Scheduler] = partView{retry: at(1001)} }), slowly},
		"everything is ended": {settled(func(v *view) {
			v.stopping = true
			set(v, Kwok, func(p *partView) { p.asked = at(999) })
			down(v, Scheduler, ControllerManager)
		}), 10 * time.Second},
	}
	for name, test := range views {
		t.Run(name, func(t *testing.T) {
			a := next(test.view)
			if a.do != wait || !a.recheck.After(now()) || a.recheck.After(now().Add(test.atMost)) {
				t.Errorf("next = %q until %s, want to wait for at most %s", summary(a), a.recheck.Sub(now()), test.atMost)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	running := Upgrade{ID: "one", Request: Request{Token: "t1", From: old, To: newer}, Phase: Running}
	failed := Upgrade{ID: "two", Request: Request{Token: "t2", From: old, To: newer}, Phase: Failed, Code: NeverReady}
	tests := map[string]struct {
		request Request
		version string
		past    []Upgrade
		answer  string // the ID
		refusal RefusalReason
	}{
		"new":                             {Request{Token: "t", From: old, To: newer}, old, nil, "", ""},
		"a patch":                         {Request{Token: "t", From: old, To: "v1.36.4"}, old, nil, "", ""},
		"the same token, while it runs":   {Request{Token: "t1", From: old, To: newer}, old, []Upgrade{running}, "one", ""},
		"the same token, after it failed": {Request{Token: "t2", From: old, To: newer}, old, []Upgrade{failed}, "two", ""},
		"another token, the same way":     {Request{Token: "t", From: old, To: newer}, old, []Upgrade{running}, "one", ""},
		"another token, after a failure":  {Request{Token: "t", From: old, To: newer}, old, []Upgrade{failed}, "", ""},
		"another way, while one runs":     {Request{Token: "t", From: old, To: "v1.36.4"}, old, []Upgrade{running}, "", InProgress},
		"there already":                   {Request{Token: "t", From: old, To: newer}, newer, nil, "at-" + newer, ""},
		"from elsewhere":                  {Request{Token: "t", From: old, To: newer}, "v1.36.1", nil, "", Changed},
		"two minors":                      {Request{Token: "t", From: old, To: "v1.38.0"}, old, nil, "", Invalid},
		"another major":                   {Request{Token: "t", From: old, To: "v2.37.0"}, old, nil, "", Invalid},
		"back a minor":                    {Request{Token: "t", From: newer, To: old}, newer, nil, "", Invalid},
		"back a patch":                    {Request{Token: "t", From: old, To: "v1.36.2"}, old, nil, "", Invalid},
		"no version":                      {Request{Token: "t", From: old, To: "latest"}, old, nil, "", Invalid},
		"from no version":                 {Request{Token: "t", From: "", To: newer}, old, nil, "", Invalid},
		"two without tokens":              {Request{From: old, To: newer}, old, []Upgrade{{ID: "three", Phase: Failed}}, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer, err := judge(test.request, test.version, test.past)
			id := ""
			if answer != nil {
				id = answer.ID
			}
			var reason RefusalReason
			if refusal, ok := AsRefusal(err); ok {
				reason = refusal.Reason
			}
			if diff := cmp.Diff([]any{test.answer, test.refusal}, []any{id, reason}); diff != "" {
				t.Errorf("judge (-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	var got []time.Duration
	for n := range 9 {
		got = append(got, backoff(n))
	}
	s := time.Second
	want := []time.Duration{s / 2, s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s, 30 * s}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("backoff (-want +got):\n%s", diff)
	}
	if backoff(1000) != 30*s {
		t.Errorf("backoff(1000) = %s", backoff(1000))
	}
}
