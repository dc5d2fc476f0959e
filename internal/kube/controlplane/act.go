package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"refit.dev/refit/internal/kube/controlplane/process"
)

// act does one action.
func (c *ControlPlane) act(ctx context.Context, a action) error {
	switch a.do {
	case start:
		return c.start(ctx, a)
	case ask:
		return c.end(a, syscall.SIGTERM)
	case kill:
		return c.end(a, syscall.SIGKILL)
	case fetch:
		c.fetch(ctx, a.binary)
		return nil
	case snapshot:
		return c.snapshot(ctx, *a.upgrade)
	case note:
		return c.note(*a.upgrade, a.part)
	case wait, finished: // Run's own
	}
	return nil
}

func (c *ControlPlane) start(ctx context.Context, a action) error {
	if err := c.clearTheWay(ctx, a.part); err != nil {
		return err
	}
	c.mu.Lock()
	ports, at := c.state.Ports, c.binaries[binaryOf(a.part, a.version)]
	c.mu.Unlock()
	running, err := process.Start(c.config.command(a.part, a.version, at.path, ports))
	if err != nil {
		c.notFound(a.part, a.version)
		return err
	}
	entry := process.Entry{
		Time: time.Now().UTC(), Event: process.Started, Part: string(a.part), Version: a.version,
		ID: running.ID, Exe: running.Exe, Reason: a.reason,
	}
	c.log.Info("started", "part", a.part, "version", a.version, "pid", running.ID.PID, "reason", a.reason)
	if err := c.journal.Add(entry); err != nil {
		// An unrecorded process is found again by its mark.
		c.log.Error("the start was not recorded", "part", a.part, "error", err)
	}
	c.supervise(a.part, running, a.version, entry.Time)
	return nil
}

// clearTheWay puts away what a dead process left that would hinder the next.
func (c *ControlPlane) clearTheWay(ctx context.Context, part Part) error {
	if err := c.keepPort(part); err != nil {
		return err
	}
	if part != Kwok {
		return nil
	}
	c.mu.Lock()
	ports := c.state.Ports
	c.mu.Unlock()
	return c.prober.releaseNodes(ctx, ports)
}

// keepPort chooses another port if someone else listens on the part's: a
// stopped control plane cannot hold on to it.
func (c *ControlPlane) keepPort(part Part) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := c.state
	port := changed.Ports.of(part)
	if port == nil || portFree(*port) {
		return nil
	}
	free, err := ChoosePorts(c.config.Dir, []Ports{changed.Ports})
	if err != nil {
		return err
	}
	c.log.Warn("a port is taken by someone else; the part moves", "part", part, "from", *port, "to", free.APIServer)
	*port = free.APIServer
	if err := c.save(changed); err != nil {
		return err
	}
	if part != APIServer {
		return nil
	}
	return errors.Join(c.config.writeKubeconfigs(changed.Ports), c.restartClients())
}

// restartClients ends the parts that know the API server's old port; they start
// again with their new kubeconfigs. c.mu is held.
func (c *ControlPlane) restartClients() error {
	var errs []error
	for _, name := range []Part{ControllerManager, Scheduler, Kwok} {
		if p := c.parts[name]; p.process != nil && p.asked.IsZero() {
			p.asked = time.Now()
			errs = append(errs, p.process.Signal(syscall.SIGTERM))
		}
	}
	return errors.Join(errs...)
}

// notFound makes the binaries be looked for again: a cache may be emptied under
// a running control plane.
func (c *ControlPlane) notFound(part Part, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.binaries[binaryOf(part, version)]
	if _, err := os.Stat(filepath.Join(at.path, string(part))); err != nil {
		at.path = ""
	}
}

// supervise makes a process its part's, and notes its end when that comes.
func (c *ControlPlane) supervise(name Part, running *process.Process, version string, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parts[name]
	p.process, p.version, p.since = running, version, since
	p.healthy, p.unwell, p.asked, p.killed = false, "", time.Time{}, false
	go func() {
		<-running.Ended()
		c.ended(name, running)
	}()
}

func (c *ControlPlane) ended(name Part, running *process.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wake()
	p := c.parts[name]
	now, asked := time.Now(), !p.asked.IsZero()
	c.log.Info("ended", "part", name, "version", p.version, "pid", running.ID.PID, "how", running.How(), "asked", asked)
	entry := process.Entry{
		Time: now.UTC(), Event: process.Ended, Part: string(name), Version: p.version,
		ID: running.ID, Reason: running.How(), Asked: asked,
	}
	if err := c.journal.Add(entry); err != nil {
		c.log.Error("the end was not recorded", "part", name, "error", err)
	}
	p.process, p.healthy, p.unwell, p.asked, p.killed = nil, false, "", time.Time{}, false
	if asked {
		p.exit, p.crashes, p.retry = nil, 0, time.Time{}
		return
	}
	p.exit = &exit{version: p.version, started: p.since, ended: now, how: running.How()}
	if now.Sub(p.since) > stable {
		p.crashes = 0
	}
	p.retry = now.Add(backoff(p.crashes))
	p.crashes++
}

// A part that ran for this long did not fail because of its start.
const stable = time.Minute

// backoff is how long a part that crashed n times before rests: 0.5 s at first,
// then twice as long each time, up to half a minute.
func backoff(n int) time.Duration {
	const first, most = 500 * time.Millisecond, 30 * time.Second
	return min(first<<min(n, 10), most)
}

func (c *ControlPlane) end(a action, signal syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parts[a.part]
	if p.process == nil {
		return nil
	}
	c.log.Info("ending", "part", a.part, "version", p.version, "pid", p.process.ID.PID, "signal", signal.String(), "reason", a.reason)
	if p.asked.IsZero() {
		p.asked = time.Now()
	}
	p.killed = signal == syscall.SIGKILL
	return p.process.Signal(signal)
}

// fetch gets binaries in the background: it may take minutes, in which what
// runs is still to be looked after.
func (c *ControlPlane) fetch(ctx context.Context, wanted binary) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &folder{fetching: true, busy: "getting " + wanted.artefact + " " + wanted.version}
	c.binaries[wanted] = f
	report := func(text string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		f.busy = text
	}
	go func() {
		path, err := c.get(ctx, wanted.artefact, wanted.version, report)
		c.mu.Lock()
		defer c.mu.Unlock()
		defer c.wake()
		f.fetching, f.busy = false, ""
		if err != nil {
			f.err, f.retry = err, time.Now().Add(fetchAgain)
			c.log.Error("no binaries", "artefact", wanted.artefact, "version", wanted.version, "error", err)
			return
		}
		f.path = path
	}()
}

// What could not be had is seldom there in the next moment, and a try may
// download a lot.
const fetchAgain = time.Minute

// snapshot saves etcd and records that it did: from then on the new API server
// may start.
func (c *ControlPlane) snapshot(ctx context.Context, u Upgrade) error {
	name := fmt.Sprintf("%s-%s-to-%s", time.Now().UTC().Format("20060102T150405Z"), u.From, u.To)
	path, err := c.config.saveSnapshot(ctx, name)
	if err != nil {
		return c.note(*u.end(Failed, NoSnapshot, err.Error(), time.Now().UTC()), Etcd)
	}
	u.Snapshot = path
	return c.note(u, "")
}

// note records the running upgrade, and with it the version once the new API
// server serves: that is what the control plane is from then on. Of a part that
// is to blame it says where to read on.
func (c *ControlPlane) note(u Upgrade, blamed Part) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := c.state
	changed.Upgrades = slices.Clone(c.state.Upgrades)
	last := &changed.Upgrades[len(changed.Upgrades)-1]
	if blamed != "" {
		u.Message += "; see " + Log(c.config.Dir, blamed)
		if said := c.config.lastWords(blamed); said != "" && c.parts[blamed].process == nil {
			u.Message += ", which ends: " + said
		}
	}
	*last = u
	if !u.Ready.IsZero() {
		changed.Version = u.To
	}
	c.log.Info("upgrade", "id", u.ID, "to", u.To, "phase", u.Phase, "snapshot", u.Snapshot != "", "ready", !u.Ready.IsZero(), "undone", !u.Undone.IsZero(), "code", u.Code)
	return c.save(changed)
}

// saidLimit is more than a line has without its details.
const saidLimit = 300

// lastWords is the last line of a part's log, which of one that ended by itself
// mostly tells why.
func (c Config) lastWords(part Part) string {
	said := strings.ToValidUTF8(strings.TrimSpace(process.Tail(Log(c.Dir, part), 1)), "?")
	if len(said) > saidLimit {
		said = strings.ToValidUTF8(said[:saidLimit], "") + "…"
	}
	return said
}

// logLimit is per part and twice that on disk: five parts fit into 100 MB.
const logLimit = 10 << 20

func (c *ControlPlane) boundLogs() {
	for _, name := range Parts() {
		if err := process.BoundLog(Log(c.config.Dir, name), logLimit); err != nil {
			c.log.Error("log", "error", err)
		}
	}
}
