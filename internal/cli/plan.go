package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/view"
)

func newPlanCommand(app App) *cobra.Command {
	var fleetName, release string
	output := format{now: app.Now}
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what would start now, and why the rest would wait",
		Long: `Show what would start now, and why the rest would wait. Nothing is changed: the
planner of the control loop is asked, on what the hub holds now.`,
		Example: `  refit plan
  refit plan --fleet main --release 2026.12    # what if the release were changed?
  refit plan -o json | jq -r '.start[].member'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range []string{"release", "fleet"} {
				if cmd.Flags().Changed(name) && flag(cmd, name) == "" {
					return fmt.Errorf("--%s is empty; name a %s, or leave it out", name, name)
				}
			}
			if err := output.check(); err != nil {
				return err
			}
			hub, err := connect(cmd)
			if err != nil {
				return err
			}
			seen, err := hub.look(cmd.Context())
			if err != nil {
				return err
			}
			if err := whatIf(&seen.Hub, fleetName, release); err != nil {
				return err
			}
			return output.print(cmd, view.PlanOf(seen.Hub, seen.held, app.Now()))
		},
	}
	cmd.Flags().StringVar(&fleetName, "fleet", "", "fleet whose release --release replaces; may be left out where there is one fleet")
	output.add(cmd)
	cmd.Flags().StringVar(&release, "release", "", "plan as if the fleet's spec.release were this one")
	return cmd
}

// whatIf changes a fleet's release in the picture, not in the hub.
func whatIf(hub *observe.Hub, fleetName, release string) error {
	if release == "" {
		if fleetName != "" {
			return fmt.Errorf("--fleet %s: names the fleet whose release is replaced; add --release", fleetName)
		}
		return nil
	}
	if _, ok := hub.Release(release); !ok {
		return fmt.Errorf("--release %s: there is no such release; see \"kubectl get releases\"", release)
	}
	if fleetName == "" && len(hub.Fleets) != 1 {
		return fmt.Errorf("--release %s: there are %d fleets; name one with --fleet", release, len(hub.Fleets))
	}
	for i := range hub.Fleets {
		if fleetName == "" || hub.Fleets[i].Name == fleetName {
			hub.Fleets[i].Spec.Release = release
			return nil
		}
	}
	return fmt.Errorf("--fleet %s: there is no such fleet; see \"kubectl get fleets\"", fleetName)
}
