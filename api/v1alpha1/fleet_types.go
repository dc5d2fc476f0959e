package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Fleet is a set of members kept at a release, and the rules by which change
// rolls through it. Change spec.release, and it rolls.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=refit
// +kubebuilder:printcolumn:name="Release",type=string,JSONPath=`.spec.release`
// +kubebuilder:printcolumn:name="Members",type=integer,JSONPath=`.status.members.total`
// +kubebuilder:printcolumn:name="Done",type=integer,JSONPath=`.status.members.done`
// +kubebuilder:printcolumn:name="Running",type=integer,JSONPath=`.status.members.running`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.members.failed`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type Fleet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec FleetSpec `json:"spec"`
	// +optional
	Status FleetStatus `json:"status,omitzero"`
}

// FleetSpec is the desired state.
type FleetSpec struct {
	// selector picks the members, by label, in the fleet's namespace. An empty
	// selector picks all.
	// +required
	Selector Selector `json:"selector"`
	// release is the name of the Release that the members are kept at.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release"`
	// waves are the ordered parts of the fleet; by default there is one, with all
	// members. A member belongs to the first that selects it.
	// +optional
	// +kubebuilder:default={{name: "all"}}
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Waves []Wave `json:"waves,omitempty"`
	// maxFailures is how many members may fail in a revision: a number, or a
	// percentage of all members, rounded down. One more, and the fleet halts until
	// a person lets it go on.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^([0-9]|[1-9][0-9]|100)%$')",message="maxFailures is a number of at least 0, or a percentage from 0% to 100%"
	MaxFailures intstr.IntOrString `json:"maxFailures,omitempty"`
	// drift says what becomes of a member that was at the release and fell
	// behind again: Correct brings it back, at most once a day, Report leaves it.
	// +optional
	// +kubebuilder:default=Correct
	// +kubebuilder:validation:Enum=Correct;Report
	Drift string `json:"drift,omitempty"`
	// settle is how long a cluster must be seen healthy before anything is
	// changed, and again at the end.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="settle is between 0s and 24h"
	Settle metav1.Duration `json:"settle,omitempty"`
	// bake is the time between control plane and nodes.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="bake is between 0s and 168h (a week)"
	Bake metav1.Duration `json:"bake,omitempty"`
	// nodes says how nodes are replaced.
	// +optional
	// +kubebuilder:default={maxSurge: "10%", maxUnavailable: 0}
	Nodes NodePolicy `json:"nodes,omitzero"`
}

// Wave is an ordered part of a fleet. What a rule of it may cost is reckoned for a
// text as long as a request, times the waves: there are eight at most, and short
// patterns.
type Wave struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// selector picks the wave's members among the fleet's; without one it has
	// all that no wave before it has.
	// +optional
	Selector *Selector `json:"selector,omitempty"`
	// maxConcurrent is how many members are in flight at once: a number, or a
	// percentage of the wave's members, rounded up.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self == '100%' || !self.startsWith('0') && self.matches(r'^\\d\\d?%$')",message="maxConcurrent is a number of at least 1, or a percentage from 1% to 100%"
	MaxConcurrent intstr.IntOrString `json:"maxConcurrent,omitzero"`
	// soak is how long the wave must stay healthy, from the last success of those
	// it opened with, before the next wave opens.
	// +optional
	// +kubebuilder:default="0s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('720h')",message="soak is between 0s and 720h (30 days)"
	Soak metav1.Duration `json:"soak,omitempty"`
	// minSuccess is how many of those the wave opened with must be at the release
	// and healthy before the next wave opens: a number, or a percentage, rounded
	// up. Who is left behind goes on.
	// +optional
	// +kubebuilder:default="100%"
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self == '100%' || !self.startsWith('0') && self.matches(r'^\\d\\d?%$')",message="minSuccess is a number of at least 1, or a percentage from 1% to 100%"
	MinSuccess intstr.IntOrString `json:"minSuccess,omitzero"`
	// maxFailures is how many of the wave's members may fail in a revision before
	// the whole fleet halts: a number, or a percentage of them, rounded down.
	// Without it only the fleet's own maxFailures counts.
	// +optional
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self in ['0%', '100%'] || !self.startsWith('0') && self.matches(r'^\\d\\d?%$')",message="maxFailures is a number of at least 0, or a percentage from 0% to 100%"
	MaxFailures *intstr.IntOrString `json:"maxFailures,omitempty"`
	// allowEmpty lets the next wave open though this one selects nobody.
	// +optional
	AllowEmpty bool `json:"allowEmpty,omitempty"`
	// gates are questions that must all be answered yes after the soak before the
	// next wave opens. They are asked from the beginning of the soak; one that is
	// not answered yes for long halts the fleet.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=2
	Gates []Gate `json:"gates,omitempty"`
}

// What becomes of drift.
const (
	DriftCorrect = "Correct"
	DriftReport  = "Report"
)

// NodePolicy says how the nodes of a pool are replaced.
//
// +kubebuilder:validation:XValidation:rule="!(string(self.maxSurge) in ['0', '0%'] && string(self.maxUnavailable) in ['0', '0%'])",message="maxSurge and maxUnavailable cannot both be 0: no node could ever be replaced"
type NodePolicy struct {
	// maxSurge is how many nodes a pool may have above its size: a number, or
	// a percentage of the size, rounded up.
	// +optional
	// +kubebuilder:default="10%"
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^([0-9]|[1-9][0-9]|100)%$')",message="maxSurge is a number of at least 0, or a percentage from 0% to 100%"
	MaxSurge intstr.IntOrString `json:"maxSurge,omitempty"`
	// maxUnavailable is how many nodes a pool may lack below its size: a
	// number, or a percentage of the size, rounded down.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^([0-9]|[1-9][0-9]|100)%$')",message="maxUnavailable is a number of at least 0, or a percentage from 0% to 100%"
	MaxUnavailable intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// Gate is a question that is answered yes, no, or not at all, which is no yes.
type Gate struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// prometheus is what is asked.
	// +required
	Prometheus PrometheusQuery `json:"prometheus"`
	// interval is how often it is asked, and how long an answer may take, up to
	// ten seconds.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="interval is between 1s and 1h"
	Interval metav1.Duration `json:"interval,omitempty"`
	// failures is how many intervals may pass without a yes: then the fleet halts,
	// until a person lets it go on.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Failures int32 `json:"failures,omitempty"`
}

// PrometheusQuery is good when it answers with at least one number, and each is
// within the bounds: no data is not good.
//
// +kubebuilder:validation:XValidation:rule="has(self.min) || has(self.max)",message="say what is good: min, max, or both"
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)",message="min is at most max"
type PrometheusQuery struct {
	// url is where Prometheus is, or what speaks its API, as in
	// http://prometheus.monitoring:9090. Whoever runs Refit must have listed its
	// host: refit up --gate-host.
	// +required
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@%\\\\s]+(/[^?#@\\\\s]*)?$') && isURL(self)",message="url is http:// or https://, a host, and perhaps a path: without user, query and fragment"
	URL string `json:"url"`
	// query in PromQL; each number that it answers with must be within the bounds.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=400
	Query string `json:"query"`
	// min is the least that is good, as a decimal number.
	// +optional
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:XValidation:rule="self.matches('^-?[0-9]+([.][0-9]+)?$')",message="min is a decimal number, as in \"0.99\""
	Min string `json:"min,omitempty"`
	// max is the most that is good, as a decimal number.
	// +optional
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:XValidation:rule="self.matches('^-?[0-9]+([.][0-9]+)?$')",message="max is a decimal number, as in \"0.01\""
	Max string `json:"max,omitempty"`
}

// FleetStatus is where the fleet is. The Fleets loop is its only writer.
type FleetStatus struct {
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// revision counts the releases that this fleet rolled.
	// +optional
	Revision int64 `json:"revision,omitempty"`
	// release that the revision rolls.
	// +optional
	Release *ReleaseRef `json:"release,omitempty"`
	// +optional
	Members MemberCounts `json:"members,omitzero"`
	// +optional
	// +listType=map
	// +listMapKey=name
	Waves []WaveStatus `json:"waves,omitempty"`
	// pins are the versions that members go to in this revision, one for each
	// provider and minor: the first member to need one pins the lowest that its
	// provider offers, and those who come after get the same. Providers that pick
	// the patch themselves have none.
	// +optional
	// +listType=map
	// +listMapKey=provider
	// +listMapKey=minor
	// +kubebuilder:validation:MaxItems=64
	Pins []Pin `json:"pins,omitempty"`
	// roster is who is in the fleet, packed: five bytes a member, which are four
	// of a hash of its UID and one for its wave.
	// +optional
	// +kubebuilder:validation:MaxLength=49152
	Roster []byte `json:"roster,omitempty"`
	// lossAt is when the first of the members was missed that are missing now.
	// +optional
	LossAt *metav1.Time `json:"lossAt,omitempty"`
	// shrankAt is when too many of them were missing; nothing starts until they
	// are back, or a person agrees.
	// +optional
	ShrankAt *metav1.Time `json:"shrankAt,omitempty"`
	// effort is what people did, counted from the objects that they wrote; "refit
	// report" tells it.
	// +optional
	Effort *FleetEffort `json:"effort,omitempty"`
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Pin is the version that members of one provider go to at one minor.
type Pin struct {
	// provider is the kind of it, as in spec.provider of a MemberCluster.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Provider string `json:"provider"`
	// minor, as in "1.37".
	// +required
	// +kubebuilder:validation:MaxLength=16
	Minor string `json:"minor"`
	// +required
	// +kubebuilder:validation:MaxLength=64
	Version string `json:"version"`
	// member that needed it first.
	// +required
	// +kubebuilder:validation:MaxLength=50
	Member string `json:"member"`
}

// WaveStatus is where one wave is.
type WaveStatus struct {
	// +required
	Name         string `json:"name"`
	MemberCounts `json:",inline"`
	// openedAt is when the wave opened in this revision; from then on it has its
	// cohort, those who were in it.
	// +optional
	OpenedAt *metav1.Time `json:"openedAt,omitempty"`
	// passedAt is when it let the next wave open: enough of the cohort were there,
	// and had soaked.
	// +optional
	PassedAt *metav1.Time `json:"passedAt,omitempty"`
	// why the next wave does not open yet.
	// +optional
	Why string `json:"why,omitempty"`
	// gates of the wave that are being asked, or have failed.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=2
	Gates []GateStatus `json:"gates,omitempty"`
}

// GateStatus is what is remembered of a gate. That it was answered yes is not: a
// good answer is asked for again.
type GateStatus struct {
	// +required
	Name string `json:"name"`
	// noYesSince is since when it has not been answered yes; left out while it is.
	// +optional
	NoYesSince *metav1.Time `json:"noYesSince,omitempty"`
	// failedAt is when that was for too long; nothing of the fleet starts until a
	// person agrees.
	// +optional
	FailedAt *metav1.Time `json:"failedAt,omitempty"`
	// said is what it was last answered, where that was not yes, or why there was
	// no answer.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Said string `json:"said,omitempty"`
	// fix is what to do about that, where somebody has to.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Fix string `json:"fix,omitempty"`
}

// MemberCounts counts members by where they are.
type MemberCounts struct {
	// +optional
	Total int32 `json:"total"`
	// done are at the release.
	// +optional
	Done int32 `json:"done"`
	// running have an upgrade under way.
	// +optional
	Running int32 `json:"running"`
	// waiting could start, but for a reason that "refit why" tells.
	// +optional
	Waiting int32 `json:"waiting"`
	// failed in this revision.
	// +optional
	Failed int32 `json:"failed"`
	// aborted by a person in this revision.
	// +optional
	Aborted int32 `json:"aborted,omitempty"`
	// skipped are left out by a Freeze: nobody waits for them.
	// +optional
	Skipped int32 `json:"skipped,omitempty"`
}

// FleetList is a list of Fleets.
//
// +kubebuilder:object:root=true
type FleetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Fleet `json:"items"`
}
