package process

import (
	"fmt"
	"runtime"
)

// Supported is nil where processes can be supervised.
func Supported() error { return supportedOn(runtime.GOOS) }

// supportedOn takes the system as an argument, so that what others are told can
// be tested on this one.
func supportedOn(system string) error {
	if system == "linux" {
		return nil
	}
	return fmt.Errorf("local members are Linux only: their processes are told apart by /proc and held by pidfds, which %s does not have; run refit in a Linux virtual machine, or use a cluster that runs elsewhere", system)
}
