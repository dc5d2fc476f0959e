package member

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
)

// Watch calls changed whenever a node, pod or budget of the member changes,
// until ctx ends. It carries metadata only: what changed is read afresh, so a
// watch can be late but never wrong.
func (c *Client) Watch(ctx context.Context, changed func()) error {
	factory := metadatainformer.NewSharedInformerFactory(c.Metadata, 0)
	var informers []cache.SharedIndexInformer
	for _, resource := range []schema.GroupVersionResource{
		corev1.SchemeGroupVersion.WithResource("nodes"),
		corev1.SchemeGroupVersion.WithResource("pods"),
		policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets"),
	} {
		informer := factory.ForResource(resource).Informer()
		if err := informer.SetTransform(nothing); err != nil {
			return fmt.Errorf("watch %s: %w", resource.Resource, err)
		}
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { changed() },
			UpdateFunc: func(any, any) { changed() },
			DeleteFunc: func(any) { changed() },
		})
		if err != nil {
			return fmt.Errorf("watch %s: %w", resource.Resource, err)
		}
		informers = append(informers, informer)
	}
	for _, informer := range informers {
		go informer.RunWithContext(ctx) // the factory would give them a channel: each had goroutines that only wait for that
	}
	return nil
}

// nothing keeps of an object only what a cache needs to know it by.
func nothing(object any) (any, error) {
	meta, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: meta.Namespace, Name: meta.Name, UID: meta.UID, ResourceVersion: meta.ResourceVersion,
	}}, nil
}
