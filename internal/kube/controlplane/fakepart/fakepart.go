// Package fakepart plays the parts of a control plane in tests: processes that
// take the same arguments, listen where the real ones do and answer what is
// asked of them, in milliseconds and without Kubernetes.
//
// A test binary calls Play first thing in its TestMain, and Install makes
// folders in which the commands of Kubernetes, etcd and kwok are that very
// binary by another name.
package fakepart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"refit.dev/refit/internal/kube/controlplane/socket"
)

// Versions that do not behave: the API server of one ends at once, that of the
// next is never ready, and that of the last is Ready and ends after a ShortLife,
// for as long as Mend was not called.
const (
	ExitsAtOnce    = "v1.36.98"
	NeverReady     = "v1.36.99"
	DiesAfterReady = "v1.36.96"
)

// ShortLife is long enough for everything else to follow.
const ShortLife = 2 * time.Second

// mended lies beside the commands of a version that behaves from now on.
const mended = "mended"

// Mend makes a version in a folder that Install returned behave.
func Mend(folder string) error {
	return os.WriteFile(filepath.Join(folder, mended), nil, 0o600)
}

// Snapshot is what a fake etcd holds.
const Snapshot = "all that etcd holds"

// Install makes the folder of an artefact's version, and returns it.
func Install(dir, artefact, version string) (string, error) {
	commands := map[string][]string{
		"kubernetes": {"kube-apiserver", "kube-controller-manager", "kube-scheduler"},
		"etcd":       {"etcd"},
		"kwok":       {"kwok"},
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	home := filepath.Join(dir, artefact, version)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", err
	}
	for _, command := range commands[artefact] {
		if err := os.Symlink(self, filepath.Join(home, command)); err != nil && !errors.Is(err, os.ErrExist) {
			return "", err
		}
	}
	return home, nil
}

// Life is how long a fake part lives at most, whoever forgot to end it: the
// processes of a test that was killed are nobody's.
const Life = 10 * time.Minute

// Play plays the part that the process was started as, until it is told to end;
// false if it was started as none.
func Play() (code int, played bool) {
	part := filepath.Base(os.Args[0])
	version := filepath.Base(filepath.Dir(os.Args[0]))
	args := parse(os.Args[1:])
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, Life)
	defer cancel()
	var err error
	switch part {
	case "etcd":
		err = playEtcd(ctx, strings.TrimPrefix(args["listen-client-urls"], "unix://"))
	case "kube-apiserver":
		err = playAPIServer(ctx, version, args)
	case "kube-controller-manager", "kube-scheduler":
		err = serveTLS(ctx, args, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	case "kwok":
		<-ctx.Done()
	default:
		return 0, false
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

func parse(args []string) map[string]string {
	parsed := map[string]string{}
	for _, arg := range args {
		name, value, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		parsed[name] = value
	}
	return parsed
}

func playAPIServer(ctx context.Context, version string, args map[string]string) error {
	switch version {
	case ExitsAtOnce:
		return errors.New("unknown flag: --that-was-removed")
	case NeverReady:
		return serveTLS(ctx, args, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "[+]ping ok\n[-]kms-providers failed: reason withheld\nreadyz check failed", http.StatusInternalServerError)
		}))
	case DiesAfterReady:
		if _, err := os.Stat(filepath.Join(filepath.Dir(os.Args[0]), mended)); err == nil {
			break
		}
		short, cancel := context.WithTimeout(ctx, ShortLife)
		defer cancel()
		if err := serveTLS(short, args, newNodeAPI(version)); err != nil || ctx.Err() != nil {
			return err
		}
		return errors.New("out of luck")
	}
	// The real one ends as well when etcd is not there.
	conn, err := socket.Dial(ctx, strings.TrimPrefix(args["etcd-servers"], "unix://"))
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	return errors.Join(conn.Close(), serveTLS(ctx, args, newNodeAPI(version)))
}

// serveTLS answers every path with the handler, at the address of the arguments.
func serveTLS(ctx context.Context, args map[string]string, handler http.Handler) error {
	listener, err := net.Listen("tcp", net.JoinHostPort(args["bind-address"], args["secure-port"]))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ServeTLS(listener, args["tls-cert-file"], args["tls-private-key-file"]); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// playEtcd answers /health, and gives a snapshot over gRPC.
func playEtcd(ctx context.Context, path string) error {
	listener, err := socket.Listen(path)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(path) }()
	maintenance := grpc.NewServer()
	pb.RegisterMaintenanceServer(maintenance, etcdMaintenance{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			maintenance.ServeHTTP(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"health":"true"}`)
	})
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, Protocols: protocols, ReadHeaderTimeout: time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type etcdMaintenance struct {
	pb.UnimplementedMaintenanceServer
}

// Snapshot sends it in one piece.
func (etcdMaintenance) Snapshot(_ *pb.SnapshotRequest, stream grpc.ServerStreamingServer[pb.SnapshotResponse]) error {
	return stream.Send(&pb.SnapshotResponse{Blob: []byte(Snapshot)})
}
