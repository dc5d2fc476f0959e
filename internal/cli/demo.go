package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/kube/controlplane/process"
)

// DemoOptions say what the demonstration does.
type DemoOptions struct {
	From, To       fleet.Version
	Members, Nodes int
	Out            io.Writer
}

func newDemoCommand(app App) *cobra.Command {
	var from, to string
	var members, nodes int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch real clusters on this machine being upgraded",
		Long: `Start a hub and real clusters on this machine, put workloads behind
PodDisruptionBudgets on them, change one line of a fleet, and show what happens
until every cluster is at the new release. It cleans up after itself, and after
one that was killed. Nothing else on the machine is touched.`,
		Example: `  refit demo
  refit demo --members 1 --nodes 2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, err := demoOptions(from, to, members, nodes)
			if err != nil {
				return err
			}
			if err := process.Supported(); err != nil {
				return err // before binaries are fetched that could not be run
			}
			options.Out = cmd.OutOrStdout()
			return app.Demo(cmd.Context(), options)
		},
	}
	cmd.Flags().StringVar(&from, "from", "v1.36.3", "version that the clusters begin at")
	cmd.Flags().StringVar(&to, "to", "v1.37.2", "version that the fleet's release is changed to")
	cmd.Flags().IntVar(&members, "members", 3, "number of clusters, 1 to 8")
	cmd.Flags().IntVar(&nodes, "nodes", 6, "nodes of each cluster, 2 to 50")
	return cmd
}

func demoOptions(from, to string, members, nodes int) (DemoOptions, error) {
	options := DemoOptions{Members: members, Nodes: nodes}
	var ok bool
	if options.From, ok = fleet.ParseVersion(from); !ok {
		return options, fmt.Errorf("--from %s: is no version; name one as v1.36.3", from)
	}
	if options.To, ok = fleet.ParseVersion(to); !ok {
		return options, fmt.Errorf("--to %s: is no version; name one as v1.37.2", to)
	}
	if options.From.Major != options.To.Major {
		return options, fmt.Errorf("--to %s: is another major version than --from %s", to, from)
	}
	if !options.From.Less(options.To) {
		return options, fmt.Errorf("--to %s: is not newer than --from %s", to, from)
	}
	if members < 1 || members > 8 {
		return options, fmt.Errorf("--members %d: name a number from 1 to 8; each takes some 600 MiB of memory", members)
	}
	if nodes < 2 || nodes > 50 {
		return options, fmt.Errorf("--nodes %d: name a number from 2 to 50", nodes)
	}
	return options, nil
}
