package capi

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
)

//go:embed kinds.yaml
var kinds []byte

// contract is the label by which Cluster API finds the version of a provider's
// kind that keeps its contract.
const contract = "cluster.x-k8s.io/v1beta2"

func crds() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
}

// installKinds installs the kinds of the managers, whose conversions and
// admission the managers themselves serve on this machine, and the lab's own.
func installKinds(ctx context.Context, management dynamic.Interface, managers []*manager) error {
	var names []string
	apply := func(objects []*unstructured.Unstructured) error {
		for _, o := range objects {
			if o.GetKind() == "CustomResourceDefinition" {
				names = append(names, o.GetName())
			}
			if err := applyObject(ctx, management, o); err != nil {
				return err
			}
		}
		return nil
	}
	for _, m := range managers {
		objects, err := m.crds()
		if err != nil {
			return err
		}
		if err := apply(objects); err != nil {
			return err
		}
	}
	own, err := parse(kinds)
	if err != nil {
		return err
	}
	if err := apply(own); err != nil {
		return err
	}
	for _, name := range names {
		if err := established(ctx, management, name); err != nil {
			return fmt.Errorf("kind %s: %w", name, err)
		}
	}
	return nil
}

// installWebhooks is for when the managers serve them.
func installWebhooks(ctx context.Context, management dynamic.Interface, managers []*manager) error {
	for _, m := range managers {
		objects, err := m.webhooks()
		if err != nil {
			return err
		}
		for _, o := range objects {
			if err := applyObject(ctx, management, o); err != nil {
				return err
			}
		}
	}
	return nil
}

func applyObject(ctx context.Context, management dynamic.Interface, o *unstructured.Unstructured) error {
	kind := schema.GroupVersionResource{
		Group: o.GroupVersionKind().Group, Version: o.GroupVersionKind().Version, Resource: strings.ToLower(o.GetKind()) + "s",
	}
	_, err := management.Resource(kind).Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: "lab", Force: true})
	if err != nil {
		return fmt.Errorf("install %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}

func established(ctx context.Context, management dynamic.Interface, name string) error {
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		o, err := management.Resource(crds()).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		for _, c := range conditions {
			if c, ok := c.(map[string]any); ok && c["type"] == "Established" && c["status"] == "True" {
				return true, nil
			}
		}
		return false, nil
	})
}

// crds are the manager's kinds, converted by itself where they have more than one
// version.
func (m *manager) crds() ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(filepath.Join(m.config, "crds", "*.yaml"))
	if err == nil && len(files) == 0 {
		err = errors.New("there are no kinds in " + m.config)
	}
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, file := range files {
		objects, err := parseFile(file)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			labels := o.GetLabels()
			if labels == nil {
				labels = map[string]string{}
			}
			labels[contract], labels["cluster.x-k8s.io/v1beta1"] = "v1beta2", "v1beta1"
			o.SetLabels(labels)
			conversion := map[string]any{"strategy": "Webhook", "webhook": map[string]any{
				"conversionReviewVersions": []any{"v1"}, "clientConfig": m.clientConfig("/convert"),
			}}
			if err := unstructured.SetNestedMap(o.Object, conversion, "spec", "conversion"); err != nil {
				return nil, err
			}
			all = append(all, o)
		}
	}
	return all, nil
}

// webhooks are the manager's, by its address on this machine.
func (m *manager) webhooks() ([]*unstructured.Unstructured, error) {
	objects, err := parseFile(filepath.Join(m.config, "webhooks.yaml"))
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		o.SetName(m.name + "-" + o.GetName())
		hooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
		if err != nil {
			return nil, err
		}
		for _, hook := range hooks {
			hook, _ := hook.(map[string]any)
			path, _, err := unstructured.NestedString(hook, "clientConfig", "service", "path")
			if err != nil {
				return nil, err
			}
			hook["clientConfig"] = m.clientConfig(path)
		}
		if err := unstructured.SetNestedSlice(o.Object, hooks, "webhooks"); err != nil {
			return nil, err
		}
	}
	return objects, nil
}

func parseFile(path string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	objects, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return objects, nil
}

// parse reads the objects of a YAML stream.
func parse(text []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	var all []*unstructured.Unstructured
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(o)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
}
