package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// A Person is who a kubeconfig of the embedded hub is issued to.
type Person struct {
	Name      string
	Group     string // that what they may do is bound to
	Namespace string // that their kubeconfig begins in
	Until     time.Time
}

// How long a certificate may be good for: nobody can take it back, only what it
// may do.
const (
	usualLife = 90 * 24 * time.Hour
	leastLife = time.Hour
	mostLife  = 365 * 24 * time.Hour
)

// maxPerson is as long as a name in a certificate may be (X.520, ub-common-name).
const maxPerson = 64

// standardOutput in the place of a file's name.
const standardOutput = "-"

// newUserCommand is "refit user": who may do what on the hub, as themselves.
func newUserCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Give people a way in of their own, and take it back",
		Long: `Who pauses, approves or aborts is written on what they say, as the hub knows
them. So everybody has a kubeconfig of their own, which no other person uses:

  viewer    sees everything
  operator  also pauses, resumes, retries, aborts, takes over, and changes fleets
  admin     also changes releases and members, and takes users back`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newUserAddCommand(app), newUserListCommand(), newUserRemoveCommand())
	return cmd
}

// userFlags are the flags of "user add", as they were written.
type userFlags struct {
	role, reason, out, expires string
}

func newUserAddCommand(app App) *cobra.Command {
	var flags userFlags
	cmd := &cobra.Command{
		Use:   "add NAME --role ROLE",
		Short: "Issue a kubeconfig for a person, and bind their role",
		Long: `Issue a kubeconfig for a person, who is NAME to the embedded hub from then on, and
bind their role to it: a RoleBinding in Refit's namespace, and a ClusterRoleBinding
for the releases. The file holds their key, which is kept nowhere else.

It is for the machine that the hub runs on: that is where the key of its
certificate authority is. On a management cluster people have names already;
docs/hubs.md tells how to bind the roles there.`,
		Example: `  refit user add ann --role operator --reason "on call from November"
  refit user add ben@example.com --role viewer --reason audit --expires 24h --out /run/user/1000/ben
  refit user add ci --role operator --reason "pauses during tests" --out - | vault kv put secret/ci kubeconfig=-`,
		Args: oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := flags.read(args[0], cmd.Flags().Changed("out"), app.Now())
			if err != nil {
				return err
			}
			if path := flag(cmd, "kubeconfig"); path != "" {
				return notOurs(path, flag(cmd, "namespace"), g)
			}
			h, err := connect(cmd)
			if err != nil {
				return err
			}
			credential, err := app.Issue(flag(cmd, "data-dir"), Person{Name: g.name, Group: g.group, Namespace: h.namespace, Until: g.until})
			if err != nil {
				return err
			}
			return h.add(cmd, g, credential)
		},
	}
	cmd.Flags().StringVar(&flags.role, "role", "", "what they may do: "+alternatives(roleNames())+" (required)")
	cmd.Flags().StringVar(&flags.reason, "reason", "", "why, for whoever asks later (required)")
	cmd.Flags().StringVar(&flags.out, "out", "", "the file to write, or - for standard output (default NAME.kubeconfig)")
	cmd.Flags().StringVar(&flags.expires, "expires", hours(usualLife), "how long their certificate is good for, at most "+hours(mostLife))
	return cmd
}

// read looks at the flags; an error names the flag, what it holds and the fix.
func (f userFlags) read(name string, outGiven bool, now time.Time) (grant, error) {
	life, err := time.ParseDuration(f.expires)
	switch {
	case checkPerson(name) != nil:
		return grant{}, checkPerson(name)
	case f.role == "":
		return grant{}, fmt.Errorf("--role is missing; name %s", alternatives(roleNames()))
	case !slices.Contains(roleNames(), f.role):
		return grant{}, fmt.Errorf("--role %q: is no role; name %s", f.role, alternatives(roleNames()))
	case checkReason(f.reason) != nil:
		return grant{}, checkReason(f.reason)
	case err != nil:
		return grant{}, fmt.Errorf("--expires %q: is no duration; write it as 2160h, or leave it out for that", f.expires)
	case life < leastLife || life > mostLife:
		return grant{}, fmt.Errorf("--expires %s: name a duration from %s to %s", f.expires, hours(leastLife), hours(mostLife))
	case f.out == "" && outGiven:
		return grant{}, errors.New("--out is empty; name a file, or - for standard output, or leave it out for NAME.kubeconfig")
	case f.out == "":
		f.out = name + ".kubeconfig"
	}
	return grant{
		name: name, role: f.role, reason: f.reason, out: f.out, group: newGroup(f.role),
		until: now.Add(life).UTC().Truncate(time.Second), // as a certificate has it
	}, nil
}

// hours of a duration that is whole hours.
func hours(d time.Duration) string { return fmt.Sprintf("%dh", d/time.Hour) }

// oneName is the argument of a command for one person.
func oneName(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s wants exactly one NAME, not %d; see \"refit user list\"", cmd.CommandPath(), len(args))
	}
	return nil
}

// checkPerson leaves out the names that are somebody's already: Kubernetes' own
// begin with "system:", and Refit's with "refit". That there are no capitals keeps
// Ann from being taken for ann.
func checkPerson(name string) error {
	pattern := regexp.MustCompile(`^[a-z0-9]([a-z0-9._+-]*[a-z0-9])?(@[a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$`)
	if len(name) > maxPerson || !pattern.MatchString(name) {
		return fmt.Errorf("NAME %q: is no name of a person; use at most %d lower-case letters, digits and inner . _ + -, or an e-mail address", name, maxPerson)
	}
	if name == "refit" || strings.HasPrefix(name, "refit-") {
		return fmt.Errorf("NAME %q: is Refit's own; choose one that does not begin so", name)
	}
	return nil
}

// alternatives of names, as people write them.
func alternatives(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// notOurs tells what to do where another than Refit knows people.
func notOurs(kubeconfig, namespace string, g grant) error {
	r := rightsOf(g.role)
	return fmt.Errorf("--kubeconfig %s: names a hub that knows people by itself, and Refit issues no certificates there; "+
		"bind the role to the name that it has for them: kubectl create rolebinding -n %s %s --clusterrole %s --user %s && "+
		"kubectl create clusterrolebinding %s --clusterrole %s --user %s",
		kubeconfig, namespace, bindingName(g.name), r.inNamespace, g.name, clusterBindingName(namespace, g.name), r.ofCluster, g.name)
}

// add writes the file and then binds the role: a key without rights opens nothing,
// and is removed where something goes wrong.
func (h *hub) add(cmd *cobra.Command, g grant, credential []byte) error {
	say, out := cmd.OutOrStdout(), g.out
	undo := func() error { return nil }
	if out == standardOutput {
		say = cmd.ErrOrStderr()
	} else {
		if err := writeNew(out, credential); err != nil {
			return err
		}
		undo = func() error { return os.Remove(out) }
	}
	text, err := h.bind(cmd.Context(), g)
	if err != nil {
		return errors.Join(err, undo())
	}
	if out == standardOutput {
		if _, err := cmd.OutOrStdout().Write(credential); err != nil {
			return fmt.Errorf("write the kubeconfig: %w; take it back with: refit user remove %s", err, g.name)
		}
		out = "standard output"
	}
	fmt.Fprintf(say, "user %s has the role %s until %s, with the kubeconfig in %s; take it back with: refit user remove %s\n"+
		"The same rights with kubectl, for the certificate in it:\n\nkubectl create -f - <<'YAML'\n%sYAML\n",
		g.name, g.role, g.until.Format(time.RFC3339), out, g.name, text)
	return nil
}

// writeNew writes a file that others cannot read, and that was not there before.
func writeNew(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("--out %s: exists already and is not overwritten; move it away, or name another file", path)
	}
	if err != nil {
		return fmt.Errorf("--out %s: %w; name a file in a folder that you may write to", path, errors.Unwrap(err))
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("--out %s: %w", path, err), os.Remove(path))
	}
	return nil
}

func newUserListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the users, what they may do and until when",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := connect(cmd)
			if err != nil {
				return err
			}
			all, err := h.users(cmd.Context())
			if err != nil {
				return err
			}
			return listUsers(all, cmd.OutOrStdout())
		},
	}
}

func listUsers(all []user, out io.Writer) error {
	if len(all) == 0 {
		fmt.Fprintln(out, "no users; see: refit user add")
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tROLE\tSINCE\tEXPIRES\tREASON")
	for _, u := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", u.name, u.role, u.since.UTC().Format(time.RFC3339), dash(u.expires), dash(u.reason))
	}
	return table.Flush()
}

func newUserRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Take from a person what they may do",
		Long: `Take from a person what "refit user add" gave them, by deleting the bindings. Their
certificate stays valid until it expires, but may do nothing, also not when the same
name is added again: that is another certificate.`,
		Example: `  refit user remove ann`,
		Args:    oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := connect(cmd)
			if err != nil {
				return err
			}
			return h.remove(cmd.Context(), args[0], cmd.OutOrStdout())
		},
	}
}

func (h *hub) remove(ctx context.Context, name string, out io.Writer) error {
	expires, err := h.unbind(ctx, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "user %s may do nothing any more; their certificate is valid until %s, without rights\nThe same with kubectl:\n\n"+
		"kubectl delete rolebinding -n %s %s\nkubectl delete clusterrolebinding %s\n",
		name, expires, h.namespace, bindingName(name), clusterBindingName(h.namespace, name))
	return nil
}
