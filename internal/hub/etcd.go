package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

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
	link     string // leads to the directory of the socket
}

func startEtcd(ctx context.Context, dir dataDir, log io.Writer, fail func(error)) (*etcd, error) {
	private, err := socketDir(dir)
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(private, socketName)
	e := &etcd{endpoint: "unix://" + socket, link: dir.path(runDir)}
	config := etcdConfig(dir, socket)
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newEtcdLogger(log, fail))
	if e.server, err = embed.StartEtcd(config); err != nil {
		return nil, errors.Join(fmt.Errorf("start etcd: %w", err), removeSocketDir(e.link))
	}
	select {
	case <-e.server.Server.ReadyNotify():
		go e.watch(fail)
		return e, nil
	case err = <-e.server.Err():
	case <-ctx.Done():
		err = context.Cause(ctx)
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
	return errors.Join(wait(ctx, ended), removeSocketDir(e.link))
}

// socketDir makes the directory of the socket: DataDir/run. Where that name is too long for a socket, DataDir/run is a
// symbolic link to a directory with a short one, by which the next start finds and removes what a crash has left.
func socketDir(dir dataDir) (string, error) {
	link := dir.path(runDir)
	if err := removeSocketDir(link); err != nil {
		return "", fmt.Errorf("remove the socket of the last run: %w", err)
	}
	if len(filepath.Join(link, socketName)) <= maxSocketPath {
		return link, os.Mkdir(link, privateDir)
	}
	short, err := os.MkdirTemp("/tmp", "refit-hub-") // has mode 0700, and a name that nobody could have taken
	if err != nil {
		return "", fmt.Errorf("make a directory for etcd's socket, for which %s is too long: %w", link, err)
	}
	return short, os.Symlink(short, link)
}

func removeSocketDir(link string) error {
	target, err := os.Readlink(link)
	if err == nil {
		return errors.Join(os.RemoveAll(target), os.Remove(link))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return os.RemoveAll(link)
}
