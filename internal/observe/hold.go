package observe

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/hold"
)

// The object in which a hub tells who it is, for people and their commands.
const (
	HubObject = "refit-hub"
	HubKey    = "uid"
)

// HubUID is the UID that a hub tells; empty where it tells none yet.
func HubUID(ctx context.Context, reader client.Reader, namespace string) (string, error) {
	object := &corev1.ConfigMap{}
	err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: HubObject}, object)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("read who the hub is, from configmap %s: %w", HubObject, err)
	}
	return object.Data[HubKey], nil
}

// Hold is a hub as package hold plans on it.
func Hold(uid string, upgrades []v1.ClusterUpgrade, approvals []v1.Approval) hold.Input {
	in := hold.Input{Hub: uid, TakeOvers: TakeOvers(uid, approvals)}
	for i := range upgrades {
		if life := upgrades[i].Spec.Hub; life != "" && !slices.Contains(in.Lives, life) {
			in.Lives = append(in.Lives, life)
		}
	}
	return in
}

// TakeOvers are the hubs whose place people have let this hub take.
func TakeOvers(uid string, approvals []v1.Approval) []fleet.TakeOver {
	var all []fleet.TakeOver
	for i := range approvals {
		if spec := approvals[i].Spec; spec.Subject == v1.SubjectTakeOver && spec.Hub == uid {
			all = append(all, fleet.TakeOver{From: spec.Name, At: approvals[i].CreationTimestamp.Time})
		}
	}
	return all
}
