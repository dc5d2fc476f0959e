// Package control holds the three loops. Each reads, decides, records and acts,
// visibly in that order; all deciding is in package plan.
//
// A loop takes a client, a clock and one key, so that a simulator can call it
// directly. Each is the sole writer of one kind's status: Fleets of Fleet (and
// Release), Upgrades of ClusterUpgrade, Members of MemberCluster.
package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/hold"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/rollout"
)

// keptUpgrades is how many upgrades of a member are kept, so that the next
// number is always known and there is a history to look at.
const keptUpgrades = 5

// lookAtClocks is how often clocks are compared that are so far apart that nobody
// starts.
const lookAtClocks = time.Minute

// ErrInvariant is a planner's mistake that was found before anything was done.
var ErrInvariant = errors.New("refused to act on a plan that must never be")

// Fleets decides for all fleets of one namespace at once: limits that fleets
// share then need no lock.
type Fleets struct {
	// Client reads from a cache and writes.
	Client client.Client
	// Reader reads from the API server itself.
	Reader    client.Reader
	Clock     clock.PassiveClock
	Namespace string
	// Hub is this hub's UID.
	Hub string
	// Skew tells how far our clock is ahead of the hub's.
	Skew func(context.Context) (time.Duration, error)
	// Gates asks them; without it none is asked, and none ever says yes.
	Gates Gates
	Log   *slog.Logger
}

// Gates asks questions, again and again, while the loop does something else.
type Gates interface {
	// Ask asks these, and no others any more. It waits for no answer.
	Ask(questions []fleet.Question)
	// Heard is what is known of those that are asked.
	Heard() map[fleet.Question]fleet.Heard
	// OnAnswer has somebody called after each answer, who must not block.
	OnAnswer(call func())
}

// Reconcile plans all fleets anew.
func (f *Fleets) Reconcile(ctx context.Context) (ctrl.Result, error) {
	// Read.
	hub, err := observe.ReadHub(ctx, f.Client, f.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}

	// Decide; before anything starts or is counted, once more on what the API server
	// itself holds, for a cache can be late; and before a start with a look at the clocks.
	in := f.rollout(hub)
	decision, efforts := f.decide(hub, in), counted(hub, f.Clock.Now())
	if len(decision.Start) > 0 || tells(hub, efforts) {
		if hub, err = observe.ReadHub(ctx, f.Reader, f.Namespace); err != nil {
			return ctrl.Result{}, err
		}
		in = f.rollout(hub)
		decision, efforts = f.decide(hub, in), counted(hub, f.Clock.Now())
	}
	if len(decision.Start) > 0 {
		if in.Skew, err = f.Skew(ctx); err != nil {
			return ctrl.Result{}, err
		}
		decision = f.decide(hub, in)
	}
	broken := slices.Concat(invariant.Starts(in, decision), invariant.Held(f.life(hub), decision.Start))
	if len(broken) > 0 {
		return ctrl.Result{}, fmt.Errorf("%w: %s", ErrInvariant, strings.Join(broken, "; "))
	}

	// Record.
	if err := f.record(ctx, hub, decision, efforts); err != nil {
		return ctrl.Result{}, err
	}

	// Act.
	f.ask(decision)
	for _, start := range decision.Start {
		if err := f.start(ctx, start); err != nil {
			return ctrl.Result{}, err
		}
	}
	next := until(decision.Recheck, f.Clock.Now())
	if in.Skew != 0 && len(decision.Start) == 0 { // somebody may set the clocks, which wakes nobody
		next = ctrl.Result{RequeueAfter: lookAtClocks}
	}
	if !hold.Why(f.life(hub)).IsZero() {
		return next, nil // it changes nothing, not even what it remembers
	}
	return next, f.prune(ctx, hub, efforts)
}

// rollout is the hub, and what its gates say.
func (f *Fleets) rollout(hub observe.Hub) rollout.Input {
	in := observe.Rollout(hub, f.Clock.Now())
	in.Heard = map[fleet.Question]fleet.Heard{}
	if f.Gates != nil {
		in.Heard = f.Gates.Heard()
	}
	return in
}

// ask lets those gates be asked that a decision waits for, or may wait for next.
func (f *Fleets) ask(decision rollout.Decision) {
	if f.Gates == nil {
		return
	}
	var questions []fleet.Question
	for _, state := range decision.Fleets {
		for _, wave := range state.Waves {
			for _, gate := range wave.Gates {
				questions = append(questions, gate.Question)
			}
		}
	}
	f.Gates.Ask(questions)
}

// decide plans all fleets, as far as the hub itself may act.
func (f *Fleets) decide(hub observe.Hub, in rollout.Input) rollout.Decision {
	return hold.Starts(rollout.Decide(in), hold.Why(f.life(hub)))
}

func (f *Fleets) life(hub observe.Hub) hold.Input {
	return observe.Hold(f.Hub, hub.Upgrades, hub.Approvals)
}

// record writes the status of every fleet and release, where it changed.
func (f *Fleets) record(ctx context.Context, hub observe.Hub, decision rollout.Decision, efforts map[string]*v1.FleetEffort) error {
	for i := range hub.Releases {
		release := hub.Releases[i].DeepCopy()
		if hash := release.Spec.Bundle.Hash(); release.Status.Hash != hash {
			release.Status.Hash = hash
			if err := f.Client.Status().Update(ctx, release); err != nil {
				return fmt.Errorf("record status of release %s: %w", release.Name, err)
			}
		}
	}
	for i := range hub.Fleets {
		var err error
		if seen := &hub.Fleets[i]; seen.DeletionTimestamp.IsZero() {
			err = f.recordFleet(ctx, seen, hub, decision, efforts[seen.Name])
		} else {
			err = f.letGo(ctx, seen, hub)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// letGo lets a fleet go that is being deleted, once its upgrades have ended.
func (f *Fleets) letGo(ctx context.Context, seen *v1.Fleet, hub observe.Hub) error {
	for i := range hub.Upgrades {
		if up := &hub.Upgrades[i]; up.Spec.FleetUID == string(seen.UID) && !observe.Ended(up) {
			return nil
		}
	}
	return setFinalizer(ctx, f.Client, seen.DeepCopy(), controllerutil.RemoveFinalizer)
}

func (f *Fleets) recordFleet(ctx context.Context, seen *v1.Fleet, hub observe.Hub, decision rollout.Decision, effort *v1.FleetEffort) error {
	fleet := seen.DeepCopy()
	if err := setFinalizer(ctx, f.Client, fleet, controllerutil.AddFinalizer); err != nil {
		return err
	}
	status := &fleet.Status
	status.ObservedGeneration = fleet.Generation
	if release, ok := hub.Release(fleet.Spec.Release); ok {
		status.Revision = observe.Revision(seen, release)
		status.Release = &v1.ReleaseRef{Name: release.Name, Hash: release.Hash}
	}
	i := slices.IndexFunc(decision.Fleets, func(s rollout.FleetState) bool { return s.Name == fleet.Name })
	countMembers(status, decision.Fleets[i])
	observe.Remember(status, decision.Fleets[i])
	boundWaves(status.Waves)
	status.Effort = effort.DeepCopy()
	reach(status, f.Clock.Now())
	setFleetConditions(fleet, decision.Fleets[i], decision.Waiting, f.Clock.Now())
	if equality.Semantic.DeepEqual(seen.Status, *status) {
		return nil
	}
	if seen.Status.Revision != status.Revision {
		f.Log.Info("fleet rolls a release", "fleet", fleet.Name, "revision", status.Revision, "release", status.Release.Name)
	}
	if err := f.Client.Status().Update(ctx, fleet); err != nil {
		return fmt.Errorf("record status of fleet %s: %w", fleet.Name, err)
	}
	return nil
}

func countMembers(status *v1.FleetStatus, state rollout.FleetState) {
	status.Members, status.Waves = v1.MemberCounts{}, nil
	for _, wave := range state.Waves {
		counts := countsOf(wave)
		status.Waves = append(status.Waves, v1.WaveStatus{Name: wave.Name, MemberCounts: counts})
		addCounts(&status.Members, counts)
	}
	addCounts(&status.Members, countsOf(state.Rest))
}

func countsOf(wave rollout.WaveState) v1.MemberCounts {
	counts := v1.MemberCounts{
		Done: count(wave.Done), Running: count(wave.Running), Waiting: count(wave.Waiting), Failed: count(wave.Failed),
		Aborted: count(wave.Aborted), Skipped: count(wave.Skipped),
	}
	counts.Total = counts.Done + counts.Running + counts.Waiting + counts.Failed + counts.Aborted + counts.Skipped
	return counts
}

func addCounts(sum *v1.MemberCounts, counts v1.MemberCounts) {
	sum.Total += counts.Total
	sum.Done += counts.Done
	sum.Running += counts.Running
	sum.Waiting += counts.Waiting
	sum.Failed += counts.Failed
	sum.Aborted += counts.Aborted
	sum.Skipped += counts.Skipped
}

func count(names []string) int32 { return int32(len(names)) }

// setFleetConditions sums the fleet up: Ready when all members are at the
// release, Stalled when only a person can get it going again. A frozen fleet is
// as people want it: it progresses as far as upgrades are under way.
func setFleetConditions(f *v1.Fleet, state rollout.FleetState, waiting map[string]fleet.Reason, now time.Time) {
	members, stuckWave := f.Status.Members, cmp.Or(onlyStuck(state, waiting), forPeople(state))
	ready, progressing, stalled := metav1.ConditionFalse, metav1.ConditionFalse, metav1.ConditionFalse
	code, message := fleet.InFlight, fmt.Sprintf("%d of %d members at %s, %d in flight, %d waiting",
		members.Done, members.Total, f.Spec.Release, members.Running, members.Waiting)
	if members.Skipped > 0 {
		message += fmt.Sprintf(", %d left out", members.Skipped)
	}
	switch {
	case !state.Halt.IsZero():
		stalled, code, message = metav1.ConditionTrue, state.Halt.Code, sentence(state.Halt)
	case members.Total == 0: // a selector with a slip in it must not look like a job done
		stalled, code, message = metav1.ConditionTrue, fleet.EmptyWave, "no member is selected: see spec.selector, and the labels of the members"
	case members.Done == members.Total:
		ready, code, message = metav1.ConditionTrue, fleet.AtRelease, fmt.Sprintf("all %d members at %s", members.Total, f.Spec.Release)
	case members.Done+members.Skipped == members.Total:
		ready, code, message = metav1.ConditionTrue, fleet.AtRelease, fmt.Sprintf("%d of %d members at %s, %d left out",
			members.Done, members.Total, f.Spec.Release, members.Skipped)
	case !stuckWave.IsZero() && members.Running == 0:
		stalled, code, message = metav1.ConditionTrue, stuckWave.Code, sentence(stuckWave)
	case !state.Freeze.IsZero() && members.Running == 0:
		code, message = state.Freeze.Code, message+"; "+sentence(state.Freeze)
	case !state.Freeze.IsZero():
		progressing, message = metav1.ConditionTrue, message+"; "+sentence(state.Freeze)
	default:
		progressing = metav1.ConditionTrue
	}
	for _, condition := range []struct {
		kind string
		is   metav1.ConditionStatus
	}{
		{v1.ConditionReady, ready}, {v1.ConditionProgressing, progressing}, {v1.ConditionStalled, stalled},
	} {
		meta.SetStatusCondition(&f.Status.Conditions, metav1.Condition{
			Type: condition.kind, Status: condition.is, Reason: string(code), Message: clip(message, conditionRoom),
			ObservedGeneration: f.Generation, LastTransitionTime: metav1.NewTime(now),
		})
	}
}

// onlyStuck is why none of the members that wait goes on by itself, but for those
// who wait for them; zero where one does.
func onlyStuck(state rollout.FleetState, waiting map[string]fleet.Reason) fleet.Reason {
	var first fleet.Reason
	for _, wave := range state.Waves {
		for _, name := range wave.Waiting {
			switch why := waiting[name]; {
			case slices.Contains([]fleet.Code{fleet.Overlap, fleet.Duplicate, fleet.Contested, fleet.Behind}, why.Code):
				first = cmp.Or(first, why)
			case why.Code != fleet.WaveClosed:
				return fleet.Reason{}
			}
		}
	}
	return first
}

// forPeople is why a fleet does not go on by itself, where a wave waits for what
// only a person can do, or members are in no wave.
func forPeople(state rollout.FleetState) fleet.Reason {
	for _, wave := range state.Waves {
		if len(wave.Waiting)+len(wave.Running) > 0 {
			return fleet.Reason{}
		}
		if !wave.Why.IsZero() {
			return onlyPeople(wave.Why)
		}
	}
	if n := len(state.Rest.Waiting); n > 0 {
		return fleet.Reason{
			Code: fleet.NoWave, Message: fmt.Sprintf("%d member(s) are in no wave, first %s", n, state.Rest.Waiting[0]),
			Fix: "change their labels or a wave's selector; a last wave without selector takes all that are left",
		}
	}
	return fleet.Reason{}
}

// onlyPeople is a reason that a person can do something about; zero for another.
func onlyPeople(why fleet.Reason) fleet.Reason {
	if why.Fix == "" {
		return fleet.Reason{}
	}
	return why
}

// sentence is a reason in one line: what is wrong, and what to do.
func sentence(reason fleet.Reason) string {
	if reason.Fix == "" {
		return reason.Message
	}
	return reason.Message + "; " + reason.Fix
}

// start creates the upgrade, which is the lock on its member. Who finds it
// created already has lost a race, and plans again on what is there.
func (f *Fleets) start(ctx context.Context, start rollout.Start) error {
	up := &v1.ClusterUpgrade{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.Namespace, Name: fmt.Sprintf("%s.%d", start.Member, start.N), Finalizers: []string{v1.SafePointFinalizer},
		},
		Spec: v1.ClusterUpgradeSpec{
			Member:  start.Member,
			Release: v1.ReleaseRef{Name: start.Release.Name, Hash: start.Release.Hash},
			Fleet:   start.Fleet, FleetUID: start.FleetUID, Revision: start.Revision, Wave: start.Wave, Hub: f.Hub,
		},
	}
	switch err := f.Client.Create(ctx, up); {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("lock member %s: somebody else created %s: plan again: %w", start.Member, up.Name, err)
	case err != nil:
		return fmt.Errorf("start upgrade %s: %w", up.Name, err)
	}
	f.Log.Info("upgrade starts", "upgrade", up.Name, "fleet", start.Fleet, "wave", start.Wave, "release", start.Release.Name)
	return nil
}

// prune deletes all but the newest ended upgrades of each member, once their work is
// added up.
func (f *Fleets) prune(ctx context.Context, hub observe.Hub, efforts map[string]*v1.FleetEffort) error {
	for _, up := range surplus(hub) {
		if !addedUp(up, hub, efforts) {
			continue
		}
		if err := client.IgnoreNotFound(f.Client.Delete(ctx, up)); err != nil {
			return fmt.Errorf("prune upgrade %s: %w", up.Name, err)
		}
	}
	return nil
}

// setFinalizer adds or removes ours, where that is not so already. A conflict is
// left to the next look.
func setFinalizer(ctx context.Context, c client.Client, object client.Object, change func(client.Object, string) bool) error {
	before := object.DeepCopyObject().(client.Object)
	if !change(object, v1.SafePointFinalizer) {
		return nil
	}
	err := c.Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("change the finalizers of %s: %w", object.GetName(), err)
	}
	return nil
}

// until asks to be called again at a time; at no time for the zero one.
func until(at, now time.Time) ctrl.Result {
	if at.IsZero() {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: max(at.Sub(now), 10*time.Millisecond)}
}
