// Package plan holds what planners decide on: the closed set of actions.
//
// The planners are its sub-packages. Each is pure, (snapshot, policy, now) →
// decision, with no client, clock, context or error, so that the same planner
// runs in the controller, in a command, in a property test and in a crash
// test:
//
//	rollout    which members may start now, and why the rest wait
//	upgrade    one member: the recipe and its next step
//	preflight  whether a member may be changed at all
//	noderoll   one pool: nodes to add, cordon, evict, remove
//	invariant  what must never happen, in other words than the planners'
package plan

import (
	"fmt"
	"time"

	"refit.dev/refit/internal/fleet"
)

// Action is one thing that package act does to a cluster. A plan leaves no
// choice to make while acting: an action holds everything that its execution
// needs, and enough of what was seen (versions, UIDs, resource versions) that
// a late execution is refused rather than wrong.
//
//sumtype:decl
type Action interface {
	action()
	// String is the action in words, as a person would log it.
	String() string
}

// UpgradeControlPlane asks the provider for a version of the control plane.
type UpgradeControlPlane struct {
	From, To fleet.Version
	Token    string
}

// SetPoolTemplate asks the provider to build the pool's next nodes at a version.
type SetPoolTemplate struct {
	Pool     string
	From, To fleet.Version
	Token    string
}

// UpgradePool asks the provider, who rolls the pool itself, to take all of its
// nodes to a version.
type UpgradePool struct {
	Pool     string
	From, To fleet.Version
	Token    string
}

// UpgradeAddOn takes an add-on to a version, or installs it.
type UpgradeAddOn struct {
	AddOn string
	Helm  fleet.Helm
	// Version as the chart's index has it.
	Version  string
	From, To fleet.Version
	Upgrade  string
	// After is the revision that was seen last.
	After int
}

// TakeBackAddOn takes an add-on back to where it was before an upgrade.
type TakeBackAddOn struct {
	AddOn   string
	Helm    fleet.Helm
	To      fleet.Version
	Upgrade string
	After   int
}

// UnlockAddOn ends a change of an add-on that a process left half done.
type UnlockAddOn struct {
	AddOn    string
	Helm     fleet.Helm
	Revision int
}

// WriteSource has the place where a member's version is declared say another one.
type WriteSource struct {
	Source   fleet.SourceRef
	From, To fleet.Declared
	// Message is for those who read the history.
	Message string
}

// AddNode asks the provider for one more node, from the pool's template.
type AddNode struct {
	Pool string
	// Replaces is the instance that the node takes the place of; empty where
	// it fills a gap.
	Replaces string
	Token    string
}

// Cordon marks a node for draining, together with what is needed to undo it.
type Cordon struct {
	Node, UID, ResourceVersion string
	// Upgrade is written on the node, so that whoever finds the cordon knows
	// whose it is.
	Upgrade string
	// WasCordoned is the prior value, which undo restores.
	WasCordoned bool
}

// Evict asks the API server to evict a pod, within every budget.
type Evict struct {
	Namespace, Pod, UID string
	Node                string
}

// RemoveNode asks the provider to remove a drained node and its machine.
type RemoveNode struct {
	Pool, Instance, Node, UID string
}

// Restore puts a node back as it was before our cordon.
type Restore struct {
	Node, UID, Upgrade string
}

// Claim writes in the member that an upgrade of this hub changes it, and that it
// is still at it.
type Claim struct {
	fleet.Holder

	// Lasts is how long others believe it without hearing again.
	Lasts time.Duration
	// UID and ResourceVersion of the claim that it follows on; empty where there
	// is none.
	UID, ResourceVersion string
}

// Release takes this hub's claim from the member.
type Release struct {
	fleet.Holder

	UID, ResourceVersion string
}

func (UpgradeControlPlane) action() {}
func (SetPoolTemplate) action()     {}
func (UpgradePool) action()         {}
func (UpgradeAddOn) action()        {}
func (TakeBackAddOn) action()       {}
func (UnlockAddOn) action()         {}
func (WriteSource) action()         {}
func (AddNode) action()             {}
func (Cordon) action()              {}
func (Evict) action()               {}
func (RemoveNode) action()          {}
func (Restore) action()             {}
func (Claim) action()               {}
func (Release) action()             {}

func (a UpgradeControlPlane) String() string {
	return fmt.Sprintf("upgrade control plane %s → %s", a.From, a.To)
}

func (a SetPoolTemplate) String() string {
	return fmt.Sprintf("set template of pool %s %s → %s", a.Pool, a.From, a.To)
}

func (a UpgradePool) String() string {
	return fmt.Sprintf("upgrade pool %s %s → %s", a.Pool, a.From, a.To)
}

func (a UpgradeAddOn) String() string {
	if a.From.IsZero() {
		return fmt.Sprintf("install add-on %s %s", a.AddOn, a.To)
	}
	return fmt.Sprintf("upgrade add-on %s %s → %s", a.AddOn, a.From, a.To)
}

func (a TakeBackAddOn) String() string {
	return fmt.Sprintf("take add-on %s back to %s", a.AddOn, a.To)
}

func (a UnlockAddOn) String() string { return "recover add-on " + a.AddOn }

func (a WriteSource) String() string {
	return fmt.Sprintf("write %q instead of %q as %s in %s", a.To, a.From, a.Source.Attribute, a.Source.File)
}

func (a AddNode) String() string {
	if a.Replaces == "" {
		return "add node to pool " + a.Pool
	}
	return fmt.Sprintf("add node to pool %s for %s", a.Pool, a.Replaces)
}

func (a Cordon) String() string { return "cordon node " + a.Node }

func (a Evict) String() string {
	return fmt.Sprintf("evict pod %s/%s from %s", a.Namespace, a.Pod, a.Node)
}

func (a RemoveNode) String() string { return "remove node " + a.Node }

func (a Restore) String() string { return "restore node " + a.Node }

func (a Claim) String() string { return "claim the member for hub " + a.Hub }

func (a Release) String() string { return "release the member's claim of hub " + a.Hub }
