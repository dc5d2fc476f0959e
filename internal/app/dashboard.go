package app

import (
	"context"
	"fmt"
	"net"
	"time"

	"refit.dev/refit/internal/cli"
	"refit.dev/refit/internal/web"
)

// Dashboard serves the pages until ctx ends.
func Dashboard(ctx context.Context, options cli.DashboardOptions) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", options.Listen.String())
	if err != nil {
		return fmt.Errorf("--listen %s: %w", options.Listen, err)
	}
	dashboard, err := web.New(listener, web.Options{Look: options.Look, Now: time.Now})
	if err != nil {
		return err
	}
	fmt.Fprintf(options.Out, "%s\n\nOpen this link; it works once. The dashboard ends with Ctrl-C.\n", dashboard.URL())
	return dashboard.Serve(ctx)
}
