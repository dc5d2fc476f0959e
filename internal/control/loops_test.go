package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
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
	"refit.dev/refit/internal/provider/fake"
)

const namespace = "refit"

// loops are the three loops over an in-memory hub and made-up clusters.
type loops struct {
	// skew is how far our clock is ahead, skewed why nobody knows.
	skew   time.Duration
	skewed error
	// unpinned keeps upgrades from waking the fleets loop for their pins.
	unpinned bool
	t        *testing.T
	clock    *clocktesting.FakeClock
	cloud    *fake.Cloud
	// clusters of the cloud, by name.
	clusters map[string]*cluster
	// hub is what a person has of the hub; the loops' own client is watched.
	hub      client.Client
	own      client.WithWatch
	clients  *member.Clients
	metadata metadata.Interface // what watches are made of, if not of the members' own
	fleets   *control.Fleets
	upgrades *control.Upgrades
	members  *control.Members

	// creating and writing are told of the loops' creates and status writes
	// before they are done; an error is the answer.
	creating, writing func(client.Object) error
	writes            int
	serial            int
	// timeline is where upgrades were, one line per change of hop, step or reason.
	timeline []string
	whys     map[string]v1.Why
	declared *declared
	last     *v1.ClusterUpgrade // that was looked at
}

// hubUID is the UID of the hub where there is one.
const hubUID = "uid-of-hub"

func newLoops(t *testing.T) *loops {
	t.Helper()
	clock := clocktesting.NewFakeClock(time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC))
	return newLoopsOf(t, hubUID, clock, &fake.Cloud{Clock: clock})
}

// newLoopsOf are the loops of a hub.
func newLoopsOf(t *testing.T, uid string, clock *clocktesting.FakeClock, cloud *fake.Cloud) *loops {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	l := &loops{t: t, clock: clock, cloud: cloud, clusters: map[string]*cluster{}, whys: map[string]v1.Why{}, declared: &declared{}}
	kinds := []client.Object{&v1.MemberCluster{}, &v1.Release{}, &v1.Fleet{}, &v1.ClusterUpgrade{}}
	tracker := clienttesting.NewObjectTracker(scheme, serializer.NewCodecFactory(scheme).UniversalDecoder())
	memory := clientfake.NewClientBuilder().WithScheme(scheme).WithObjectTracker(tracker).WithStatusSubresource(kinds...).Build()
	l.hub = interceptor.NewClient(memory, interceptor.Funcs{Create: l.create})
	l.own = interceptor.NewClient(memory, interceptor.Funcs{Create: l.createForLoop, SubResourceUpdate: l.write})

	log := slog.New(slog.DiscardHandler)
	l.clients = &member.Clients{Dial: func(config *rest.Config) (*member.Client, error) {
		dialled, err := member.Dial(config)
		if err == nil && l.metadata != nil {
			dialled.Metadata = l.metadata
		}
		return dialled, err
	}}
	clusters := &observe.Clusters{Providers: map[string]provider.Provider{"local": l.cloud}, Members: l.clients, Sources: l.declared, Clock: l.clock}
	l.fleets = &control.Fleets{
		Client: l.own, Reader: l.own, Clock: l.clock, Namespace: namespace, Hub: uid, Log: log,
		Skew: func(context.Context) (time.Duration, error) { return l.skew, l.skewed },
	}
	l.upgrades = &control.Upgrades{
		Client: l.own, Reader: l.own, Clock: l.clock, Clusters: clusters,
		Actor: &act.Actor{Members: l.clients, Sources: l.declared, Clock: l.clock}, Hub: uid, Log: log,
	}
	l.members = &control.Members{Client: l.own, Reader: l.own, Clock: l.clock, Clusters: clusters, Log: log}
	return l
}

// create does what an API server adds to a new object.
func (l *loops) create(ctx context.Context, c client.WithWatch, object client.Object, _ ...client.CreateOption) error {
	l.serial++
	object.SetUID(types.UID(fmt.Sprintf("uid-%d", l.serial)))
	object.SetGeneration(1)
	object.SetCreationTimestamp(metav1.NewTime(l.clock.Now()))
	return c.Create(ctx, object)
}

func (l *loops) createForLoop(ctx context.Context, c client.WithWatch, object client.Object, _ ...client.CreateOption) error {
	if l.creating != nil {
		if err := l.creating(object); err != nil {
			return err
		}
	}
	return l.create(ctx, c, object)
}

func (l *loops) write(ctx context.Context, c client.Client, _ string, object client.Object, _ ...client.SubResourceUpdateOption) error {
	if l.writing != nil {
		if err := l.writing(object); err != nil {
			return err
		}
	}
	l.writes++
	return c.Status().Update(ctx, object)
}

// add creates an object as a person does.
func (l *loops) add(object client.Object) {
	l.t.Helper()
	if err := l.hub.Create(l.t.Context(), object); err != nil {
		l.t.Fatal(err)
	}
}

// get reads an object by name.
func get[T client.Object](l *loops, name string, object T) T {
	l.t.Helper()
	key := client.ObjectKey{Namespace: namespace, Name: name}
	if _, clusterScoped := any(object).(*v1.Release); clusterScoped {
		key.Namespace = ""
	}
	if err := l.hub.Get(l.t.Context(), key, object); err != nil {
		l.t.Fatal(err)
	}
	return object
}

// edit changes an object's spec as a person does.
func edit[T client.Object](l *loops, name string, object T, change func(T)) {
	l.t.Helper()
	get(l, name, object)
	change(object)
	object.SetGeneration(object.GetGeneration() + 1)
	if err := l.hub.Update(l.t.Context(), object); err != nil {
		l.t.Fatal(err)
	}
}

// remove deletes an object as a person does.
func (l *loops) remove(name string, object client.Object) {
	l.t.Helper()
	if err := l.hub.Delete(l.t.Context(), get(l, name, object)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *loops) upgrade(name string) *v1.ClusterUpgrade { return get(l, name, &v1.ClusterUpgrade{}) }

// addMember makes a cluster and a MemberCluster for it.
func (l *loops) addMember(name string, s shape) *cluster {
	l.t.Helper()
	c := newCluster(l.t, l.cloud, name, s)
	l.clusters[name] = c
	l.add(&v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"name": name}},
		Spec:       v1.MemberClusterSpec{Provider: v1.MemberProvider{Local: &v1.LocalProvider{Name: name}}},
	})
	return c
}

func (l *loops) addRelease(name, kubernetes string) {
	l.t.Helper()
	l.add(&v1.Release{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.ReleaseSpec{Bundle: v1.Bundle{Kubernetes: kubernetes}}})
}

// addFleet makes a fleet of all members; what the API server would default is
// set here. It changes nodes one by one, by surge.
func (l *loops) addFleet(name, release string, change func(*v1.FleetSpec)) {
	l.t.Helper()
	f := &v1.Fleet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1.FleetSpec{
			Release: release,
			Waves:   []v1.Wave{{Name: "all", MaxConcurrent: intstr.FromInt32(1)}},
			Settle:  metav1.Duration{Duration: 20 * time.Second}, Bake: metav1.Duration{Duration: time.Minute},
			Nodes: v1.NodePolicy{MaxSurge: intstr.FromInt32(1), MaxUnavailable: intstr.FromInt32(0)},
		},
	}
	if change != nil {
		change(&f.Spec)
	}
	l.add(f)
}

// see lets the members loop look at a member.
func (l *loops) see(name string) ctrl.Result {
	l.t.Helper()
	result, err := l.members.Reconcile(l.t.Context(), types.NamespacedName{Namespace: namespace, Name: name})
	if err != nil {
		l.t.Fatal(err)
	}
	return result
}

// decide lets the fleets loop plan.
func (l *loops) decide() ctrl.Result {
	l.t.Helper()
	result, err := l.fleets.Reconcile(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return result
}

// move lets the upgrades loop look at an upgrade, and is how long it then waits.
// Where it claimed the member in order to act, it looks once more, as it would;
// and where it waits for a pin, after the fleets loop, which it has woken.
func (l *loops) move(name string) time.Duration {
	l.t.Helper()
	const atOnce = 50 * time.Millisecond
	claimed := l.claims()
	result := l.look(name)
	if l.claims() > claimed && result.RequeueAfter < atOnce {
		l.noteWhy(l.upgrade(name))
		result = l.look(name)
	}
	if l.pinning(name) {
		l.noteWhy(l.upgrade(name))
		told := l.writing
		l.writing = nil // who rides an upgrade is not told of its fleet
		l.decide()
		l.writing = told
		return l.move(name)
	}
	up := &v1.ClusterUpgrade{}
	if err := l.hub.Get(l.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, up); apierrors.IsNotFound(err) {
		return result.RequeueAfter
	} else if err != nil {
		l.t.Fatal(err)
	}
	if !observe.Ended(up) && result.RequeueAfter <= 0 {
		l.t.Fatalf("nobody will look at %s again; it is in %s", name, position(up))
	}
	l.note(up)
	return result.RequeueAfter
}

// pinning tells whether an upgrade waits for a pin that is to come.
func (l *loops) pinning(name string) bool {
	up := &v1.ClusterUpgrade{}
	if err := l.hub.Get(l.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, up); err != nil {
		return false
	}
	return !l.unpinned && up.Status.Why != nil && up.Status.Why.Code == "Pinning"
}

// claimed are the members that somebody has claimed, by name.
func (l *loops) claimed() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(l.clusters)) {
		if l.clusters[name].claim() != nil {
			names = append(names, name)
		}
	}
	return names
}

// claims are how often a member was claimed, or its claim renewed.
func (l *loops) claims() int {
	count := 0
	for _, c := range l.clusters {
		count += len(slices.DeleteFunc(c.Calls(fake.WriteLease), func(call fake.Call) bool { return call.Err != nil }))
	}
	return count
}

func (l *loops) look(name string) ctrl.Result {
	l.t.Helper()
	result, err := l.upgrades.Reconcile(l.t.Context(), types.NamespacedName{Namespace: namespace, Name: name})
	if err != nil {
		l.t.Fatal(err)
	}
	return result
}

// note keeps the timeline.
func (l *loops) note(up *v1.ClusterUpgrade) {
	l.t.Helper()
	l.last = up
	if now := position(up); len(l.timeline) == 0 || l.timeline[len(l.timeline)-1] != now {
		l.timeline = append(l.timeline, now)
	}
	l.noteWhy(up)
}

// noteWhy judges what holds of every reason.
func (l *loops) noteWhy(up *v1.ClusterUpgrade) {
	l.t.Helper()
	why := up.Status.Why
	if why == nil {
		l.t.Fatalf("%s has no reason in %s", up.Name, position(up))
	}
	if why.Since.After(l.clock.Now()) {
		l.t.Errorf("%s waits since %s, which is yet to come: %s", up.Name, why.Since.UTC(), why.Message)
	}
	if before, ok := l.whys[up.Name]; ok && before.Code == why.Code && before.Object == why.Object && !before.Since.Equal(&why.Since) {
		l.t.Errorf("%s waits for %s (%s) since %s; it was %s before", up.Name, why.Code, why.Object, why.Since.UTC(), before.Since.UTC())
	}
	l.whys[up.Name] = *why
}

// position is where an upgrade stands, in one line.
func position(up *v1.ClusterUpgrade) string {
	code := ""
	if up.Status.Why != nil {
		code = up.Status.Why.Code
	}
	return fmt.Sprintf("%s %s: %s", up.Status.Hop, up.Status.Step, code)
}

// turn lets every loop look, then lets time pass until an upgrade wants to look
// again, five seconds at most.
func (l *loops) turn() {
	l.t.Helper()
	var members v1.MemberClusterList
	var upgrades v1.ClusterUpgradeList
	if err := l.hub.List(l.t.Context(), &members); err != nil {
		l.t.Fatal(err)
	}
	for _, mc := range members.Items {
		l.see(mc.Name)
	}
	l.decide()
	if err := l.hub.List(l.t.Context(), &upgrades); err != nil {
		l.t.Fatal(err)
	}
	wait := 5 * time.Second
	for i := range upgrades.Items {
		if up := &upgrades.Items[i]; !observe.Ended(up) {
			wait = min(wait, max(time.Millisecond, l.move(up.Name)))
		}
	}
	l.clock.Step(wait)
}

// until takes turns until something is so.
func (l *loops) until(what string, met func() bool) {
	l.t.Helper()
	l.repeat(what, met, l.turn)
}

// ride moves one upgrade on, and nothing else, until something is so.
func (l *loops) ride(name, what string, met func(*v1.ClusterUpgrade) bool) {
	l.t.Helper()
	up := l.upgrade(name)
	l.repeat(what, func() bool { return met(up) }, func() {
		l.t.Helper()
		l.clock.Step(min(5*time.Second, max(time.Millisecond, l.move(name))))
		up = l.last
	})
}

func (l *loops) repeat(what string, met func() bool, turn func()) {
	l.t.Helper()
	for range 500 {
		if met() {
			return
		}
		turn()
	}
	l.t.Fatalf("never %s; the timeline is %s", what, cmp.Diff(nil, l.timeline))
}

// ended tells how an upgrade ended; empty where it has not.
func ended(up *v1.ClusterUpgrade) string {
	if condition := meta.FindStatusCondition(up.Status.Conditions, v1.ConditionEnded); condition != nil && condition.Status == metav1.ConditionTrue {
		return condition.Reason
	}
	return ""
}

func (l *loops) ended(name, outcome string) func() bool {
	return func() bool {
		up := &v1.ClusterUpgrade{}
		err := l.hub.Get(l.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, up)
		return err == nil && ended(up) == outcome
	}
}

// conditions are the conditions of an object in one line each: how they are,
// since when, and why.
func conditions(list []metav1.Condition) []string {
	var lines []string
	for _, c := range list {
		lines = append(lines, fmt.Sprintf("%s %s since %s: %s: %s (generation %d)",
			c.Type, c.Status, c.LastTransitionTime.UTC().Format(time.TimeOnly), c.Reason, c.Message, c.ObservedGeneration))
	}
	return lines
}

// conflict is what an API server answers where the object has moved on.
func (l *loops) conflict(object client.Object) error {
	stored := object.DeepCopyObject().(client.Object)
	if err := l.hub.Get(l.t.Context(), client.ObjectKeyFromObject(object), stored); err != nil {
		return err
	}
	stored.SetLabels(map[string]string{"touched": l.clock.Now().Format("150405")})
	return l.hub.Update(l.t.Context(), stored)
}
