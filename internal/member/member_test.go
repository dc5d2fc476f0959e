package member

import (
	"context"
	"errors"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"refit.dev/refit/internal/provider"
)

// addresses is a provider that knows where clusters are, and nothing else.
type addresses struct {
	provider.Provider

	err error
}

func (a addresses) Connect(_ context.Context, ref provider.Ref) (*rest.Config, error) {
	return &rest.Config{Host: "https://" + ref.Name}, a.err
}

func TestClients(t *testing.T) {
	var dialled []string
	refused := error(nil)
	clients := &Clients{Dial: func(config *rest.Config) (*Client, error) {
		dialled = append(dialled, config.Host)
		return &Client{}, refused
	}}
	cluster := func(name, ref string) provider.Cluster {
		return provider.Cluster{Name: name, Provider: addresses{}, Ref: provider.Ref{Name: ref}}
	}
	get := func(c provider.Cluster) *Client {
		t.Helper()
		client, err := clients.For(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	first := get(cluster("eu-1", "one"))
	if get(cluster("eu-1", "one")) != first {
		t.Error("a member has two clients")
	}
	if get(cluster("eu-2", "one")) == first {
		t.Error("two members have one client")
	}
	if get(cluster("eu-1", "two")) == first {
		t.Error("a member that was made anew for another cluster still has the client of the first")
	}
	clients.Forget("eu-2")
	get(cluster("eu-2", "one"))
	if diff := cmp.Diff([]string{"https://one", "https://one", "https://two", "https://one"}, dialled); diff != "" {
		t.Errorf("dialled (-want +got):\n%s", diff)
	}

	lost := cluster("eu-3", "three")
	lost.Provider = addresses{err: errors.New("no such cluster")}
	if _, err := clients.For(t.Context(), lost); textOf(err) != "get credentials for eu-3: no such cluster" {
		t.Errorf("error is %v", err)
	}
	refused = errors.New("no certificate")
	if _, err := clients.For(t.Context(), cluster("eu-3", "three")); textOf(err) != "connect to eu-3: no certificate" {
		t.Errorf("error is %v", err)
	}
	refused = nil
	get(cluster("eu-3", "three"))
}

// By default a client is made of real parts; that needs no connection yet.
func TestClientsDial(t *testing.T) {
	client, err := (&Clients{}).For(t.Context(), provider.Cluster{Name: "eu-1", Provider: addresses{}, Ref: provider.Ref{Name: "one"}})
	if err != nil || client.Kube == nil || client.Metadata == nil {
		t.Errorf("client is %v, %v", client, err)
	}
}

func TestWatch(t *testing.T) {
	metadata := metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme())
	opened := map[string]chan *watch.FakeWatcher{}
	resources := []string{"nodes", "pods", "poddisruptionbudgets"}
	for _, resource := range resources {
		watches := make(chan *watch.FakeWatcher, 1)
		opened[resource] = watches
		metadata.PrependWatchReactor(resource, func(clienttesting.Action) (bool, watch.Interface, error) {
			w := watch.NewFake()
			watches <- w
			return true, w, nil
		})
	}
	changed := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := &Client{Metadata: metadata}
	if err := client.Watch(ctx, func() { changed <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	for _, resource := range resources {
		w := <-opened[resource]
		object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: "1"}}
		w.Add(object)
		<-changed
		object = object.DeepCopy()
		object.ResourceVersion = "2"
		w.Modify(object)
		<-changed
		w.Delete(object)
		<-changed
		opened[resource] <- w
	}
	cancel()
	for _, resource := range resources {
		if _, open := <-(<-opened[resource]).ResultChan(); open {
			t.Errorf("the watch of %s goes on", resource)
		}
	}
}

// A watch has no goroutines that only wait for its end: there are three for every
// member in flight.
func TestWatchWaitsForNothing(t *testing.T) {
	metadata := metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme())
	opened := make(chan struct{}, 3)
	metadata.PrependWatchReactor("*", func(clienttesting.Action) (bool, watch.Interface, error) {
		opened <- struct{}{}
		return true, watch.NewFake(), nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := (&Client{Metadata: metadata}).Watch(ctx, func() {}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		<-opened
	}
	var stacks strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 1); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(stacks.String(), "propagateCancel") {
		t.Errorf("some goroutines only pass the end of a context on:\n%s", &stacks)
	}
}

// A watch keeps nothing of an object but what it is known by.
func TestWatchKeepsLittle(t *testing.T) {
	kept, err := nothing(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "web-1", UID: "uid-1", ResourceVersion: "7",
		Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"big": "…"}, Finalizers: []string{"x"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", UID: "uid-1", ResourceVersion: "7"}}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	for _, other := range []any{&corev1.Pod{}, &policyv1.Eviction{}, nil} {
		if got, err := nothing(other); got != other || err != nil {
			t.Errorf("of %T came %v, %v", other, got, err)
		}
	}
}
