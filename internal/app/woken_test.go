package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	controllers "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/deploy/chart"
	"refit.dev/refit/internal/control"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/hub"
	"refit.dev/refit/internal/observe"
)

// namespace of the hub in these tests.
const namespace = "refit"

// A freeze that goes, an approval that comes and a gate's answer wake the fleets loop: nothing
// else does here, for the other two loops see nothing and time is too short. It
// stands here because it links the API server, which is tested without the race
// detector, and the loops are to be tested with it.
func TestFleetsAreWoken(t *testing.T) {
	config := startHub(t)
	if skew, err := observe.ClockSkew(t.Context(), config, clock.RealClock{}); err != nil || skew.Abs() > 5*time.Second {
		t.Errorf("the clock of a hub in this very process is %s off, %v", skew, err)
	}
	gates := &murmurs{asked: make(chan struct{}, 1), heard: map[fleet.Question]fleet.Heard{}}
	c := runFleets(t, config, gates)
	create := func(object client.Object) {
		t.Helper()
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	await := func(what string, met func() (bool, string)) {
		t.Helper()
		for begun := time.Now(); ; {
			done, last := met()
			if done {
				return
			}
			if time.Since(begun) > time.Minute {
				t.Fatalf("%s: not within a minute; last: %s", what, last)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	is := func(reason string) func() (bool, string) {
		return func() (bool, string) {
			f := &v1.Fleet{}
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "main"}, f); err != nil {
				t.Fatal(err)
			}
			ready := meta.FindStatusCondition(f.Status.Conditions, v1.ConditionReady)
			return ready != nil && ready.Reason == reason, fmt.Sprint(ready)
		}
	}
	exists := func(name string) func() (bool, string) {
		return func() (bool, string) {
			err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &v1.ClusterUpgrade{})
			return err == nil, fmt.Sprint(err)
		}
	}

	create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	freeze := &v1.Freeze{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "holidays"}, Spec: v1.FreezeSpec{Reason: "holidays"}}
	create(freeze)
	mc := &v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "eu-1"},
		Spec:       v1.MemberClusterSpec{Provider: v1.MemberProvider{Local: &v1.LocalProvider{Name: "eu-1"}}},
	}
	create(mc)
	mc.Status = v1.MemberClusterStatus{
		ObservedAt: metav1.Now(), ControlPlane: v1.ControlPlaneStatus{Version: "v1.36.4"},
		Conditions: []metav1.Condition{{Type: v1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Healthy", LastTransitionTime: metav1.Now()}},
	}
	if err := c.Status().Update(t.Context(), mc); err != nil {
		t.Fatal(err)
	}
	create(&v1.Release{ObjectMeta: metav1.ObjectMeta{Name: "2026.11"}, Spec: v1.ReleaseSpec{Bundle: v1.Bundle{Kubernetes: "v1.37.2"}}})
	create(&v1.Fleet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "main"}, Spec: v1.FleetSpec{Release: "2026.11"}})
	await("the fleet is frozen", is("Frozen"))

	if err := c.Delete(t.Context(), freeze); err != nil {
		t.Fatal(err)
	}
	await("the member starts when the freeze is gone", exists("eu-1.1"))

	up := &v1.ClusterUpgrade{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "eu-1.1"}, up); err != nil {
		t.Fatal(err)
	}
	up.Status.Conditions = []metav1.Condition{{
		Type: v1.ConditionEnded, Status: metav1.ConditionTrue, Reason: "Failed", LastTransitionTime: metav1.NewTime(time.Now().Add(-time.Hour)),
	}}
	if err := c.Status().Update(t.Context(), up); err != nil {
		t.Fatal(err)
	}
	await("the fleet halts", is("Halted"))

	create(&v1.Approval{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "again"},
		Spec:       v1.ApprovalSpec{Fleet: "main", Revision: 1, Subject: v1.SubjectRetry, Name: "eu-1", Reason: "disk replaced"},
	})
	await("the member starts again when a person says so", exists("eu-1.2"))

	create(&v1.Fleet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gated"}, Spec: v1.FleetSpec{
		Selector: v1.Selector{MatchLabels: map[string]string{"nobody": "has-this"}}, Release: "2026.11",
		Waves: []v1.Wave{{Name: "ask", AllowEmpty: true, Gates: []v1.Gate{{
			Name: "errors", Interval: metav1.Duration{Duration: time.Hour}, Prometheus: v1.PrometheusQuery{URL: "http://p", Query: "up", Min: "1"},
		}}}},
	}})
	select {
	case <-gates.asked:
	case <-time.After(time.Minute):
		t.Fatal("the gate is not asked within a minute")
	}
	gates.answer("it is raining")
	await("what the gate says is recorded", func() (bool, string) {
		f := &v1.Fleet{}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "gated"}, f); err != nil {
			t.Fatal(err)
		}
		return len(f.Status.Waves) == 1 && len(f.Status.Waves[0].Gates) == 1 && f.Status.Waves[0].Gates[0].Said == "it is raining", fmt.Sprint(f.Status.Waves)
	})
}

// murmurs are gates that say what the test says.
type murmurs struct {
	asked chan struct{}

	mu    sync.Mutex
	open  []fleet.Question
	heard map[fleet.Question]fleet.Heard
	call  func()
}

func (m *murmurs) Ask(questions []fleet.Question) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = questions
	if len(questions) > 0 {
		select {
		case m.asked <- struct{}{}:
		default:
		}
	}
}

func (m *murmurs) Heard() map[fleet.Question]fleet.Heard {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.heard)
}

func (m *murmurs) OnAnswer(call func()) { m.call = call }

// answer answers no to what is asked.
func (m *murmurs) answer(said string) {
	m.mu.Lock()
	m.heard = map[fleet.Question]fleet.Heard{m.open[0]: {Answer: fleet.No, AskedAt: time.Now(), Said: said}}
	m.mu.Unlock()
	m.call()
}

// startHub is a real API server with the kinds installed.
func startHub(t *testing.T) *rest.Config { return startHubWith(t, hub.Options{}) }

func startHubWith(t *testing.T, options hub.Options) *rest.Config {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	options.DataDir, options.Version = t.TempDir(), "v0.0.0-test"
	h, err := hub.Start(context.Background(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
	})
	crds, err := chart.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	if err := hub.InstallCRDs(t.Context(), h.Config(), crds); err != nil {
		t.Fatal(err)
	}
	return h.Config()
}

// startAudited starts a hub with the kinds and policies that the chart brings, which
// writes down who asks for what. It returns where, too.
func startAudited(t *testing.T, policy string) (*rest.Config, string) {
	t.Helper()
	folder := t.TempDir()
	audit := hub.Audit{Policy: filepath.Join(folder, "policy.yaml"), Log: filepath.Join(folder, "audit.log")}
	if err := os.WriteFile(audit.Policy, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	config := startHubWith(t, hub.Options{Audit: audit, Kinds: []schema.GroupVersion{v1.GroupVersion}})
	policies, err := chart.Policies()
	if err != nil {
		t.Fatal(err)
	}
	if err := hub.InstallPolicies(t.Context(), config, policies); err != nil {
		t.Fatal(err)
	}
	return config, audit.Log
}

// runFleets runs the loops, of which only that of the fleets sees anything. It
// returns a person's client.
func runFleets(t *testing.T, config *rest.Config, gates control.Gates) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	again := true // a name may repeat: other tests of this process have managers, too
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Logger: logr.Discard(), Metrics: server.Options{BindAddress: "0"}, Controller: controllers.Controller{SkipNameValidation: &again},
	})
	if err != nil {
		t.Fatal(err)
	}
	person, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	blind := interceptor.NewClient(person, interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
			return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
		},
	})
	log := slog.New(slog.DiscardHandler)
	clusters := &observe.Clusters{Clock: clock.RealClock{}}
	loops := control.Loops{
		Workers: 1,
		Fleets: &control.Fleets{
			Client: manager.GetClient(), Reader: manager.GetAPIReader(), Clock: clock.RealClock{}, Namespace: namespace, Hub: "uid-of-hub", Log: log, Gates: gates,
			Skew: func(ctx context.Context) (time.Duration, error) {
				return observe.ClockSkew(ctx, config, clock.RealClock{})
			},
		},
		Upgrades: &control.Upgrades{Client: blind, Reader: blind, Clusters: clusters, Clock: clock.RealClock{}, Watch: &control.Watches{Log: log}, Log: log},
		Members:  &control.Members{Client: blind, Reader: blind, Clusters: clusters, Clock: clock.RealClock{}, Log: log},
	}
	if err := loops.Setup(manager); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return person
}
