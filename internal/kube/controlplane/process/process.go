package process

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
)

// Command says how to start a process.
type Command struct {
	// Path is the executable; Args follow it.
	Path string
	Args []string
	// Dir is the working directory.
	Dir string
	// Env is the whole environment, but for the mark.
	Env []string
	// Mark is what Find finds the process by.
	Mark string
	// Log is the file that gets what the process prints.
	Log string
}

// Process is one that was started or adopted here.
type Process struct {
	ID ID
	// Exe is the file it runs, with symbolic links resolved.
	Exe string

	signal func(syscall.Signal) error
	ended  chan struct{}
	how    string
}

// Start starts a process in a session of its own: neither the end of the
// starter nor a Ctrl-C on its terminal reaches it.
func Start(c Command) (*Process, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: open its log: %w", c.Path, err)
	}
	defer func() { _ = log.Close() }() // the process has its own copy
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir = c.Dir
	cmd.Env = append(slices.Clone(c.Env), markVariable+"="+c.Mark)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	p := &Process{ended: make(chan struct{}), signal: func(s syscall.Signal) error { return cmd.Process.Signal(s) }}
	if err := p.identify(cmd.Process.Pid); err != nil {
		// It ended before it could be read; only its parent can tell how.
		p.ID.PID = cmd.Process.Pid
	}
	go func() {
		defer close(p.ended)
		awaitQuietly(cmd.Process.Pid)
		_ = cmd.Wait() // says no more than ProcessState
		p.how = cmd.ProcessState.String()
	}()
	return p, nil
}

// awaitQuietly waits for a child in the runtime's poller: cmd.Wait alone would
// keep a thread for it. Until it is waited for, the child keeps its pid.
func awaitQuietly(pid int) {
	handle, err := openPidfd(pid)
	if err != nil {
		return // cmd.Wait waits then
	}
	defer handle.close()
	handle.wait()
}

// Adopt takes over a process that someone else started: its parent may be dead.
// If it has ended the error is os.ErrProcessDone.
func Adopt(id ID) (*Process, error) {
	handle, err := openPidfd(id.PID)
	if err != nil {
		return nil, fmt.Errorf("adopt process %d: %w", id.PID, err)
	}
	p := &Process{ended: make(chan struct{}), signal: handle.signal}
	// Compared after the handle was opened: the handle stays with the process
	// it was opened for, whatever becomes of the pid.
	if err := p.identify(id.PID); err != nil || p.ID != id {
		handle.close()
		return nil, fmt.Errorf("adopt process %d: %w", id.PID, os.ErrProcessDone)
	}
	go func() {
		defer close(p.ended)
		defer handle.close()
		handle.wait()
		p.how = "ended; only the process that started it could see how"
	}()
	return p, nil
}

func (p *Process) identify(pid int) (err error) {
	if p.ID, err = Identify(pid); err != nil {
		return err
	}
	p.Exe, err = Executable(pid)
	return err
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// How says how the process ended; it is empty while it runs.
func (p *Process) How() string {
	select {
	case <-p.ended:
		return p.how
	default:
		return ""
	}
}

// Signal sends a signal. It is no error if the process has ended.
func (p *Process) Signal(s syscall.Signal) error {
	if p.How() != "" {
		return nil
	}
	if err := p.signal(s); err != nil && !isGone(err) {
		return fmt.Errorf("send %s to process %d: %w", s, p.ID.PID, err)
	}
	return nil
}
