// Package view is what people are shown: one picture of a namespace of the hub,
// from which commands and pages print.
//
// What waits, and why, is not read from a status: the planner itself is asked,
// on the same objects that the loop plans on, so that a picture can never
// disagree with what the loop would do.
package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/hold"
	"refit.dev/refit/internal/plan/rollout"
)

// Status is one picture.
type Status struct {
	Fleets []Fleet `json:"fleets"`
	// Unassigned are members that no fleet selects.
	Unassigned []Member `json:"unassigned,omitempty"`
}

// Fleet is one fleet and its members, in their order.
type Fleet struct {
	Name       string `json:"name"`
	Release    string `json:"release"`
	Kubernetes string `json:"kubernetes,omitempty"`
	Revision   int64  `json:"revision"`
	// Halt is why nothing of the fleet starts; zero where it may.
	Halt  Reason `json:"halt,omitzero"`
	Waves []Wave `json:"waves"`
}

// Wave is an ordered part of a fleet.
type Wave struct {
	Name          string `json:"name"`
	MaxConcurrent int    `json:"maxConcurrent"`
	// Opened is since when its members may start, and Passed since when the next
	// wave may open.
	Opened time.Time `json:"opened,omitzero"`
	Passed time.Time `json:"passed,omitzero"`
	// Why the next wave does not open yet; left out where it has, or is the last.
	Why     Reason   `json:"why,omitzero"`
	Members []Member `json:"members"`
}

// Member is one line of the picture.
type Member struct {
	Name string `json:"name"`
	// Version of the control plane, and of the oldest node where it differs.
	Version string `json:"version"`
	Nodes   string `json:"nodes,omitempty"`
	State   State  `json:"state"`
	// Hop and Step of a running upgrade.
	Hop  string `json:"hop,omitempty"`
	Step string `json:"step,omitempty"`
	// NodesDone of NodesTotal run the release.
	NodesDone  int32 `json:"nodesDone,omitempty"`
	NodesTotal int32 `json:"nodesTotal,omitempty"`
	// Why it is not further.
	Why Reason `json:"why"`
	// Took is how long the last upgrade took, where it is done.
	Took metav1.Duration `json:"took,omitzero"`
}

// Reason is why something is not further than it is.
type Reason struct {
	Code    string    `json:"code"`
	Message string    `json:"message"`
	Object  string    `json:"object,omitempty"`
	Fix     string    `json:"fix,omitempty"`
	Since   time.Time `json:"since,omitzero"`
}

// State is where a member stands in its fleet.
type State string

// The states.
const (
	Done    State = "Done"
	Running State = "Running"
	Waiting State = "Waiting"
	Failed  State = "Failed"
	Aborted State = "Aborted"
	Skipped State = "Skipped"
)

// Of draws the picture of a hub that may act.
func Of(hub observe.Hub, now time.Time) Status { return Held(hub, fleet.Reason{}, now) }

// Held draws the picture of a hub as a whole of which a reason may hold: then
// nothing starts, and what is under way stands still.
func Held(hub observe.Hub, held fleet.Reason, now time.Time) Status {
	in := observe.Rollout(hub, now)
	decision := hold.Starts(rollout.Decide(in), held)
	p := newPainter(hub, decision)
	status := Status{Fleets: []Fleet{}}
	assigned := map[string]bool{}
	for _, state := range decision.Fleets {
		i := slices.IndexFunc(in.Fleets, func(f rollout.Fleet) bool { return f.Name == state.Name })
		status.Fleets = append(status.Fleets, p.fleet(in.Fleets[i], state))
		for _, wave := range status.Fleets[len(status.Fleets)-1].Waves {
			for _, m := range wave.Members {
				assigned[m.Name] = true
			}
		}
	}
	for _, mc := range hub.Members {
		if !assigned[mc.Name] {
			member := p.member(mc.Name, Waiting)
			member.Why = reasonOf(rollout.NoFleet())
			status.Unassigned = append(status.Unassigned, member)
		}
	}
	return status
}

type painter struct {
	hub      observe.Hub
	decision rollout.Decision
	// members, and the newest upgrade of each, by the member's name.
	members  map[string]*v1.MemberCluster
	upgrades map[string]*v1.ClusterUpgrade
}

func newPainter(hub observe.Hub, decision rollout.Decision) painter {
	p := painter{hub: hub, decision: decision, members: map[string]*v1.MemberCluster{}, upgrades: map[string]*v1.ClusterUpgrade{}}
	for i := range hub.Members {
		p.members[hub.Members[i].Name] = &hub.Members[i]
	}
	for i := range hub.Upgrades {
		up := &hub.Upgrades[i]
		if newest := p.upgrades[up.Spec.Member]; newest == nil || observe.Number(newest) < observe.Number(up) {
			p.upgrades[up.Spec.Member] = up
		}
	}
	return p
}

func (p painter) fleet(f rollout.Fleet, state rollout.FleetState) Fleet {
	seen := Fleet{Name: f.Name, Release: f.Release.Name, Revision: f.Revision, Halt: reasonOf(state.Halt), Waves: []Wave{}}
	if !f.Release.Target.IsZero() {
		seen.Kubernetes = f.Release.Target.String()
	}
	for i, w := range state.Waves {
		wave := Wave{
			Name: w.Name, MaxConcurrent: f.Waves[i].MaxConcurrent, Members: p.of(w),
			Opened: w.OpenedAt.UTC(), Passed: w.PassedAt.UTC(),
		}
		if i < len(state.Waves)-1 {
			wave.Why = reasonOf(w.Why)
		}
		seen.Waves = append(seen.Waves, wave)
	}
	if rest := p.of(state.Rest); len(rest) > 0 {
		seen.Waves = append(seen.Waves, Wave{Members: rest})
	}
	return seen
}

// of are the members of a wave, by name.
func (p painter) of(w rollout.WaveState) []Member {
	members := []Member{}
	for _, group := range []struct {
		state State
		names []string
	}{
		{Failed, w.Failed}, {Aborted, w.Aborted}, {Running, w.Running}, {Waiting, w.Waiting}, {Done, w.Done}, {Skipped, w.Skipped},
	} {
		for _, name := range group.names {
			members = append(members, p.member(name, group.state))
		}
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return members
}

func (p painter) member(name string, state State) Member {
	seen := Member{Name: name, State: state, Version: "unknown"}
	if mc := p.members[name]; mc != nil && mc.Status.ControlPlane.Version != "" {
		seen.Version, seen.Nodes = mc.Status.ControlPlane.Version, mc.Status.Nodes.Oldest
	}
	seen.Why = reasonOf(p.decision.Waiting[name])
	if seen.Why.Code == "" {
		seen.Why = Reason{Code: string(fleet.Starting), Message: "starts now"}
	}
	up := p.newest(name)
	if up == nil {
		return seen
	}
	switch state {
	case Running:
		seen.Hop, seen.Step = up.Status.Hop, up.Status.Step
		seen.NodesDone, seen.NodesTotal = up.Status.Nodes.Done, up.Status.Nodes.Total
		seen.Why = whyOf(up)
	case Failed, Aborted:
		seen.Why = whyOf(up)
	case Done:
		if ended := meta.FindStatusCondition(up.Status.Conditions, v1.ConditionEnded); ended != nil {
			seen.Took.Duration = ended.LastTransitionTime.Sub(up.CreationTimestamp.Time)
		}
	case Waiting, Skipped:
	}
	return seen
}

func (p painter) newest(member string) *v1.ClusterUpgrade { return p.upgrades[member] }

func reasonOf(r fleet.Reason) Reason {
	return Reason{Code: string(r.Code), Message: r.Message, Object: r.Object, Fix: r.Fix, Since: r.Since.UTC()}
}

func whyOf(up *v1.ClusterUpgrade) Reason {
	why := up.Status.Why
	if why == nil {
		return Reason{Code: string(fleet.Starting), Message: "not looked at yet"}
	}
	return Reason{Code: why.Code, Message: why.Message, Object: why.Object, Fix: why.Fix, Since: why.Since.UTC()}
}

// Settled tells whether nothing is left to do or to wait for: every member of
// every fleet is at its release, but for those that are left out.
func (s Status) Settled() bool {
	members := 0
	for _, f := range s.Fleets {
		for _, w := range f.Waves {
			for _, m := range w.Members {
				members++
				if m.State != Done && m.State != Skipped {
					return false
				}
			}
		}
	}
	return members > 0
}

// Counts sums a fleet's members up by state.
func (f Fleet) Counts() map[State]int {
	counts := map[State]int{}
	for _, wave := range f.Waves {
		for state, n := range wave.counts() {
			counts[state] += n
		}
	}
	return counts
}

// Headline is the fleet in one line.
func (f Fleet) Headline() string {
	counts, total := f.Counts(), 0
	for _, n := range counts {
		total += n
	}
	version := f.Kubernetes
	if version == "" {
		version = noRelease
	}
	parts := []string{fmt.Sprintf("%s → release %s (%s): %d of %d done", f.Name, f.Release, version, counts[Done], total)}
	for _, state := range []State{Running, Waiting, Failed, Aborted, Skipped} {
		if counts[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[state], strings.ToLower(string(state))))
		}
	}
	return strings.Join(parts, ", ")
}
