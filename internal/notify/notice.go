// Package notify tells people and programs what has changed: by Events of the hub, by
// metrics, and by a webhook.
//
// What there is to tell is read from how an object was before a change and how it is
// after it, and nothing of it is remembered. A notice has a name that follows from what
// happened: told again, after a crash or by another process, it is the same one.
package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
)

// Kind is what a notice tells of.
type Kind string

// The kinds.
const (
	WaveOpened     Kind = "WaveOpened"
	WavePassed     Kind = "WavePassed"
	FleetStalled   Kind = "FleetStalled"
	FleetReady     Kind = "FleetReady"
	UpgradeBegan   Kind = "UpgradeBegan"
	StepBegan      Kind = "StepBegan"
	UpgradeEnded   Kind = "UpgradeEnded"
	UpgradeStalled Kind = "UpgradeStalled"
	MemberNotReady Kind = "MemberNotReady"
	MemberReady    Kind = "MemberReady"
)

// Notice is one thing that happened to one object.
type Notice struct {
	// ID follows from what happened, and when.
	ID   string
	Kind Kind
	// Code is the reason's, or how an upgrade ended.
	Code    string
	Message string
	At      time.Time
	// About is the object as it is now.
	About client.Object
	// Warning: a person is to look at it.
	Warning bool
	// Old: it had happened when this process began to look, and may have been told.
	Old bool

	// part of the object that it is of; what its words are may change.
	part string
}

// Of is what there is to tell of a change of an object. Before is nil where there
// was none, or it was not looked at.
func Of(before, after client.Object) []Notice {
	var notices []Notice
	switch now := after.(type) {
	case *v1.Fleet:
		was, _ := before.(*v1.Fleet)
		notices = fleetNotices(or(was), now)
	case *v1.ClusterUpgrade:
		was, _ := before.(*v1.ClusterUpgrade)
		notices = upgradeNotices(or(was), now)
	case *v1.MemberCluster:
		was, _ := before.(*v1.MemberCluster)
		notices = memberNotices(or(was), now)
	}
	for i := range notices {
		n := &notices[i]
		n.About = after
		n.ID = name(after, n)
	}
	return notices
}

// or is an object, or an empty one.
func or[T any](object *T) *T {
	if object == nil {
		return new(T)
	}
	return object
}

// name is a notice's own: two that tell of the same have the same.
func name(about client.Object, n *Notice) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{string(about.GetUID()), string(n.Kind), n.Code, n.part, n.At.UTC().Format(time.RFC3339)}, "\x00")))
	return hex.EncodeToString(sum[:8])
}

func fleetNotices(was, now *v1.Fleet) []Notice {
	var notices []Notice
	before := map[string]v1.WaveStatus{}
	if was.Status.Revision == now.Status.Revision {
		for _, wave := range was.Status.Waves {
			before[wave.Name] = wave
		}
	}
	for _, wave := range now.Status.Waves {
		part := fmt.Sprintf("wave %s of revision %d", wave.Name, now.Status.Revision)
		if is := wave.OpenedAt; is != nil && before[wave.Name].OpenedAt == nil {
			notices = append(notices, Notice{Kind: WaveOpened, At: is.Time, part: part, Message: part + " opens"})
		}
		if is := wave.PassedAt; is != nil && before[wave.Name].PassedAt == nil {
			notices = append(notices, Notice{Kind: WavePassed, At: is.Time, part: part, Message: part + " has passed"})
		}
	}
	notices = append(notices, turned(was.Status.Conditions, now.Status.Conditions, v1.ConditionStalled, Notice{Kind: FleetStalled, Warning: true})...)
	return append(notices, turned(was.Status.Conditions, now.Status.Conditions, v1.ConditionReady, Notice{Kind: FleetReady})...)
}

func upgradeNotices(was, now *v1.ClusterUpgrade) []Notice {
	var notices []Notice
	if was.UID == "" {
		notices = append(notices, Notice{
			Kind: UpgradeBegan, At: now.CreationTimestamp.Time,
			Message: fmt.Sprintf("member %s begins its way to release %s, in wave %s", now.Spec.Member, now.Spec.Release.Name, now.Spec.Wave),
		})
	}
	known := map[v1.StepStatus]bool{}
	for _, step := range was.Status.Steps {
		known[begun(step)] = true
	}
	for _, step := range now.Status.Steps {
		if !known[begun(step)] && !step.Started.IsZero() {
			notices = append(notices, Notice{Kind: StepBegan, Code: step.Name, At: step.Started.Time, part: step.Hop, Message: fmt.Sprintf("%s, on the way to %s", step.Name, step.Hop)})
		}
	}
	ended := meta.IsStatusConditionTrue(now.Status.Conditions, v1.ConditionEnded)
	if !ended {
		return append(notices, turned(was.Status.Conditions, now.Status.Conditions, v1.ConditionStalled, Notice{Kind: UpgradeStalled, Warning: true})...)
	}
	failed := meta.IsStatusConditionTrue(now.Status.Conditions, v1.ConditionStalled)
	return append(notices, turned(was.Status.Conditions, now.Status.Conditions, v1.ConditionEnded, Notice{Kind: UpgradeEnded, Warning: failed})...)
}

// begun is a step by what does not change when it ends.
func begun(step v1.StepStatus) v1.StepStatus {
	return v1.StepStatus{Hop: step.Hop, Name: step.Name, Started: step.Started.Rfc3339Copy()}
}

func memberNotices(was, now *v1.MemberCluster) []Notice {
	ready := meta.FindStatusCondition(now.Status.Conditions, v1.ConditionReady)
	before := meta.FindStatusCondition(was.Status.Conditions, v1.ConditionReady)
	if ready == nil || before != nil && before.Status == ready.Status {
		return nil
	}
	notice := Notice{Kind: MemberNotReady, Warning: true, Code: ready.Reason, At: ready.LastTransitionTime.Time, Message: ready.Message}
	if ready.Status == metav1.ConditionTrue {
		notice.Kind, notice.Warning = MemberReady, false
	}
	return []Notice{notice}
}

// turned is a notice of a condition that has become true, or is true for another
// reason.
func turned(was, now []metav1.Condition, kind string, notice Notice) []Notice {
	is, before := meta.FindStatusCondition(now, kind), meta.FindStatusCondition(was, kind)
	if is == nil || is.Status != metav1.ConditionTrue {
		return nil
	}
	if before != nil && before.Status == is.Status && before.Reason == is.Reason {
		return nil
	}
	notice.Code, notice.Message, notice.At = is.Reason, is.Message, is.LastTransitionTime.Time
	return []Notice{notice}
}
