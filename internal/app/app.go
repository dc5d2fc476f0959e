// Package app is the one place where things are wired: commands, hub, loops and
// providers.
package app

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

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
	return cli.Run(ctx, New(), args, os.Stdout, os.Stderr)
}

// New is the assembled program.
func New() cli.App {
	return cli.App{
		Version: Version, Now: time.Now, Up: Up, Controllers: Controllers, Demo: Demo, Lab: Lab, Dashboard: Dashboard, HubProcess: hub.Holder, DataFiles: hub.Files(),
		Issue: func(dataDir string, who cli.Person) ([]byte, error) {
			return hub.Issue(dataDir, hub.Person(who), time.Now())
		},
	}
}
