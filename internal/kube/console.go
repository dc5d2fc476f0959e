package kube

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// A console tells a person what takes long: on a terminal in one line that
// changes, elsewhere in a line now and then.
type console struct {
	terminal bool
	first    time.Duration // until the first progress line of a job
	every    time.Duration // until the next

	mu  sync.Mutex // one writer at a time, also to out
	out io.Writer
}

func newConsole(out io.Writer) *console {
	c := &console{out: out, first: 2 * time.Second, every: 15 * time.Second}
	if out == nil {
		c.out = io.Discard
	}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		c.terminal, c.every = true, 250*time.Millisecond
	}
	return c
}

// A job is one artefact's way into the store.
type job struct {
	console *console
	what    string
	started time.Time
	stop    chan struct{}
	stopped chan struct{}

	mu    sync.Mutex
	doing string
}

// begin starts to show the progress of a job, until its end.
func (c *console) begin(what string) *job {
	j := &job{console: c, what: what, started: time.Now(), stop: make(chan struct{}), stopped: make(chan struct{})}
	go j.show()
	return j
}

// report says what the job is doing now; it may be called any number of times.
func (j *job) report(doing string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.doing = doing
}

// say prints a line that stays.
func (j *job) say(format string, args ...any) {
	j.console.print("%s: %s\n", j.what, fmt.Sprintf(format, args...))
}

func (j *job) elapsed() time.Duration { return time.Since(j.started).Round(time.Second) }

func (j *job) end() {
	close(j.stop)
	<-j.stopped
}

func (j *job) show() {
	defer close(j.stopped)
	wait := time.NewTimer(j.console.first)
	defer wait.Stop()
	for {
		select {
		case <-j.stop:
			if j.console.terminal {
				j.console.print("")
			}
			return
		case <-wait.C:
			j.progress()
			wait.Reset(j.console.every)
		}
	}
}

func (j *job) progress() {
	j.mu.Lock()
	doing := j.doing
	j.mu.Unlock()
	if doing == "" {
		return
	}
	end := "\n"
	if j.console.terminal {
		end = "" // the next line overwrites this one
	}
	j.console.print("%s: %s, %s%s", j.what, doing, j.elapsed(), end)
}

// print clears the progress line first, if there is one.
func (c *console) print(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.terminal {
		format = "\r\x1b[K" + format
	}
	_, _ = fmt.Fprintf(c.out, format, args...) // progress is no reason to fail
}
