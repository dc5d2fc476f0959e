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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/act"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/member"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/hold"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/upgrade"
	"refit.dev/refit/internal/provider"
)

// retryAfter is how long to wait before looking again at a provider that did
// not answer: long against a dropped packet, short against an upgrade.
const retryAfter = 5 * time.Second

// soon lets the cache catch up with a write before the next look.
const soon = 50 * time.Millisecond

// intentAge is how old an intent may be when it is acted on: a leader that was
// frozen in between must plan again.
const intentAge = time.Minute

// Upgrades moves each member one step at a time.
type Upgrades struct {
	// Client reads from a cache and writes; an upgrade's own status is guarded
	// by its resource version.
	Client client.Client
	// Reader reads from the API server itself.
	Reader   client.Reader
	Clock    clock.PassiveClock
	Clusters *observe.Clusters
	Actor    *act.Actor
	// Hub is the UID of the hub whose upgrades these are.
	Hub string
	// Watch opens a watch on the member of an upgrade in flight; nil polls.
	Watch *Watches
	Log   *slog.Logger
}

// Reconcile moves one upgrade one step further.
func (u *Upgrades) Reconcile(ctx context.Context, key types.NamespacedName) (ctrl.Result, error) {
	up := &v1.ClusterUpgrade{}
	if err := u.Client.Get(ctx, key, up); apierrors.IsNotFound(err) {
		u.Watch.Close(key)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("read upgrade %s: %w", key.Name, err)
	}
	if observe.Ended(up) {
		u.Watch.Close(key)
		return again(setFinalizer(ctx, u.Client, up, controllerutil.RemoveFinalizer))
	}

	// Observe: everything the decision needs, and nothing is changed.
	sight, err := u.observe(ctx, up)
	if err != nil {
		return u.unobserved(ctx, up, sight.in.Held, err)
	}

	// Plan: pure. The same input gives the same step.
	step := upgrade.Next(sight.in)

	// A planner's mistake must not reach a cluster.
	if broken := invariant.Step(sight.in, step); len(broken) > 0 {
		return u.hold(ctx, up, broken)
	}

	// Record: what is about to be done is on the object before it is done.
	// A fault is told until a try succeeds: another try is no news.
	told := step
	if faulted(up) && len(step.Actions) > 0 {
		told.Why = observe.Reason(up.Status.Why)
	}
	if err := u.record(ctx, up, sight.in, told); err != nil {
		return again(err)
	}
	if step.Outcome != upgrade.Going {
		u.Watch.Close(key)
		return again(setFinalizer(ctx, u.Client, up, controllerutil.RemoveFinalizer))
	}

	// Act.
	if err := u.act(ctx, up, sight, step); err != nil {
		return u.fault(ctx, up, err)
	}
	if tries(step) {
		told.Why = step.Why
	}
	if err := u.wait(ctx, up, told.Why); err != nil {
		return again(err)
	}
	return until(step.Recheck, u.Clock.Now()), nil
}

// errMemberGone tells a MemberCluster that is gone from whatever else somebody
// may not find.
var errMemberGone = errors.New("its MemberCluster is gone")

// sight is everything that one decision rests on.
type sight struct {
	in      upgrade.Input
	cluster provider.Cluster
}

func (u *Upgrades) observe(ctx context.Context, up *v1.ClusterUpgrade) (sight, error) {
	in := upgrade.Input{UID: string(up.UID), Hub: u.Hub, Memory: observe.Memory(up.Status), Refused: observe.Reason(up.Status.Refused)}
	var approvals v1.ApprovalList
	if err := u.Client.List(ctx, &approvals, client.InNamespace(up.Namespace)); err != nil {
		return sight{in: in}, fmt.Errorf("read approvals: %w", err)
	}
	in.TakeOvers = observe.TakeOvers(u.Hub, approvals.Items)
	in.Held = hold.Why(observe.Hold(u.Hub, []v1.ClusterUpgrade{*up}, approvals.Items))
	want, err := u.wanted(ctx, up)
	if err != nil {
		return sight{in: in}, err
	}
	in.Superseded, in.Withdrawn, in.Halted = want.movedOn, want.withdrawn, halted(up, want.fleet)
	in.Policy = observe.Policy(want.fleet)
	kubernetes := want.release.Spec.Bundle.Kubernetes
	if !want.movedOn.IsZero() {
		kubernetes = up.Status.To // its release may be gone, or another
	}
	in.Target, _ = fleet.ParseVersion(kubernetes) // admitted by CEL
	in.Hops = observe.Hops(want.release.Spec.Bundle)
	in.AddOns, in.Release = observe.Wanted(want.release.Spec.Bundle), up.Spec.Release.Name

	mc := &v1.MemberCluster{}
	err = u.Client.Get(ctx, client.ObjectKey{Namespace: up.Namespace, Name: up.Spec.Member}, mc)
	if apierrors.IsNotFound(err) {
		return sight{in: in}, errMemberGone
	} else if err != nil {
		return sight{in: in}, fmt.Errorf("read member %s: %w", up.Spec.Member, err)
	}
	if forgotten := mc.Annotations[v1.ForgetAnnotation]; forgotten != "" && !mc.DeletionTimestamp.IsZero() {
		return sight{in: in}, fmt.Errorf("%w: forgotten: %s", errMemberGone, forgotten)
	}
	if in.Superseded.IsZero() && mc.DeletionTimestamp.IsZero() && !observe.Selects(want.fleet, mc) {
		in.Superseded = movedOn(up, "fleet %s does not select it any more", want.fleet.Name)
	}
	in.Aborted = aborted(up, mc)
	var freezes v1.FreezeList
	if err := u.Reader.List(ctx, &freezes, client.InNamespace(up.Namespace)); err != nil {
		return sight{in: in}, fmt.Errorf("read freezes: %w", err)
	}
	in.Frozen = observe.Held(freezes.Items, up.Spec.Fleet, up.Spec.Member, u.Clock.Now())
	in.Pins = observe.Pins(want.fleet, up, mc)
	cluster, err := u.Clusters.Reach(mc)
	if err != nil {
		return sight{in: in}, err
	}
	u.Watch.Open(ctx, client.ObjectKeyFromObject(up), cluster)
	in.Cluster, err = u.Clusters.Cluster(ctx, cluster, member.PodsToo)
	in.Cluster.Offers = observe.Offers(in)
	if err == nil && in.Cluster.ControlPlane.Ready {
		in.Cluster.AddOns = u.Clusters.AddOnsOf(ctx, cluster, in.AddOns)
	}
	in.Cluster.Source = u.Clusters.SourceOf(mc, sourceOfUpgrade)
	in.Now = u.Clock.Now()
	return sight{in: in, cluster: cluster}, err
}

// wish is what is wanted of an upgrade now.
type wish struct {
	fleet   *v1.Fleet
	release *v1.Release
	// movedOn is set where the fleet does not want the upgrade any more, withdrawn
	// where nobody is to be brought to its release.
	movedOn, withdrawn fleet.Reason
}

// wanted reads fleet and release, from the API server itself. The release that
// the upgrade was made for is known by name and hash; one that is gone or
// another by now is not it.
func (u *Upgrades) wanted(ctx context.Context, up *v1.ClusterUpgrade) (wish, error) {
	want := wish{fleet: &v1.Fleet{}, release: &v1.Release{}}
	there, err := u.read(ctx, client.ObjectKey{Namespace: up.Namespace, Name: up.Spec.Fleet}, want.fleet)
	if err != nil {
		return wish{}, fmt.Errorf("read fleet %s: %w", up.Spec.Fleet, err)
	}
	if !there || string(want.fleet.UID) != up.Spec.FleetUID || !want.fleet.DeletionTimestamp.IsZero() {
		want.fleet, want.movedOn = orphan(), movedOn(up, "fleet %s is gone", up.Spec.Fleet)
		return want, nil
	}
	there, err = u.read(ctx, client.ObjectKey{Name: up.Spec.Release.Name}, want.release)
	switch {
	case err != nil:
		return wish{}, fmt.Errorf("read release %s: %w", up.Spec.Release.Name, err)
	case !there || want.release.Spec.Bundle.Hash() != up.Spec.Release.Hash:
		want.movedOn = movedOn(up, "release %s is gone, or another by now", up.Spec.Release.Name)
	case want.fleet.Spec.Release != up.Spec.Release.Name:
		want.movedOn = movedOn(up, "fleet %s wants release %s now", want.fleet.Name, want.fleet.Spec.Release)
	case want.fleet.Status.Revision != up.Spec.Revision && want.fleet.Status.Revision != 0:
		want.movedOn = movedOn(up, "fleet %s rolls revision %d by now", want.fleet.Name, want.fleet.Status.Revision)
	}
	if withdrawn := want.release.Spec.Withdrawn; want.movedOn.IsZero() && withdrawn != nil {
		want.withdrawn = fleet.Reason{
			Code: fleet.Withdrawn, Object: "release " + want.release.Name,
			Message: fmt.Sprintf("release %s was withdrawn: %s", want.release.Name, withdrawn.Reason),
			Fix:     "set the fleet's spec.release to another release",
		}
	}
	return want, nil
}

// halted is why an upgrade does not change a control plane: others have spent the
// fleet's failures since it began, or a gate has failed. One that began after that
// was let go on by a person.
func halted(up *v1.ClusterUpgrade, f *v1.Fleet) fleet.Reason {
	stalled := meta.FindStatusCondition(f.Status.Conditions, v1.ConditionStalled)
	if stalled == nil || stalled.Status != metav1.ConditionTrue || stalled.LastTransitionTime.Before(&up.CreationTimestamp) {
		return fleet.Reason{}
	}
	code := fleet.Code(stalled.Reason)
	if code != fleet.Halted && code != fleet.GateFailed {
		return fleet.Reason{}
	}
	return fleet.Reason{Code: code, Object: "fleet " + f.Name, Message: "fleet " + f.Name + " halted: " + stalled.Message}
}

// aborted is who wants the end of an upgrade: a person, or whoever deletes it or
// its member.
func aborted(up *v1.ClusterUpgrade, mc *v1.MemberCluster) fleet.Reason {
	reason := fleet.Reason{Code: fleet.UpgradeAborted, Object: "clusterupgrade " + up.Name}
	switch {
	case up.Spec.End == v1.EndAbort:
		reason.Message = fmt.Sprintf("aborted by %s: %s", cmp.Or(up.Annotations[v1.ByAnnotation], "somebody"), up.Spec.EndReason)
	case !up.DeletionTimestamp.IsZero():
		reason.Message = "aborted: the upgrade is being deleted"
	case !mc.DeletionTimestamp.IsZero():
		reason.Message = "aborted: its MemberCluster is being deleted"
	default:
		return fleet.Reason{}
	}
	return reason
}

// read reads an object from the API server itself; false where there is none.
func (u *Upgrades) read(ctx context.Context, key client.ObjectKey, into client.Object) (bool, error) {
	err := u.Reader.Get(ctx, key, into)
	return err == nil, client.IgnoreNotFound(err)
}

// orphan is a fleet that says nothing of its own: what is in hand is brought to
// its end by the defaults.
func orphan() *v1.Fleet {
	surge := v1.NodePolicy{MaxSurge: intstr.FromString("10%")}
	return &v1.Fleet{Spec: v1.FleetSpec{Nodes: surge}}
}

func movedOn(up *v1.ClusterUpgrade, format string, args ...any) fleet.Reason {
	return fleet.Reason{Code: fleet.FleetMovedOn, Message: fmt.Sprintf(format, args...), Object: "fleet " + up.Spec.Fleet}
}

// unobserved records that the member cannot be seen, and looks again. A hub that
// only watches ends nothing: what is gone here may be there where it came from.
func (u *Upgrades) unobserved(ctx context.Context, up *v1.ClusterUpgrade, held fleet.Reason, cause error) (ctrl.Result, error) {
	reason := fleet.Reason{Code: fleet.Unreachable, Message: cause.Error(), Object: "member " + up.Spec.Member}
	if !held.IsZero() {
		reason = held
	} else if errors.Is(cause, errMemberGone) || provider.AsFault(cause).Code == provider.CodeUnknownCluster {
		u.Watch.Close(client.ObjectKeyFromObject(up))
		reason.Code = fleet.MemberGone
		if err := u.end(ctx, up, upgrade.Superseded, reason); err != nil {
			return again(err)
		}
		return again(setFinalizer(ctx, u.Client, up, controllerutil.RemoveFinalizer))
	}
	return ctrl.Result{RequeueAfter: retryAfter}, u.wait(ctx, up, reason)
}

// hold keeps an upgrade whose plan broke an invariant where it is, for people
// to see: doing nothing is the only safe thing left.
func (u *Upgrades) hold(ctx context.Context, up *v1.ClusterUpgrade, broken []string) (ctrl.Result, error) {
	u.Log.Error("refused to act on a plan that must never be", "upgrade", up.Name, "broken", broken)
	return ctrl.Result{RequeueAfter: retryAfter}, u.wait(ctx, up, fleet.Reason{
		Code: fleet.InvariantViolated, Message: strings.Join(broken, "; "),
		Fix: "this is a bug of Refit: nothing was done; please report it with this message",
	})
}

// act carries the step's actions out, in order, and counts what became of its
// evictions. Intents older than a minute are planned again, and once the member
// is not claimed any more nothing else is done.
func (u *Upgrades) act(ctx context.Context, up *v1.ClusterUpgrade, s sight, step upgrade.Step) error {
	if len(step.Actions) == 0 {
		return nil
	}
	var evictions v1.Evictions
	var faults []error
	for _, action := range step.Actions {
		if u.Clock.Since(s.in.Now) > intentAge {
			break
		}
		result, err := u.Actor.Do(ctx, s.cluster, fleet.Holder{Hub: s.in.Hub, Upgrade: s.in.UID}, action)
		if err != nil {
			faults = append(faults, err)
			break
		}
		if result == act.NotClaimed {
			u.Log.Warn("stopped: the member is not claimed any more", "upgrade", up.Name, "action", action.String())
			break
		}
		countEviction(&evictions, action, result)
		u.Log.Debug("acted", "upgrade", up.Name, "action", action.String(), "result", string(result))
	}
	return errors.Join(append(faults, u.addEvictions(ctx, up, evictions))...)
}

// addEvictions adds what was counted, also where somebody else has changed the
// upgrade meanwhile: nobody will count it again.
func (u *Upgrades) addEvictions(ctx context.Context, up *v1.ClusterUpgrade, counted v1.Evictions) error {
	if counted == (v1.Evictions{}) {
		return nil
	}
	first := true
	return client.IgnoreNotFound(retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if !first {
			if err := u.Reader.Get(ctx, client.ObjectKeyFromObject(up), up); err != nil {
				return err
			}
		}
		first = false
		up.Status.Evictions.Accepted += counted.Accepted
		up.Status.Evictions.Refused += counted.Refused
		return u.Client.Status().Update(ctx, up)
	}))
}

// fault does what the class of a fault asks for. One that was there before holds
// since then.
func (u *Upgrades) fault(ctx context.Context, up *v1.ClusterUpgrade, cause error) (ctrl.Result, error) {
	if apierrors.IsConflict(cause) {
		return again(cause)
	}
	fault := provider.AsFault(cause)
	reason := fault.Why
	if reason.IsZero() {
		reason = fleet.Reason{Code: fleet.ProviderFault, Message: cause.Error(), Object: "member " + up.Spec.Member}
	}
	if codeOf(up.Status.Why) == string(reason.Code) {
		reason.Since = up.Status.Why.Since.Time
	}
	switch fault.Class {
	case provider.Stop:
		// Remembered first: what was changed must be undone before the end, and
		// the refused action must not be tried again meanwhile.
		now := metav1.NewTime(u.Clock.Now())
		err := u.update(ctx, up, func(status *v1.ClusterUpgradeStatus) { status.Refused = whyOf(reason, now) })
		if err != nil {
			return again(err)
		}
		return ctrl.Result{RequeueAfter: soon}, nil
	case provider.Retry, provider.Wait:
		return ctrl.Result{RequeueAfter: max(fault.After, retryAfter)}, u.wait(ctx, up, reason)
	}
	return ctrl.Result{}, fmt.Errorf("fault of unknown class %q: %w", fault.Class, cause)
}

// faulted tells whether what was last done came to a fault.
func faulted(up *v1.ClusterUpgrade) bool {
	code := fleet.Code(codeOf(up.Status.Why))
	return code == fleet.ProviderFault || code == fleet.SourceRefused
}

// tries tells whether a step does more than keep the claim alive.
func tries(step upgrade.Step) bool {
	return slices.ContainsFunc(step.Actions, func(a plan.Action) bool { _, claim := a.(plan.Claim); return !claim })
}

// again asks for another try without delay where the object has merely moved
// on: the next look will have its new state.
func again(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return ctrl.Result{RequeueAfter: soon}, nil
	}
	return ctrl.Result{}, err
}

// update writes the status where it changed.
func (u *Upgrades) update(ctx context.Context, up *v1.ClusterUpgrade, change func(*v1.ClusterUpgradeStatus)) error {
	before := up.Status.DeepCopy()
	change(&up.Status)
	if equality.Semantic.DeepEqual(before, &up.Status) {
		return nil
	}
	if err := u.Client.Status().Update(ctx, up); err != nil {
		return fmt.Errorf("record status of upgrade %s: %w", up.Name, err)
	}
	u.logTransition(before, up)
	return nil
}

// logTransition is one line per change of step or reason, not per reconcile.
func (u *Upgrades) logTransition(before *v1.ClusterUpgradeStatus, up *v1.ClusterUpgrade) {
	after := up.Status
	if before.Step == after.Step && before.Hop == after.Hop && codeOf(before.Why) == codeOf(after.Why) {
		return
	}
	message := ""
	if after.Why != nil {
		message = after.Why.Message
	}
	u.Log.Info("upgrade moves", "upgrade", up.Name, "hop", after.Hop, "step", after.Step, "why", codeOf(after.Why), "message", message)
}

func codeOf(why *v1.Why) string {
	if why == nil {
		return ""
	}
	return why.Code
}
