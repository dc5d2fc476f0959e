// Package chart carries the chart's files that the binary itself needs.
package chart

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"

	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

//go:embed kinds/*.yaml policies/*.yaml roles/*.yaml
var files embed.FS

// CRDs are the definitions of Refit's kinds, as the chart installs them.
func CRDs() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	return read[apiextensionsv1.CustomResourceDefinition]("kinds/*.yaml", func(text []byte, crd *apiextensionsv1.CustomResourceDefinition) error {
		return yaml.UnmarshalStrict(text, crd)
	})
}

// Policies are the admission policies that guard Refit's objects, as the chart
// installs them.
func Policies() ([]*unstructured.Unstructured, error) {
	return read[unstructured.Unstructured]("policies/*.yaml", func(text []byte, policy *unstructured.Unstructured) error {
		return yaml.Unmarshal(text, &policy.Object)
	})
}

// Roles are what people may do with Refit's objects, as the chart installs them.
func Roles() ([]*rbacv1.ClusterRole, error) {
	return read[rbacv1.ClusterRole]("roles/*.yaml", func(text []byte, role *rbacv1.ClusterRole) error {
		return yaml.UnmarshalStrict(text, role)
	})
}

// read parses every document of the files that a pattern names.
func read[T any](pattern string, parse func([]byte, *T) error) ([]*T, error) {
	names, err := fs.Glob(files, pattern)
	if err != nil {
		return nil, fmt.Errorf("list embedded %s: %w", pattern, err)
	}
	var all []*T
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read embedded %s: %w", name, err)
		}
		for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
			object := new(T)
			if err := parse(document, object); err != nil {
				return nil, fmt.Errorf("read embedded %s: %w", name, err)
			}
			all = append(all, object)
		}
	}
	return all, nil
}
