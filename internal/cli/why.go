package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/view"
)

func newWhyCommand(app App) *cobra.Command {
	output := format{now: app.Now}
	cmd := &cobra.Command{
		Use:   "why MEMBER",
		Short: "Say why a member is where it is, since when, and what to do",
		Long: `Say why a member is where it is, and list all that is between it and its
release, in order: what holds, what does not, since when, who can change that,
and the command to do so. The steps of its upgrade are part of the list.`,
		Example: `  refit why payments-eu-1
  refit why payments-eu-1 -o json | jq -r '.conditions[] | select(.holds == "False") | .commands[]?'`,
		Args: exactlyOne("MEMBER"),
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
			why, found := view.WhyOf(seen.Hub, seen.held, args[0], app.Now())
			if !found {
				return fmt.Errorf("no member %q in namespace %s; there are: %s", args[0], hub.namespace, memberNames(seen.Hub))
			}
			return output.print(cmd, why)
		},
	}
	output.add(cmd)
	return cmd
}

func memberNames(hub observe.Hub) string {
	var names []string
	for _, mc := range hub.Members {
		names = append(names, mc.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// exactlyOne wants one argument, and says where its values are found.
func exactlyOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return fmt.Errorf("%s wants exactly one %s, not %d; see \"refit status\"", cmd.CommandPath(), what, len(args))
	}
}
