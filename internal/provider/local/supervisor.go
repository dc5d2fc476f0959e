package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/kube/controlplane/record"
	"refit.dev/refit/internal/kube/controlplane/socket"
	"refit.dev/refit/internal/provider"
)

// supervisor is the process of one member: it runs the control plane and plays
// the cloud.
type supervisor struct {
	folder   folder
	declared declared
	control  *controlplane.ControlPlane
	log      *slog.Logger
	// poke wakes the loop that makes nodes of machines.
	poke chan struct{}

	mu    sync.Mutex
	cloud cloud
}

// Supervise runs the supervisor of the member in a folder until the member is
// stopped. When ctx ends, it stops the member and returns: only a supervisor
// that is killed leaves its parts running. Where another supervisor holds the
// member, it returns a *process.HeldError.
func Supervise(ctx context.Context, dir string, get controlplane.Get, log *slog.Logger) error {
	if err := process.Supported(); err != nil {
		return err
	}
	f := folder(dir)
	d, err := f.load()
	if err != nil {
		return err
	}
	lock, err := process.TakeLock(f.lock())
	if err != nil {
		return fmt.Errorf("supervise %s: %w", d.Name, err)
	}
	s, err := newSupervisor(f, d, get, log)
	if err != nil {
		return errors.Join(fmt.Errorf("supervise %s: %w", d.Name, err), lock.Release())
	}
	log.Info("supervising", "member", d.Name, "uid", d.UID)
	err = s.run(ctx)
	log.Info("ended", "member", d.Name, "error", err)
	return errors.Join(err, lock.Release())
}

func newSupervisor(f folder, d declared, get controlplane.Get, log *slog.Logger) (*supervisor, error) {
	s := &supervisor{folder: f, declared: d, log: log, poke: make(chan struct{}, 1)}
	if err := record.Load(f.machines(), &s.cloud); err != nil {
		return nil, err
	}
	var err error
	s.control, err = controlplane.Open(d.config(f), get, log)
	return s, err
}

func (s *supervisor) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.control.Stop)()
	listener, err := socket.Listen(s.folder.socket())
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close

	// The loops end with the control plane, not with ctx: that only asks it to stop.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var nodes sync.WaitGroup
	nodes.Go(func() { s.tendNodes(running) })
	err = s.control.Run(running)
	cancel()
	nodes.Wait()
	return errors.Join(err, server.Close())
}

func (s *supervisor) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/status", answer(func(r *http.Request, _ struct{}) (memberStatus, error) {
		return s.status(r.Context()), nil
	}))
	mux.Handle("POST /v1/upgrade", answer(func(_ *http.Request, in controlplane.Request) (controlplane.Upgrade, error) {
		return s.control.Upgrade(in)
	}))
	mux.Handle("POST /v1/template", answer(func(_ *http.Request, in templateChange) (templateChange, error) {
		return s.setTemplate(in)
	}))
	mux.Handle("POST /v1/machines", answer(func(_ *http.Request, in additionRequest) (struct{}, error) {
		return struct{}{}, s.change(func(c cloud) (cloud, error) {
			return c.add(provider.NodeAddition{Pool: in.Pool, Replaces: in.Replaces, Token: in.Token}, time.Now().UTC())
		})
	}))
	mux.Handle("DELETE /v1/pools/{pool}/machines/{id}", answer(func(r *http.Request, _ struct{}) (struct{}, error) {
		return struct{}{}, s.change(func(c cloud) (cloud, error) {
			return c.remove(provider.NodeRemoval{Pool: r.PathValue("pool"), Instance: r.PathValue("id")})
		})
	}))
	mux.Handle("POST /v1/stop", answer(func(*http.Request, struct{}) (struct{}, error) {
		s.control.Stop()
		return struct{}{}, nil
	}))
	return mux
}

func (s *supervisor) status(ctx context.Context) memberStatus {
	status := memberStatus{UID: s.declared.UID, ControlPlane: s.control.Status()}
	if served, err := s.control.ServedVersion(ctx); err == nil {
		status.Served = served
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	status.Pools, status.Machines, status.Changes = s.cloud.Pools, s.cloud.Machines, s.cloud.Changes
	status.At = time.Now().UTC()
	return status
}

func (s *supervisor) setTemplate(change templateChange) (done templateChange, err error) {
	change.At = time.Now().UTC()
	at, _ := fleet.ParseVersion(s.control.Status().Version) // a version that runs parses
	err = s.change(func(c cloud) (cloud, error) {
		after, err := c.setTemplate(change, at)
		done = after.change
		return after.cloud, err
	})
	return done, err
}

// change makes a changed cloud the cloud, once it is on disk.
func (s *supervisor) change(by func(cloud) (cloud, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, err := by(s.cloud)
	if err != nil {
		return err
	}
	if err := record.Save(s.folder.machines(), changed); err != nil {
		return err
	}
	s.cloud = changed
	select {
	case s.poke <- struct{}{}:
	default: // the loop is awake, or about to be
	}
	return nil
}

// How often nodes are compared with machines: soon while there are chores, and
// otherwise seldom, for somebody may have deleted a node.
const (
	choresAgain = 200 * time.Millisecond // some were done, or the API server is not there yet
	choresSoon  = time.Second            // something failed
	choresRest  = 15 * time.Second
)

// tendNodes keeps the nodes as the machines are.
func (s *supervisor) tendNodes(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		_ = process.BoundLog(s.folder.log(), logLimit) // it is no reason to leave nodes alone
		pause := choresAgain
		switch {
		case !exists(s.folder.declaration()):
			// Somebody deleted the folder; nobody could stop the parts any more.
			s.log.Warn("the member's folder is gone; stopping it")
			s.control.Stop()
		case s.control.Status().Healthy(controlplane.APIServer):
			var err error
			pause, err = s.doChores(ctx)
			said = s.sayOnce(said, err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.poke:
		}
		timer.Stop()
	}
}

// sayOnce logs an error that differs from the last one, and that it is over.
func (s *supervisor) sayOnce(said string, err error) string {
	switch {
	case err == nil && said != "":
		s.log.Info("nodes are tended again")
	case err != nil && err.Error() != said:
		s.log.Warn("nodes", "error", err)
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

// doChores looks once and does what is to be done.
func (s *supervisor) doChores(ctx context.Context) (pause time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client, err := nodeClient(string(s.folder))
	if err != nil {
		return choresSoon, err
	}
	nodes, err := listNodes(ctx, client)
	if err != nil {
		return choresSoon, err
	}
	s.mu.Lock()
	machines := s.cloud.Machines
	s.mu.Unlock()
	todo := compare(s.declared.Name, machines, nodes)
	if todo.none() {
		return choresRest, nil
	}
	if err := carryOut(ctx, client, s.declared.Name, todo); err != nil {
		return choresSoon, err
	}
	if len(todo.forget) > 0 {
		err = s.change(func(c cloud) (cloud, error) {
			for _, id := range todo.forget {
				c = c.forget(id)
			}
			return c, nil
		})
	}
	s.log.Info("nodes", "created", len(todo.create), "deleted", len(todo.remove), "forgotten", len(todo.forget))
	return choresAgain, err
}

// restConfig connects as Refit to the member in a folder.
func restConfig(dir string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", controlplane.Kubeconfig(dir))
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of the member in %s: %w", dir, err)
	}
	return config, nil
}

// nodeClient is made anew each time, since the API server's port may change; it
// costs nothing, as connections are kept below it.
func nodeClient(dir string) (corev1client.NodesGetter, error) {
	config, err := restConfig(dir)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 200 // as many nodes as a small pool at once
	return corev1client.NewForConfig(config)
}
