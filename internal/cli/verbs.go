package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/rollout"
)

// Verbs are objects: what a person says no or yes to is written on the hub, with
// their name and their reason, and a command prints what kubectl would do.

// verbFlags are the flags of every verb.
type verbFlags struct {
	reason string
	until  string
}

func (v *verbFlags) addReason(cmd *cobra.Command) {
	cmd.Flags().StringVar(&v.reason, "reason", "", "why, for whoever asks later (required)")
}

func (v *verbFlags) add(cmd *cobra.Command) {
	v.addReason(cmd)
	cmd.Flags().StringVar(&v.until, "until", "", "when it ends: a time as 2026-12-31T08:00:00Z, or a duration from now as 36h (default: when it is deleted)")
}

// read looks at the flags, and reads when it ends; nil where it does not.
func (v verbFlags) read(cmd *cobra.Command, now time.Time) (*metav1.Time, error) {
	if err := checkReason(v.reason); err != nil {
		return nil, err
	}
	// An empty value is an empty variable of a script, not the wish for no end.
	if !cmd.Flags().Changed("until") {
		return nil, nil //nolint:nilnil // no end is what the API has no time for
	}
	end, err := time.Parse(time.RFC3339, v.until)
	if duration, durationErr := time.ParseDuration(v.until); durationErr == nil {
		end, err = now.Add(duration), nil
	}
	if err != nil {
		return nil, fmt.Errorf("--until %q: is neither a time nor a duration; write it as 2026-12-31T08:00:00Z or 36h, or leave it out", v.until)
	}
	end = end.UTC().Truncate(time.Second) // as the API keeps it
	if !end.After(now) {
		return nil, fmt.Errorf("--until %s: is not in the future; name a later time, or leave it out", v.until)
	}
	return &metav1.Time{Time: end}, nil
}

func newPauseCommand() *cobra.Command {
	var flags verbFlags
	var member string
	var everything bool
	cmd := &cobra.Command{
		Use:   "pause [FLEET]",
		Short: "Let no upgrade begin, in one fleet or in all",
		Long: `Let no upgrade begin, in one fleet or in all; what is under way goes on, or,
with --everything, waits as soon as that is safe: no control plane is begun, and
the nodes in hand are finished. It writes a Freeze, which ends with --until or
when it is deleted.`,
		Example: `  refit pause main --reason "holidays" --until 2027-01-04T08:00:00Z
  refit pause --everything --reason "incident 4711" --until 4h
  refit pause --member payments-eu-1 --reason "audit"`,
		Args: oneFleetOrAll,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("member") && member == "" {
				return errors.New("--member is empty; name a member, or leave it out for all of them")
			}
			spec := v1.FreezeSpec{Fleet: strings.Join(args, ""), Member: member, Stops: v1.StopsStarts}
			if everything {
				spec.Stops = v1.StopsEverything
			}
			return freeze(cmd, flags, "pause-", spec)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&member, "member", "", "only this member")
	cmd.Flags().BoolVar(&everything, "everything", false, "hold what is under way as well, as soon as that is safe")
	return cmd
}

// oneFleetOrAll: nobody pauses everything by an empty variable in a script.
func oneFleetOrAll(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%s wants one FLEET, or none for all, not %d; see \"refit status\"", cmd.CommandPath(), len(args))
	}
	if slices.Contains(args, "") {
		return fmt.Errorf("%s: the name of the FLEET is empty; leave it out to mean all, or see \"refit status\"", cmd.CommandPath())
	}
	return nil
}

func newSkipCommand() *cobra.Command {
	var flags verbFlags
	cmd := &cobra.Command{
		Use:   "skip MEMBER",
		Short: "Leave a member out, so that nobody waits for it",
		Long: `Leave a member out: no upgrade of it begins, and its fleet counts as done
without it. It writes a Freeze, which ends with --until or when it is deleted.`,
		Example: `  refit skip payments-eu-1 --reason "is scrapped in March"`,
		Args:    exactlyOne("MEMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return freeze(cmd, flags, "skip-", v1.FreezeSpec{Member: args[0], Stops: v1.StopsSkip})
		},
	}
	flags.add(cmd)
	return cmd
}

func freeze(cmd *cobra.Command, flags verbFlags, prefix string, spec v1.FreezeSpec) error {
	until, err := flags.read(cmd, time.Now())
	if err != nil {
		return err
	}
	hub, err := look(cmd)
	if err != nil {
		return err
	}
	if err := covers(hub.seen, spec); err != nil {
		return err
	}
	spec.Until, spec.Reason = until, flags.reason
	object := &v1.Freeze{ObjectMeta: hub.named(prefix), Spec: spec}
	return hub.say(cmd.Context(), object, "Freeze", cmd.OutOrStdout())
}

// covers tells what is wrong with a freeze that would stop nothing.
func covers(hub observe.Hub, spec v1.FreezeSpec) error {
	if spec.Member != "" {
		if err := findMember(hub, spec.Member); err != nil {
			return err
		}
	}
	if spec.Fleet == "" {
		return nil
	}
	f, err := findFleet(hub, spec.Fleet)
	if err != nil {
		return err
	}
	selects := func(w rollout.Wave) bool { return slices.Contains(w.Members, spec.Member) }
	if spec.Member != "" && !slices.ContainsFunc(f.Waves, selects) {
		return fmt.Errorf("--member %s: fleet %s does not select it; leave out the fleet, or see \"refit status\"", spec.Member, spec.Fleet)
	}
	return nil
}

func newResumeCommand() *cobra.Command {
	var flags verbFlags
	cmd := &cobra.Command{
		Use:   "resume FLEET",
		Short: "Let a fleet go on that halted: failures, a gate, members that vanished",
		Long: `Let a fleet go on that halted: the failures that there were until now do not
count any more in this revision, a gate that failed has its whole time again, and
who vanished is not missed. Members that failed do not start again by that; see
"refit retry". It writes an Approval; deleting that takes it back. A pause is
ended by deleting its Freeze: kubectl delete freeze.`,
		Example: `  refit resume main --reason "quota raised, see ticket 4711"`,
		Args:    exactlyOne("FLEET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return approve(cmd, flags, "resume-", func(hub observe.Hub, now time.Time) (v1.ApprovalSpec, error) {
				return resume(hub, args[0], now)
			})
		},
	}
	flags.add(cmd)
	return cmd
}

func newRetryCommand() *cobra.Command {
	var flags verbFlags
	cmd := &cobra.Command{
		Use:   "retry MEMBER",
		Short: "Let a member start again whose upgrade failed or was aborted",
		Long: `Let a member start again whose upgrade failed or was aborted in this revision,
also where its fleet has halted. It writes an Approval; deleting that takes it back.`,
		Example: `  refit retry payments-eu-1 --reason "disk replaced"`,
		Args:    exactlyOne("MEMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return approve(cmd, flags, "retry-", func(hub observe.Hub, now time.Time) (v1.ApprovalSpec, error) {
				return retry(hub, args[0], now)
			})
		},
	}
	flags.add(cmd)
	return cmd
}

// approve writes what a person agrees to, as the hub's state tells it.
func approve(cmd *cobra.Command, flags verbFlags, prefix string, what func(observe.Hub, time.Time) (v1.ApprovalSpec, error)) error {
	now := time.Now()
	until, err := flags.read(cmd, now)
	if err != nil {
		return err
	}
	hub, err := look(cmd)
	if err != nil {
		return err
	}
	spec, err := what(hub.seen, now)
	if err != nil {
		return err
	}
	spec.Until, spec.Reason = until, flags.reason
	if wait := sameSecond(hub.seen, now); wait > 0 && !pause(cmd.Context(), wait) {
		return cmd.Context().Err()
	}
	return hub.say(cmd.Context(), &v1.Approval{ObjectMeta: hub.named(prefix), Spec: spec}, "Approval", cmd.OutOrStdout())
}

// sameSecond is how long to wait with a yes to what has ended just now. The API
// keeps whole seconds: of two things in one nobody can tell which was first, and
// an approval counts for what was before it.
func sameSecond(hub observe.Hub, now time.Time) time.Duration {
	var last time.Time
	for _, u := range observe.Rollout(hub, now).Upgrades {
		if u.EndedAt.After(last) {
			last = u.EndedAt
		}
	}
	wait := last.Add(time.Second).Sub(now)
	return max(0, min(wait, time.Second))
}

// known is a hub and what was read of it.
type known struct {
	*hub
	seen observe.Hub
}

// look connects to the hub and reads it.
func look(cmd *cobra.Command) (known, error) {
	h, err := connect(cmd)
	if err != nil {
		return known{}, err
	}
	seen, err := h.read(cmd.Context())
	return known{hub: h, seen: seen}, err
}

// resume is the approval to go on of a fleet that has halted.
func resume(hub observe.Hub, name string, now time.Time) (v1.ApprovalSpec, error) {
	f, err := findFleet(hub, name)
	if err != nil {
		return v1.ApprovalSpec{}, err
	}
	decision := rollout.Decide(observe.Rollout(hub, now))
	i := slices.IndexFunc(decision.Fleets, func(state rollout.FleetState) bool { return state.Name == name })
	switch state := decision.Fleets[i]; {
	case slices.Contains([]fleet.Code{fleet.Halted, fleet.GateFailed, fleet.InventoryShrank}, state.Halt.Code):
		return v1.ApprovalSpec{Fleet: name, Revision: f.Revision, Subject: v1.SubjectResume}, nil
	case !state.Halt.IsZero():
		return v1.ApprovalSpec{}, fmt.Errorf("nothing to resume: %s; %s", state.Halt.Message, state.Halt.Fix)
	case !state.Freeze.IsZero():
		return v1.ApprovalSpec{}, fmt.Errorf("nothing to resume: fleet %s has not halted, it is %s; %s", name, state.Freeze.Message, state.Freeze.Fix)
	default:
		return v1.ApprovalSpec{}, fmt.Errorf("nothing to resume: fleet %s has not halted; see \"refit status\", and \"kubectl get freezes\" for what is paused", name)
	}
}

// retry is the approval to start again of a member that failed in what its
// fleet rolls now.
func retry(hub observe.Hub, name string, now time.Time) (v1.ApprovalSpec, error) {
	if err := findMember(hub, name); err != nil {
		return v1.ApprovalSpec{}, err
	}
	var last rollout.Upgrade
	in := observe.Rollout(hub, now)
	for _, u := range in.Upgrades {
		if u.Member == name && u.N > last.N {
			last = u
		}
	}
	for _, f := range in.Fleets {
		if (last.Outcome == rollout.Failed || last.Outcome == rollout.Aborted) && last.FleetUID == f.UID && last.Revision == f.Revision {
			return v1.ApprovalSpec{Fleet: f.Name, Revision: f.Revision, Subject: v1.SubjectRetry, Name: name}, nil
		}
	}
	return v1.ApprovalSpec{}, fmt.Errorf("nothing to retry: the last upgrade of %s neither failed nor was aborted in what its fleet rolls now; see \"refit why %s\"", name, name)
}

func findFleet(hub observe.Hub, name string) (rollout.Fleet, error) {
	var names []string
	for _, f := range observe.Rollout(hub, time.Time{}).Fleets {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	if len(names) == 0 {
		names = []string{"none"}
	}
	return rollout.Fleet{}, fmt.Errorf("no fleet %q; there are: %s", name, strings.Join(names, ", "))
}

func findMember(hub observe.Hub, name string) error {
	if slices.ContainsFunc(hub.Members, func(mc v1.MemberCluster) bool { return mc.Name == name }) {
		return nil
	}
	return fmt.Errorf("no member %q; there are: %s", name, memberNames(hub))
}

// named lets the API server choose the end of a name.
func (h *hub) named(prefix string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: h.namespace, GenerateName: prefix}
}

// say creates the object with the person's name on it, and prints what kubectl
// would do.
func (h *hub) say(ctx context.Context, object client.Object, kind string, out io.Writer) error {
	me, err := h.whoAmI(ctx)
	if err != nil {
		return err
	}
	object.SetAnnotations(map[string]string{v1.ByAnnotation: me})
	text, err := manifest(object, kind)
	if err != nil {
		return err
	}
	resource := strings.ToLower(kind)
	if err := admitted(ctx, func() error { return h.client.Create(ctx, object) }); apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		return fmt.Errorf("create the %s: %w", kind, err)
	} else if err != nil { // no answer is not a no
		return fmt.Errorf("create the %s: whether it was made is not known, see \"kubectl get %ss -n %s\" before another try: %w",
			kind, resource, h.namespace, err)
	}
	fmt.Fprintf(out, "%s %s created; take it back with: kubectl delete %s -n %s %s\nThe same with kubectl:\n\nkubectl create -f - <<'YAML'\n%sYAML\n",
		resource, object.GetName(), resource, object.GetNamespace(), object.GetName(), text)
	return nil
}

// admitted tries again while the hub says that a kind is not available yet: an API
// server that has just started reads, every few seconds, what its admission
// policies are to write on. Nothing was made as long as it says so.
func admitted(ctx context.Context, try func() error) error {
	const most, between = 150, 200 * time.Millisecond // half a minute: it reads every five seconds
	for range most {
		err := try()
		if !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), "CustomResourceDefinitions") || !pause(ctx, between) {
			return err
		}
	}
	return try()
}

// manifest is an object as people write it. Their name is on it, for the API
// servers that do not write it themselves.
func manifest(object client.Object, kind string) ([]byte, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("write the %s: %w", kind, err)
	}
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": v1.GroupVersion.String(), "kind": kind, "spec": fields["spec"],
		"metadata": map[string]any{
			"generateName": object.GetGenerateName(), "namespace": object.GetNamespace(), "annotations": object.GetAnnotations(),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("write the %s: %w", kind, err)
	}
	return text, nil
}

// whoAmI is the person's name, as the API server knows it.
func (h *hub) whoAmI(ctx context.Context) (string, error) {
	review := &authenticationv1.SelfSubjectReview{}
	if err := h.client.Create(ctx, review); err != nil {
		return "", fmt.Errorf("ask the hub who you are: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}
