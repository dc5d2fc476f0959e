package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// pidfd is a handle that stays with one process.
type pidfd struct{ file *os.File }

// openPidfd asks for a non-blocking handle, so that waiting for it parks a
// goroutine in the runtime's poller rather than a thread.
func openPidfd(pid int) (pidfd, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return pidfd{}, os.ErrProcessDone
	}
	if err != nil {
		return pidfd{}, fmt.Errorf("open a pidfd: %w", err)
	}
	return pidfd{os.NewFile(uintptr(fd), "pidfd")}, nil
}

func (h pidfd) signal(s syscall.Signal) error {
	raw, err := h.file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), s, nil, 0) }); err != nil {
		return err
	}
	return sent
}

// wait returns when the process has ended; a pidfd is readable from then on.
func (h pidfd) wait() {
	raw, err := h.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(set, 0)
		return n > 0 || (err != nil && !errors.Is(err, unix.EINTR))
	})
}

func (h pidfd) close() { _ = h.file.Close() }

func isGone(err error) bool {
	return errors.Is(err, os.ErrProcessDone) || errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrClosed)
}
