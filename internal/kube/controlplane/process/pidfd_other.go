//go:build !linux

package process

import (
	"errors"
	"runtime"
	"syscall"
)

// Supported is nil where processes can be supervised.
func Supported() error {
	return errors.New("local members need Linux: their processes are told apart by /proc and held by pidfds, which " + runtime.GOOS + " does not have; run refit in a Linux virtual machine")
}

type pidfd struct{}

func openPidfd(int) (pidfd, error)        { return pidfd{}, Supported() }
func (pidfd) signal(syscall.Signal) error { return Supported() }
func (pidfd) wait()                       {}
func (pidfd) close()                      {}
func isGone(error) bool                   { return false }
