package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"refit.dev/refit/internal/kube/controlplane/socket"
)

const (
	// Local members hold a few megabytes; this is for a busy disk.
	snapshotTimeout = time.Minute
	// One for the last upgrade and two to look further back.
	snapshotsKept = 3
)

// saveSnapshot saves etcd to a file of the snapshots folder, and lets go of the
// oldest beyond those kept.
func (c Config) saveSnapshot(ctx context.Context, name string) (path string, err error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"unix://" + etcdSocket},
		Logger:    zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return socket.Dial(ctx, c.path(etcdSocket))
		})},
	})
	if err != nil {
		return "", fmt.Errorf("connect to etcd of %s: %w", c.Name, err)
	}
	defer client.Close()
	stream, err := client.Snapshot(ctx)
	if err != nil {
		return "", fmt.Errorf("save etcd of %s: %w", c.Name, err)
	}
	defer stream.Close()
	path = c.path("snapshots", name+".db")
	if err := copyTo(path, stream); err != nil {
		return "", fmt.Errorf("save etcd of %s: %w", c.Name, err)
	}
	return path, c.pruneSnapshots()
}

// copyTo is atomic: a file with a snapshot's name is a whole snapshot.
func copyTo(path string, from io.Reader) error {
	file, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

func (c Config) pruneSnapshots() error {
	paths, err := filepath.Glob(c.path("snapshots", "*.db"))
	if err != nil {
		return fmt.Errorf("list snapshots of %s: %w", c.Name, err)
	}
	slices.Sort(paths) // their names begin with the time
	for _, path := range paths[:max(0, len(paths)-snapshotsKept)] {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("let go of a snapshot of %s: %w", c.Name, err)
		}
	}
	return nil
}
