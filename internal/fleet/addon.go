package fleet

import (
	"slices"
	"time"
)

// When is an add-on's place in the recipe.
type When string

// The places.
const (
	BeforeControlPlane          When = "BeforeControlPlane"
	BetweenControlPlaneAndNodes When = "BetweenControlPlaneAndNodes"
	AfterNodes                  When = "AfterNodes"
)

// WantedAddOn is what a release wants of what runs beside Kubernetes.
type WantedAddOn struct {
	Name string
	When When
	// Versions by the minor of Kubernetes that they are for ("1.36"). One that has
	// none for a minor is left as it is there.
	Versions map[string]ChartVersion
	Helm     Helm
	// Patience is how long it may take to become healthy.
	Patience time.Duration
}

// ChartVersion is a version, and how the chart's index writes it.
type ChartVersion struct {
	Version

	Text string
}

// Helm is where a Helm release comes from, and where it goes to.
type Helm struct {
	Repository, Chart  string
	Namespace, Release string
	// Values are canonical JSON.
	Values string
}

// AddOnPhase is how the last change of an add-on ended.
type AddOnPhase string

// The phases of an add-on.
const (
	// Unseen: it is not known.
	Unseen AddOnPhase = ""
	// Absent: there is none.
	Absent AddOnPhase = "Absent"
	// Pending: it is being changed, or was left so by a process that died.
	Pending AddOnPhase = "Pending"
	// Deployed: all of it was accepted; it may not be healthy.
	Deployed AddOnPhase = "Deployed"
	// Broken: not all of it was accepted.
	Broken AddOnPhase = "Broken"
)

// LeftPending begins the Message of a change that was left half done by a process
// that died, and ended since.
const LeftPending = "left half done"

// AddOn is what runs beside Kubernetes in a cluster, as it was seen.
type AddOn struct {
	Name  string
	Phase AddOnPhase
	// Message is what is known of its last change, or why nothing is.
	Message string
	Version Version
	// Values are those that somebody gave, as canonical JSON.
	Values string
	// Revision counts its changes. By is the upgrade that began the last one, empty
	// where that was somebody else, and Tried are those that began earlier ones.
	Revision int
	By       string
	Tried    []string
	// TakenBack tells that By's last change was the way back.
	TakenBack bool
	// Since is when the last change began.
	Since time.Time
	// Back is what it would be taken back to if By's changes failed; zero where there
	// is nothing.
	Back Version
	// Sick says what of it is not healthy; empty where all is.
	Sick string
}

// AddOn finds an add-on by name; one that was not looked at is unseen.
func (c Cluster) AddOn(name string) AddOn {
	if i := slices.IndexFunc(c.AddOns, func(a AddOn) bool { return a.Name == name }); i >= 0 {
		return c.AddOns[i]
	}
	return AddOn{Name: name, Message: "it was not looked at"}
}
