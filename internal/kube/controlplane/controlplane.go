package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/kube/controlplane/record"
)

// Get finds the folder that holds an artefact's commands ("kubernetes", "etcd"
// or "kwok"); it may take minutes, and reports what it is busy with.
type Get func(ctx context.Context, artefact, version string, report func(string)) (folder string, err error)

// ControlPlane supervises the parts of one control plane.
type ControlPlane struct {
	config  Config
	get     Get
	log     *slog.Logger
	journal *process.Journal
	prober  *prober
	// poke wakes the loop.
	poke chan struct{}

	mu       sync.Mutex
	state    state
	parts    map[Part]*part
	binaries map[binary]*folder
	stopping bool
}

// state is what is remembered between supervisions. What runs is not: that is
// seen.
type state struct {
	Version string `json:"version"`
	Ports   Ports  `json:"ports"`
	// Upgrades are the latest, oldest first; only the last one can be running.
	Upgrades []Upgrade `json:"upgrades,omitempty"`
}

// Requests are idempotent by token for as long as their upgrade is kept.
const upgradesKept = 20

// part is one part under supervision.
type part struct {
	process *process.Process // nil while none runs
	version string
	since   time.Time
	healthy bool
	unwell  string
	asked   time.Time
	killed  bool
	exit    *exit
	crashes int // in a row
	retry   time.Time
}

// folder is where a binary lies, or what keeps us from having it.
type folder struct {
	path     string
	fetching bool
	busy     string
	err      error
	retry    time.Time
}

// Open prepares the folder and adopts what runs of an earlier supervision. The
// caller holds the folder's lock.
func Open(config Config, get Get, log *slog.Logger) (*ControlPlane, error) {
	c := &ControlPlane{
		config: config, get: get, log: log,
		poke:     make(chan struct{}, 1),
		state:    state{Version: config.Version, Ports: config.Ports},
		parts:    map[Part]*part{},
		binaries: map[binary]*folder{},
	}
	if err := record.Load(c.statePath(), &c.state); err != nil {
		return nil, err
	}
	if err := config.prepare(c.state.Ports, time.Now()); err != nil {
		return nil, err
	}
	if err := record.Save(c.statePath(), c.state); err != nil {
		return nil, err
	}
	var err error
	if c.prober, err = newProber(config); err != nil {
		return nil, err
	}
	if c.journal, err = process.OpenJournal(Journal(config.Dir)); err != nil {
		return nil, err
	}
	for _, name := range Parts() {
		c.parts[name] = &part{}
	}
	return c, c.adopt()
}

// Journal is the file that has a line for every start and end of a part.
func Journal(dir string) string { return filepath.Join(dir, "starts.jsonl") }

func (c *ControlPlane) statePath() string { return c.config.path("controlplane.json") }

// RecordedPorts are those that a control plane last used, without supervising
// it; zeros if it never ran.
func RecordedPorts(dir string) (Ports, error) {
	var s state
	err := record.Load(filepath.Join(dir, "controlplane.json"), &s)
	return s.Ports, err
}

// Run keeps the parts running, until Stop was called and all have ended, or
// until ctx ends: then they are left running for the next supervision.
func (c *ControlPlane) Run(ctx context.Context) error {
	bounded := time.Now()
	for {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, c.journal.Close())
		}
		v := c.observe(ctx)
		a := next(v)
		if a.do == finished {
			return c.journal.Close()
		}
		if a.do != wait {
			if err := c.act(ctx, a); err != nil {
				c.log.Error("could not "+string(a.do), "part", a.part, "version", a.version, "error", err)
				a = action{do: wait, recheck: time.Now().Add(slowly)}
			}
		}
		if time.Since(bounded) > time.Minute {
			c.boundLogs()
			bounded = time.Now()
		}
		if a.do == wait {
			c.sleep(ctx, a.recheck)
		}
	}
}

// sleep returns when something happened, or at the time given.
func (c *ControlPlane) sleep(ctx context.Context, until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-c.poke:
	case <-timer.C:
	}
}

func (c *ControlPlane) wake() {
	select {
	case c.poke <- struct{}{}:
	default: // it is awake, or about to be
	}
}

// Stop makes Run end all parts and return.
func (c *ControlPlane) Stop() {
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	c.wake()
}

// Upgrade begins an upgrade, or answers with the one that the request names or
// that goes the same way. An error is a *Refusal, or the record's failure.
func (c *ControlPlane) Upgrade(request Request) (Upgrade, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, err := judge(request, c.state.Version, c.state.Upgrades)
	if err != nil {
		return Upgrade{}, err
	}
	if answer != nil {
		return *answer, nil
	}
	now := time.Now().UTC()
	u := Upgrade{ID: fmt.Sprintf("upgrade-%d", now.UnixMilli()), Request: request, Phase: Running, Started: now}
	changed := c.state
	changed.Upgrades = append(slices.Clone(c.state.Upgrades), u)
	changed.Upgrades = changed.Upgrades[max(0, len(changed.Upgrades)-upgradesKept):]
	if err := c.save(changed); err != nil {
		return Upgrade{}, err
	}
	// What kept an earlier attempt from its binaries may be over.
	if b := c.binaries[binaryOf(APIServer, request.To)]; b != nil {
		b.err, b.retry = nil, time.Time{}
	}
	c.log.Info("upgrade begins", "from", request.From, "to", request.To, "id", u.ID)
	c.wake()
	return u, nil
}

// save makes a changed state the state, once it is on disk.
func (c *ControlPlane) save(changed state) error {
	if err := record.Save(c.statePath(), changed); err != nil {
		return err
	}
	c.state = changed
	return nil
}

// runningUpgrade is nil if none runs.
func (s state) runningUpgrade() *Upgrade {
	if n := len(s.Upgrades); n > 0 && s.Upgrades[n-1].Phase == Running {
		return &s.Upgrades[n-1]
	}
	return nil
}

// Status is what can be told about a control plane without asking it.
type Status struct {
	// Version is the one it is to run; while an upgrade runs, the old one until
	// the new API server was Ready.
	Version  string       `json:"version"`
	Ports    Ports        `json:"ports"`
	Parts    []PartStatus `json:"parts"`
	Upgrades []Upgrade    `json:"upgrades,omitempty"`
}

// PartStatus tells of one part.
type PartStatus struct {
	Part    Part      `json:"part"`
	Version string    `json:"version,omitempty"`
	PID     int       `json:"pid,omitempty"` // 0 while it does not run
	Since   time.Time `json:"since,omitzero"`
	Healthy bool      `json:"healthy"`
	// Shaky marks one that ended by itself and has not yet run for long enough
	// since to be relied on, however healthy it is.
	Shaky bool `json:"shaky,omitempty"`
	// Message says why it does not run, is not healthy, or shaky.
	Message string `json:"message,omitempty"`
}

// Status tells how it is.
func (c *ControlPlane) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.view(time.Now())
	s := Status{Version: c.state.Version, Ports: c.state.Ports, Upgrades: slices.Clone(c.state.Upgrades)}
	for _, name := range Parts() {
		p := c.parts[name]
		status := PartStatus{Part: name, Shaky: v.shaky(name), Message: c.explain(v, name)}
		if p.process != nil {
			status.Version, status.PID, status.Since, status.Healthy = p.version, p.process.ID.PID, p.since, p.healthy
		}
		s.Parts = append(s.Parts, status)
	}
	if n := len(s.Upgrades); v.upgrade != nil {
		s.Upgrades[n-1].Message = c.busyWith(v, *v.upgrade)
	}
	return s
}

// Healthy tells whether a part runs and is well.
func (s Status) Healthy(name Part) bool {
	return slices.ContainsFunc(s.Parts, func(p PartStatus) bool { return p.Part == name && p.Healthy })
}
