package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
)

func newAbortCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "abort MEMBER",
		Short: "End a member's upgrade at the next safe point",
		Long: `End a member's upgrade at the next safe point: what runs at the provider is
waited for, the nodes in hand are brought to their end, or given back where their
pods cannot move, and the member is left as it is then. It does not start again in
this revision, until "refit retry". It sets spec.end of the ClusterUpgrade, once.`,
		Example: `  refit abort payments-eu-1 --reason "wrong night"`,
		Args:    exactlyOne("MEMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkReason(reason); err != nil {
				return err
			}
			hub, err := look(cmd)
			if err != nil {
				return err
			}
			up, err := underWay(hub.seen, args[0])
			if err != nil {
				return err
			}
			return hub.abort(cmd.Context(), up, reason, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever asks later (required)")
	return cmd
}

// checkReason refuses what does not say why.
func checkReason(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return errors.New(`--reason is missing: say why, for whoever asks later, as --reason "holidays"`)
	}
	if strings.ContainsFunc(reason, unicode.IsControl) {
		return fmt.Errorf("--reason %q: is more than a line of text; leave out line breaks, tabs and the like", reason)
	}
	return nil
}

// underWay is the member's upgrade that has not ended.
func underWay(hub observe.Hub, member string) (*v1.ClusterUpgrade, error) {
	if err := findMember(hub, member); err != nil {
		return nil, err
	}
	for i := range hub.Upgrades {
		up := &hub.Upgrades[i]
		switch {
		case up.Spec.Member != member || observe.Ended(up):
		case up.Spec.End != "":
			return nil, fmt.Errorf("nothing to abort: %s is being ended already, by %s: %s", up.Name, up.Annotations[v1.ByAnnotation], up.Spec.EndReason)
		default:
			return up, nil
		}
	}
	return nil, fmt.Errorf("nothing to abort: no upgrade of %s is under way; see \"refit why %s\"", member, member)
}

func (h *hub) abort(ctx context.Context, up *v1.ClusterUpgrade, reason string, out io.Writer) error {
	me, err := h.whoAmI(ctx)
	if err != nil {
		return err
	}
	before := up.DeepCopy()
	if up.Annotations == nil {
		up.Annotations = map[string]string{}
	}
	up.Annotations[v1.ByAnnotation] = me
	up.Spec.End, up.Spec.EndReason = v1.EndAbort, reason
	patch := client.MergeFrom(before)
	text, err := patch.Data(up)
	if err != nil {
		return fmt.Errorf("write the patch: %w", err)
	}
	if err := admitted(ctx, func() error { return h.client.Patch(ctx, up, patch) }); err != nil {
		return fmt.Errorf("end upgrade %s: %w", up.Name, err)
	}
	fmt.Fprintf(out, "clusterupgrade %s ends at the next safe point; see refit why %s\nThe same with kubectl:\n\n"+
		"kubectl patch clusterupgrade -n %s %s --type merge -p %s\n", up.Name, up.Spec.Member, up.Namespace, up.Name, quoted(string(text)))
	return nil
}

// quoted is a text as one word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

func newForgetCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "forget MEMBER",
		Short: "Delete a member whose cluster nobody will reach again",
		Long: `Delete a member whose cluster nobody will reach again. Its upgrade ends at once:
nothing on the cluster is waited for or undone. Where the cluster can be reached,
use "kubectl delete membercluster" instead, which ends the upgrade at a safe point.
The cluster itself is not touched.`,
		Example: `  refit forget payments-eu-1 --reason "the account is closed"`,
		Args:    exactlyOne("MEMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkReason(reason); err != nil {
				return err
			}
			hub, err := look(cmd)
			if err != nil {
				return err
			}
			if err := findMember(hub.seen, args[0]); err != nil {
				return err
			}
			return hub.forget(cmd.Context(), args[0], reason, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever asks later (required)")
	return cmd
}

// forget says why first: a member that is being deleted is waited for, unless it is
// to be forgotten.
func (h *hub) forget(ctx context.Context, name, reason string, out io.Writer) error {
	mc := &v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: name}}
	annotation, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{v1.ForgetAnnotation: reason}}})
	if err != nil {
		return fmt.Errorf("write the patch: %w", err)
	}
	if err := h.client.Patch(ctx, mc.DeepCopy(), client.RawPatch(types.MergePatchType, annotation)); err != nil {
		return fmt.Errorf("say that member %s is to be forgotten: %w", name, err)
	}
	if err := client.IgnoreNotFound(h.client.Delete(ctx, mc)); err != nil {
		return fmt.Errorf("delete member %s: %w", name, err)
	}
	fmt.Fprintf(out, "membercluster %s is forgotten; its cluster was not touched\nThe same with kubectl:\n\n"+
		"kubectl annotate membercluster -n %s %s %s\nkubectl delete membercluster -n %s %s\n",
		name, h.namespace, name, quoted(v1.ForgetAnnotation+"="+reason), h.namespace, name)
	return nil
}
