package cli

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
)

// newControllersCommand is what a pod runs.
func newControllersCommand(app App) *cobra.Command {
	var metrics, webhook, health string
	var gateHosts []string
	var level logLevel
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
			if err := checkHosts(gateHosts); err != nil {
				return err
			}
			if err := checkTelling(cmd, webhook); err != nil {
				return err
			}
			if err := checkAddress(cmd, "health", "127.0.0.1:8081"); err != nil {
				return err
			}
			least, err := level.read()
			if err != nil {
				return err
			}
			return app.Controllers(cmd.Context(), UpOptions{
				DataDir: flag(cmd, "data-dir"), Kubeconfig: flag(cmd, "kubeconfig"), Namespace: flag(cmd, "namespace"),
				LogLevel: least, GateHosts: gateHosts, Out: cmd.OutOrStdout(), Metrics: metrics, Webhook: webhook, Health: health,
			})
		},
	}
	level.add(cmd)
	cmd.Flags().StringVar(&health, "health", "", "address to answer probes on, at /healthz and /readyz, such as 127.0.0.1:8081, or :8081 for all (default: none)")
	cmd.Flags().StringArrayVar(&gateHosts, "gate-host", nil, "host that gates may call, as HOST or HOST:PORT; may be repeated (default: none)")
	cmd.Flags().StringVar(&metrics, "metrics", "", "address to serve Prometheus metrics on, such as 127.0.0.1:9464, or :9464 for all (default: none)")
	cmd.Flags().StringVar(&webhook, "webhook", "", "file with the URL of a webhook that is sent CloudEvents; on a second line, a token (default: none)")
	return cmd
}

// checkAddress refuses what cannot be listened on. A port alone is that of all of
// the machine's addresses, of whatever family it has.
func checkAddress(cmd *cobra.Command, name, example string) error {
	if !cmd.Flags().Changed(name) {
		return nil
	}
	address := flag(cmd, name)
	whole := address
	if strings.HasPrefix(address, ":") {
		whole = "0.0.0.0" + address
	}
	if _, err := netip.ParseAddrPort(whole); err != nil {
		return fmt.Errorf("--%s %q: is no address and port; write it as %s, or leave it out", name, address, example)
	}
	return nil
}
