package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/deploy/chart"
)

// kinds are Refit's own, by name, with the defaults that an API server gives them.
type kinds map[string]*schema.Structural

func readKinds() (kinds, error) {
	crds, err := chart.CRDs()
	if err != nil {
		return nil, err
	}
	all := kinds{}
	for _, crd := range crds {
		var props apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, &props, nil); err != nil {
			return nil, fmt.Errorf("read the schema of %s: %w", crd.Name, err)
		}
		if all[crd.Spec.Names.Kind], err = schema.NewStructural(&props); err != nil {
			return nil, fmt.Errorf("read the schema of %s: %w", crd.Name, err)
		}
	}
	return all, nil
}

// blank is an object of a kind, without anything in it.
func blank(kind string) (client.Object, error) {
	switch kind {
	case "MemberCluster":
		return &v1.MemberCluster{}, nil
	case "Release":
		return &v1.Release{}, nil
	case "Fleet":
		return &v1.Fleet{}, nil
	case "ClusterUpgrade":
		return &v1.ClusterUpgrade{}, nil
	case "Freeze":
		return &v1.Freeze{}, nil
	case "Approval":
		return &v1.Approval{}, nil
	default:
		return nil, fmt.Errorf("kind %q: there are MemberCluster, Release, Fleet, ClusterUpgrade, Freeze and Approval", kind)
	}
}

// named is an object of a kind and a name, where those of its kind are.
func named(kind, name string) (client.Object, error) {
	o, err := blank(kind)
	if err != nil {
		return nil, err
	}
	o.SetName(name)
	place(o)
	return o, nil
}

// place puts an object where those of its kind are: a Release is in no namespace.
func place(o client.Object) {
	if _, ok := o.(*v1.Release); !ok {
		o.SetNamespace(Namespace)
	}
}

// read reads objects, separated as in a manifest, and fills in what an API server
// would: defaults, the namespace, and who said it.
func (k kinds) read(text []byte) ([]client.Object, error) {
	var all []client.Object
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		o, err := k.one(document)
		if err != nil {
			return nil, fmt.Errorf("%w, in:\n%s", err, document)
		}
		all = append(all, o)
	}
	return all, nil
}

func (k kinds) one(document []byte) (client.Object, error) {
	var fields map[string]any
	if err := yaml.Unmarshal(document, &fields); err != nil {
		return nil, err
	}
	kind, _ := fields["kind"].(string)
	o, err := blank(kind)
	if err != nil {
		return nil, err
	}
	defaulting.Default(fields, k[kind])
	filled, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalStrict(filled, o); err != nil {
		return nil, err
	}
	place(o)
	if kind != "MemberCluster" && kind != "ClusterUpgrade" {
		o.SetAnnotations(map[string]string{v1.ByAnnotation: "ann"})
	}
	return o, nil
}

// Apply creates an object, or changes the labels and the spec of the one there is.
func (h *Hub) Apply(ctx context.Context, o client.Object) error {
	there := copied(o)
	err := h.Client.Get(ctx, client.ObjectKeyFromObject(o), there)
	if apierrors.IsNotFound(err) {
		return h.Add(ctx, o)
	} else if err != nil {
		return err
	}
	o.SetResourceVersion(there.GetResourceVersion())
	o.SetUID(there.GetUID())
	o.SetCreationTimestamp(there.GetCreationTimestamp())
	o.SetFinalizers(there.GetFinalizers())
	o.SetGeneration(there.GetGeneration() + 1)
	return h.Client.Update(ctx, o)
}

// Patch changes an object by a JSON merge patch of it.
func (h *Hub) Patch(ctx context.Context, o client.Object, patch []byte) error {
	return h.Edit(ctx, o, func() error {
		text, err := json.Marshal(o)
		if err != nil {
			return err
		}
		if text, err = jsonpatch.MergePatch(text, patch); err != nil {
			return err
		}
		if _, member := o.(*v1.MemberCluster); !member {
			o.SetAnnotations(map[string]string{v1.ByAnnotation: "ann"})
		}
		return json.Unmarshal(text, o)
	})
}
