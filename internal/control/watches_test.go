package control_test

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/control"
	"refit.dev/refit/internal/member"
	"refit.dev/refit/internal/provider"
)

// watched are the watches of nodes that were opened.
func (l *loops) watched() chan *watch.FakeWatcher {
	opened := make(chan *watch.FakeWatcher, 10)
	metadata := metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme())
	metadata.PrependWatchReactor("nodes", func(clienttesting.Action) (bool, watch.Interface, error) {
		w := watch.NewFake()
		opened <- w
		return true, w, nil
	})
	l.metadata = metadata
	return opened
}

// checkClosed waits for the end of a watch, which comes by itself, and soon.
func checkClosed(t *testing.T, w *watch.FakeWatcher) {
	t.Helper()
	select {
	case _, open := <-w.ResultChan():
		if open {
			t.Error("somebody else wrote to the watch")
		}
	case <-time.After(10 * time.Second):
		t.Error("the watch goes on")
	}
}

// A member is watched from its upgrade's first look to its end, once.
func TestUpgradesWatchTheMember(t *testing.T) {
	l := newLoops(t)
	opened, changed := l.watched(), make(chan types.NamespacedName, 10)
	l.upgrades.Watch = &control.Watches{
		Members: l.clients, Log: slog.New(slog.DiscardHandler), Changed: func(key types.NamespacedName) { changed <- key },
	}
	l.addMember("eu-1", shape{version: "v1.36.3", offers: offers, pools: map[string]int{"a": 1}, floor: -1}).surge = 1
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.turn()
	w := <-opened
	w.Add(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "a-1", ResourceVersion: "1"}})
	if key := <-changed; key != (types.NamespacedName{Namespace: namespace, Name: "eu-1.1"}) {
		t.Errorf("a node's change wakes %s, want %s/eu-1.1", key, namespace)
	}
	l.ride("eu-1.1", "ended", isEnded)
	checkClosed(t, w)
	if len(opened) > 0 {
		t.Errorf("%d watches more were opened", len(opened))
	}
}

// The watch ends as well where the upgrade or the member is deleted.
func TestUpgradesGoneAreNotWatched(t *testing.T) {
	for _, gone := range []struct {
		name   string
		object client.Object
	}{{"eu-1.1", &v1.ClusterUpgrade{}}, {"eu-1", &v1.MemberCluster{}}} {
		t.Run(gone.name, func(t *testing.T) {
			l := newLoops(t)
			opened := l.watched()
			l.upgrades.Watch = &control.Watches{
				Members: l.clients, Log: slog.New(slog.DiscardHandler), Changed: func(types.NamespacedName) {},
			}
			l.addMember("eu-1", shape{version: "v1.36.3", offers: offers, pools: map[string]int{"a": 1}, floor: -1})
			l.addRelease("2026.11", "v1.37.2")
			l.addFleet("main", "2026.11", nil)
			l.turn()
			w := <-opened
			l.remove(gone.name, gone.object)
			if _, err := l.upgrades.Reconcile(t.Context(), types.NamespacedName{Namespace: namespace, Name: "eu-1.1"}); err != nil {
				t.Fatal(err)
			}
			checkClosed(t, w)
		})
	}
}

// Who cannot be reached is not watched; nor does anything fail.
func TestWatchesOfNobody(t *testing.T) {
	l := newLoops(t)
	opened := l.watched()
	l.clients.Dial = func(*rest.Config) (*member.Client, error) { return nil, errors.New("connection refused") }
	l.addMember("eu-1", shape{version: "v1.36.3", floor: -1})
	watches, key := &control.Watches{Members: l.clients}, types.NamespacedName{Namespace: namespace, Name: "eu-1.1"}
	watches.Open(t.Context(), key, provider.Cluster{Name: "eu-1", Provider: l.cloud, Ref: provider.Ref{Name: "eu-1"}})
	watches.Close(key)
	if len(opened) > 0 {
		t.Errorf("%d watches were opened", len(opened))
	}
	var none *control.Watches
	none.Open(t.Context(), key, provider.Cluster{})
	none.Close(key)
}
