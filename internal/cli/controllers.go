package cli

import (
	"github.com/spf13/cobra"
)

// newControllersCommand is what a pod runs.
func newControllersCommand(app App) *cobra.Command {
	var health string
	var loops loopFlags
	cmd := &cobra.Command{
		Use:   "controllers",
		Short: "Run the control loops alone, against a management cluster",
		Long: `Run the control loops, and nothing else, against a management cluster where the
kinds, policies and rights were installed by the Helm chart: this installs nothing,
starts no local member and writes no file. Several may run: one of them leads, and
another takes its place within seconds. The log is standard output, one JSON object
a line.

In a pod it is whoever the pod's ServiceAccount is; elsewhere --kubeconfig names the
cluster. Local members can be reached where --data-dir has them.`,
		Example: `  refit controllers --health :8081
  refit controllers --kubeconfig ~/.kube/management --metrics 127.0.0.1:9464`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, err := loops.options(cmd)
			if err != nil {
				return err
			}
			if err := checkAddress(cmd, "health", "127.0.0.1:8081"); err != nil {
				return err
			}
			options.Health = health
			return app.Controllers(cmd.Context(), options)
		},
	}
	loops.add(cmd)
	cmd.Flags().StringVar(&health, "health", "", "address to answer probes on, at /healthz and /readyz, such as 127.0.0.1:8081, or :8081 for all (default: none)")
	return cmd
}
