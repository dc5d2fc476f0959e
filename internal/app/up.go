package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/deploy/chart"
	"refit.dev/refit/internal/act"
	"refit.dev/refit/internal/addon"
	"refit.dev/refit/internal/cli"
	"refit.dev/refit/internal/control"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/gate"
	"refit.dev/refit/internal/hub"
	"refit.dev/refit/internal/kube"
	"refit.dev/refit/internal/member"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/eks"
	"refit.dev/refit/internal/provider/fake"
	"refit.dev/refit/internal/provider/local"
	"refit.dev/refit/internal/provider/object"
	"refit.dev/refit/internal/source"
)

// keepEvery is how often local members are seen to: a supervisor that was
// killed is missed for no longer than that.
const keepEvery = 2 * time.Second

// workers is how many members are looked at at once: most of it is waiting.
const workers = 16

// Up runs hub and loops until ctx ends, and brings up the local members.
func Up(ctx context.Context, options cli.UpOptions) error {
	return up(ctx, options, func(*rest.Config) {
		if options.Ready != nil {
			options.Ready()
		}
	})
}

func up(ctx context.Context, options cli.UpOptions, ready func(*rest.Config)) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	told, err := openTelling(ctx, options)
	if err != nil {
		return err
	}
	defer told.close()
	hosts, err := gate.ParseHosts(options.GateHosts)
	if err != nil {
		return fmt.Errorf("--gate-host %w", err)
	}
	target, err := openHub(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.stop()) }()

	logFile, err := cli.OpenLog(cli.LogPath(options.DataDir), options.LogLevel)
	if err != nil {
		return fmt.Errorf("--data-dir %s: %w", options.DataDir, err)
	}
	defer func() { err = errors.Join(err, logFile.Close()) }()
	log := logFile.Logger
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler())) // before the first client: it would complain on the terminal

	uid, err := prepare(ctx, target, options.Namespace)
	if err != nil {
		return err
	}
	members, err := cli.LocalMembers(options.DataDir, io.Discard)
	if err != nil {
		return err
	}
	members = cli.Logging(members, options.LogLevel)
	registry, err := newRegistry(target.config, options, uid, members)
	if err != nil {
		return err
	}
	if err := registry.begin(ctx); err != nil {
		return err
	}
	go start(ctx, members, log)
	go keep(ctx, members, registry, log)

	manager, err := newManager(target, options, gate.New(hosts, clock.RealClock{}), uid, log)
	if err != nil {
		return err
	}
	if err := told.addTo(manager, options, uid, log); err != nil {
		return err
	}
	go func() {
		<-target.done
		cancel(errors.New("the hub ended"))
	}()
	if target.embedded() {
		awaitAdmission(ctx, registry.client, options.Namespace, log)
	}
	fmt.Fprintf(options.Out, "hub ready; look at it with: kubectl --kubeconfig %s --namespace %s get refit\n", target.kubeconfig, options.Namespace)
	told.say(options.Out)
	ready(target.config)
	if err := manager.Start(ctx); err != nil {
		return fmt.Errorf("run the control loops: %w", err)
	}
	return nil
}

// hubTarget is the hub that is run against, embedded or not.
type hubTarget struct {
	config     *rest.Config
	kubeconfig string
	// uid is the embedded hub's own; a management cluster keeps one.
	uid  string
	done <-chan struct{}
	stop func() error
}

// embedded tells that the hub is our own: a management cluster may have several
// API servers, of which one would answer, and knows of no start.
func (h hubTarget) embedded() bool { return h.uid != "" }

// openHub starts the embedded hub, or connects to a management cluster.
func openHub(ctx context.Context, options cli.UpOptions) (hubTarget, error) {
	if options.Kubeconfig != "" {
		config, err := clientcmd.BuildConfigFromFlags("", options.Kubeconfig)
		if err != nil {
			return hubTarget{}, fmt.Errorf("--kubeconfig %s: %w", options.Kubeconfig, err)
		}
		hold, err := hub.Hold(options.DataDir)
		if err != nil {
			return hubTarget{}, err
		}
		return hubTarget{config: config, kubeconfig: options.Kubeconfig, done: ctx.Done(), stop: hold.Close}, nil
	}
	// The hub outlives ctx until the loops have ended: Stop ends it.
	h, err := hub.Start(context.WithoutCancel(ctx), hub.Options{
		DataDir: options.DataDir, Port: options.Port, Version: Version, Namespace: options.Namespace,
		Kinds: []schema.GroupVersion{v1.GroupVersion},
	})
	if err != nil {
		return hubTarget{}, err
	}
	return hubTarget{config: h.Config(), kubeconfig: h.Kubeconfig(), uid: h.UID(), done: h.Done(), stop: h.Stop}, nil
}

// prepare installs the kinds, their policies and the roles, makes the namespace, and finds
// out the hub's UID.
func prepare(ctx context.Context, target hubTarget, namespace string) (string, error) {
	if err := install(ctx, target.config); err != nil {
		return "", err
	}
	c, err := newClient(target.config)
	if err != nil {
		return "", err
	}
	err = c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("create namespace %s: %w", namespace, err)
	}
	return identify(ctx, c, namespace, target.uid)
}

func install(ctx context.Context, config *rest.Config) error {
	crds, err := chart.CRDs()
	if err != nil {
		return err
	}
	if err := hub.InstallCRDs(ctx, config, crds); err != nil {
		return err
	}
	policies, err := chart.Policies()
	if err != nil {
		return err
	}
	if err := hub.InstallPolicies(ctx, config, policies); err != nil {
		return err
	}
	roles, err := chart.Roles()
	if err != nil {
		return err
	}
	return hub.InstallRoles(ctx, config, roles)
}

// start starts the local members. The hub does not wait for them: one may be
// damaged.
func start(ctx context.Context, members local.Members, log *slog.Logger) {
	if err := members.StartAll(ctx); err != nil && ctx.Err() == nil {
		log.Warn("start local members", "error", err)
	}
}

// keep sees to it that local members run, also after a reboot, and that the hub
// knows them.
func keep(ctx context.Context, members local.Members, registry *registry, log *slog.Logger) {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	said := ""
	for {
		// The same every other second is no news: another error is, or none.
		switch now := text(errors.Join(members.Keep(ctx), registry.add(ctx))); {
		case now == said || ctx.Err() != nil:
		case now == "":
			log.Info("local members are kept running again")
			said = now
		default:
			log.Warn("keep local members running", "error", now)
			said = now
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// text of an error; empty where there is none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// newManager wires the three loops of the hub of a UID, and who asks its gates.
func newManager(target hubTarget, options cli.UpOptions, gates *gate.Asker, uid string, log *slog.Logger) (ctrl.Manager, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	config := rest.CopyConfig(target.config)
	config.QPS, config.Burst = 100, 200 // our own hub, or one that we share with few
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Logger: logr.FromSlogHandler(log.Handler()),
		Metrics:                       server.Options{BindAddress: "0"},
		HealthProbeBindAddress:        options.Health,
		Cache:                         cache.Options{DefaultNamespaces: map[string]cache.Config{options.Namespace: {}}},
		LeaderElection:                !target.embedded(),
		LeaderElectionID:              "refit.refit.dev",
		LeaderElectionNamespace:       options.Namespace,
		LeaderElectionReleaseOnCancel: true,
		Controller:                    controllerOptions(),
	})
	if err != nil {
		return nil, fmt.Errorf("set up the control loops: %w", err)
	}
	if err := manager.Add(gates); err != nil {
		return nil, fmt.Errorf("set up the gates: %w", err)
	}
	clients := &member.Clients{}
	known, err := providers(config, options)
	if err != nil {
		return nil, err
	}
	helm := &addon.Helm{}
	git := &source.Git{Prefixes: options.SourcePrefixes, Clock: clock.RealClock{}}
	clusters := &observe.Clusters{Providers: known, Members: clients, AddOns: helm, Sources: git, Clock: clock.RealClock{}}
	loops := control.Loops{
		Workers: workers,
		Fleets: &control.Fleets{
			Client: manager.GetClient(), Reader: manager.GetAPIReader(), Clock: clock.RealClock{},
			Namespace: options.Namespace, Hub: uid, Gates: gates, Log: log.With("loop", "fleets"),
			Skew: func(ctx context.Context) (time.Duration, error) {
				return observe.ClockSkew(ctx, manager.GetConfig(), clock.RealClock{})
			},
		},
		Upgrades: &control.Upgrades{
			Client: manager.GetClient(), Reader: manager.GetAPIReader(), Clock: clock.RealClock{},
			Clusters: clusters, Actor: &act.Actor{Members: clients, AddOns: helm, Sources: git, Clock: clock.RealClock{}}, Hub: uid,
			Watch: &control.Watches{Members: clients, Log: log.With("loop", "upgrades")}, Log: log.With("loop", "upgrades"),
		},
		Members: &control.Members{
			Client: manager.GetClient(), Reader: manager.GetAPIReader(), Clock: clock.RealClock{}, Clusters: clusters,
			Log: log.With("loop", "members"),
		},
	}
	return manager, loops.Setup(manager)
}

// controllerOptions: names may repeat, for a process may run one manager after
// another.
func controllerOptions() config.Controller {
	again := true
	return config.Controller{SkipNameValidation: &again}
}

// providers are all there are, by the name that MemberCluster has for them.
func providers(hub *rest.Config, options cli.UpOptions) (map[string]provider.Provider, error) {
	onThisMachine, err := cli.LocalProvider(options.DataDir)
	if err != nil {
		return nil, err
	}
	known := map[string]provider.Provider{"local": onThisMachine, "eks": eks.New(), "object": &object.Provider{Hub: hub}}
	if options.FakeProvider {
		known["fake"] = madeUp()
	}
	return known, nil
}

// madeUp has a cluster of whatever name it is asked for: of the oldest version
// that is known, so that there is a way to go, and quick, so that it can be
// watched.
func madeUp() *fake.Cloud {
	var offers []fleet.Version
	for _, text := range kube.KnownVersions() {
		if v, ok := fleet.ParseVersion(text); ok {
			offers = append(offers, v)
		}
	}
	shape := fake.Shape{Version: offers[0], Offers: offers, Pools: []fake.PoolShape{{Name: "a", Size: 3}}, Pods: 4, Floor: 3}
	const half = time.Second / 2
	return &fake.Cloud{
		Clock: clock.RealClock{},
		Mode: fake.Mode{Latency: fake.Latency{
			Operation: 3 * time.Second, Silence: time.Second, Joining: half, Ready: half, PodStart: half, PodGrace: half,
		}},
		Found: func(string) (fake.Shape, bool) { return shape, true },
	}
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("build the scheme: %w", err)
		}
	}
	return scheme, nil
}

func newClient(config *rest.Config) (client.Client, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to the hub at %s: %w", config.Host, err)
	}
	return c, nil
}
