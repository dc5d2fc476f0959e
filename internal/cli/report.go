package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"refit.dev/refit/internal/view"
)

func newReportCommand(app App) *cobra.Command {
	var release string
	output := format{now: app.Now}
	cmd := &cobra.Command{
		Use:   "report [FLEET]",
		Short: "Tell what people did, and what Refit did, revision by revision",
		Long: `Tell what people did about a fleet, or about all: releases they chose, freezes,
approvals, aborts, edits by hand, by whom; and beside it what Refit did, and what
others changed in the clusters. All of it is counted, from the objects that were
written and from what was seen of the clusters; nothing is estimated.`,
		Example: `  refit report
  refit report main --release 2026.11
  refit report main -o json | jq '[.fleets[].revisions[].acts[].count] | add'`,
		Args: oneFleetOrAll,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("release") && release == "" {
				return errors.New("--release is empty; name a release, or leave it out for all of them")
			}
			if err := output.check(); err != nil {
				return err
			}
			hub, err := look(cmd)
			if err != nil {
				return err
			}
			fleet := strings.Join(args, "")
			if fleet != "" {
				if _, err := findFleet(hub.seen, fleet); err != nil {
					return err
				}
			}
			report := view.ReportOf(hub.seen, fleet, release)
			if release != "" && !rolled(report) {
				return fmt.Errorf("--release %s: no fleet has rolled it, of what is kept; see \"refit report\"", release)
			}
			return output.print(cmd, report)
		},
	}
	cmd.Flags().StringVar(&release, "release", "", "only the revisions that roll this release")
	output.add(cmd)
	return cmd
}

// rolled tells whether there is a revision to report on.
func rolled(report view.Report) bool {
	for _, f := range report.Fleets {
		if len(f.Revisions) > 0 {
			return true
		}
	}
	return false
}
