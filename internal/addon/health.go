package addon

import (
	"bytes"
	"context"
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"
)

// sick names the first object of a manifest that is not healthy, and says why; empty
// where all are. What health is, is kstatus's to say: a Deployment's rollout is
// complete, a Job has not failed, a custom resource's Ready is not False.
func (r *release) sick(ctx context.Context, manifest string) (string, error) {
	objects, err := r.KubeClient.Build(bytes.NewBufferString(manifest), false)
	if err != nil {
		return "", fmt.Errorf("read the manifest of %s: %w", r, err)
	}
	for _, object := range objects {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if why, err := sickness(object); why != "" || err != nil {
			return why, err
		}
	}
	return "", nil
}

func sickness(object *resource.Info) (string, error) {
	name := fmt.Sprintf("%s %s", object.Mapping.GroupVersionKind.Kind, object.ObjectName())
	switch err := object.Get(); {
	case apierrors.IsNotFound(err):
		return name + " is not there", nil
	case err != nil:
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object.Object)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: fields})
	if err != nil {
		return "", fmt.Errorf("judge %s: %w", name, err)
	}
	if result.Status == status.CurrentStatus {
		return "", nil
	}
	return fmt.Sprintf("%s is %s: %s", name, result.Status, result.Message), nil
}
