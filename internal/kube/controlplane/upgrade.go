package controlplane

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
)

// Phase is how far an upgrade has come.
type Phase string

// The phases.
const (
	Running   Phase = "Running"
	Succeeded Phase = "Succeeded"
	Failed    Phase = "Failed"
)

// The codes that say why an upgrade failed.
const (
	// NoBinaries: those of the new version could not be had; nothing was touched.
	NoBinaries = "NoBinaries"
	// NoSnapshot: etcd could not be saved; nothing was touched.
	NoSnapshot = "NoSnapshot"
	// ExitedAtOnce: the new API server ended before it was Ready; the old one is back.
	ExitedAtOnce = "ExitedAtOnce"
	// NeverReady: the new API server was not Ready in time; the old one is back.
	NeverReady = "NeverReady"
	// NotHealthy: the new API server serves, but what follows it is not healthy.
	NotHealthy = "NotHealthy"
)

// Request asks for another version.
type Request struct {
	// Token makes the request idempotent.
	Token string `json:"token"`
	From  string `json:"from"`
	To    string `json:"to"`
	// Limit is how long the new API server may take to become Ready; 0 is DefaultLimit.
	Limit time.Duration `json:"limit,omitempty"`
}

// DefaultLimit is far above the 3 s that an API server takes on an idle machine.
const DefaultLimit = 2 * time.Minute

// Upgrade is the record of one: what was asked, and what a crash must not
// forget. Where it is beyond that is seen from the versions that run.
type Upgrade struct {
	ID string `json:"id"`
	Request
	Phase   Phase     `json:"phase"`
	Code    string    `json:"code,omitempty"`
	Message string    `json:"message,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	// Snapshot is the file etcd was saved to; the old API server runs until then.
	Snapshot string `json:"snapshot,omitempty"`
	// Ready is when the new API server was first seen Ready: there is no way
	// back from then on.
	Ready time.Time `json:"ready,omitzero"`
	// Undone is when the way back was taken, for the reason in Code.
	Undone time.Time `json:"undone,omitzero"`
}

// limit is how long the API server may take.
func (u Upgrade) limit() time.Duration {
	if u.Limit > 0 {
		return u.Limit
	}
	return DefaultLimit
}

// end is the upgrade, ended.
func (u Upgrade) end(phase Phase, code, message string, now time.Time) *Upgrade {
	u.Phase, u.Code, u.Message, u.Ended = phase, code, message, now
	return &u
}

// Refusal is the error of a request that is not carried out.
type Refusal struct {
	Reason  RefusalReason
	Message string
}

// RefusalReason says which refusal it is.
type RefusalReason string

// The reasons to refuse.
const (
	Invalid    RefusalReason = "Invalid"    // can never be done
	Changed    RefusalReason = "Changed"    // the control plane is not at From
	InProgress RefusalReason = "InProgress" // another upgrade runs
)

// Error is the message.
func (r *Refusal) Error() string { return r.Message }

// judge is what becomes of a request: the upgrade that answers it, or nil if a
// new one is to begin.
func judge(request Request, current string, upgrades []Upgrade) (*Upgrade, error) {
	for i, u := range upgrades {
		sameToken := request.Token != "" && u.Token == request.Token
		underWay := u.Phase == Running && u.To == request.To
		if sameToken || underWay {
			return &upgrades[i], nil
		}
	}
	for _, u := range upgrades {
		if u.Phase == Running {
			return nil, &Refusal{InProgress, fmt.Sprintf("an upgrade to %s is under way since %s", u.To, u.Started.Format(time.TimeOnly))}
		}
	}
	if err := checkStep(request.From, request.To); err != nil {
		return nil, &Refusal{Invalid, err.Error()}
	}
	if current == request.To {
		return &Upgrade{ID: "at-" + current, Request: request, Phase: Succeeded}, nil
	}
	if current != request.From {
		return nil, &Refusal{Changed, fmt.Sprintf("the control plane is at %s, neither at %s nor at %s", current, request.From, request.To)}
	}
	return nil, nil
}

// checkStep refuses what Kubernetes does not support: an API server reads what
// its own and the previous minor wrote, and nothing else.
func checkStep(from, to string) error {
	old, err := version.ParseSemantic(from)
	if err != nil {
		return fmt.Errorf("%q is no Kubernetes version; write it like v1.36.3", from)
	}
	wanted, err := version.ParseSemantic(to)
	if err != nil {
		return fmt.Errorf("%q is no Kubernetes version; write it like v1.36.3", to)
	}
	switch {
	case wanted.LessThan(old):
		return fmt.Errorf("a control plane never goes back, and %s is older than %s", to, from)
	case wanted.Major() != old.Major() || wanted.Minor() > old.Minor()+1:
		return fmt.Errorf("a control plane never skips a minor, and %s is more than one after %s; go to v%d.%d first", to, from, old.Major(), old.Minor()+1)
	}
	return nil
}

// AsRefusal finds the refusal in an error.
func AsRefusal(err error) (*Refusal, bool) {
	var refusal *Refusal
	return refusal, errors.As(err, &refusal)
}
