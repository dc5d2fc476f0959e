package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	clientfake "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/act"
	"refit.dev/refit/internal/control"
	"refit.dev/refit/internal/member"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/provider"
)

// Namespace is where everything of a hub is.
const Namespace = "refit"

// Hub is one hub, and the process of Refit that has it for its own.
type Hub struct {
	name  string
	world *World
	// Client is what people have of it.
	Client client.Client
	// memory is the hub itself; own is what Refit has of it.
	memory, own client.WithWatch
	// stale is what Refit's cache, and the providers, still show, until then.
	stale      picture
	staleUntil time.Time

	fleets   *control.Fleets
	upgrades *control.Upgrades
	members  *control.Members
	asker    *asker
	serial   int
	said     map[string]string // the last line told of each object
	// touched tells that something changed since the last note.
	touched bool
}

// AddHub makes a hub, and starts Refit on it.
func (w *World) AddHub(name string) (*Hub, error) {
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("make hub %s: %w", name, err)
	}
	tracker := clienttesting.NewObjectTracker(scheme, serializer.NewCodecFactory(scheme).UniversalDecoder())
	h := &Hub{name: name, world: w, said: map[string]string{}}
	h.memory = clientfake.NewClientBuilder().WithScheme(scheme).WithObjectTracker(tracker).
		WithStatusSubresource(&v1.MemberCluster{}, &v1.Release{}, &v1.Fleet{}, &v1.ClusterUpgrade{}).Build()
	h.Client = interceptor.NewClient(h.memory, h.apiServer())
	h.own = interceptor.NewClient(interceptor.NewClient(h.memory, h.apiServer()), h.wire())
	w.hubs = append(w.hubs, h)
	h.Start()
	return h, nil
}

// Start starts the process of Refit anew: it knows nothing but what is written,
// and that as its cache shows it.
func (h *Hub) Start() {
	log, clock := slog.New(slog.DiscardHandler), h.world.Clock
	clients := &member.Clients{}
	port := &port{Cloud: h.world.Cloud, hub: h}
	clusters := &observe.Clusters{Providers: map[string]provider.Provider{"fake": port, "local": port}, Members: clients, AddOns: helm{h}, Sources: git{h}, Clock: clock}
	h.asker = newAsker(h)
	h.fleets = &control.Fleets{
		Client: h.own, Reader: quorum{h.memory}, Clock: clock, Namespace: Namespace, Hub: h.uid(), Log: log,
		Gates: h.asker,
		Skew:  func(context.Context) (time.Duration, error) { return h.world.Skew, nil },
	}
	h.upgrades = &control.Upgrades{
		Client: h.own, Reader: quorum{h.memory}, Clock: clock, Clusters: clusters, Log: log, Hub: h.uid(),
		Actor: &act.Actor{Members: clients, AddOns: helm{h}, Sources: git{h}, Clock: clock},
	}
	h.members = &control.Members{
		Client: h.own, Reader: quorum{h.memory}, Clock: clock, Clusters: clusters, Log: log,
		Jitter: func(d time.Duration) time.Duration { return d },
	}
	h.wakeAll()
}

func (h *Hub) uid() string { return "uid-of-" + h.name }

// quorum reads what is so: neither late nor through the wire that goes wrong.
type quorum struct{ client.Reader }

// killed ends a process in the middle of what it does.
type killed struct{}

// look lets a loop look. Where that ends the process, another one is started.
func (h *Hub) look(ctx context.Context, k key) (result ctrl.Result, err error) {
	defer func() {
		switch ended := recover(); ended.(type) {
		case nil:
		case killed:
			h.Start()
			result, err = ctrl.Result{}, nil
		default:
			panic(ended)
		}
	}()
	name := types.NamespacedName{Namespace: Namespace, Name: k.name}
	switch k.loop {
	case fleets:
		return h.fleets.Reconcile(ctx)
	case upgrades:
		return h.upgrades.Reconcile(ctx, name)
	case members:
		return h.members.Reconcile(ctx, name)
	case gates:
		return h.asker.ask(k.name), nil
	}
	return ctrl.Result{}, nil
}

// apiServer does to objects what an API server does beside storing them, and
// wakes whoever watches.
func (h *Hub) apiServer() interceptor.Funcs {
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
			h.serial++
			o.SetUID(types.UID(fmt.Sprintf("uid-of-%s-%d", h.name, h.serial)))
			o.SetGeneration(1)
			o.SetCreationTimestamp(metav1.NewTime(h.world.Clock.Now()).Rfc3339Copy())
			if err := c.Create(ctx, o, options...); err != nil {
				return err
			}
			h.changed(ctx, nil, o)
			h.judge(ctx, o)
			return nil
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.UpdateOption) error {
			return h.change(ctx, o, func() error { return c.Update(ctx, o, options...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, options ...client.PatchOption) error {
			return h.change(ctx, o, func() error { return c.Patch(ctx, o, patch, options...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.DeleteOption) error {
			return h.change(ctx, o, func() error { return h.delete(ctx, c, o, options...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, options ...client.SubResourceUpdateOption) error {
			return h.change(ctx, o, func() error { return c.SubResource(sub).Update(ctx, o, options...) })
		},
	}
}

// delete deletes an object; one that has to wait for its finalizers is wanted
// otherwise from then on.
func (h *Hub) delete(ctx context.Context, c client.Client, o client.Object, options ...client.DeleteOption) error {
	if err := c.Delete(ctx, o, options...); err != nil {
		return err
	}
	left := h.stored(ctx, o)
	if left == nil || left.GetDeletionTimestamp().IsZero() {
		return nil
	}
	left.SetGeneration(left.GetGeneration() + 1)
	return c.Update(ctx, left)
}

// change writes an object, and tells who watches how it was and how it is.
func (h *Hub) change(ctx context.Context, o client.Object, write func() error) error {
	before := h.stored(ctx, o)
	if err := write(); err != nil {
		return err
	}
	h.changed(ctx, before, h.stored(ctx, o))
	return nil
}

// stored is an object as the hub has it; nil where it has none.
func (h *Hub) stored(ctx context.Context, o client.Object) client.Object {
	copied, _ := o.DeepCopyObject().(client.Object)
	if h.memory.Get(ctx, client.ObjectKeyFromObject(o), copied) != nil {
		return nil
	}
	return copied
}

// Add creates an object as a person does.
func (h *Hub) Add(ctx context.Context, o client.Object) error { return h.Client.Create(ctx, o) }

// Edit changes the spec or the labels of an object as a person does.
func (h *Hub) Edit(ctx context.Context, o client.Object, change func() error) error {
	if err := h.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	o.SetGeneration(o.GetGeneration() + 1)
	return h.Client.Update(ctx, o)
}

// Upgrade finds an upgrade; nil where there is none.
func (h *Hub) Upgrade(ctx context.Context, name string) *v1.ClusterUpgrade {
	up := &v1.ClusterUpgrade{}
	if h.memory.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: name}, up) != nil {
		return nil
	}
	return up
}

// Outcome is how an upgrade ended; empty where it has not.
func Outcome(up *v1.ClusterUpgrade) string {
	if up == nil {
		return ""
	}
	ended := meta.FindStatusCondition(up.Status.Conditions, v1.ConditionEnded)
	if ended == nil || ended.Status != metav1.ConditionTrue {
		return ""
	}
	return ended.Reason
}

// all is everything that the hub holds.
func (h *Hub) all(ctx context.Context) observe.Hub { return read(ctx, h.memory) }

func read(ctx context.Context, reader client.Reader) observe.Hub {
	all, err := observe.ReadHub(ctx, reader, Namespace)
	if err != nil {
		panic(fmt.Sprintf("read a hub in memory: %v", err)) // it is in memory
	}
	return all
}

// errLost is what is left of a call whose reply never came.
var errLost = errors.New("connection reset by peer")
