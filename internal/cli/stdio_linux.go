package cli

import "golang.org/x/sys/unix"

// replace makes a file descriptor stand for what another one does. Not every
// Linux has dup2.
func replace(descriptor, by int) error { return unix.Dup3(by, descriptor, 0) }
