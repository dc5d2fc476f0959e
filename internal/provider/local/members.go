package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/process"
)

// Members are the local members of one data directory.
type Members struct {
	// Dir is the data directory.
	Dir string
	// Supervisor is the command that runs Supervise; the member's folder is
	// added as its last argument.
	Supervisor []string
	// Get finds binaries; what is missing is fetched before a member is made.
	Get controlplane.Get
}

// membersFolder is where members lie in a data directory.
const membersFolder = "local"

// Folder is the folder of a member, whether or not it exists. Its path is the
// same however the data directory is named, for processes are marked with it.
func (m Members) Folder(name string) string {
	dir := m.Dir
	if absolute, err := filepath.Abs(dir); err == nil {
		dir = absolute
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return filepath.Join(dir, membersFolder, name)
}

func (m Members) folder(name string) (folder, error) {
	if err := checkName("name", name, maxName); err != nil {
		return "", err
	}
	f := folder(m.Folder(name))
	if !exists(string(f)) {
		return "", fmt.Errorf("there is no local member %q; see: refit local list", name)
	}
	return f, nil
}

// Names lists the members, half-made ones too.
func (m Members) Names() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(m.Dir, membersFolder))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list local members: %w", err)
	}
	var names []string
	for _, entry := range entries { // sorted by name
		if entry.IsDir() && checkName("name", entry.Name(), maxName) == nil {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// Known tells whether there is a folder of members to look into: where it is
// missing, nothing can be said about who was deleted.
func (m Members) Known() bool {
	_, err := os.Stat(filepath.Join(m.Dir, membersFolder))
	return err == nil
}

// Start makes a stopped member run again.
func (m Members) Start(ctx context.Context, name string) error {
	f, err := m.folder(name)
	if err != nil {
		return err
	}
	if halfMade(f) {
		return fmt.Errorf("start %s: its creation was cut short; delete it with: refit local delete %s", name, name)
	}
	if err := os.Remove(f.stopped()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("start %s: %w", name, err)
	}
	return m.launch(ctx, f)
}

// Stop stops a member, which keeps its data. It stays stopped until Start or
// StartAll.
func (m Members) Stop(ctx context.Context, name string) error {
	f, err := m.folder(name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.stopped(), nil, 0o600); err != nil {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	if err := m.halt(ctx, f); err != nil {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	return nil
}

// Delete stops a member and removes all that it is.
func (m Members) Delete(ctx context.Context, name string) error {
	f, err := m.folder(name)
	if err != nil {
		return err
	}
	if holder, held := process.Holder(f.creating()); held && holder.PID != os.Getpid() {
		return fmt.Errorf("delete %s: process %d is creating it; interrupt that first", name, holder.PID)
	}
	// Nothing of it is to be kept, so nothing needs to end in good order.
	if err := os.WriteFile(f.stopped(), nil, 0o600); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	if err := killAll(ctx, f); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	if err := os.RemoveAll(string(f)); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// Keep makes sure that every member that is not stopped on purpose has a living
// supervisor. It is cheap, and called again and again.
func (m Members) Keep(ctx context.Context) error {
	names, err := m.Names()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		f := folder(m.Folder(name))
		if exists(f.stopped()) || exists(f.creating()) || !exists(f.declaration()) || justStarted(f) {
			continue
		}
		if _, alive := process.Holder(f.lock()); alive {
			continue
		}
		if err := m.launch(ctx, f); err != nil {
			errs = append(errs, fmt.Errorf("start %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// restBetweenStarts keeps a supervisor that cannot live from being started
// every other second. The lock is written when one starts.
const restBetweenStarts = 10 * time.Second

func justStarted(f folder) bool {
	info, err := os.Stat(f.lock())
	return err == nil && time.Since(info.ModTime()) < restBetweenStarts
}

// StartAll starts the members that StopAll, or Stop, stopped.
func (m Members) StartAll(ctx context.Context) error {
	return m.each(func(name string) error {
		if halfMade(folder(m.Folder(name))) {
			return nil // there is nothing to start, and its state is listed
		}
		return m.Start(ctx, name)
	})
}

// StopAll stops all members.
func (m Members) StopAll(ctx context.Context) error {
	return m.each(func(name string) error { return m.Stop(ctx, name) })
}

// each does the same to all members at once: most of it is waiting.
func (m Members) each(do func(name string) error) error {
	names, err := m.Names()
	if err != nil {
		return err
	}
	results := make(chan error, len(names))
	for _, name := range names {
		go func() { results <- do(name) }()
	}
	errs := make([]error, 0, len(names))
	for range names {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

// halfMade tells whether the creation of a member was cut short.
func halfMade(f folder) bool {
	_, held := process.Holder(f.creating())
	return !held && (exists(f.creating()) || !exists(f.declaration()))
}

// launchTimeout is how long a supervisor may take to answer: it has only its
// records to read.
const launchTimeout = 30 * time.Second

// launch starts a supervisor where none lives, and waits until one answers.
func (m Members) launch(ctx context.Context, f folder) error {
	ctx, cancel := context.WithTimeout(ctx, launchTimeout)
	defer cancel()
	if call(ctx, f, "GET", "/v1/status", nil, &memberStatus{}) == nil {
		return nil
	}
	started, err := m.spawn(f)
	if err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := call(ctx, f, "GET", "/v1/status", nil, &memberStatus{})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the supervisor: %w", err)
		case <-started.Ended():
			// Where another one holds the member, that one answers soon.
			if _, alive := process.Holder(f.lock()); !alive {
				return fmt.Errorf("the supervisor ended: %s; see %s:\n%s", started.How(), f.log(), process.Tail(f.log(), 3))
			}
			<-tick.C
		case <-tick.C:
		}
	}
}

func (m Members) spawn(f folder) (*process.Process, error) {
	if err := process.Supported(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(f.log()), 0o700); err != nil {
		return nil, fmt.Errorf("start the supervisor: %w", err)
	}
	if err := process.BoundLog(f.log(), logLimit); err != nil {
		return nil, err
	}
	command := append(m.Supervisor[1:len(m.Supervisor):len(m.Supervisor)], string(f))
	return process.Start(process.Command{
		Path: m.Supervisor[0], Args: command, Dir: string(f), Mark: f.mark() + "supervisor", Log: f.log(),
		// It may have to build binaries, for which it needs what the user's shell has.
		Env: os.Environ(),
	})
}

// haltTimeout is longer than an API server and etcd may take together.
const haltTimeout = 2 * time.Minute

// halt makes the supervisor end all parts and itself, and returns when they are
// gone. Parts that a killed supervisor left get a new one, for that knows in
// which order they end.
func (m Members) halt(ctx context.Context, f folder) error {
	holder, alive := process.Holder(f.lock())
	if !alive {
		strays, err := process.Find(f.mark())
		if err != nil || len(strays) == 0 {
			return err
		}
		if err := m.launch(ctx, f); err != nil {
			return errors.Join(err, killAll(ctx, f))
		}
		if holder, alive = process.Holder(f.lock()); !alive {
			return killAll(ctx, f)
		}
	}
	supervisor, err := process.Adopt(holder)
	if errors.Is(err, os.ErrProcessDone) {
		return killAll(ctx, f)
	}
	if err != nil {
		return err
	}
	if call(ctx, f, "POST", "/v1/stop", struct{}{}, &struct{}{}) != nil {
		_ = supervisor.Signal(syscall.SIGTERM) // means the same
	}
	ctx, cancel := context.WithTimeout(ctx, haltTimeout)
	defer cancel()
	select {
	case <-supervisor.Ended():
	case <-ctx.Done():
	}
	return killAll(context.WithoutCancel(ctx), f)
}

// killAll kills what there is of a member: first the supervisor, which would
// start the parts again.
func killAll(ctx context.Context, f folder) error {
	if holder, alive := process.Holder(f.lock()); alive {
		if err := killOne(ctx, holder); err != nil {
			return err
		}
	}
	found, err := process.Find(f.mark())
	if err != nil {
		return err
	}
	for id := range found {
		if err := killOne(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// killTimeout is for a process that waits for a disk.
const killTimeout = 30 * time.Second

func killOne(ctx context.Context, id process.ID) error {
	p, err := process.Adopt(id)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	select {
	case <-p.Ended():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("process %d does not end: %w", id.PID, ctx.Err())
	}
}
