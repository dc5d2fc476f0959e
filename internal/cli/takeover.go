package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/hold"
)

// sight is everything of the namespace, the hub's UID, and why nothing of the
// hub acts; zero where it may.
type sight struct {
	observe.Hub

	uid  string
	held fleet.Reason
}

// look reads the hub, and whether it may act. One that has not told yet who it
// is has never acted.
func (h *hub) look(ctx context.Context) (sight, error) {
	seen, err := h.read(ctx)
	if err != nil {
		return sight{}, err
	}
	uid, err := observe.HubUID(ctx, h.client, h.namespace)
	if err != nil || uid == "" {
		return sight{Hub: seen}, err
	}
	return sight{Hub: seen, uid: uid, held: hold.Why(observe.Hold(uid, seen.Upgrades, seen.Approvals))}, nil
}

func newTakeOverCommand() *cobra.Command {
	var flags verbFlags
	cmd := &cobra.Command{
		Use:   "takeover HUB",
		Short: "Let this hub take the place of one that is gone for good",
		Long: `Let this hub take the place of another one that is gone for good: it goes on
with what it was restored from, and with the members that the other has claimed,
once their claims have expired. HUB is the other's UID, as "refit why" names it.
It writes an Approval; deleting that takes it back.

See first that the other hub does not run any more, and never will: two hubs must
not change the same clusters.`,
		Example: `  refit takeover 5d3f1c2e-8f43-4b0e-9d1a-6f2b8a7c9e10 --reason "its disk is lost, ticket 4711"`,
		Args:    exactlyOne("HUB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := flags.read(cmd, time.Now()); err != nil {
				return err
			}
			h, err := connect(cmd)
			if err != nil {
				return err
			}
			seen, err := h.look(cmd.Context())
			if err != nil {
				return err
			}
			spec, err := takeOver(seen, args[0])
			if err != nil {
				return err
			}
			spec.Reason = flags.reason
			return h.say(cmd.Context(), &v1.Approval{ObjectMeta: h.named("takeover-"), Spec: spec}, "Approval", cmd.OutOrStdout())
		},
	}
	flags.addReason(cmd)
	return cmd
}

// takeOver is the approval to take the place of a hub that stands in the way.
func takeOver(seen sight, from string) (v1.ApprovalSpec, error) {
	if seen.uid == "" {
		return v1.ApprovalSpec{}, errors.New(`nothing to take over: the hub has not told yet who it is; see "refit up"`)
	}
	others := others(seen)
	if !slices.Contains(others, from) {
		if len(others) == 0 {
			others = []string{"none"}
		}
		return v1.ApprovalSpec{}, fmt.Errorf("nothing to take over: no hub %q stands in the way of this one; there are: %s", from, strings.Join(others, ", "))
	}
	return v1.ApprovalSpec{Subject: v1.SubjectTakeOver, Hub: seen.uid, Name: from}, nil
}

// others are the hubs that made what this one holds, or have claimed a member.
func others(seen sight) []string {
	all := observe.Hold(seen.uid, seen.Upgrades, nil).Lives
	for i := range seen.Upgrades {
		why := seen.Upgrades[i].Status.Why
		if why == nil || why.Code != string(fleet.ClaimedElsewhere) || observe.Ended(&seen.Upgrades[i]) {
			continue
		}
		if claimer, ok := strings.CutPrefix(why.Object, "hub "); ok {
			all = append(all, claimer)
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(uid string) bool { return uid == seen.uid })
}
