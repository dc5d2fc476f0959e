package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// ControllerUser is who Refit's own loops are to the hub's API: the name that admission policies and the audit log
// see for Hub.Config, and never the name of a person.
const ControllerUser = "refit"

// AdminUser is the person whom the written kubeconfig makes an administrator.
const AdminUser = "refit-admin"

// The port opens at once, but a slow disk may keep etcd from its first election, and a small machine the API server
// from its first answer. More than a minute of that is not slowness.
const readyTimeout = time.Minute

// Options say where a hub lives and how it is reached.
type Options struct {
	DataDir     string    // holds everything the hub keeps; made with mode 0700
	BindAddress string    // a loopback address; default 127.0.0.1
	Port        int       // 0: the port of the last start, at the first start a free one
	Namespace   string    // that the written kubeconfig begins in; default "default"
	Version     string    // of this Refit, as the data directory remembers it
	Log         io.Writer // what the API server and etcd have to say; default DataDir/logs/hub.log
	Audit       Audit

	// Kinds are the groups of custom resources on which admission policies are to write as soon as they are served.
	Kinds []schema.GroupVersion

	machine *machine // this one, save in tests
}

// Audit turns the API server's audit log on. Both files or none.
type Audit struct {
	Policy string // file with an audit.k8s.io Policy
	Log    string // file that gets the events
}

// A Hub is a running Kubernetes API server over an etcd of its own.
type Hub struct {
	uid        string
	kubeconfig string
	config     *rest.Config

	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error // valid once done is closed
}

// Start brings the hub up and returns when it answers: its /readyz is ok, and the default namespace and Kubernetes'
// default roles exist. It runs until Stop is called or ctx ends. One process can run one hub at a time, because the
// Kubernetes libraries keep their log and their feature gates for the whole process.
func Start(ctx context.Context, opts Options) (*Hub, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	dir, err := openDataDir(opts.DataDir, opts.Version, opts.machine)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	h := &Hub{
		kubeconfig: dir.path(kubeconfigFile),
		cancel:     cancel,
		done:       make(chan struct{}),
	}
	var running stack
	running.push("data directory", dir.release)
	if err := h.start(ctx, dir, opts, &running); err != nil {
		cancel(err)
		return nil, errors.Join(err, running.unwind(stopTimeout))
	}
	go h.supervise(ctx, &running)
	return h, nil
}

// start takes the parts up in the order in which they need each other and notes on running how each is taken down.
func (h *Hub) start(ctx context.Context, dir dataDir, opts Options, running *stack) error {
	log := openLog(dir, opts.Log)
	running.push("log", log.stop)
	if err := captureKlog(log, h.fail); err != nil {
		return err
	}
	port, err := listen(dir, opts.BindAddress, opts.Port)
	if err != nil {
		return err
	}
	running.push("port", port.stop)
	pki, err := h.identify(dir, opts.BindAddress, port.Addr())
	if err != nil {
		return err
	}
	if err := ensureEncryption(dir); err != nil {
		return err
	}
	etcd, err := startEtcd(ctx, dir, log, h.fail)
	if err != nil {
		return err
	}
	running.push("etcd", etcd.stop)
	if err := h.serve(ctx, serverConfig{dir: dir, port: port, etcd: etcd.endpoint, audit: opts.Audit, kinds: opts.Kinds}, running); err != nil {
		return err
	}
	return pki.writeKubeconfig(h.kubeconfig, opts.Namespace, port.Addr())
}

// identify finds out who this hub is and how it proves it.
func (h *Hub) identify(dir dataDir, bindAddress string, address net.Addr) (pki, error) {
	var err error
	if h.uid, err = dir.hubUID(); err != nil {
		return pki{}, err
	}
	now := time.Now()
	p, err := openPKI(dir, bindAddress, now)
	if err != nil {
		return pki{}, err
	}
	h.config, err = p.inProcessConfig(address, now)
	return p, err
}

// serve runs the API server and, once it answers, its controllers.
func (h *Hub) serve(ctx context.Context, config serverConfig, running *stack) error {
	server, err := newAPIServer(ctx, config)
	if err != nil {
		return err
	}
	config.port.served = true
	running.run(ctx, "API server", server.run, h.fail)
	client, err := kubernetes.NewForConfig(h.config)
	if err != nil {
		return fmt.Errorf("wait for the hub: %w", err)
	}
	if err := waitReady(ctx, client); err != nil {
		return fmt.Errorf("wait for the hub: %w: %s may tell more", err, config.dir.path(logFile))
	}
	if err := ensureRoles(ctx, client); err != nil {
		return err
	}
	controllers, err := newControllers(ctx, server)
	if err != nil {
		return err
	}
	running.run(ctx, "controllers", controllers.run, h.fail)
	return nil
}

// supervise waits for the end, wanted or not, and takes everything down in the order opposite to start's.
func (h *Hub) supervise(ctx context.Context, running *stack) {
	defer close(h.done)
	<-ctx.Done()
	failed, ok := errors.AsType[*failure](context.Cause(ctx))
	if !ok {
		h.err = running.unwind(stopTimeout)
		return
	}
	h.err = failed
	_ = running.unwind(abandonTimeout) // what does not stop now, does not because of the failure
}

// A failure of one of its parts ends the hub, where every other end of its context was wished for.
type failure struct{ error }

func (f *failure) Unwrap() error { return f.error }

func (h *Hub) fail(err error) { h.cancel(&failure{err}) }

// Stop shuts the hub down, API server before etcd, and returns when its data directory is free again. The error is the
// one that ended the hub, if something did before Stop.
func (h *Hub) Stop() error {
	h.cancel(context.Canceled)
	<-h.done
	return h.err
}

// Done is closed when the hub has ended: because it was stopped, or because a part of it failed; Stop tells which.
func (h *Hub) Done() <-chan struct{} { return h.done }

// UID is this hub's identity, made at its first start and kept out of etcd, so that a restored copy is another hub.
func (h *Hub) UID() string { return h.uid }

// Config reaches the hub as ControllerUser, with an administrator's rights. The caller owns the copy.
func (h *Hub) Config() *rest.Config { return rest.CopyConfig(h.config) }

// Kubeconfig is the path of the file that reaches the hub as AdminUser.
func (h *Hub) Kubeconfig() string { return h.kubeconfig }

func (o Options) withDefaults() Options {
	if o.BindAddress == "" {
		o.BindAddress = "127.0.0.1"
	}
	if o.machine == nil {
		o.machine = thisMachine()
	}
	return o
}

func (o Options) validate() error {
	if o.DataDir == "" {
		return errors.New("data directory is not set: name one with --data-dir")
	}
	if ip := net.ParseIP(o.BindAddress); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("bind address %q is not a loopback address: the hub serves this machine alone, name one like 127.0.0.1", o.BindAddress)
	}
	if o.Port < 0 || o.Port > 65535 {
		return fmt.Errorf("port %s is not between 0 and 65535: choose another with --port", strconv.Itoa(o.Port))
	}
	if (o.Audit.Policy == "") != (o.Audit.Log == "") {
		return fmt.Errorf("audit policy %q and audit log %q: give both or none", o.Audit.Policy, o.Audit.Log)
	}
	return nil
}
