package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"refit.dev/refit/internal/kube/controlplane/process"
)

// observe asks every running part how it is, and answers with all that the next
// action is decided from.
func (c *ControlPlane) observe(ctx context.Context) view {
	c.mu.Lock()
	ports, asked := c.state.Ports, map[Part]*process.Process{}
	for _, name := range Parts() {
		// One that is to end is not asked: the answer would change nothing.
		if p := c.parts[name]; p.process != nil && p.asked.IsZero() && !c.stopping {
			asked[name] = p.process
		}
	}
	c.mu.Unlock()

	health := c.probe(ctx, asked, ports)

	c.mu.Lock()
	defer c.mu.Unlock()
	for name, p := range c.parts {
		// The answer is that of the process that was asked, not of its successor.
		err, answered := health[name]
		answered = answered && p.process != nil && p.process == asked[name]
		p.healthy, p.unwell = answered && err == nil, ""
		if answered && err != nil {
			p.unwell = err.Error()
		}
	}
	return c.view(time.Now())
}

func (c *ControlPlane) probe(ctx context.Context, asked map[Part]*process.Process, ports Ports) map[Part]error {
	var (
		mu     sync.Mutex
		all    sync.WaitGroup
		health = map[Part]error{}
	)
	for name := range asked {
		all.Go(func() {
			err := c.prober.ask(ctx, name, ports)
			mu.Lock()
			defer mu.Unlock()
			health[name] = err
		})
	}
	all.Wait()
	return health
}

// view is what is known at the moment; c.mu is held.
func (c *ControlPlane) view(now time.Time) view {
	v := view{
		now: now, stopping: c.stopping, version: c.state.Version, upgrade: c.state.runningUpgrade(),
		etcdVersion: c.config.EtcdVersion, kwokVersion: c.config.KwokVersion,
		parts: map[Part]partView{}, binaries: map[binary]binaryView{},
	}
	for name, p := range c.parts {
		v.parts[name] = partView{
			running: p.process != nil, version: p.version, since: p.since, healthy: p.healthy, unwell: p.unwell,
			asked: p.asked, killed: p.killed, exit: p.exit, retry: p.retry,
		}
	}
	for name, f := range c.binaries {
		b := binaryView{here: f.path != "", fetching: f.fetching, retry: f.retry}
		if f.err != nil {
			b.err = f.err.Error()
		}
		v.binaries[name] = b
	}
	return v
}

// adopt takes over what runs: what the journal tells of, and what was started
// when the journal could not be written any more.
func (c *ControlPlane) adopt() error {
	boot, err := process.Boot()
	if err != nil {
		return err
	}
	for _, name := range Parts() {
		started, ok := c.journal.LastStart(string(name))
		if !ok {
			continue
		}
		if err := c.adoptRecorded(name, started, boot); err != nil {
			return err
		}
	}
	found, err := process.Find(c.config.Dir + " ")
	if err != nil {
		return err
	}
	for id, mark := range found {
		if err := c.adoptFound(id, mark); err != nil {
			return err
		}
	}
	return nil
}

// adoptRecorded adopts the process of a part's last start, or notes its end.
func (c *ControlPlane) adoptRecorded(name Part, started process.Entry, boot string) error {
	p := c.parts[name]
	p.exit = c.lastExit(name, boot)
	if _, ended := c.journal.End(started.ID); ended {
		return nil
	}
	running, err := process.Adopt(started.ID)
	if err == nil && running.Exe == started.Exe {
		c.log.Info("adopted", "part", name, "version", started.Version, "pid", started.PID)
		c.supervise(name, running, started.Version, started.Time)
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	ended := process.Entry{Time: time.Now().UTC(), Event: process.Ended, Part: string(name), Version: started.Version, ID: started.ID, Reason: unwatched}
	if started.Boot == boot {
		p.exit = &exit{version: started.Version, started: started.Time, how: ended.Reason}
	} else {
		ended.Reason = "ended with the machine"
	}
	return c.journal.Add(ended)
}

// adoptFound adopts a process with our mark that the journal does not know: the
// supervision before this one was killed in the moment after it started it.
func (c *ControlPlane) adoptFound(id process.ID, mark string) error {
	text, version, _ := strings.Cut(mark, " ")
	name := Part(text)
	p, ok := c.parts[name]
	if !ok || (p.process != nil && p.process.ID == id) {
		return nil
	}
	running, err := process.Adopt(id)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	if p.process != nil { // cannot be; two of a kind must not stay
		c.log.Warn("ending a second process of one part", "part", name, "pid", id.PID)
		return running.Signal(syscall.SIGTERM)
	}
	entry := process.Entry{
		Time: time.Now().UTC(), Event: process.Started, Part: text, Version: version,
		ID: id, Exe: running.Exe, Reason: "found running; its start had not been recorded",
	}
	if err := c.journal.Add(entry); err != nil {
		return err
	}
	c.supervise(name, running, version, entry.Time)
	return nil
}

// explain says why a part does not run, is not healthy or shaky; c.mu is held.
func (c *ControlPlane) explain(v view, name Part) string {
	p := c.parts[name]
	f := c.binaries[binaryOf(name, v.wanted(name))]
	switch {
	case p.process == nil && f != nil && f.fetching:
		return f.busy
	case p.process == nil && f != nil && f.err != nil:
		return f.err.Error()
	case v.shaky(name):
		return v.parts[name].story() + "; see " + Log(c.config.Dir, name)
	case p.process != nil:
		return c.explainRunning(name)
	case p.exit != nil:
		return p.exit.how + "; see " + Log(c.config.Dir, name)
	}
	if need := name.needs(); need != "" && !c.parts[need].healthy {
		return "waits for " + string(need)
	}
	return "starting"
}

func (c *ControlPlane) explainRunning(name Part) string {
	switch p := c.parts[name]; {
	case !p.asked.IsZero():
		return "ending"
	case !p.healthy:
		return "not healthy; see " + Log(c.config.Dir, name)
	}
	return ""
}

// busyWith says what a running upgrade does now; c.mu is held.
func (c *ControlPlane) busyWith(v view, u Upgrade) string {
	f := c.binaries[binaryOf(APIServer, u.To)]
	server := v.parts[APIServer]
	switch {
	case !u.Undone.IsZero():
		return u.Message + "; taking " + u.From + " back"
	case u.Snapshot == "" && f != nil && f.fetching:
		return f.busy
	case u.Snapshot == "":
		return "saving etcd to " + filepath.Join(c.config.Dir, "snapshots")
	case server.running && server.version != u.To:
		return fmt.Sprintf("waiting for kube-apiserver %s to end", server.version)
	case u.Ready.IsZero():
		return fmt.Sprintf("waiting for kube-apiserver %s to be Ready", u.To)
	}
	if !server.running || !server.healthy {
		return fmt.Sprintf("kube-apiserver was Ready, so that there is no way back, and is not any more: %s", c.explain(v, APIServer))
	}
	for _, name := range []Part{ControllerManager, Scheduler} {
		if p := v.parts[name]; p.version != u.To || !p.healthy {
			return fmt.Sprintf("waiting for %s %s", name, u.To)
		}
	}
	return ""
}
