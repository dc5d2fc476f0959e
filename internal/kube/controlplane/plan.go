package controlplane

import (
	"fmt"
	"time"
)

// A view is all that the next action is decided from.
type view struct {
	now time.Time
	// stopping: everything is to end.
	stopping bool
	// version is the control plane's own, outside of an upgrade.
	version                  string
	etcdVersion, kwokVersion string
	// upgrade is the running one, or nil.
	upgrade  *Upgrade
	parts    map[Part]partView
	binaries map[binary]binaryView
}

// A partView is what is seen of one part.
type partView struct {
	running bool
	version string
	since   time.Time
	healthy bool
	// unwell says why it is not healthy, as far as it told.
	unwell string
	// asked is when it was asked to end; zero if it was not.
	asked  time.Time
	killed bool
	// exit is the last end that nobody asked for, in this boot; nil if there was
	// none. What ended with the machine says nothing about the part.
	exit *exit
	// retry is when it may be started again.
	retry time.Time
}

// A binary is one version of what a part is run from.
type binary struct{ artefact, version string }

type binaryView struct {
	here     bool
	fetching bool
	err      string
	retry    time.Time
}

// binaryOf names what a part of a version is run from.
func binaryOf(part Part, version string) binary {
	switch part {
	case Etcd, Kwok:
		return binary{string(part), version}
	case APIServer, ControllerManager, Scheduler:
	}
	return binary{"kubernetes", version}
}

// An action is the one thing to do next.
type action struct {
	do      verb
	part    Part
	version string
	reason  string
	binary  binary
	// upgrade is what to record of the running one; part is then whose log tells
	// more, if any does.
	upgrade *Upgrade
	// recheck is when to look again although nothing happened; zero for never.
	recheck time.Time
}

type verb string

const (
	wait     verb = "wait"
	start    verb = "start"
	ask      verb = "ask to end"
	kill     verb = "kill"
	fetch    verb = "fetch"
	snapshot verb = "snapshot"
	note     verb = "record"
	finished verb = "finished" // nothing runs any more, as asked
)

// next decides. It is called again after every action, so it never has to think
// more than one step ahead.
func next(v view) action {
	if v.stopping {
		return nextToStop(v)
	}
	if v.upgrade != nil {
		if a := nextOfUpgrade(v, *v.upgrade); a.do != wait {
			return a
		}
	}
	return nextOfParts(v)
}

// nextOfUpgrade is what the upgrade needs apart from its parts: something
// fetched, saved or written down.
func nextOfUpgrade(v view, u Upgrade) action {
	server := v.parts[APIServer]
	switch {
	case !u.Undone.IsZero():
		return nextOnTheWayBack(v, u)
	case u.Snapshot == "":
		return nextBeforeTheChange(v, u)
	case !u.Ready.IsZero():
		return nextAfterReady(v, u)
	case server.running && server.version == u.To && server.healthy:
		u.Ready = v.now
		return action{do: note, upgrade: &u}
	case server.running && server.version == u.To && v.now.Sub(server.since) > u.limit():
		return giveUp(v, u, NeverReady, fmt.Sprintf("kube-apiserver %s was not Ready within %s%s", u.To, u.limit(), because(server.unwell)))
	case !server.running && server.exit != nil && server.exit.version == u.To && server.exit.started.After(u.Started):
		return giveUp(v, u, ExitedAtOnce, fmt.Sprintf("kube-apiserver %s ended before it was Ready: %s", u.To, server.exit.how))
	}
	return action{do: wait}
}

func giveUp(v view, u Upgrade, code, message string) action {
	u.Undone, u.Code, u.Message = v.now, code, message
	return action{do: note, part: APIServer, upgrade: &u}
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func nextBeforeTheChange(v view, u Upgrade) action {
	wanted := binaryOf(APIServer, u.To)
	switch b := v.binaries[wanted]; {
	case b.err != "":
		return action{do: note, upgrade: u.end(Failed, NoBinaries, b.err, v.now)}
	case b.fetching:
		return action{do: wait}
	case !b.here:
		return action{do: fetch, binary: wanted}
	case !v.parts[Etcd].healthy:
		return action{do: wait} // and keep the parts running meanwhile
	}
	return action{do: snapshot, upgrade: &u}
}

// nextAfterReady waits for what follows the API server. Where that is away, it
// waits for as long as that takes: there is no way back, and nothing else to do.
func nextAfterReady(v view, u Upgrade) action {
	server := v.parts[APIServer]
	if !server.running || !server.healthy {
		return action{do: wait}
	}
	for _, part := range []Part{ControllerManager, Scheduler} {
		p := v.parts[part]
		if p.running && p.version == u.To && p.healthy {
			continue
		}
		if v.now.Sub(later(u.Ready, server.since)) > u.limit() {
			message := fmt.Sprintf("%s %s was not healthy within %s%s; there is no way back, since the new API server has served", part, u.To, u.limit(), because(p.unwell))
			return action{do: note, part: part, upgrade: u.end(Failed, NotHealthy, message, v.now)}
		}
		return action{do: wait}
	}
	return action{do: note, upgrade: u.end(Succeeded, "", "", v.now)}
}

// nextOnTheWayBack ends the upgrade when the old API server serves again, or
// when that takes too long as well: a person has to look then.
func nextOnTheWayBack(v view, u Upgrade) action {
	server := v.parts[APIServer]
	switch {
	case server.running && server.version == u.From && server.healthy:
		return action{do: note, upgrade: u.end(Failed, u.Code, u.Message+"; "+u.From+" serves again", v.now)}
	case v.now.Sub(u.Undone) > u.limit()+APIServer.patience():
		return action{do: note, upgrade: u.end(Failed, u.Code, u.Message+"; "+u.From+" does not become Ready again either", v.now)}
	}
	return action{do: wait}
}

// wanted is the version that a part should run now.
func (v view) wanted(part Part) string {
	switch {
	case part == Etcd:
		return v.etcdVersion
	case part == Kwok:
		return v.kwokVersion
	case v.upgrade == nil:
		return v.version
	case part == APIServer && v.upgrade.Snapshot != "" && v.upgrade.Undone.IsZero():
		return v.upgrade.To
	case part != APIServer && !v.upgrade.Ready.IsZero():
		return v.upgrade.To
	default:
		return v.upgrade.From
	}
}

// nextOfParts brings each part to the version it should run, in the order they
// start in.
func nextOfParts(v view) action {
	recheck := v.recheck()
	for _, part := range Parts() {
		p, version := v.parts[part], v.wanted(part)
		if p.running && (p.version != version || !p.asked.IsZero()) {
			if a := nextToEnd(v, part, "makes way for "+version); a.do != wait {
				return a
			}
			continue
		}
		if p.running {
			continue
		}
		if need := part.needs(); need != "" && !v.parts[need].healthy {
			continue
		}
		wanted := binaryOf(part, version)
		switch b := v.binaries[wanted]; {
		case b.fetching:
		case !b.here && v.now.Before(b.retry), v.now.Before(p.retry):
			recheck = earliest(recheck, later(p.retry, b.retry))
		case !b.here:
			return action{do: fetch, binary: wanted}
		default:
			return action{do: start, part: part, version: version, reason: v.reason(part, version)}
		}
	}
	return action{do: wait, recheck: recheck}
}

// reason says in the journal why a part is started.
func (v view) reason(part Part, version string) string {
	u, last := v.upgrade, v.parts[part].exit
	switch {
	case u != nil && version == u.To && part != Etcd && part != Kwok:
		return "upgrade from " + u.From
	case u != nil && !u.Undone.IsZero() && part == APIServer:
		return "back from " + u.To + ": " + u.Code
	case last != nil:
		return "again, after: " + last.how
	default:
		return "start"
	}
}

// nextToEnd asks a part to end, and kills it when its patience is over.
func nextToEnd(v view, part Part, reason string) action {
	p := v.parts[part]
	deadline := p.asked.Add(part.patience())
	switch {
	case p.asked.IsZero():
		return action{do: ask, part: part, reason: reason}
	case v.now.After(deadline) && !p.killed:
		return action{do: kill, part: part, reason: "did not end within " + part.patience().String()}
	}
	return action{do: wait, recheck: deadline}
}

// nextToStop ends everything: first what uses the API server, then it, then etcd.
func nextToStop(v view) action {
	for _, layer := range [][]Part{{Kwok, Scheduler, ControllerManager}, {APIServer}, {Etcd}} {
		waiting := action{do: finished}
		for _, part := range layer {
			if !v.parts[part].running {
				continue
			}
			a := nextToEnd(v, part, "the control plane is stopped")
			if a.do != wait {
				return a
			}
			waiting = action{do: wait, recheck: earliest(waiting.recheck, a.recheck)}
		}
		if waiting.do == wait {
			return waiting
		}
	}
	return action{do: finished}
}

// How often health is looked at: quickly while something is about to change, for
// that counts in an upgrade's outage; lazily when nothing is.
const (
	quickly = 100 * time.Millisecond
	slowly  = time.Second
	lazily  = 10 * time.Second
	// A part that is not healthy after this will not be so in the next moment.
	settling = 3 * time.Minute
)

func (v view) recheck() time.Time {
	pause := lazily
	for _, part := range Parts() {
		switch p := v.parts[part]; {
		case !p.asked.IsZero(), p.running && !p.healthy && v.now.Sub(p.since) < settling:
			return v.now.Add(quickly)
		case !p.running, !p.healthy:
			pause = slowly
		}
	}
	return v.now.Add(pause)
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
