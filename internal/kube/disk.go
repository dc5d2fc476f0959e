package kube

import (
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// freeSpace is what an ordinary user may still write to the file system of a
// folder, which need not exist yet.
func freeSpace(dir string) (uint64, error) {
	for {
		var stat unix.Statfs_t
		err := unix.Statfs(dir, &stat)
		if err == nil {
			return stat.Bavail * uint64(stat.Bsize), nil
		}
		parent := filepath.Dir(dir)
		if err != unix.ENOENT || parent == dir {
			return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
		}
		dir = parent
	}
}

type spaceError struct {
	dir, task, setting string
	needed, free       uint64
}

func (e *spaceError) Error() string {
	return fmt.Sprintf("%s needs %s on the disk of %s, where %s are free: free some, or set %s to a folder on a larger disk",
		e.task, bytesText(e.needed), e.dir, bytesText(e.free), e.setting)
}

// needSpace fails before work would.
func (s *Store) needSpace(dir string, needed uint64, task, setting string) error {
	free, err := s.freeSpace(dir)
	if err != nil {
		return fmt.Errorf("look how much space is free for %s: %w", task, err)
	}
	if free < needed {
		return &spaceError{dir: dir, task: task, setting: setting, needed: needed, free: free}
	}
	return nil
}

// bytesText is a size for people: 126 MB.
func bytesText(n uint64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	default:
		return fmt.Sprintf("%d kB", n/1e3)
	}
}
