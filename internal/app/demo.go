package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"refit.dev/refit/internal/cli"
	"refit.dev/refit/internal/demo"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/hub"
	"refit.dev/refit/internal/kube"
)

// Demo wires the demonstration, in a data directory of its own.
func Demo(ctx context.Context, options cli.DemoOptions) (err error) {
	cache, err := kube.DefaultDir()
	if err != nil {
		return err
	}
	folder := filepath.Join(cache, "demo")
	if pid, err := hub.Holder(folder); err == nil && pid != 0 {
		return fmt.Errorf("another demonstration runs (process %d): wait for its end, or interrupt it with kill -INT %d", pid, pid)
	}
	hold, err := hub.Hold(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder), hold.Close()) }()
	dir := filepath.Join(folder, "data")
	members, err := cli.LocalMembers(dir, os.Stderr)
	if err != nil {
		return err
	}
	local, err := cli.LocalProvider(dir)
	if err != nil {
		return err
	}
	screen := cli.NewScreen(options.Out)
	d := demo.Demo{
		Dir: dir, Count: options.Members, Nodes: options.Nodes, From: options.From, To: options.To,
		Out: options.Out, Draw: screen.Draw, Namespace: cli.DefaultNamespace,
		Members: members, Provider: local, Client: newClient,
		Get: func(ctx context.Context, version fleet.Version) error {
			return getBinaries(ctx, version)
		},
		Up: func(ctx context.Context, ready func(*rest.Config)) error {
			return up(ctx, cli.UpOptions{DataDir: dir, Namespace: cli.DefaultNamespace, Out: os.Stderr}, ready)
		},
		Register: func(ctx context.Context, c client.Client, name string, labels map[string]string) error {
			return cli.Register(ctx, c, cli.DefaultNamespace, name, labels)
		},
	}
	return d.Run(ctx)
}

// getBinaries gets what a local member of a version runs.
func getBinaries(ctx context.Context, version fleet.Version) error {
	store, err := kube.UserStore(os.Stderr)
	if err != nil {
		return err
	}
	for _, artefact := range append(kube.Pinned(), kube.Artefact{Name: kube.Kubernetes, Version: version.String()}) {
		if _, err := store.Get(ctx, artefact); err != nil {
			return fmt.Errorf("get %s: %w", artefact, err)
		}
	}
	return nil
}
