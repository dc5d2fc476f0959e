package kube

import "syscall"

// dieWithParent has the kernel kill a child when we are killed: half a build
// is of no use, and would keep its lock for minutes.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
