package object

import (
	"cmp"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// rollout is how far the machines of an object are with what it asks for, by its
// own status.
type rollout struct {
	desired fleet.Version
	// oldest and newest version among its machines.
	oldest, newest fleet.Version
	// observed tells that the status is that of what is asked for now.
	observed                         bool
	wanted, there, upToDate, isReady int64
}

func rolloutOf(o *unstructured.Unstructured, desired path) rollout {
	r := rollout{
		desired: versionAt(o, desired), observed: number(o, "status", "observedGeneration") == o.GetGeneration(),
		wanted: number(o, "spec", "replicas"), there: number(o, "status", "replicas"),
		upToDate: number(o, "status", "upToDateReplicas"), isReady: number(o, "status", "readyReplicas"),
	}
	versions, _, _ := unstructured.NestedSlice(o.Object, "status", "versions")
	for _, counted := range versions {
		counted, _ := counted.(map[string]any)
		text, _ := counted["version"].(string)
		r.add(text)
	}
	if len(versions) == 0 { // an older Cluster API tells the oldest alone
		r.add(text(o, "status", "version"))
	}
	if r.wanted == 0 && r.there == 0 {
		r.oldest, r.newest = r.desired, r.desired
	}
	return r
}

// add counts a version that a machine runs; one that is none is older than all.
func (r *rollout) add(text string) {
	v, _ := fleet.ParseVersion(text)
	if r.newest.IsZero() || v.Less(r.oldest) {
		r.oldest = v
	}
	if r.newest.Less(v) {
		r.newest = v
	}
}

// finished tells whether every machine runs what is asked for.
func (r rollout) finished() bool { return r.observed && r.atVersion() && r.complete() }

func (r rollout) atVersion() bool { return r.oldest == r.desired && r.newest == r.desired }

func (r rollout) complete() bool { return r.there == r.wanted && r.upToDate == r.wanted }

// ready tells whether none of its machines is missing.
func (r rollout) ready() bool { return r.isReady == r.wanted && r.there >= r.wanted }

func (r rollout) message() string {
	if !r.observed {
		return "its managers have not seen it yet"
	}
	return fmt.Sprintf("%d of %d machines are up to date, %d ready", r.upToDate, r.wanted, r.isReady)
}

// part is a part of a cluster that changes as a whole, and the object that carries
// its version.
type part struct {
	provider.Part

	kind    kind
	object  *unstructured.Unstructured
	field   path // of the desired version
	desired fleet.Version
	// finished tells that what is desired is so; busy says what is not. moving tells
	// that what is under way is a change of the version.
	finished, moving bool
	busy             string
	paused           bool
}

// note is what is written with a change, on the object that it is made to.
type note struct {
	Token   string    `json:"token"`
	From    string    `json:"from"`
	To      string    `json:"to"`
	Started time.Time `json:"started"`
}

// annotation holds the note.
const annotation = "refit.dev/operation"

// operation is what is under way with a part, or the last change of ours; false
// where there is neither.
func (p part) operation() (provider.Operation, bool) {
	n := noteOf(p.object)
	op := provider.Operation{
		ID: fmt.Sprintf("%s-to-%s", p.object.GetName(), p.desired), Part: p.Part,
		To: provider.State{Version: p.desired}, Phase: provider.Running, Message: p.busy,
	}
	ours := n.To == p.desired.String()
	switch {
	case ours:
		op.ID, op.Token, op.Started = fmt.Sprintf("%s-%d", op.ID, n.Started.Unix()), n.Token, n.Started
	default:
		op.Foreign = true
	}
	switch {
	case p.finished && ours:
		op.Phase, op.Message = provider.Succeeded, ""
		return op, true
	case p.finished:
		return provider.Operation{}, false
	case !p.moving && !ours:
		op.To, op.ID = provider.State{}, p.object.GetName()
	}
	if p.paused {
		op.Message = cmp.Or(op.Message, "paused") + "; Cluster API is paused"
	}
	return op, true
}
