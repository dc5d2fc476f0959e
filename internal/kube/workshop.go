package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A workshop is the hidden part of a folder in which one process at a time
// makes the next complete one. It is on the file system of the result, so that
// the result can be renamed into place.
type workshop struct {
	home    string
	lock    *os.File
	partial string
	scratch string // for what is needed on the way
	into    string // for the result
}

// open waits for the workshop to be free, and clears away what a killed
// process left in it.
func (s *Store) open(ctx context.Context, home, what string) (*workshop, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder in the cache (XDG_CACHE_HOME says where it is): %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(home, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock a folder of the cache (XDG_CACHE_HOME says where it is): %w", err)
	}
	if err := s.awaitLock(ctx, lock, what); err != nil {
		_ = lock.Close()
		return nil, err
	}
	partial := filepath.Join(home, ".partial")
	w := &workshop{
		home: home, lock: lock, partial: partial,
		scratch: filepath.Join(partial, "scratch"), into: filepath.Join(partial, "into"),
	}
	if err := w.clear(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// awaitLock polls, since a blocking flock could not be given up.
func (s *Store) awaitLock(ctx context.Context, lock *os.File, what string) error {
	var waiting *job
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return writeHolder(lock)
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
		if holder := readHolder(lock); waiting == nil && holder != "" {
			waiting = s.console.begin(what)
			defer waiting.end()
			waiting.say("waiting for process %s, which is at it already", holder)
			waiting.report("waiting for another process")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another process, which is at it already: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// The lock file names its holder, for people; the lock itself is the kernel's.
// It is empty for a moment between the two.
func writeHolder(lock *os.File) error {
	err := lock.Truncate(0)
	if err == nil {
		_, err = lock.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return nil
}

func readHolder(lock *os.File) string {
	text, _ := io.ReadAll(io.NewSectionReader(lock, 0, 20))
	return strings.TrimSpace(string(text))
}

// clear makes the workshop empty.
func (w *workshop) clear() error {
	if err := os.RemoveAll(w.partial); err != nil {
		return fmt.Errorf("remove what is left of an earlier try: %w", err)
	}
	for _, dir := range []string{w.scratch, w.into} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make a folder in the cache: %w", err)
		}
	}
	return nil
}

// close leaves nothing but the lock file: were it deleted, two processes could
// hold locks on two files of its name.
func (w *workshop) close() {
	_ = os.RemoveAll(w.partial) // else the next one does it
	_ = w.lock.Truncate(0)
	_ = w.lock.Close()
}

// publish renames the result into place. Everything is on the disk before the
// name is: after a power cut there is either a complete folder or none.
func (w *workshop) publish(m manifest) (string, error) {
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return "", fmt.Errorf("describe %s: %w", m.Artefact, err)
	}
	if err := os.WriteFile(filepath.Join(w.into, manifestFile), append(text, '\n'), 0o600); err != nil {
		return "", fmt.Errorf("describe %s: %w", m.Artefact, err)
	}
	if err := syncFolder(w.into); err != nil {
		return "", err
	}
	final := filepath.Join(w.home, m.folder())
	// A new import replaces an old one, which may be running: set aside, not overwritten.
	if err := os.Rename(final, filepath.Join(w.scratch, "replaced")); err != nil && !os.IsNotExist(err) {
		return "", fmt.Errorf("replace %s: %w", final, err)
	}
	if err := os.Rename(w.into, final); err != nil {
		return "", fmt.Errorf("put %s into its place: %w", m.Artefact, err)
	}
	return final, syncFile(w.home)
}

// syncFolder writes a folder and the files in it to the disk.
func syncFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("write %s to the disk: %w", dir, err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if err := syncFile(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return syncFile(dir)
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("write %s to the disk: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s to the disk: %w", path, err)
	}
	return nil
}
