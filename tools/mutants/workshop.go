package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// atOnce is how many mutants are tried side by side: more would not be quicker on the machines of CI, and each may
// take the memory below.
const atOnce = 2

// memory is what the tests of a mutant may take, in KiB. A loop that never ends may append in every pass, and two
// of these must leave room for the machine.
const memory = 4 << 20

// A mutant hangs when its tests take this much more CPU than those of the code as it is, and then some, because the
// kernel counts in seconds. It is CPU and not time, so that a busy machine kills nobody.
const (
	patience = 10
	leeway   = 3 * time.Second
)

// idle is how long tests may take by the clock, for each second of CPU they may take: tests that wait for what
// never comes use none.
const idle = 30

// suite is the tests of one package.
type suite struct {
	path string // the package's
	dir  string
	deps map[string]bool
	// quick and full are the CPU that the tests took without a mutant.
	quick, full time.Duration
}

// binary is what the go command calls the suite's binary, when it builds several.
func (s suite) binary() string { return filepath.Base(s.path) + ".test" }

// outcome is what became of a mutant.
type outcome string

const (
	killed   outcome = "killed"
	hung     outcome = "hung" // which is to be killed, but is counted on its own
	survived outcome = "survived"
	invalid  outcome = "invalid" // it does not compile
)

// verdict is a mutant's outcome, and whose tests brought it about.
type verdict struct {
	mutant
	outcome outcome
	by      string
}

// workshop is where mutants are made and tried.
type workshop struct {
	module
	dir    string // of its own, and removed at the end
	suites []suite
	quick  int
	full   int
}

// open builds and runs the tests of the code as it is: what does not pass without a mutant judges none.
func open(ctx context.Context, in module, o options) (*workshop, error) {
	suites, err := in.suites(ctx, o.tests)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return nil, err
	}
	w := &workshop{module: in, dir: dir, suites: suites, quick: o.quick, full: o.full}
	if err := w.measure(ctx); err != nil {
		w.close()
		return nil, err
	}
	slices.SortStableFunc(w.suites, func(a, b suite) int { return cmp.Compare(a.quick, b.quick) })
	return w, nil
}

func (w *workshop) close() { _ = os.RemoveAll(w.dir) } // what is left of a temporary folder hurts nobody

func (w *workshop) measure(ctx context.Context) error {
	b := bench{workshop: w, dir: filepath.Join(w.dir, "unbroken")}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		return err
	}
	if err := b.build(ctx, w.suites); err != nil {
		return fmt.Errorf("build the tests without a mutant: %w", err)
	}
	for i := range w.suites {
		s := &w.suites[i]
		for _, run := range []struct {
			checks int
			took   *time.Duration
		}{{w.quick, &s.quick}, {w.full, &s.full}} {
			trial := b.try(ctx, *s, run.checks, time.Hour)
			if trial.err != nil {
				return fmt.Errorf("run the tests of %s without a mutant: %w\n%s", s.path, trial.err, trial.output)
			}
			*run.took = trial.cpu
		}
	}
	return nil
}

// judge tries the mutants, and tells of each as soon as it is judged, one at a time. It ends early, and without an
// error, when the context does.
func (w *workshop) judge(ctx context.Context, mutants []mutant, tell func(verdict)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan mutant)
	go func() {
		defer close(queue)
		for _, m := range mutants {
			select {
			case queue <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	var told sync.Mutex
	var workers sync.WaitGroup
	for i := range atOnce {
		b := bench{workshop: w, dir: filepath.Join(w.dir, strconv.Itoa(i))}
		workers.Go(func() {
			for m := range queue {
				v, err := b.judge(ctx, m)
				if ctx.Err() != nil {
					return // it was not the mutant that ended the tests
				}
				if err != nil {
					cancel(fmt.Errorf("try %s: %w", m, err))
					return
				}
				told.Lock()
				tell(v)
				told.Unlock()
			}
		})
	}
	workers.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// bench is a folder in which one mutant after the other is built and tried.
type bench struct {
	*workshop
	dir     string
	overlay string // the file that puts the mutant in the place of the code; empty for none
}

func (b *bench) judge(ctx context.Context, m mutant) (verdict, error) {
	if err := b.place(m); err != nil {
		return verdict{}, err
	}
	own, others := b.concerned(m.Package)
	if len(own)+len(others) == 0 {
		return verdict{}, fmt.Errorf("no tests depend on %s; see -tests", m.Package)
	}
	for _, stage := range [][]suite{own, others} {
		if err := b.build(ctx, stage); isCompileError(err) {
			return verdict{mutant: m, outcome: invalid}, nil
		} else if err != nil {
			return verdict{}, err
		}
		if v, found := b.kill(ctx, m, stage, b.quick); found {
			return v, nil
		}
	}
	if v, found := b.kill(ctx, m, append(own, others...), b.full); found {
		return v, nil
	}
	return verdict{mutant: m, outcome: survived}, nil
}

// place writes the mutant and the overlay into the folder, and removes what was there.
func (b *bench) place(m mutant) error {
	if err := os.RemoveAll(b.dir); err != nil {
		return err
	}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		return err
	}
	broken := filepath.Join(b.dir, "mutant.go")
	if err := os.WriteFile(broken, []byte(m.Source), 0o600); err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {m.Path: broken}})
	if err != nil {
		return err
	}
	b.overlay = filepath.Join(b.dir, "overlay.json")
	return os.WriteFile(b.overlay, overlay, 0o600)
}

// concerned are the package's own tests, and those of others that depend on it, the quickest first.
func (b *bench) concerned(path string) (own, others []suite) {
	for _, s := range b.suites {
		if s.path == path {
			own = append(own, s)
		} else if s.deps[path] {
			others = append(others, s)
		}
	}
	return own, others
}

func (b *bench) build(ctx context.Context, suites []suite) error {
	if len(suites) == 0 {
		return nil
	}
	args := []string{"test", "-c", "-vet=off", "-ldflags=-w", "-o", b.dir + string(filepath.Separator)} // nobody debugs or vets a mutant
	if b.overlay != "" {
		args = append(args, "-overlay", b.overlay)
	}
	for _, s := range suites {
		args = append(args, s.path)
	}
	_, err := b.command(ctx, args...)
	return err
}

// isCompileError tells whether the go command found fault with the code: it then names the package in a line.
func isCompileError(err error) bool { return err != nil && strings.Contains(err.Error(), "\n# ") }

// kill runs the tests until some fail.
func (b *bench) kill(ctx context.Context, m mutant, suites []suite, checks int) (verdict, bool) {
	for _, s := range suites {
		usual := s.quick
		if checks == b.full {
			usual = s.full
		}
		trial := b.try(ctx, s, checks, patience*usual+leeway)
		switch {
		case trial.hung:
			return verdict{m, hung, s.path}, true
		case trial.err != nil:
			return verdict{m, killed, s.path}, true
		}
	}
	return verdict{}, false
}

// trial is what one run of a suite came to.
type trial struct {
	err    error // nil where the tests passed
	hung   bool
	cpu    time.Duration
	output string
}

// try runs the tests where go test would run them, but within limits.
func (b *bench) try(ctx context.Context, s suite, checks int, limit time.Duration) trial {
	ctx, cancel := context.WithTimeout(ctx, idle*limit)
	defer cancel()
	seconds := strconv.Itoa(int(limit.Round(time.Second).Seconds()))
	cmd := exec.CommandContext(ctx, "sh", "-c", `ulimit -t "$1" && ulimit -v "$2" && shift 2 && exec "$@"`, "sh",
		seconds, strconv.Itoa(memory), filepath.Join(b.dir, s.binary()), "-test.failfast")
	cmd.Dir, cmd.Env = s.dir, environment("RAPID_CHECKS="+strconv.Itoa(checks))
	output, err := cmd.CombinedOutput()
	t := trial{err: err, output: string(output)}
	if cmd.ProcessState != nil {
		t.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		t.hung = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	return t
}
