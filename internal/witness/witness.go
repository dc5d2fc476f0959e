// Package witness watches a local member from outside, so that what an upgrade
// did to it can be judged by somebody other than who did it.
//
// It reads the member's etcd itself: API servers come and go in an upgrade, and
// with each goes every watch on it, but etcd stays. It watches all keys, whose
// revisions follow each other without a gap: a revision that is missing is a
// gap in the observation, and is counted as one.
package witness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"refit.dev/refit/internal/kube/controlplane/socket"
)

// etcdSocket is where a local member's etcd listens, in the member's folder.
const etcdSocket = "etcd.sock"

// connectTimeout bounds the first answer of an etcd on the same machine.
const connectTimeout = 10 * time.Second

// Witness is one observation under way.
type Witness struct {
	client *clientv3.Client
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	scene *scene
}

// Watch begins to observe the local member in a folder.
func Watch(ctx context.Context, folder string) (*Witness, error) {
	client, err := dial(filepath.Join(folder, etcdSocket))
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", folder, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &Witness{client: client, cancel: cancel, done: make(chan struct{}), scene: newScene()}
	if err := w.begin(ctx); err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("watch %s: %w", folder, err), client.Close())
	}
	return w, nil
}

func dial(path string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints:   []string{"unix://" + etcdSocket},
		DialTimeout: connectTimeout,
		DialOptions: []grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()), // a socket in a folder of mode 0700
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return socket.Dial(ctx, path) }),
		},
	})
}

// begin reads everything at one revision, and watches from the next.
func (w *Witness) begin(ctx context.Context) error {
	reading, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	all, err := w.client.Get(reading, "/registry/", clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("read etcd: %w", err)
	}
	for _, kv := range all.Kvs {
		if err := w.scene.put(kv); err != nil {
			return err
		}
	}
	w.scene.revision = all.Header.Revision
	w.scene.judge()
	events := w.client.Watch(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(all.Header.Revision+1))
	go w.follow(ctx, events)
	return nil
}

func (w *Witness) follow(ctx context.Context, events clientv3.WatchChan) {
	defer close(w.done)
	for response := range events {
		w.mu.Lock()
		if err := response.Err(); err != nil && ctx.Err() == nil {
			w.scene.fail(err)
		}
		for _, event := range response.Events {
			w.scene.apply(event)
		}
		w.mu.Unlock()
	}
	if ctx.Err() == nil {
		w.mu.Lock()
		w.scene.fail(errors.New("etcd ended the watch"))
		w.mu.Unlock()
	}
}

// Report is what was seen up to now.
func (w *Witness) Report() Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.scene.report()
}

// Stop ends the observation, and is its last report.
func (w *Witness) Stop() Report {
	w.cancel()
	<-w.done
	_ = w.client.Close() // nothing was written
	return w.Report()
}

// apply takes one event in, in the order of revisions.
func (s *scene) apply(event *clientv3.Event) {
	revision := event.Kv.ModRevision
	if revision != s.revision && revision != s.revision+1 {
		s.fail(fmt.Errorf("revision %d follows %d", revision, s.revision))
	}
	s.revision = revision
	s.events++
	var err error
	if event.Type == mvccpb.Event_DELETE {
		s.remove(string(event.Kv.Key))
	} else {
		err = s.put(event.Kv)
	}
	if err != nil {
		s.fail(err)
	}
	s.judge()
}
