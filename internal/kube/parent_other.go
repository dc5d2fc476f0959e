//go:build !linux

package kube

import "syscall"

// dieWithParent can do nothing here: a child of a killed build ends by itself.
func dieWithParent() *syscall.SysProcAttr { return nil }
