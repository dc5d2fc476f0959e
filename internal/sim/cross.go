package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	clientfake "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/fake"
)

// Mode is what befalls one write or call on its way out of the process.
type Mode string

// The modes.
const (
	// KilledBefore: the process dies as it is about to send it.
	KilledBefore Mode = "KilledBefore"
	// KilledAfter: it takes effect, and the process dies before the answer.
	KilledAfter Mode = "KilledAfter"
	// ReplyLost: it takes effect, and the answer is lost.
	ReplyLost Mode = "ReplyLost"
	// Twice: it is delivered again at once, and once more a good while later.
	Twice Mode = "Twice"
	// StaleRead: for a while the hub's cache, and the provider, show what was
	// before.
	StaleRead Mode = "StaleRead"
)

// Modes are all of them.
func Modes() []Mode { return []Mode{KilledBefore, KilledAfter, ReplyLost, Twice, StaleRead} }

const (
	// redeliverAfter is how late a message comes that was delivered before: so late
	// that other things have happened.
	redeliverAfter = 7 * time.Second
	// staleFor is how long a cache is behind.
	staleFor = 3 * time.Second
)

// stage counts what crosses the border of the process, and lets one of them go
// wrong.
type stage struct {
	crossed int
	names   []string
	at      int
	mode    Mode
	met     bool
	// late are messages that come again, and when.
	late   []func()
	lateAt time.Time
}

// Befall lets the n-th write or call from the beginning go wrong; the first is 1.
func (w *World) Befall(n int, mode Mode) { w.stage.at, w.stage.mode = n, mode }

// Crossings are all writes and calls so far, in words.
func (w *World) Crossings() []string { return w.stage.names }

// Befell tells whether what was to go wrong did.
func (w *World) Befell() bool { return w.stage.met }

// cross lets one write or call out of the process. Again is how it arrives another
// time.
func (h *Hub) cross(what string, do func() error, again func()) error {
	s := &h.world.stage
	s.crossed++
	s.names = append(s.names, what)
	if s.crossed != s.at {
		return do()
	}
	s.met = true
	switch s.mode {
	case KilledBefore:
		panic(killed{})
	case KilledAfter:
		_ = do() // nobody hears the answer
		panic(killed{})
	case ReplyLost:
		if err := do(); err != nil {
			return err
		}
		return &provider.Fault{Class: provider.Retry, Code: provider.CodeUnreachable, Err: errLost}
	case Twice:
		err := do()
		again()
		s.late, s.lateAt = append(s.late, again), h.world.Clock.Now().Add(redeliverAfter)
		return err
	case StaleRead:
		h.show(h.picture(), staleFor)
		return do()
	}
	return do()
}

// redeliver delivers what comes again, when its time has come.
func (w *World) redeliver() {
	if s := &w.stage; len(s.late) > 0 && !w.Clock.Now().Before(s.lateAt) {
		late := s.late
		s.late = nil
		for _, again := range late {
			again()
		}
	}
}

// picture is a hub, and what the providers show, at one moment.
type picture struct {
	hub      client.Reader
	clusters map[string]provider.Observation
	declared map[fleet.SourceRef]declaration
}

func (h *Hub) picture() picture {
	all := h.all(context.Background())
	var objects []client.Object
	for i := range all.Members {
		objects = append(objects, &all.Members[i])
	}
	for i := range all.Releases {
		objects = append(objects, &all.Releases[i])
	}
	for i := range all.Fleets {
		objects = append(objects, &all.Fleets[i])
	}
	for i := range all.Upgrades {
		objects = append(objects, &all.Upgrades[i])
	}
	for i := range all.Freezes {
		objects = append(objects, &all.Freezes[i])
	}
	for i := range all.Approvals {
		objects = append(objects, &all.Approvals[i])
	}
	seen := map[string]provider.Observation{}
	for name := range h.world.clusters {
		if o, err := h.world.Cloud.Observe(context.Background(), provider.Ref{Name: name}); err == nil { // else nothing is shown late
			seen[name] = o
		}
	}
	return picture{hub: clientfake.NewClientBuilder().WithScheme(h.memory.Scheme()).WithObjects(objects...).Build(), clusters: seen, declared: h.world.declarations()}
}

// show lets the hub's cache, and the providers, show a picture for a while.
func (h *Hub) show(p picture, d time.Duration) {
	h.stale, h.staleUntil = p, h.world.Clock.Now().Add(d)
}

// late tells whether the hub's cache is behind.
func (h *Hub) late() bool { return h.world.Clock.Now().Before(h.staleUntil) }

// wire is the way from the loops to their hub. They read from a cache, which may
// be late.
func (h *Hub) wire() interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, name client.ObjectKey, o client.Object, options ...client.GetOption) error {
			return h.cache(c).Get(ctx, name, o, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			return h.cache(c).List(ctx, list, options...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
			return h.send("create", o, func(o client.Object) error { return c.Create(ctx, o, options...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, options ...client.PatchOption) error {
			return h.send("patch", o, func(o client.Object) error { return c.Patch(ctx, o, patch, options...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.DeleteOption) error {
			return h.send("delete", o, func(o client.Object) error { return c.Delete(ctx, o, options...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, options ...client.SubResourceUpdateOption) error {
			return h.send("write "+sub+" of", o, func(o client.Object) error { return c.SubResource(sub).Update(ctx, o, options...) })
		},
	}
}

// send lets a write of an object cross the border. Another time it arrives as it
// was sent, and whoever sent it has its answer.
func (h *Hub) send(what string, o client.Object, write func(client.Object) error) error {
	sent := copied(o)
	return h.cross(what+" "+name(o), func() error { return write(o) }, func() { _ = write(copied(sent)) })
}

// cache is what the loops read from.
func (h *Hub) cache(now client.Reader) client.Reader {
	if h.late() {
		return h.stale.hub
	}
	return now
}

func copied(o client.Object) client.Object {
	again, _ := o.DeepCopyObject().(client.Object)
	return again
}

// name is kind and name of an object.
func name(o client.Object) string {
	kind := fmt.Sprintf("%T", o)
	switch o.(type) {
	case *v1.MemberCluster:
		kind = "member"
	case *v1.Release:
		kind = "release"
	case *v1.Fleet:
		kind = "fleet"
	case *v1.ClusterUpgrade:
		kind = "upgrade"
	case *v1.Freeze:
		kind = "freeze"
	case *v1.Approval:
		kind = "approval"
	}
	return kind + " " + o.GetName()
}

// port is the way from one hub's Refit to the cloud.
type port struct {
	*fake.Cloud

	hub *Hub
}

// Observe may be late.
func (p *port) Observe(ctx context.Context, ref provider.Ref) (provider.Observation, error) {
	if seen, ok := p.hub.stale.clusters[ref.Name]; ok && p.hub.late() {
		return seen, nil
	}
	return p.Cloud.Observe(ctx, ref)
}

// Ensure crosses the border.
func (p *port) Ensure(ctx context.Context, ref provider.Ref, change provider.Change) (op provider.Operation, err error) {
	err = p.hub.cross(fmt.Sprintf("change %s of %s", change.Part, ref.Name), func() (err error) {
		op, err = p.Cloud.Ensure(ctx, ref, change)
		return err
	}, func() { _, _ = p.Cloud.Ensure(ctx, ref, change) })
	return op, err
}

// AddNode crosses the border.
func (p *port) AddNode(ctx context.Context, ref provider.Ref, add provider.NodeAddition) error {
	return p.hub.cross("add node to "+ref.Name, func() error { return p.Cloud.AddNode(ctx, ref, add) }, func() { _ = p.Cloud.AddNode(ctx, ref, add) })
}

// RemoveNode crosses the border.
func (p *port) RemoveNode(ctx context.Context, ref provider.Ref, removal provider.NodeRemoval) error {
	return p.hub.cross("remove node from "+ref.Name, func() error { return p.Cloud.RemoveNode(ctx, ref, removal) },
		func() { _ = p.Cloud.RemoveNode(ctx, ref, removal) })
}

// Connect gives the way to the cluster's own API.
func (p *port) Connect(ctx context.Context, ref provider.Ref) (*rest.Config, error) {
	config, err := p.Cloud.Connect(ctx, ref)
	if err == nil {
		config.Transport = &border{RoundTripper: config.Transport, hub: p.hub, member: ref.Name}
	}
	return config, err
}

// border is what requests to a cluster's own API cross, where they change it.
type border struct {
	http.RoundTripper

	hub    *Hub
	member string
}

// RoundTrip sends a request.
func (b *border) RoundTrip(request *http.Request) (answer *http.Response, err error) {
	if request.Method == http.MethodGet {
		return b.RoundTripper.RoundTrip(request)
	}
	var body []byte
	if request.Body != nil {
		if body, err = io.ReadAll(request.Body); err != nil {
			return nil, err
		}
		_ = request.Body.Close() // it has been read
	}
	send := func() (*http.Response, error) {
		again := request.Clone(context.WithoutCancel(request.Context()))
		again.Body = io.NopCloser(bytes.NewReader(body))
		return b.RoundTripper.RoundTrip(again)
	}
	err = b.hub.cross(fmt.Sprintf("%s %s of %s", request.Method, request.URL.Path, b.member), func() (err error) {
		answer, err = send() //nolint:bodyclose // it is the caller's
		return err
	}, func() {
		if late, err := send(); err == nil {
			_ = late.Body.Close() // in memory
		}
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// CancelRequest has nothing to do: a call in memory is over before anybody could.
func (b *border) CancelRequest(*http.Request) {}
