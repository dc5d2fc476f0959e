package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// What a command's end means.
const (
	exitDone        = 0
	exitNotDone     = 1
	exitInterrupted = 130 // as a shell has it: 128 and the number of SIGINT
)

// Run runs a command line, says what went wrong, and is the process's exit code.
// When ctx ends, the user interrupted it.
func Run(ctx context.Context, app App, args []string, out, errOut io.Writer) int {
	root := New(app)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(errOut, "refit: interrupted")
		return exitInterrupted
	default:
		fmt.Fprintln(errOut, "refit:", err)
		return exitNotDone
	}
}
