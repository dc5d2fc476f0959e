package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
)

// A hub admits what people say within a second or two of its start. After half a
// minute it is better to run the loops, which need none of it.
const (
	admitsWithin = 30 * time.Second
	admitsEvery  = 50 * time.Millisecond
)

// awaitAdmission returns when the hub admits a Freeze and writes its author on it:
// until its API server has read the policies, it would let anybody be anybody, and
// until it has read the kinds, it refuses all.
func awaitAdmission(ctx context.Context, c client.Client, namespace string, log *slog.Logger) {
	begun := time.Now()
	var last error
	err := wait.PollUntilContextTimeout(ctx, admitsEvery, admitsWithin, true, func(ctx context.Context) (bool, error) {
		last = admits(ctx, c, namespace)
		return last == nil, nil
	})
	switch {
	case err == nil:
		log.Info("the hub admits freezes and approvals", "after", time.Since(begun))
	case ctx.Err() == nil:
		log.Warn("the hub admits no freezes and approvals yet", "after", time.Since(begun), "error", last)
	}
}

// admits asks whether a Freeze could be made, and makes none.
func admits(ctx context.Context, c client.Client, namespace string) error {
	probe := &v1.Freeze{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "probe-"},
		Spec:       v1.FreezeSpec{Reason: "is never made: the hub asks itself whether it could be"},
	}
	if err := c.Create(ctx, probe, client.DryRunAll); err != nil {
		return err
	}
	if probe.Annotations[v1.ByAnnotation] == "" {
		return errors.New("its author is not written on it")
	}
	return nil
}
