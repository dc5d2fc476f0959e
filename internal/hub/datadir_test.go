package hub

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Who runs the loops on a management cluster holds a data directory as a hub does, and puts nothing else into it.
func TestHold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	hold, err := Hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := Holder(dir); pid != os.Getpid() || err != nil {
		t.Errorf("Holder = %d, %v, want this process", pid, err)
	}
	if _, err := Hold(dir); err == nil || !strings.Contains(err.Error(), "is in use by process") {
		t.Errorf("a second Hold = %v", err)
	}
	if _, err := Start(t.Context(), Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "is in use by process") {
		t.Errorf("a hub in it = %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || !slices.Contains(Files(), entries[0].Name()) {
		t.Errorf("the directory holds %v, %v, want its lock alone", entries, err)
	}
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
	if pid, err := Holder(dir); pid != 0 || err != nil {
		t.Errorf("Holder after the end = %d, %v, want 0", pid, err)
	}
}

// A lock on a file that has lost its name keeps nobody out: who removes the directory does so while holding it.
func TestLockOfARemovedDirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, lockFile)
	old, err := takeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if !isAt(old, path) {
		t.Error("the lock file is not found at its place")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if isAt(old, path) {
		t.Error("a file that was removed is found")
	}
	write(t, path, "")
	if isAt(old, path) {
		t.Error("a file that was replaced is taken for the new one")
	}
}

// Local members may be older than the hub, and a detached one has a log before it starts: that is no reason to refuse.
func TestDirectoryOfOursIsMadePrivate(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "local", "one", "cluster.json"), "{}")
	write(t, filepath.Join(dir, "logs", "up.log"), "")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := checkPrivate(dir, thisMachine()); err != nil {
		t.Errorf("checkPrivate = %v", err)
	}
	write(t, filepath.Join(dir, "thesis.tex"), "")
	if err := checkPrivate(dir, thisMachine()); err == nil {
		t.Error("a directory with a thesis may become private")
	}
}
