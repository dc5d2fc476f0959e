// Package chart carries the chart's files that the binary itself needs.
package chart

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

//go:embed crds/*.yaml policies/*.yaml
var files embed.FS

// CRDs are the definitions of Refit's kinds, as the chart installs them.
func CRDs() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	names, err := fs.Glob(files, "crds/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list embedded CRDs: %w", err)
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read embedded CRD: %w", err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			return nil, fmt.Errorf("read embedded CRD %s: %w", name, err)
		}
		crds = append(crds, crd)
	}
	return crds, nil
}

// Policies are the admission policies that guard Refit's objects, as the chart
// installs them.
func Policies() ([]*unstructured.Unstructured, error) {
	names, err := fs.Glob(files, "policies/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list embedded policies: %w", err)
	}
	var policies []*unstructured.Unstructured
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read embedded policy: %w", err)
		}
		for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
			policy := &unstructured.Unstructured{}
			if err := yaml.Unmarshal(document, &policy.Object); err != nil {
				return nil, fmt.Errorf("read embedded policy %s: %w", name, err)
			}
			policies = append(policies, policy)
		}
	}
	return policies, nil
}
