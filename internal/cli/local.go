package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider/local"
)

// memberHooks tell the hub of members that come and go.
type memberHooks struct {
	created func(ctx context.Context, name string, labels map[string]string) error
	deleted func(ctx context.Context, name string) error
}

// newLocalCommand is "refit local": real clusters on this machine.
func newLocalCommand(hooks memberHooks) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "local",
		Short: "Create, list and delete real Kubernetes clusters on this machine",
		Long: `A local member is a real Kubernetes control plane on loopback ports of its own:
etcd, kube-apiserver, kube-controller-manager and kube-scheduler of an exact
version. Its nodes are real Node objects that kwok plays: pods are scheduled, run
and are evicted, but no container starts. Refit upgrades it as it upgrades any
other cluster.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newLocalCreateCommand(hooks), newLocalListCommand(), newLocalDeleteCommand(hooks),
		newLocalKubeconfigCommand(), newLocalLogsCommand(), newLocalStartCommand(), newLocalStopCommand(),
	)
	return cmd
}

// createFlags are the flags of "local create", as they were written.
type createFlags struct {
	version  string
	nodes    int
	pools    []string
	labels   []string
	noWait   bool
	auditLog bool
}

// defaultPool is the pool where none is named.
const defaultPool = "default"

func newLocalCreateCommand(hooks memberHooks) *cobra.Command {
	var flags createFlags
	cmd := &cobra.Command{
		Use:   "create NAME --version VERSION",
		Short: "Create a cluster and wait until its nodes are Ready",
		Example: `  refit local create dev --version v1.36.3
  refit local create payments-eu-1 --version v1.36.3 --pools web=10,batch=5 --label env=prod`,
		Args: needName("create"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := flags.spec(args[0], cmd.Flags().Changed("nodes"))
			if err != nil {
				return err
			}
			return createLocal(cmd, spec, hooks)
		},
	}
	cmd.Flags().StringVar(&flags.version, "version", "", "the Kubernetes version, such as v1.36.3 (required)")
	cmd.Flags().IntVar(&flags.nodes, "nodes", 3, fmt.Sprintf("how many nodes, 0 to %d", local.MaxNodes))
	cmd.Flags().StringSliceVar(&flags.pools, "pools", nil, "the pools and their nodes, such as web=10,batch=5 (default one pool, "+defaultPool+")")
	cmd.Flags().StringSliceVar(&flags.labels, "label", nil, "a label of the member, such as env=prod; can be repeated")
	cmd.Flags().BoolVar(&flags.noWait, "no-wait", false, "return when the member is started, not when it is ready")
	cmd.Flags().BoolVar(&flags.auditLog, "audit-log", false, "write every request to logs/audit.log in the member's folder")
	return cmd
}

// spec reads the flags; an error names the flag, what it holds and the fix.
func (f createFlags) spec(name string, nodesGiven bool) (local.Spec, error) {
	spec := local.Spec{Name: name, AuditLog: f.auditLog, NoWait: f.noWait, Labels: map[string]string{}}
	var ok bool
	if f.version == "" {
		return spec, errors.New("--version is missing; name a Kubernetes version, such as --version v1.36.3")
	}
	if spec.Version, ok = fleet.ParseVersion(f.version); !ok || strings.Count(f.version, ".") < 2 {
		return spec, fmt.Errorf("--version %q is no full Kubernetes version; write it like v1.36.3", f.version)
	}
	if f.nodes < 0 || f.nodes > local.MaxNodes {
		return spec, fmt.Errorf("--nodes %d is out of range; use 0 to %d", f.nodes, local.MaxNodes)
	}
	sum := 0
	for _, text := range f.pools {
		pool, err := local.ParsePool(text)
		if err != nil {
			return spec, fmt.Errorf("--pools: %w", err)
		}
		spec.Pools = append(spec.Pools, pool)
		sum += pool.Size
	}
	switch {
	case len(f.pools) == 0:
		spec.Pools = []local.PoolSpec{{Name: defaultPool, Size: f.nodes}}
	case nodesGiven && sum != f.nodes:
		return spec, fmt.Errorf("--pools %s has %d nodes, but --nodes says %d; leave --nodes out, or make them agree", strings.Join(f.pools, ","), sum, f.nodes)
	}
	for _, text := range f.labels {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return spec, fmt.Errorf("--label %q is not of the form KEY=VALUE, such as env=prod", text)
		}
		spec.Labels[key] = value
	}
	return spec, nameFlag(spec.Validate())
}

// nameFlag says which argument a wrong field of the spec came from.
func nameFlag(err error) error {
	wrong := (*local.SpecError)(nil)
	if !errors.As(err, &wrong) {
		return err
	}
	flags := map[string]string{"Name": "NAME", "Version": "--version", "Pools": "--pools", "Labels": "--label"}
	return fmt.Errorf("%s: %w", flags[wrong.Field], err)
}

func createLocal(cmd *cobra.Command, spec local.Spec, hooks memberHooks) error {
	members, err := LocalMembers(flag(cmd, "data-dir"), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	// Interrupted, it cleans up: what is half made would be in the way.
	ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	begun := time.Now()
	report := func(text string) { fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", spec.Name, text) }
	if err := members.Create(ctx, spec, report); err != nil {
		return err
	}
	if hooks.created != nil {
		if err := hooks.created(ctx, spec.Name, spec.Labels); err != nil {
			return fmt.Errorf("%s runs, but is not registered: %w", spec.Name, err)
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: Kubernetes %s, created in %s. Look at it with:\n  kubectl --kubeconfig $(refit local kubeconfig %s) get nodes\n",
		spec.Name, spec.Version, time.Since(begun).Round(100*time.Millisecond), spec.Name)
	return nil
}

func newLocalListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the clusters on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			members, err := LocalMembers(flag(cmd, "data-dir"), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			all, err := members.List(cmd.Context())
			if err != nil {
				return err
			}
			if len(all) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "There are none. Create one with: refit local create dev --version v1.36.3")
				return nil
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(table, "NAME\tVERSION\tNODES\tSTATUS\tPID\tAGE")
			for _, s := range all {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, dash(s.Version), number(s.Nodes), s.Status, number(s.PID), age(s.Created))
			}
			return table.Flush()
		},
	}
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func age(since time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return duration.HumanDuration(time.Since(since))
}

func newLocalDeleteCommand(hooks memberHooks) *cobra.Command {
	return &cobra.Command{
		Use:     "delete NAME...",
		Short:   "Delete clusters and all that belongs to them",
		Example: `  refit local delete dev staging`,
		Args:    needName("delete"),
		RunE: func(cmd *cobra.Command, names []string) error {
			return eachMember(cmd, names, func(members local.Members, name string) error {
				if err := members.Delete(cmd.Context(), name); err != nil {
					return err
				}
				if hooks.deleted != nil {
					if err := hooks.deleted(cmd.Context(), name); err != nil {
						return fmt.Errorf("%s is deleted, but still registered: %w", name, err)
					}
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: deleted\n", name)
				return nil
			})
		},
	}
}

func newLocalStartCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "start NAME...",
		Short:   "Start clusters that were stopped",
		Example: `  refit local start dev staging`,
		Args:    needName("start"),
		RunE: func(cmd *cobra.Command, names []string) error {
			return eachMember(cmd, names, func(members local.Members, name string) error {
				return members.Start(cmd.Context(), name)
			})
		},
	}
}

func newLocalStopCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "stop NAME...",
		Short:   "Stop clusters until they, or the hub, are started again; they keep their data",
		Example: `  refit local stop dev staging`,
		Args:    needName("stop"),
		RunE: func(cmd *cobra.Command, names []string) error {
			return eachMember(cmd, names, func(members local.Members, name string) error {
				return members.Stop(cmd.Context(), name)
			})
		},
	}
}

// eachMember does the same to every name; one that fails does not keep the
// others from it.
func eachMember(cmd *cobra.Command, names []string, do func(local.Members, string) error) error {
	members, err := LocalMembers(flag(cmd, "data-dir"), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, do(members, name))
	}
	return errors.Join(errs...)
}

func newLocalKubeconfigCommand() *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:   "kubeconfig NAME",
		Short: "Print the path of a cluster's kubeconfig",
		Example: `  kubectl --kubeconfig $(refit local kubeconfig dev) get nodes
  refit local kubeconfig dev --raw > dev.kubeconfig`,
		Args: needOneName("kubeconfig"),
		RunE: func(cmd *cobra.Command, args []string) error {
			members, err := LocalMembers(flag(cmd, "data-dir"), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			path, err := members.Kubeconfig(args[0])
			if err != nil {
				return err
			}
			if !raw {
				fmt.Fprintln(cmd.OutOrStdout(), path)
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("read the kubeconfig of %s: %w", args[0], err)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print the kubeconfig itself; it holds an administrator's key")
	return cmd
}

func newLocalLogsCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs NAME [PART]",
		Short: "Print what a part of a cluster logged",
		Long: "Print what a part of a cluster logged: " + strings.Join(local.LogNames(), ", ") + `.
Without PART it is the supervisor, which tells what it started and ended, and why.`,
		Example: `  refit local logs dev
  refit local logs dev kube-apiserver -f`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return errors.New("name a member and at most one of its parts, like: refit local logs dev kube-apiserver")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			members, err := LocalMembers(flag(cmd, "data-dir"), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			part := append(args[1:], local.SupervisorLog)[0]
			if !follow {
				return members.CopyLog(args[0], part, cmd.OutOrStdout())
			}
			ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer cancel()
			return members.FollowLog(ctx, args[0], part, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on printing what is added")
	return cmd
}

func needName(verb string) cobra.PositionalArgs {
	if verb != "create" {
		return func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("name a member, like: refit local %s dev", verb)
			}
			return nil
		}
	}
	return needOneName(verb)
}

func needOneName(verb string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("name one member, like: refit local %s dev", verb)
		}
		return nil
	}
}
