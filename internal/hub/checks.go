package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// etcd allocates its log in segments of 64 MiB and needs two of them, the API server's log may take 40 MiB, and a
// full disk stops etcd for good: better not to start.
const wantFreeBytes = 256 << 20

// A machine is what the checks ask about the user and the disk. Tests have one of which root is not the user, or whose
// disk is full.
type machine struct {
	user      int
	access    func(dir string) error
	freeBytes func(dir string) (uint64, error)
}

func thisMachine() *machine {
	return &machine{user: os.Geteuid(), access: access, freeBytes: freeBytes}
}

// checkOwner keeps root from filling somebody's directory with files that they could not read.
func checkOwner(root string, m *machine) error {
	info, err := os.Stat(root)
	if err != nil {
		return fmt.Errorf("find the owner of data directory %q: %w", root, err)
	}
	if owner := ownerOf(info); owner != m.user {
		return fmt.Errorf("data directory %q belongs to user %d and this is user %d: run as its owner, %s", root, owner, m.user, elsewhere)
	}
	return nil
}

// ownerOf is -1 where files have no owners.
func ownerOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

func checkVersion(root string, _ *machine) error {
	path := filepath.Join(root, versionFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var found writtenBy
	if err == nil {
		err = json.Unmarshal(data, &found)
	}
	if err == nil && found.Schema < 1 {
		err = fmt.Errorf("schema %d is not a version of the data", found.Schema)
	}
	if err != nil {
		return fmt.Errorf("read which Refit wrote data directory %q: %w: put its file %q back from a backup, %s", root, err, versionFile, elsewhere)
	}
	if found.Schema > dataSchema {
		return fmt.Errorf("data directory %q was written by Refit %s with data of schema %d and this Refit knows %d at most: use the newer Refit, %s",
			root, found.WrittenBy, found.Schema, dataSchema, elsewhere)
	}
	return nil
}

func checkWritable(root string, m *machine) error {
	err := m.access(root)
	switch {
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("data directory %q is on a read-only file system: remount it, %s", root, elsewhere)
	case err != nil:
		return fmt.Errorf("write to data directory %q: %w: run chmod u+rwx on it, %s", root, err, elsewhere)
	}
	return nil
}

// checkPrivate guards against a slip of the fingers: --data-dir=/home/me is to become neither private nor full of
// files. A directory of ours is made private.
func checkPrivate(root string, _ *machine) error {
	info, err := os.Stat(root)
	if err != nil {
		return fmt.Errorf("look at data directory %q: %w", root, err)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("look into data directory %q: %w", root, err)
	}
	foreign := func(entry fs.DirEntry) bool { return !slices.Contains(Files(), entry.Name()) }
	if _, err := os.Stat(filepath.Join(root, versionFile)); err != nil && slices.ContainsFunc(entries, foreign) {
		return fmt.Errorf("data directory %q is open to other users and holds files that are not Refit's: run chmod 700 on it if it may become private, %s", root, elsewhere)
	}
	return nil
}

func checkSpace(root string, m *machine) error {
	free, err := m.freeBytes(root)
	if err != nil {
		return fmt.Errorf("ask for the free space of data directory %q: %w", root, err)
	}
	if free < wantFreeBytes {
		return fmt.Errorf("data directory %q has %d MiB free and the hub needs %d MiB: free some space, %s", root, free>>20, wantFreeBytes>>20, elsewhere)
	}
	return nil
}

// access asks the kernel, who knows of read-only file systems what the mode does not tell.
func access(dir string) error { return unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK) }

// freeBytes is what a user without privileges may still write.
func freeBytes(dir string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, err
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}
