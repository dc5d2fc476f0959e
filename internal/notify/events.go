package notify

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Events tells by Events of the hub, which "kubectl get events" and "kubectl describe"
// show. Each has its notice's name, so that it is there once.
type Events struct {
	Client client.Client
}

// Name is for the log.
func (e *Events) Name() string { return "events" }

// messageRoom is what an API server lets an Event say.
const messageRoom = 1024

// Tell creates the Event, or finds it there.
func (e *Events) Tell(ctx context.Context, notice Notice) error {
	kind, err := apiutil.GVKForObject(notice.About, e.Client.Scheme())
	if err != nil {
		return fmt.Errorf("tell by an event: %w", err)
	}
	at, severity := metav1.NewTime(notice.At), corev1.EventTypeNormal
	if notice.Warning {
		severity = corev1.EventTypeWarning
	}
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: notice.About.GetNamespace(), Name: notice.About.GetName() + "." + notice.ID},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: kind.GroupVersion().String(), Kind: kind.Kind,
			Namespace: notice.About.GetNamespace(), Name: notice.About.GetName(), UID: notice.About.GetUID(),
		},
		Reason: string(notice.Kind), Message: clip(sentence(notice), messageRoom), Type: severity,
		FirstTimestamp: at, LastTimestamp: at, Count: 1,
		Source: corev1.EventSource{Component: "refit"}, ReportingController: "refit.dev/refit",
	}
	if err := e.Client.Create(ctx, event); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("tell of %s by an event: %w", notice.About.GetName(), err)
	}
	return nil
}

// sentence is a notice in words: its code first, where the words do not say it.
func sentence(notice Notice) string {
	switch notice.Kind {
	case FleetStalled, FleetReady, UpgradeEnded, UpgradeStalled, MemberNotReady, MemberReady:
		return notice.Code + ": " + notice.Message
	case WaveOpened, WavePassed, UpgradeBegan, StepBegan:
	}
	return notice.Message
}

// clip shortens a text to so many bytes, between characters.
func clip(text string, room int) string {
	if len(text) <= room {
		return text
	}
	return strings.ToValidUTF8(text[:room-len("…")], "") + "…"
}
