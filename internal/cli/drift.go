package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/view"
)

func newDriftCommand(app App) *cobra.Command {
	output := format{now: app.Now}
	cmd := &cobra.Command{
		Use:   "drift [MEMBER]",
		Short: "List where members differ from what is declared",
		Long: `List where members differ from what is declared, as far as the hub knows:

  Behind   it was at its fleet's release, and is behind again
  Ahead    it runs a later minor than its fleet's release
  Source   the file that declares its version (spec.source) says another one`,
		Example: `  refit drift
  refit drift payments-eu-1
  refit drift -o json | jq -r '.drifts[] | select(.drift == "Source") | "\(.file):\(.line)"'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
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
			name := ""
			if len(args) > 0 {
				name = args[0]
				if !slices.ContainsFunc(seen.Hub.Members, func(mc v1.MemberCluster) bool { return mc.Name == name }) {
					return fmt.Errorf("no member %q in namespace %s; there are: %s", name, hub.namespace, memberNames(seen.Hub))
				}
			}
			return output.print(cmd, view.DriftOf(seen.Hub, name, app.Now()))
		},
	}
	output.add(cmd)
	return cmd
}
