package hub

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// The name of a unix socket fits into 108 bytes on Linux and 104 elsewhere, its final zero included.
const maxSocketPath = 103

const socketName = "etcd.sock"

// An etcd is the embedded database. It listens on one unix socket in a directory of mode 0700, and has neither peers
// nor a TCP port.
type etcd struct {
	server   *embed.Etcd
	endpoint string
	socket   string
}

func startEtcd(ctx context.Context, dir dataDir, log io.Writer, fail func(error)) (*etcd, error) {
	socket := socketPath(dir)
	if err := makeSocketDir(filepath.Dir(socket)); err != nil {
		return nil, fmt.Errorf("make the directory of etcd's socket: %w", err)
	}
	config := etcdConfig(dir, socket)
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newEtcdLogger(log, fail))
	server, err := embed.StartEtcd(config)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start etcd: %w", err), os.RemoveAll(filepath.Dir(socket)))
	}
	e := &etcd{server: server, endpoint: "unix://" + socket, socket: socket}
	select {
	case <-server.Server.ReadyNotify():
		go e.watch(fail)
		return e, nil
	case err = <-server.Err():
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-time.After(readyTimeout):
		err = fmt.Errorf("it is not ready after %s: %s may tell more", readyTimeout, dir.path(logFile))
	}
	return nil, errors.Join(fmt.Errorf("start etcd: %w", err), e.stop(context.WithoutCancel(ctx)))
}

func etcdConfig(dir dataDir, socket string) *embed.Config {
	config := embed.NewConfig()
	config.Name = "hub"
	config.Dir = dir.path(etcdDir)
	client := url.URL{Scheme: "unix", Path: socket}
	config.ListenClientUrls = []url.URL{client}
	config.AdvertiseClientUrls = []url.URL{client}
	// A cluster of one has an address on paper that nobody listens on.
	config.ListenPeerUrls = nil
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.EnableGRPCGateway = false
	// It elects itself after a random one to two of these timeouts; etcd's own, of ten beats of 100 ms, would be most of
	// the time that a hub needs to start. Five beats are the fewest there may be.
	config.TickMs, config.ElectionMs = 50, 250
	return config
}

// watch reports an etcd that ends by itself. Its channel is closed when it was stopped.
func (e *etcd) watch(fail func(error)) {
	if err := <-e.server.Err(); err != nil {
		fail(fmt.Errorf("etcd ended by itself: %w", err))
	}
}

func (e *etcd) stop(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() {
		e.server.Close()
		ended <- nil
	}()
	return errors.Join(await(ctx, ended), os.RemoveAll(filepath.Dir(e.socket)))
}

// socketPath is in the data directory, unless the name of that is too long. Then it is in a directory whose name follows
// from it: a copy of the data directory has another, and after a crash the next start finds the same.
func socketPath(dir dataDir) string {
	path := filepath.Join(dir.path(runDir), socketName)
	if len(path) <= maxSocketPath {
		return path
	}
	sum := sha256.Sum256([]byte(dir.root))
	return filepath.Join("/tmp", fmt.Sprintf("refit-hub-%x", sum[:8]), socketName)
}

// makeSocketDir makes the socket's directory, or takes the one that a crash has left. In /tmp somebody else may have
// made one of that name.
func makeSocketDir(path string) error {
	err := os.Mkdir(path, privateDir)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if ownerOf(info) != os.Geteuid() || info.Mode() != fs.ModeDir|privateDir {
		return fmt.Errorf("%s is not a private directory of ours: remove it, %s", path, elsewhere)
	}
	return nil
}
