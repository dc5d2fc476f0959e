package observe

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/noderoll"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/upgrade"
)

// Hub is what one namespace of the hub holds.
type Hub struct {
	Members   []v1.MemberCluster
	Releases  []v1.Release
	Fleets    []v1.Fleet
	Upgrades  []v1.ClusterUpgrade
	Freezes   []v1.Freeze
	Approvals []v1.Approval
}

// ReadHub reads everything of one namespace that plans are made on.
func ReadHub(ctx context.Context, reader client.Reader, namespace string) (Hub, error) {
	var (
		members   v1.MemberClusterList
		releases  v1.ReleaseList
		fleets    v1.FleetList
		upgrades  v1.ClusterUpgradeList
		freezes   v1.FreezeList
		approvals v1.ApprovalList
	)
	// Fleets first: what one remembers of the others is of no later than what is read of them.
	for _, list := range []client.ObjectList{&fleets, &members, &upgrades, &freezes, &approvals} {
		if err := reader.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return Hub{}, fmt.Errorf("read the hub: %w", err)
		}
	}
	if err := reader.List(ctx, &releases); err != nil {
		return Hub{}, fmt.Errorf("read the hub: %w", err)
	}
	return Hub{
		Members: members.Items, Releases: releases.Items, Fleets: fleets.Items, Upgrades: upgrades.Items,
		Freezes: freezes.Items, Approvals: approvals.Items,
	}, nil
}

// Rollout is the hub as package rollout plans on it. A fleet whose release was
// just changed is seen with the revision it is about to have.
func Rollout(hub Hub, now time.Time) rollout.Input {
	in := rollout.Input{Now: now}
	for i := range hub.Members {
		in.Members = append(in.Members, memberOf(&hub.Members[i]))
	}
	for i := range hub.Fleets {
		if hub.Fleets[i].DeletionTimestamp.IsZero() { // else it wants nothing any more
			in.Fleets = append(in.Fleets, fleetOf(&hub.Fleets[i], hub))
		}
	}
	for i := range hub.Upgrades {
		in.Upgrades = append(in.Upgrades, upgradeOf(&hub.Upgrades[i]))
		in.Asks = append(in.Asks, asksOf(&hub.Upgrades[i], hub)...)
	}
	for i := range hub.Freezes {
		in.Freezes = append(in.Freezes, freezeOf(&hub.Freezes[i]))
	}
	for i := range hub.Approvals {
		in.Approvals = append(in.Approvals, approvalOf(&hub.Approvals[i]))
	}
	return in
}

// Release is the named release of the hub, with what it bundles now; false where
// there is no such release.
func (h Hub) Release(name string) (rollout.Release, bool) {
	for _, release := range h.Releases {
		if release.Name == name {
			target, _ := fleet.ParseVersion(release.Spec.Bundle.Kubernetes) // admitted by CEL
			found := rollout.Release{Name: name, Hash: release.Spec.Bundle.Hash(), Target: target, AddOns: len(release.Spec.Bundle.AddOns) > 0}
			if withdrawn := release.Spec.Withdrawn; withdrawn != nil {
				found.Withdrawn = withdrawn.Reason
			}
			return found, true
		}
	}
	return rollout.Release{Name: name}, false
}

// AddOns are those that a release bundles.
func (h Hub) AddOns(release string) []fleet.WantedAddOn {
	for _, r := range h.Releases {
		if r.Name == release {
			return Wanted(r.Spec.Bundle)
		}
	}
	return nil
}

// Revision is the fleet's revision of a release: one more than the last when
// name or bundle differ from it.
func Revision(f *v1.Fleet, release rollout.Release) int64 {
	if was := f.Status.Release; was != nil && was.Name == release.Name && was.Hash == release.Hash {
		return f.Status.Revision
	}
	return f.Status.Revision + 1
}

func memberOf(mc *v1.MemberCluster) rollout.Member {
	m := rollout.Member{
		Name: mc.Name, UID: string(mc.UID), Cluster: clusterOf(mc), ObservedAt: mc.Status.ObservedAt.Time,
		Oldest: oldestPart(mc.Status), PicksPatch: mc.Status.ControlPlane.PicksPatch, Message: "never observed",
	}
	m.ControlPlane, _ = fleet.ParseVersion(mc.Status.ControlPlane.Version) // zero: unknown
	if ready := meta.FindStatusCondition(mc.Status.Conditions, v1.ConditionReady); ready != nil {
		m.Ready, m.ReadySince, m.Message = ready.Status == metav1.ConditionTrue, ready.LastTransitionTime.Time, ready.Message
	}
	return m
}

// clusterOf is the identity of the cluster behind a member, as far as its
// provider told it: two providers may use the same identities.
func clusterOf(mc *v1.MemberCluster) string {
	if mc.Status.UID == "" {
		return ""
	}
	return mc.Spec.Provider.Kind() + "/" + mc.Status.UID
}

// oldestPart is the version of the oldest part that was seen; a cluster
// without nodes is its control plane.
func oldestPart(status v1.MemberClusterStatus) fleet.Version {
	oldest, _ := fleet.ParseVersion(status.ControlPlane.Version) // zero: unknown
	if status.Nodes.Total == 0 {
		return oldest
	}
	if nodes, _ := fleet.ParseVersion(status.Nodes.Oldest); nodes.Less(oldest) {
		return nodes
	}
	return oldest
}

func fleetOf(f *v1.Fleet, hub Hub) rollout.Fleet {
	release, _ := hub.Release(f.Spec.Release)
	seen := rollout.Fleet{
		Name: f.Name, UID: string(f.UID), Revision: Revision(f, release), Release: release,
		ReportDrift: f.Spec.Drift == v1.DriftReport, ShrankAt: timeOf(f.Status.ShrankAt),
		Roster: rollout.Roster{Seats: seats(f.Status), LossAt: timeOf(f.Status.LossAt)},
	}
	seen.Pins = pinsOf(f, seen.Revision)
	members := selected(f.Spec.Selector, hub.Members)
	seen.MaxFailures = scaled(f.Spec.MaxFailures, len(members), roundDown)
	rest := members
	for _, wave := range f.Spec.Waves {
		var own []v1.MemberCluster
		own, rest = parted(wave, rest)
		seen.Waves = append(seen.Waves, waveOf(wave, own, f, seen.Revision))
	}
	seen.NoWave = names(rest)
	return seen
}

// parted are the members that a wave selects, and those it leaves.
func parted(wave v1.Wave, members []v1.MemberCluster) (own, rest []v1.MemberCluster) {
	if wave.Selector == nil {
		return members, nil
	}
	own = selected(*wave.Selector, members)
	for _, mc := range members {
		if !slices.ContainsFunc(own, func(other v1.MemberCluster) bool { return other.Name == mc.Name }) {
			rest = append(rest, mc)
		}
	}
	return own, rest
}

// waveOf is a wave and its members; what is remembered of it is of one revision.
func waveOf(wave v1.Wave, members []v1.MemberCluster, f *v1.Fleet, revision int64) rollout.Wave {
	seen := rollout.Wave{
		Name: wave.Name, Members: names(members), Soak: wave.Soak.Duration, AllowEmpty: wave.AllowEmpty,
		MaxConcurrent: max(1, scaled(wave.MaxConcurrent, len(members), roundUp)), MinSuccess: share(wave.MinSuccess),
	}
	if wave.MaxFailures != nil {
		seen.MaxFailures = new(scaled(*wave.MaxFailures, len(members), roundDown))
	}
	var remembered []v1.GateStatus
	for _, was := range f.Status.Waves {
		if was.Name == wave.Name && revision == f.Status.Revision {
			seen.OpenedAt, seen.PassedAt = timeOf(was.OpenedAt), timeOf(was.PassedAt)
			remembered = was.Gates
		}
	}
	for _, gate := range wave.Gates {
		seen.Gates = append(seen.Gates, gateOf(gate, remembered))
	}
	return seen
}

// share is a number or a percentage; without one it is all.
func share(value intstr.IntOrString) fleet.Share {
	if value == (intstr.IntOrString{}) {
		return fleet.Share{Of: 100, Percent: true}
	}
	if value.Type == intstr.Int {
		return fleet.Share{Of: value.IntValue()}
	}
	percent, _ := strconv.Atoi(strings.TrimSuffix(value.StrVal, "%")) // admitted by CEL
	return fleet.Share{Of: percent, Percent: true}
}

// selected are the members that a selector picks, by name.
func selected(selector v1.Selector, members []v1.MemberCluster) []v1.MemberCluster {
	match, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		return nil // older than the rules that refuse it; the fleet says that it selects nobody
	}
	var picked []v1.MemberCluster
	for _, mc := range members {
		if match.Matches(labels.Set(mc.Labels)) && mc.DeletionTimestamp.IsZero() {
			picked = append(picked, mc)
		}
	}
	return picked
}

// Selects tells whether a fleet selects a member.
func Selects(f *v1.Fleet, mc *v1.MemberCluster) bool {
	return len(selected(f.Spec.Selector, []v1.MemberCluster{*mc})) > 0
}

func names(members []v1.MemberCluster) []string {
	var list []string
	for _, mc := range members {
		list = append(list, mc.Name)
	}
	slices.Sort(list)
	return list
}

func upgradeOf(up *v1.ClusterUpgrade) rollout.Upgrade {
	seen := rollout.Upgrade{
		Member: up.Spec.Member, N: Number(up), FleetUID: up.Spec.FleetUID, Revision: up.Spec.Revision, Wave: up.Spec.Wave,
		StartedAt: up.CreationTimestamp.Time,
	}
	if ended := meta.FindStatusCondition(up.Status.Conditions, v1.ConditionEnded); ended != nil && ended.Status == metav1.ConditionTrue {
		seen.Outcome, seen.EndedAt = rollout.Outcome(ended.Reason), ended.LastTransitionTime.Time
		return seen
	}
	for _, step := range up.Status.Steps {
		name := rollout.Step(step.Name)
		if (name == rollout.ControlPlane || name == rollout.Nodes) && !step.Started.IsZero() && step.Finished.IsZero() {
			seen.Step, seen.Since, seen.Nodes = name, step.Started.Time, int(up.Status.Nodes.Total)
		}
	}
	return seen
}

// freezeOf takes what it does not know, of a newer Refit, for a freeze: a no is
// not to be overheard.
func freezeOf(f *v1.Freeze) rollout.Freeze {
	seen := rollout.Freeze{
		Name: f.Name, Fleet: f.Spec.Fleet, Member: f.Spec.Member, Stops: rollout.Starts,
		From: timeOf(f.Spec.From), Until: timeOf(f.Spec.Until), By: f.Annotations[v1.ByAnnotation], Reason: f.Spec.Reason,
	}
	switch f.Spec.Stops {
	case v1.StopsSkip:
		seen.Stops = rollout.Skip
	case v1.StopsEverything:
		seen.Stops = rollout.Everything
	}
	return seen
}

// Held is why what is under way of a member must wait; zero where no freeze holds
// everything.
func Held(freezes []v1.Freeze, fleetName, member string, now time.Time) fleet.Reason {
	var seen []rollout.Freeze
	for i := range freezes {
		seen = append(seen, freezeOf(&freezes[i]))
	}
	return rollout.Hold(seen, fleetName, member, now)
}

func approvalOf(a *v1.Approval) rollout.Approval {
	return rollout.Approval{
		Name: a.Name, Fleet: a.Spec.Fleet, Revision: a.Spec.Revision, Subject: rollout.Subject(a.Spec.Subject),
		Member: a.Spec.Name, At: a.CreationTimestamp.Time, Until: timeOf(a.Spec.Until),
	}
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// Number is the n of an upgrade's name, <member>.<n>.
func Number(up *v1.ClusterUpgrade) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(up.Name, up.Spec.Member+".")) // admitted by CEL
	return n
}

// Ended tells whether an upgrade has ended.
func Ended(up *v1.ClusterUpgrade) bool {
	return meta.IsStatusConditionTrue(up.Status.Conditions, v1.ConditionEnded)
}

// Hops are a bundle's versions to pass through.
func Hops(bundle v1.Bundle) map[string]fleet.Version {
	hops := map[string]fleet.Version{}
	for minor, version := range bundle.Hops {
		hops[minor], _ = fleet.ParseVersion(string(version)) // admitted by CEL
	}
	return hops
}

// Wanted is what a bundle wants beside Kubernetes.
func Wanted(bundle v1.Bundle) []fleet.WantedAddOn {
	var wanted []fleet.WantedAddOn
	for _, a := range bundle.AddOns {
		want := fleet.WantedAddOn{
			Name: a.Name, When: fleet.When(a.When), Versions: map[string]fleet.ChartVersion{}, Patience: a.HealthyWithin.Duration,
			Helm: fleet.Helm{
				Repository: a.Helm.Repository, Chart: cmp.Or(a.Helm.Chart, a.Name), Namespace: a.Helm.Namespace, Release: cmp.Or(a.Helm.Release, a.Name),
				Values: a.Helm.CanonicalValues(),
			},
		}
		for minor, text := range a.Versions {
			version, _ := fleet.ParseVersion(string(text)) // admitted by CEL
			want.Versions[minor] = fleet.ChartVersion{Version: version, Text: string(text)}
		}
		wanted = append(wanted, want)
	}
	return wanted
}

// Policy is the fleet's word on how a member is changed.
func Policy(f *v1.Fleet) upgrade.Policy {
	nodes := f.Spec.Nodes
	return upgrade.Policy{
		Settle: f.Spec.Settle.Duration,
		Bake:   f.Spec.Bake.Duration,
		Nodes: func(size int) noderoll.Policy {
			return noderoll.Policy{
				MaxSurge:       scaled(nodes.MaxSurge, size, roundUp),
				MaxUnavailable: scaled(nodes.MaxUnavailable, size, roundDown),
			}
		},
	}
}

const (
	roundUp   = true
	roundDown = false
)

// scaled is a number, or a percentage of total.
func scaled(value intstr.IntOrString, total int, up bool) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(&value, total, up)
	if err != nil {
		return 0 // admitted by CEL
	}
	return n
}

// Reason is a reason as a status has it.
func Reason(why *v1.Why) fleet.Reason {
	if why == nil {
		return fleet.Reason{}
	}
	return fleet.Reason{Code: fleet.Code(why.Code), Message: why.Message, Object: why.Object, Fix: why.Fix, Since: why.Since.Time}
}

// Memory is what the upgrade remembers.
func Memory(status v1.ClusterUpgradeStatus) upgrade.Memory {
	from, _ := fleet.ParseVersion(status.From) // zero: not begun
	memory := upgrade.Memory{From: from, Declared: fleet.Declared(status.Declared)}
	for _, step := range status.Steps {
		hop, _ := fleet.ParseVersion(step.Hop) // zero: the end, of no hop
		memory.Records = append(memory.Records, upgrade.Record{
			Hop: hop, Step: upgrade.StepName(step.Name), Entered: step.Started.Time, Finished: step.Finished.Time,
		})
	}
	return memory
}
