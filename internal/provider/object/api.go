package object

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"refit.dev/refit/internal/provider"
)

// callTimeout is for one call to a management cluster.
const callTimeout = 30 * time.Second

// api speaks to a management cluster. Nothing is tried twice: who calls a provider
// decides when to come again.
type api struct{ rest.Interface }

func newAPI(config *rest.Config) (api, error) {
	config = rest.CopyConfig(config)
	config.Timeout = callTimeout
	if config.UserAgent == "" { // audit logs are to say who it was
		config.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	config.QPS = -1                                                                                              // one look is a handful of calls, and many members may have one management cluster
	config.GroupVersion, config.NegotiatedSerializer = &schema.GroupVersion{}, scheme.Codecs.WithoutConversion() // which know a Status
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	client, err := rest.UnversionedRESTClientFor(config)
	return api{client}, err
}

func (k kind) path(namespace string) []string {
	root := "/apis/" + k.group
	if k.group == "" {
		root = "/api"
	}
	return []string{root, k.version, "namespaces", namespace, k.resource}
}

// get reads one object. One that is not there is a Fault Stop with the code
// missing.
func (a api) get(ctx context.Context, k kind, namespace, name, missing string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	raw, err := do(ctx, a.Get().AbsPath(append(k.path(namespace), name)...))
	if err == nil {
		err = o.UnmarshalJSON(raw)
	}
	if err != nil {
		return nil, classify(fmt.Sprintf("read %s %s/%s", k.resource, namespace, name), err, missing)
	}
	return o, nil
}

// list reads those of a kind that have a label.
func (a api) list(ctx context.Context, k kind, namespace, label, value string) ([]unstructured.Unstructured, error) {
	var list unstructured.UnstructuredList
	raw, err := do(ctx, a.Get().AbsPath(k.path(namespace)...).Param("labelSelector", label+"="+value))
	if err == nil {
		err = list.UnmarshalJSON(raw)
	}
	if err != nil {
		return nil, classify(fmt.Sprintf("list %s in %s", k.resource, namespace), err, provider.CodeUnknownCluster)
	}
	return list.Items, nil
}

// patch changes fields of an object as it was read: where somebody has written it
// since, nothing is changed.
func (a api) patch(ctx context.Context, k kind, o *unstructured.Unstructured, fields map[string]any) (*unstructured.Unstructured, error) {
	if err := unstructured.SetNestedField(fields, o.GetResourceVersion(), "metadata", "resourceVersion"); err != nil {
		return nil, err
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	changed := &unstructured.Unstructured{}
	raw, err := do(ctx, a.Patch(types.MergePatchType).AbsPath(append(k.path(o.GetNamespace()), o.GetName())...).
		Param("fieldManager", "refit").Body(body))
	if err == nil {
		err = changed.UnmarshalJSON(raw)
	}
	if err != nil {
		return nil, classify(fmt.Sprintf("change %s %s/%s", k.resource, o.GetNamespace(), o.GetName()), err, provider.CodeUnknownCluster)
	}
	return changed, nil
}

// do makes a call, and reads what an API server says of why it does not.
func do(ctx context.Context, call *rest.Request) ([]byte, error) {
	result := call.MaxRetries(0).Do(ctx)
	if err := result.Error(); err != nil {
		return nil, err
	}
	return result.Raw()
}
