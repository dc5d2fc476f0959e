package cli

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/spf13/cobra"
)

// checkTelling tells early what is wrong with where things are to be told.
func checkTelling(cmd *cobra.Command, metrics, webhook string) error {
	if cmd.Flags().Changed("metrics") {
		if _, err := netip.ParseAddrPort(metrics); err != nil {
			return fmt.Errorf("--metrics %q: is no address and port; write it as 127.0.0.1:9464, or leave it out", metrics)
		}
	}
	if cmd.Flags().Changed("webhook") {
		if info, err := os.Stat(webhook); err != nil || info.IsDir() {
			return fmt.Errorf("--webhook %q: is no file; name one with the URL of a webhook on its first line, or leave it out", webhook)
		}
	}
	return nil
}
