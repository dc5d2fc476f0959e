package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/kube/controlplane/process"
)

// LabOptions say what a made-up cloud has.
type LabOptions struct {
	Clusters, Nodes int
	Version         fleet.Version
	Port            int
	Out             io.Writer
}

// newLabCommand is "refit lab": clouds to try Refit and one's own tools with.
func newLabCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Run a made-up cloud on this machine, with real clusters behind it",
		Long: `A lab speaks the real wire protocol of a cloud on a loopback port and keeps its
rules; what it upgrades are real API servers on this machine. It needs no account,
and costs nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLabEKSCommand(app))
	return cmd
}

func newLabEKSCommand(app App) *cobra.Command {
	var version string
	options := LabOptions{}
	cmd := &cobra.Command{
		Use:   "eks",
		Short: "Run a made-up Amazon EKS until it is interrupted",
		Long: `Make clusters, serve the part of the API of Amazon EKS that upgrades use, and print
what makes aws-cli, the AWS SDKs and Refit use it. Clusters are named lab-1, lab-2…,
each with the managed node groups a and b. When it is interrupted, all of it is
removed; what one that was killed has left is removed by the next.`,
		Example: `  refit lab eks --clusters 3
  refit lab eks --clusters 1 --nodes 2 --port 4566`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var ok bool
			if options.Version, ok = fleet.ParseVersion(version); !ok {
				return fmt.Errorf("--version %s: is no version; name one as v1.36.3", version)
			}
			if err := options.check(); err != nil {
				return err
			}
			if err := process.Supported(); err != nil {
				return err // before binaries are fetched that could not be run
			}
			options.Out = cmd.OutOrStdout()
			return app.Lab(cmd.Context(), options)
		},
	}
	cmd.Flags().IntVar(&options.Clusters, "clusters", 2, "number of clusters, 1 to 8")
	cmd.Flags().IntVar(&options.Nodes, "nodes", 4, "nodes of each cluster, 2 to 50")
	cmd.Flags().StringVar(&version, "version", "v1.36.3", "version that the clusters begin at")
	cmd.Flags().IntVar(&options.Port, "port", 0, "port on loopback to serve at (default any that is free)")
	return cmd
}

func (o LabOptions) check() error {
	switch {
	case o.Clusters < 1 || o.Clusters > 8:
		return fmt.Errorf("--clusters %d: name a number from 1 to 8; each takes some 600 MiB of memory", o.Clusters)
	case o.Nodes < 2 || o.Nodes > 50:
		return fmt.Errorf("--nodes %d: name a number from 2 to 50", o.Nodes)
	case o.Port < 0 || o.Port > 65535:
		return fmt.Errorf("--port %d: name a port from 1 to 65535, or 0 for any that is free", o.Port)
	}
	return nil
}
