package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/cli"
	"refit.dev/refit/internal/gate"
	"refit.dev/refit/internal/observe"
)

// answersWithin is how long a hub may take to answer before a process that asks it
// is not ready; who probes must wait a little longer.
const answersWithin = 5 * time.Second

// Controllers runs the loops, and nothing else, until ctx ends: what they need was
// installed by somebody with more rights than they have.
func Controllers(ctx context.Context, options cli.UpOptions) error {
	told, err := openTelling(ctx, options)
	if err != nil {
		return err
	}
	defer told.close()
	hosts, err := gate.ParseHosts(options.GateHosts)
	if err != nil {
		return fmt.Errorf("--gate-host %w", err)
	}
	config, err := clusterConfig(options.Kubeconfig)
	if err != nil {
		return err
	}
	log := cli.NewLog(options.Out, options.LogLevel)
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	klog.SetSlogLogger(log) // who leads is told by Kubernetes' libraries
	uid, err := introduce(ctx, config, options.Namespace)
	if err != nil {
		return err
	}
	manager, err := newManager(hubTarget{config: config}, options, gate.New(hosts, clock.RealClock{}), uid, log)
	if err != nil {
		return err
	}
	if err := errors.Join(told.addTo(manager, options, uid, log), addProbes(manager)); err != nil {
		return err
	}
	log.Info("the loops run, or wait until they lead", "hub", uid, "namespace", options.Namespace, "version", Version)
	if options.Ready != nil {
		options.Ready()
	}
	if err := manager.Start(ctx); err != nil {
		log.Error("the loops ended", slog.Any("error", err))
		return fmt.Errorf("run the control loops: %w", err)
	}
	return nil
}

// clusterConfig reaches the cluster of a kubeconfig; where there is none, the one
// that this process is a pod of.
func clusterConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig != "" {
		config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("--kubeconfig %s: %w", kubeconfig, err)
		}
		return config, nil
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster that this is a pod of: %w; elsewhere name a management cluster with --kubeconfig, or run \"refit up\"", err)
	}
	return config, nil
}

// introduce finds out who the hub is, and that it serves what the chart installs.
func introduce(ctx context.Context, config *rest.Config, namespace string) (string, error) {
	c, err := newClient(config)
	if err != nil {
		return "", err
	}
	_, err = c.RESTMapper().RESTMapping(v1.GroupVersion.WithKind("Fleet").GroupKind(), v1.GroupVersion.Version)
	switch {
	case meta.IsNoMatchError(err):
		return "", fmt.Errorf("the cluster at %s has no Fleets: install the chart there, which brings the kinds; see docs/install.md", config.Host)
	case err != nil:
		return "", fmt.Errorf("connect to the hub at %s: %w", config.Host, err)
	}
	return identify(ctx, c, namespace, "")
}

// addProbes answers whether the process lives, and whether it reaches its hub. One
// that does not lead is as ready as the one that does.
func addProbes(manager ctrl.Manager) error {
	reaches := func(request *http.Request) error {
		ctx, cancel := context.WithTimeout(request.Context(), answersWithin)
		defer cancel()
		_, err := observe.ClockSkew(ctx, manager.GetConfig(), clock.RealClock{})
		return err
	}
	return errors.Join(manager.AddHealthzCheck("process", healthz.Ping), manager.AddReadyzCheck("hub", reaches))
}
