package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// takeLock makes this process the only one in the data directory until the file is closed or the process is gone,
// however it goes. The file names the holder for people; what holds is the lock.
func takeLock(root string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(root, lockFile), os.O_RDWR|os.O_CREATE, privateFile)
	if err != nil {
		return nil, fmt.Errorf("lock data directory %q: %w", root, err)
	}
	err = tryLock(file)
	if err == nil && !isAt(file, filepath.Join(root, lockFile)) {
		err = errors.New("it is being removed")
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		pid := readPID(file)
		return nil, errors.Join(fmt.Errorf("data directory %q is in use by process %d: stop that one with refit down, %s", root, pid, elsewhere), file.Close())
	}
	if err == nil {
		err = writePID(file)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock data directory %q: %w", root, err), file.Close())
	}
	return file, nil
}

// tryLock tries a few times, because Holder locks the file for a moment too.
func tryLock(file *os.File) error {
	var err error
	for range 10 {
		if err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return err
}

// isAt tells whether an open file still has its name: whoever held the lock before may have removed the directory.
func isAt(file *os.File, path string) bool {
	open, err := file.Stat()
	named, namedErr := os.Stat(path)
	return err == nil && namedErr == nil && os.SameFile(open, named)
}

// Holder is the process whose hub lives in the data directory, or 0 if none does.
func Holder(root string) (int, error) {
	file, err := os.Open(filepath.Join(root, lockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ask who holds data directory %q: %w", root, err)
	}
	defer file.Close()
	err = unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return readPID(file), nil
	}
	return 0, err
}

func writePID(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// readPID is 0 if the holder has not written its pid yet.
func readPID(file *os.File) int {
	buffer := make([]byte, 32)
	n, _ := file.ReadAt(buffer, 0) // short files end in io.EOF
	pid, err := strconv.Atoi(strings.TrimSpace(string(buffer[:n])))
	if err != nil {
		return 0
	}
	return pid
}
