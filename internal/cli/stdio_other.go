//go:build !linux

package cli

import "golang.org/x/sys/unix"

// replace makes a file descriptor stand for what another one does.
func replace(descriptor, by int) error { return unix.Dup2(by, descriptor) }
