// Package app is the one place where things are wired: commands, hub, loops and
// providers.
package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"refit.dev/refit/internal/cli"
	"refit.dev/refit/internal/hub"
)

// Version of this build, set by the linker.
var Version = "v0.0.0-dev" //nolint:gochecknoglobals // the linker knows no other way

// Main runs the command line and is the process's exit code: 0 done, 1 not
// done, 130 interrupted.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := cli.New(cli.App{Version: Version, Up: Up, Demo: Demo, HubProcess: hub.Holder, DataFiles: hub.Files()})
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "refit: interrupted")
		return 130
	default:
		fmt.Fprintln(os.Stderr, "refit:", err)
		return 1
	}
}
