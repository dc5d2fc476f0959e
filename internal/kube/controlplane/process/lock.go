package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Lock is a file that one process at a time holds, and that says which. The
// kernel gives it back when the holder ends, however it ends.
type Lock struct{ file *os.File }

// HeldError says that another process holds a lock.
type HeldError struct {
	Path   string
	Holder ID
}

// Error names the holder.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%s is held by process %d", e.Path, e.Holder.PID)
}

// TakeLock takes a lock, or answers with a *HeldError at once.
func TakeLock(path string) (*Lock, error) {
	self, err := Self()
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("take the lock: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := Holder(path)
		return nil, errors.Join(&HeldError{Path: path, Holder: holder}, file.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take the lock %s: %w", path, err), file.Close())
	}
	if err := writeHolder(file, self); err != nil {
		return nil, errors.Join(fmt.Errorf("take the lock %s: %w", path, err), file.Close())
	}
	return &Lock{file: file}, nil
}

func writeHolder(file *os.File, holder ID) error {
	text, err := json.Marshal(holder)
	if err != nil {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err = file.WriteAt(append(text, '\n'), 0)
	return err
}

// Holder is the living process that holds a lock; false if none does. It only
// reads: asking for the lock to find out could get in the way of one who wants
// it.
func Holder(path string) (ID, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return ID{}, false
	}
	var id ID
	if json.Unmarshal(text, &id) != nil {
		return ID{}, false
	}
	return id, id.Alive()
}

// Release gives the lock back.
func (l *Lock) Release() error { return l.file.Close() }
