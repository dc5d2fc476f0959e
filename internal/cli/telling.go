package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// checkTelling tells early what is wrong with where things are to be told.
func checkTelling(cmd *cobra.Command, webhook string) error {
	if err := checkAddress(cmd, "metrics", "127.0.0.1:9464"); err != nil {
		return err
	}
	if cmd.Flags().Changed("webhook") {
		if info, err := os.Stat(webhook); err != nil || info.IsDir() {
			return fmt.Errorf("--webhook %q: is no file; name one with the URL of a webhook on its first line, or leave it out", webhook)
		}
	}
	return nil
}
