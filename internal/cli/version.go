package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand(app App) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of Refit, and of the Kubernetes in it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "refit %s\nkubernetes %s (embedded hub)\n%s %s/%s\n",
				app.Version, linked("k8s.io/kubernetes"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// linked is the version of a module in this binary.
func linked(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return dependency.Version
		}
	}
	return "not linked"
}
