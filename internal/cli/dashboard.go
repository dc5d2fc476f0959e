package cli

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"refit.dev/refit/internal/view"
)

// DashboardOptions say where a dashboard is, and what it shows.
type DashboardOptions struct {
	Listen netip.AddrPort
	// Look draws the hub as whoever runs the command sees it.
	Look func(ctx context.Context) (view.Picture, error)
	Out  io.Writer
}

func newDashboardCommand(app App) *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Show fleets and members in a browser, until it is interrupted",
		Long: `Serve the dashboard on loopback until it is interrupted, and print the link that
opens it: once, and in one browser. It shows what "refit status" and "refit why"
do, as it changes, with the rights of whoever runs it, and changes nothing.`,
		Example: `  refit dashboard
  refit dashboard --listen 127.0.0.1:7777     # elsewhere: ssh -L 7777:127.0.0.1:7777 HOST`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			address, err := loopback(listen)
			if err != nil {
				return err
			}
			hub, err := connect(cmd)
			if err != nil {
				return err
			}
			look := func(ctx context.Context) (view.Picture, error) {
				seen, err := hub.look(ctx)
				return view.Seen(seen.Hub, seen.held, app.Now()), err
			}
			if _, err := look(cmd.Context()); err != nil {
				return err // before anybody opens a page to read it there
			}
			return app.Dashboard(cmd.Context(), DashboardOptions{Listen: address, Look: look, Out: cmd.OutOrStdout()})
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address on loopback to serve at; port 0 is any that is free")
	return cmd
}

// loopback reads an address that nobody reaches from another machine.
func loopback(text string) (netip.AddrPort, error) {
	address := text
	if port, named := strings.CutPrefix(text, "localhost:"); named {
		address = "127.0.0.1:" + port
	}
	parsed, err := netip.ParseAddrPort(address)
	if err != nil || parsed.Addr().Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("--listen %q: is no address and port; write it as 127.0.0.1:7777, or leave it out", text)
	}
	if !parsed.Addr().IsLoopback() || parsed.Addr().Is4In6() {
		return netip.AddrPort{}, fmt.Errorf("--listen %s: is not on loopback, where the dashboard is for this machine alone; "+
			"write it as 127.0.0.1:%d, and reach it from elsewhere by ssh -L", text, parsed.Port())
	}
	return parsed, nil
}
