package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// crdFieldManager owns what InstallCRDs applies.
const crdFieldManager = "refit"

// An API server establishes a kind in milliseconds; behind a busy one it takes seconds.
const crdTimeout = 30 * time.Second

// InstallCRDs makes any Kubernetes API serve the kinds, as they are given: new ones are made, changed ones are updated.
// It returns when all of them are served. If one of them is refused, none is changed.
func InstallCRDs(ctx context.Context, config *rest.Config, crds []*apiextensionsv1.CustomResourceDefinition) error {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 50, 100 // a client's default of 5 in a second would be all that one waits for
	client, err := apiextensions.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("install kinds: %w", err)
	}
	for _, dryRun := range [][]string{{metav1.DryRunAll}, nil} {
		for _, crd := range crds {
			if err := applyCRD(ctx, client, crd, dryRun); err != nil {
				return fmt.Errorf("install kind %s: %w", crd.Name, err)
			}
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, crdTimeout, fmt.Errorf("not served after %s", crdTimeout))
	defer cancel()
	for _, crd := range crds {
		if err := waitServed(ctx, client, crd); err != nil {
			return fmt.Errorf("install kind %s: %w", crd.Name, err)
		}
	}
	return nil
}

func applyCRD(ctx context.Context, client apiextensions.Interface, crd *apiextensionsv1.CustomResourceDefinition, dryRun []string) error {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(crd)
	if err != nil {
		return err
	}
	object["apiVersion"], object["kind"] = apiextensionsv1.SchemeGroupVersion.String(), "CustomResourceDefinition"
	delete(object, "status") // the API server's, and what a typed object has there is no status at all
	patch, err := json.Marshal(object)
	if err != nil {
		return err
	}
	force := true
	_, err = client.ApiextensionsV1().CustomResourceDefinitions().Patch(ctx, crd.Name, types.ApplyPatchType, patch,
		metav1.PatchOptions{FieldManager: crdFieldManager, Force: &force, DryRun: dryRun})
	return err
}

// waitServed asks for the kind's own list of resources too: an established kind is not in it yet for a moment, and
// clients that look in that moment remember that there is no such kind.
func waitServed(ctx context.Context, client apiextensions.Interface, crd *apiextensionsv1.CustomResourceDefinition) error {
	err := wait.PollUntilContextCancel(ctx, pollPeriod, true, func(ctx context.Context) (bool, error) {
		return isServed(ctx, client, crd)
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func isServed(ctx context.Context, client apiextensions.Interface, crd *apiextensionsv1.CustomResourceDefinition) (bool, error) {
	current, err := client.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, crd.Name, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	for _, condition := range current.Status.Conditions {
		if condition.Type == apiextensionsv1.NamesAccepted && condition.Status == apiextensionsv1.ConditionFalse {
			return false, fmt.Errorf("its names are taken: %s", condition.Message)
		}
		if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
			return isDiscoverable(client.Discovery(), crd)
		}
	}
	return false, nil
}

func isDiscoverable(client discovery.DiscoveryInterface, crd *apiextensionsv1.CustomResourceDefinition) (bool, error) {
	for _, version := range crd.Spec.Versions {
		if !version.Served {
			continue
		}
		list, err := client.ServerResourcesForGroupVersion(crd.Spec.Group + "/" + version.Name)
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil || !lists(list, crd.Spec.Names.Plural) {
			return false, err
		}
	}
	return true, nil
}

func lists(list *metav1.APIResourceList, plural string) bool {
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == plural })
}
