package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/hold"
	"refit.dev/refit/internal/plan/rollout"
)

func newPlanCommand() *cobra.Command {
	var fleetName, release string
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what would start now, and why the rest would wait",
		Long: `Show what would start now, and why the rest would wait. Nothing is changed: the
planner of the control loop is asked, on what the hub holds now.`,
		Example: `  refit plan
  refit plan --fleet main --release 2026.12    # what if the release were changed?`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range []string{"release", "fleet"} {
				if cmd.Flags().Changed(name) && flag(cmd, name) == "" {
					return fmt.Errorf("--%s is empty; name a %s, or leave it out", name, name)
				}
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
			in := observe.Rollout(seen.Hub, time.Now())
			printPlan(cmd.OutOrStdout(), in, hold.Starts(rollout.Decide(in), seen.held))
			return nil
		},
	}
	cmd.Flags().StringVar(&fleetName, "fleet", "", "fleet whose release --release replaces; may be left out where there is one fleet")
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

func printPlan(out io.Writer, in rollout.Input, decision rollout.Decision) {
	versions := map[string]fleet.Version{}
	for _, m := range in.Members {
		versions[m.Name] = m.Oldest
	}
	for _, f := range in.Fleets {
		fmt.Fprintf(out, "fleet %s, revision %d, release %s (%s)\n", f.Name, f.Revision, f.Release.Name, f.Release.Target)
	}
	for _, start := range decision.Start {
		fmt.Fprintf(out, "  start  %-20s %s\n", start.Member, path(versions[start.Member], start.Release.Target))
	}
	for _, name := range slices.Sorted(maps.Keys(decision.Waiting)) {
		reason := decision.Waiting[name]
		fmt.Fprintf(out, "  wait   %-20s %s: %s\n", name, reason.Code, reason.Message)
	}
	if len(decision.Start)+len(decision.Waiting) == 0 {
		fmt.Fprintln(out, "nothing to plan: no fleet selects a member")
	}
}

// path is the way in minors: a control plane skips none.
func path(from, to fleet.Version) string {
	hops := []string{from.String()}
	for minor := from.Minor + 1; minor < to.Minor; minor++ {
		hops = append(hops, fmt.Sprintf("%d.%d", to.Major, minor))
	}
	return strings.Join(append(hops, to.String()), " → ")
}
