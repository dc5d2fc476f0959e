package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"refit.dev/refit/internal/cli"
	"refit.dev/refit/internal/hub"
	"refit.dev/refit/internal/kube"
	"refit.dev/refit/internal/lab/eks"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/local"
)

// tendEvery is how often what is under way in a lab is taken further.
const tendEvery = 500 * time.Millisecond

// Lab runs a made-up EKS, in a data directory of its own, until ctx ends.
func Lab(ctx context.Context, options cli.LabOptions) (err error) {
	cache, err := kube.DefaultDir()
	if err != nil {
		return err
	}
	folder := filepath.Join(cache, "lab")
	if pid, err := hub.Holder(folder); err == nil && pid != 0 {
		return fmt.Errorf("another lab runs (process %d): wait for its end, or interrupt it with kill -INT %d", pid, pid)
	}
	hold, err := hub.Hold(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder), hold.Close()) }()
	if err := getBinaries(ctx, options.Version); err != nil {
		return err
	}
	dir := filepath.Join(folder, "data")
	members, err := cli.LocalMembers(dir, os.Stderr)
	if err != nil {
		return err
	}
	if err := deleteAll(ctx, members); err != nil {
		return fmt.Errorf("clean up after the last lab: %w", err)
	}
	defer func() { err = errors.Join(err, deleteAll(context.WithoutCancel(ctx), members)) }()
	backing, err := cli.LocalProvider(dir)
	if err != nil {
		return err
	}
	made := eks.New(eks.Options{Backing: backing, Clock: clock.RealClock{}, Log: slog.New(slog.NewTextHandler(options.Out, nil))})
	defer func() { err = errors.Join(err, made.Close()) }()
	if err := makeClusters(ctx, made, members, options); err != nil {
		return err
	}
	return serveLab(ctx, made, options)
}

func labNames(count int) []string {
	var names []string
	for i := range count {
		names = append(names, "lab-"+strconv.Itoa(i+1))
	}
	return names
}

func makeClusters(ctx context.Context, made *eks.Lab, members local.Members, options cli.LabOptions) error {
	fmt.Fprintf(options.Out, "making %d clusters of %s\n", options.Clusters, options.Version)
	making, ctx := errgroup.WithContext(ctx)
	for _, name := range labNames(options.Clusters) {
		making.Go(func() error {
			spec := local.Spec{
				Name: name, Version: options.Version,
				Pools: []local.PoolSpec{{Name: "a", Size: options.Nodes - options.Nodes/2}, {Name: "b", Size: options.Nodes / 2}},
			}
			if err := members.Create(ctx, spec, func(string) {}); err != nil {
				return err
			}
			return made.Add(ctx, name, provider.Ref{Name: name})
		})
	}
	return making.Wait()
}

// deleteAll deletes all members, those of a lab that was killed too.
func deleteAll(ctx context.Context, members local.Members) error {
	names, err := members.Names()
	if err != nil {
		return err
	}
	var deleting errgroup.Group
	for _, name := range names {
		deleting.Go(func() error { return members.Delete(ctx, name) })
	}
	return deleting.Wait()
}

// serveLab serves until ctx ends.
func serveLab(ctx context.Context, made *eks.Lab, options cli.LabOptions) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(options.Port)))
	if err != nil {
		return fmt.Errorf("--port %d: %w", options.Port, err)
	}
	server := &http.Server{Handler: made.Handler(), ReadHeaderTimeout: 10 * time.Second}
	serving, ctx := errgroup.WithContext(ctx)
	serving.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the lab: %w", err)
		}
		return nil
	})
	serving.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	serving.Go(func() error {
		tick := time.NewTicker(tendEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				made.Tend(ctx)
			}
		}
	})
	tellLab(options.Out, made, "http://"+listener.Addr().String(), labNames(options.Clusters))
	return serving.Wait()
}

// tellLab prints what uses the lab.
func tellLab(out io.Writer, made *eks.Lab, url string, names []string) {
	env := made.Environment(url)
	fmt.Fprintf(out, "\nthe lab is served at %s; to use it, before aws, or refit up:\n\n", url)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(out, "export %s=%s\n", name, env[name])
	}
	fmt.Fprintf(out, "\nand for the hub:\n\n")
	for _, name := range names {
		fmt.Fprintf(out, "---\napiVersion: refit.dev/v1alpha1\nkind: MemberCluster\nmetadata: {name: %s, namespace: refit}\nspec: {provider: {eks: {region: %s, name: %s}}}\n",
			name, made.Region, name)
	}
	fmt.Fprintf(out, "\nend it with Ctrl-C\n")
}
