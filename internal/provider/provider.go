// Package provider is the port between Refit and the ways of running clusters:
// what can be observed of a cluster through whoever runs it, and the one change
// that can be asked for at a time.
//
// A provider keeps no state and never waits. It knows neither plans, nor
// Refit's kinds, nor its loops; it is told what to change, from what and to
// what, and answers with an operation to observe, or with a Fault.
package provider

import (
	"context"
	"time"

	"k8s.io/client-go/rest"

	"refit.dev/refit/internal/fleet"
)

// Provider is one way of running clusters.
type Provider interface {
	// Observe reads the cluster and changes nothing.
	Observe(ctx context.Context, ref Ref) (Observation, error)
	// Connect gives short-lived credentials for the cluster's own API.
	Connect(ctx context.Context, ref Ref) (*rest.Config, error)
	// Ensure starts the change, finds it under way, or finds it done. Calling
	// it again with the same token has no further effect.
	Ensure(ctx context.Context, ref Ref, change Change) (Operation, error)
}

// NodeReplacer is a Provider whose nodes can be added and removed one by one.
// It is found by type assertion.
type NodeReplacer interface {
	// AddNode adds a node built from the pool's template. It is idempotent by
	// token: the same token is the same node.
	AddNode(ctx context.Context, ref Ref, add NodeAddition) error
	// RemoveNode removes the instance behind a node, and its Node object. An
	// instance that is already gone is no error.
	RemoveNode(ctx context.Context, ref Ref, removal NodeRemoval) error
}

// Ref names one cluster to its provider.
type Ref struct {
	// Name is the provider's own name of the cluster.
	Name string
	// Region is where it is, for a provider that has regions.
	Region string
	// Object is how it is declared, for a provider whose clusters are objects.
	Object Object
}

// Object is a cluster's declaration in Kubernetes.
type Object struct {
	// Profile is the way of declaring clusters.
	Profile string
	// Namespace of the object, whose name is Ref.Name.
	Namespace string
	// Kubeconfig is a Secret of the hub that reaches the cluster that the object
	// is in; zero where that is the hub itself.
	Kubeconfig SecretKey
}

// SecretKey is an entry of a Secret.
type SecretKey struct{ Namespace, Name, Key string }

// State is what a part of a cluster runs, or should run.
type State struct {
	Version fleet.Version
}

// Part names a part of a cluster that changes as a whole.
type Part struct {
	Kind PartKind
	// Pool is the pool's name where Kind is PartPool.
	Pool string
}

// PartKind is the kind of a Part.
type PartKind string

// The kinds of parts.
const (
	PartControlPlane PartKind = "ControlPlane"
	PartPool         PartKind = "Pool"
)

// String names the part as people do: control plane, pool "a".
func (p Part) String() string {
	if p.Kind == PartPool {
		return "pool " + p.Pool
	}
	return "control plane"
}

// Change is the one thing that is asked of a provider.
type Change struct {
	Part Part
	// From and To guard the change: a part found at To is done, one found at
	// neither is a Fault Stop with CodeChanged.
	From, To State
	// Token makes the change idempotent; it is at most 64 characters long.
	Token string
}

// NodeAddition asks for one more node in a pool.
type NodeAddition struct {
	Pool string
	// Replaces is the instance that the new node will take the place of.
	Replaces string
	Token    string
}

// NodeRemoval asks for the end of one instance.
type NodeRemoval struct {
	Pool     string
	Instance string
}

// Phase is how far an operation has come.
type Phase = fleet.Phase

// The phases of an operation.
const (
	Running   = fleet.Running
	Succeeded = fleet.Succeeded
	Failed    = fleet.Failed
)

// Operation is a change as its provider sees it.
type Operation struct {
	ID    string
	Token string
	Part  Part
	To    State
	Phase Phase
	// Code and Message say why an operation failed, or what a running one is
	// busy with.
	Code, Message string
	Started       time.Time
	// Foreign marks an operation that was not started with a token of Refit's.
	Foreign bool
}

// Observation is one look at a cluster through its provider.
type Observation struct {
	// UID is the cluster's identity at the provider: two names with one UID
	// are the same cluster.
	UID          string
	ControlPlane ControlPlane
	Pools        []Pool
	// Operations holds those that run, and the last ended one of each part.
	Operations []Operation
	// Offers lists the versions the provider can install, oldest first.
	Offers []fleet.Version
	Limits Limits
	At     time.Time
}

// ControlPlane is the range of versions among a cluster's API servers, and
// whether the provider takes the control plane for ready.
type ControlPlane struct {
	Oldest, Newest fleet.Version
	Ready          bool
	// Message says what is wrong where Ready is false.
	Message string
	// Fix is what a person can do about it; empty where waiting is all there is.
	Fix string
}

// Pool is a group of nodes that changes together.
type Pool struct {
	Name string
	// Template is what the next node of the pool will be built from.
	Template State
	// Size is the number of nodes wanted at rest, without surge.
	Size      int
	Instances []Instance
	// NodeLabel is on the nodes of a pool whose instances the provider does not
	// list; zero where it does.
	NodeLabel Label
	RolledBy  fleet.RolledBy
}

// Label is one of a node.
type Label struct{ Key, Value string }

// Instance is the machine behind a node.
type Instance struct {
	ID string
	// Node is the name the node has, or will have, in the cluster.
	Node string
	// Replaces is the instance that this one was added to take the place of.
	Replaces string
	State    State
}

// Limits is what the provider allows.
type Limits struct {
	// MaxNodeSkew is how many minors a kubelet may be behind the API server,
	// where the provider allows less than upstream; 0 is upstream's rule.
	MaxNodeSkew int
	// PicksPatch marks a provider that chooses the patch itself: versions are
	// then compared by minor.
	PicksPatch bool
	// AnyVersion marks a provider that goes to whatever version it is told, and
	// cannot tell which there are: it offers none.
	AnyVersion bool
}

// Cluster is one cluster together with who runs it.
type Cluster struct {
	// Name is the member's name in the hub.
	Name     string
	Provider Provider
	Ref      Ref
}
