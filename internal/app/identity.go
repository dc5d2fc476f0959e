package app

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"refit.dev/refit/internal/observe"
)

// backupLabel makes Velero leave an object out
// (https://velero.io/docs/main/resource-filtering/).
const backupLabel = "velero.io/exclude-from-backup"

// identify makes the hub tell who it is, and is its UID. The embedded hub knows
// its own, from a file beside its data. A management cluster's is that of the
// very object that tells it: one that was made anew from a backup has another,
// whatever it was backed up with. Of several processes that begin at once one
// writes it, and the others read it.
func identify(ctx context.Context, c client.Client, namespace, uid string) (known string, err error) {
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		known, err = introduced(ctx, c, namespace, uid)
		return err
	})
	return known, err
}

func introduced(ctx context.Context, c client.Client, namespace, uid string) (string, error) {
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: observe.HubObject, Labels: map[string]string{backupLabel: "true"},
	}}
	err := c.Create(ctx, object)
	if apierrors.IsAlreadyExists(err) {
		err = c.Get(ctx, client.ObjectKeyFromObject(object), object)
	}
	if err != nil {
		return "", fmt.Errorf("learn who the hub is, from configmap %s in namespace %s: %w", observe.HubObject, namespace, err)
	}
	if uid == "" {
		uid = string(object.UID)
	}
	if object.Data[observe.HubKey] == uid {
		return uid, nil
	}
	object.Data = map[string]string{observe.HubKey: uid}
	if err := c.Update(ctx, object); err != nil {
		return "", fmt.Errorf("tell who the hub is, in configmap %s in namespace %s: %w", observe.HubObject, namespace, err)
	}
	return uid, nil
}
