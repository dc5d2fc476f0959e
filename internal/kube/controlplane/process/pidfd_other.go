//go:build !linux

package process

import "syscall"

type pidfd struct{}

func openPidfd(int) (pidfd, error)        { return pidfd{}, Supported() }
func (pidfd) signal(syscall.Signal) error { return Supported() }
func (pidfd) wait()                       {}
func (pidfd) close()                      {}
func isGone(error) bool                   { return false }
