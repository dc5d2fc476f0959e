package fleet

import (
	"fmt"
	"slices"
	"time"
)

// Cluster is one look at one member: through its provider and, where it
// answers, through its own API server.
type Cluster struct {
	Name string
	// UID is the cluster's identity at its provider.
	UID          string
	ControlPlane ControlPlane
	Pools        []Pool
	Budgets      []Budget
	AddOns       []AddOn
	// Source is where its version is declared as code.
	Source Source
	// Operations that run, and the last ended one of each part.
	Operations []Operation
	// Offers are the versions that the provider can install.
	Offers []Version
	// MaxNodeSkew is the provider's own limit in minors; 0 is upstream's.
	MaxNodeSkew int
	// PicksPatch marks a provider that chooses patches: minors are compared.
	PicksPatch bool
	// AnyVersion marks a provider that goes to whatever version it is told.
	AnyVersion bool
	// Claim is who changes the cluster, as it says itself.
	Claim Claim
	At    time.Time
}

// ControlPlane is the range of versions among a cluster's API servers.
type ControlPlane struct {
	Oldest, Newest Version
	// Ready means that the provider says so and that the API server answers.
	Ready bool
	// Message says what is wrong where Ready is false, and Fix what a person can
	// do about it; Fix is empty where waiting is all there is.
	Message, Fix string
}

// Pool is a group of nodes that changes together.
type Pool struct {
	Name string
	// Template is the version the next node will have.
	Template Version
	// Size is the number of nodes wanted at rest.
	Size     int
	RolledBy RolledBy
	Nodes    []Node
}

// Node is a machine of a pool, whether or not it has joined the cluster.
type Node struct {
	Name string
	// UID of the Node object; empty as long as the machine has not joined.
	UID             string
	ResourceVersion string
	// Instance is the provider's id of the machine.
	Instance string
	// Replaces is the instance that this one was added to take the place of.
	Replaces string
	// Built is what the machine was built from; zero where nobody tells.
	Built Version
	// Version of the kubelet; zero where the machine has not joined.
	Version Version
	Ready   bool
	// ReadySince is when it last became Ready; zero where it is not.
	ReadySince time.Time
	// Message says what is wrong where Ready is false.
	Message  string
	Cordoned bool
	// CordonedBy is the upgrade that cordoned it, by the undo on the node;
	// empty where nobody of ours did.
	CordonedBy string
	// CordonedAt is when our cordon was made.
	CordonedAt time.Time
	Pods       []Pod
}

// Pod is a pod on a node, as far as moving it is concerned.
type Pod struct {
	Namespace, Name, UID string
	Ready                bool
	// Terminating since; zero where it is not.
	Terminating time.Time
	Owner       PodOwner
	// Budgets that select the pod, as namespace/name.
	Budgets []string
}

// PodOwner is what happens to a pod's work when the pod goes.
type PodOwner string

// The owners of pods.
const (
	OwnedByController PodOwner = "Controller" // made anew elsewhere
	OwnedByNode       PodOwner = "Node"       // DaemonSet and mirror pods: go with the node
	OwnedByNobody     PodOwner = "Nobody"     // lost for good
	PodFinished       PodOwner = "Finished"   // ran to its end: nothing to move
)

// Budget is a PodDisruptionBudget: what it allows at this moment.
type Budget struct {
	Namespace, Name string
	Allowed         int
	// Desired, Healthy and Expected are its counts of pods: how many must be
	// healthy, how many are, and how many there are to be.
	Desired, Healthy, Expected int
}

// Key is the budget's namespace/name.
func (b Budget) Key() string { return b.Namespace + "/" + b.Name }

// Key is the pod's namespace/name.
func (p Pod) Key() string { return p.Namespace + "/" + p.Name }

// Phase is how far an operation of a provider has come.
type Phase string

// The phases of operations.
const (
	Running   Phase = "Running"
	Succeeded Phase = "Succeeded"
	Failed    Phase = "Failed"
)

// Operation is a provider's change under way, or the last ended one.
type Operation struct {
	ID, Token string
	// Pool is empty for the control plane.
	Pool          string
	To            Version
	Phase         Phase
	Code, Message string
	Started       time.Time
	Foreign       bool
}

// Nodes are the nodes of all pools.
func (c Cluster) Nodes() []Node {
	var all []Node
	for _, pool := range c.Pools {
		all = append(all, pool.Nodes...)
	}
	return all
}

// OldestNode is the oldest kubelet among nodes that have joined; zero where
// there is none. A kubelet of unknown version is older than all.
func (c Cluster) OldestNode() Version {
	var oldest Version
	seen := false
	for _, node := range c.Nodes() {
		if node.UID != "" && (!seen || node.Version.Less(oldest)) {
			oldest, seen = node.Version, true
		}
	}
	return oldest
}

// Reaches tells whether a version satisfies a wanted one at this cluster's
// provider: by minor where the provider picks the patch.
func (c Cluster) Reaches(have, want Version) bool {
	if c.PicksPatch {
		want = want.AnyPatch()
	}
	return have.Reaches(want)
}

// Reached tells whether every part is observed at the version or ahead of it.
func (c Cluster) Reached(want Version) bool {
	return c.Reaches(c.ControlPlane.Oldest, want) && c.NodesAt(want)
}

// NodesAt tells whether every node of every pool is observed at the version or
// ahead of it. A machine that has not joined has no version, and is not.
func (c Cluster) NodesAt(want Version) bool {
	return !slices.ContainsFunc(c.Nodes(), func(n Node) bool { return !c.Reaches(n.Version, want) })
}

// Sick is the first reason not to call the cluster healthy; zero where it is
// healthy. Unknown is not healthy.
func (c Cluster) Sick() Reason {
	if !c.ControlPlane.Ready {
		return Reason{Code: Unhealthy, Message: "control plane is not ready: " + c.ControlPlane.Message, Object: "cluster " + c.Name, Fix: c.ControlPlane.Fix}
	}
	for _, node := range c.Nodes() {
		if !node.Ready {
			return Reason{
				Code:    Unhealthy,
				Message: fmt.Sprintf("node %s is not Ready: %s", node.Name, node.Message),
				Object:  "node " + node.Name,
				Fix:     "repair or remove the node; the upgrade goes on by itself",
			}
		}
	}
	return Reason{}
}
