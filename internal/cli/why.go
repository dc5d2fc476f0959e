package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/view"
)

func newWhyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "why MEMBER",
		Short:   "Say why a member is where it is, since when, and what to do",
		Example: `  refit why payments-eu-1`,
		Args:    exactlyOne("MEMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			hub, err := connect(cmd)
			if err != nil {
				return err
			}
			seen, err := hub.look(cmd.Context())
			if err != nil {
				return err
			}
			why, found := view.WhyOf(seen.Hub, seen.held, args[0], time.Now())
			if !found {
				return fmt.Errorf("no member %q in namespace %s; there are: %s", args[0], hub.namespace, memberNames(seen.Hub))
			}
			out := cmd.OutOrStdout()
			fmt.Fprint(out, why.Text(view.Style{Color: NewScreen(out).color, Now: time.Now()}))
			return nil
		},
	}
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
