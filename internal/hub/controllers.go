package hub

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
)

// discoveryPeriod is how soon the garbage collector learns of a new kind; upstream's default.
const discoveryPeriod = 30 * time.Second

// controllers are the loops of a Kubernetes control plane without which the hub's API would promise what it does not
// keep. Each of them runs with one worker: the hub has few namespaces and few owners.
type controllers struct {
	// Without it a deleted namespace stays Terminating for ever.
	namespaces *namespace.NamespaceController
	// Without it what an owner leaves behind stays, and deleting an owner in the foreground never ends.
	garbage *garbagecollector.GarbageCollector
	// Without it the roles admin, edit and view are empty, and whom they are granted to gets nothing.
	roles *clusterroleaggregation.ClusterRoleAggregationController

	// The garbage collector is told of new kinds by a client whose cache is not the collector's own.
	discovery discovery.DiscoveryInterface
}

func newControllers(ctx context.Context, server apiServer) (controllers, error) {
	config := rest.CopyConfig(server.loopback)
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return controllers{}, fmt.Errorf("build the hub's controllers: %w", err)
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return controllers{}, fmt.Errorf("build the hub's controllers: %w", err)
	}
	collector, err := newGarbageCollector(ctx, client, objects)
	if err != nil {
		return controllers{}, fmt.Errorf("build the hub's garbage collector: %w", err)
	}
	return controllers{
		namespaces: namespace.NewNamespaceController(ctx, client, objects, client.Discovery().ServerPreferredNamespacedResources,
			server.informers.Core().V1().Namespaces(), 0, corev1.FinalizerKubernetes),
		garbage:   collector,
		roles:     clusterroleaggregation.NewClusterRoleAggregation(server.informers.Rbac().V1().ClusterRoles(), client.RbacV1()),
		discovery: client.Discovery(),
	}, nil
}

func newGarbageCollector(ctx context.Context, client kubernetes.Interface, objects metadata.Interface) (*garbagecollector.GarbageCollector, error) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	factory := metadataInformers{metadatainformer.NewSharedInformerFactoryWithOptions(objects, 0, metadatainformer.WithTransform(dropManagedFields))}
	started := make(chan struct{})
	close(started)
	return garbagecollector.NewGarbageCollector(ctx, client, objects, mapper, garbagecollector.DefaultIgnoredResources(), factory, started)
}

// run returns when ctx has ended and all of them have.
func (c controllers) run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { c.namespaces.Run(ctx, 1) })
	all.Go(func() { c.roles.Run(ctx, 1) })
	all.Go(func() { c.garbage.Run(ctx, 1, discoveryPeriod) })
	all.Go(func() { c.garbage.Sync(ctx, c.discovery, discoveryPeriod) })
	all.Wait()
	return nil
}

// metadataInformers watches every kind by its metadata alone: the garbage collector asks for no more, and the bodies of
// all secrets and config maps would be kept in memory for nothing.
type metadataInformers struct {
	metadatainformer.SharedInformerFactory
}

func (f metadataInformers) ForResource(resource schema.GroupVersionResource) (informers.GenericInformer, error) {
	return f.SharedInformerFactory.ForResource(resource), nil
}

func dropManagedFields(object any) (any, error) {
	if object, ok := object.(*metav1.PartialObjectMetadata); ok {
		object.ManagedFields = nil
	}
	return object, nil
}
