package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmanager "sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"refit.dev/refit/internal/cli"
	"refit.dev/refit/internal/notify"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/plan/hold"
	"refit.dev/refit/internal/view"
)

// askedWithin bounds a scrape's request; its answer is small.
const askedWithin = 10 * time.Second

// telling is where people and programs are told what happens, beside the hub.
type telling struct {
	// metrics is where they are served, nil for nowhere.
	metrics net.Listener
	// webhook is empty where there is none.
	webhook notify.WebhookOptions
}

// openTelling finds out early what is wrong with where things are to be told.
func openTelling(ctx context.Context, options cli.UpOptions) (t telling, err error) {
	if options.Webhook != "" {
		if t.webhook, err = notify.ReadWebhook(options.Webhook); err != nil {
			return telling{}, fmt.Errorf("--webhook: %w", err)
		}
	}
	if options.Metrics != "" {
		if t.metrics, err = (&net.ListenConfig{}).Listen(ctx, "tcp", options.Metrics); err != nil {
			return telling{}, fmt.Errorf("--metrics %s: %w; give an address of this machine with a free port, such as 127.0.0.1:9464", options.Metrics, err)
		}
	}
	return t, nil
}

// say tells a person where metrics are.
func (t telling) say(out io.Writer) {
	if t.metrics != nil {
		fmt.Fprintf(out, "metrics at http://%s/metrics\n", t.metrics.Addr())
	}
}

// close ends what was opened, where no manager has done so.
func (t telling) close() {
	if t.metrics != nil {
		_ = t.metrics.Close() // again, mostly
	}
}

// addTo adds to a manager what tells of its hub.
func (t telling) addTo(manager ctrl.Manager, options cli.UpOptions, uid string, log *slog.Logger) error {
	tellers := []notify.Teller{&notify.Events{Client: manager.GetClient()}}
	if t.metrics != nil {
		registry := prometheus.NewRegistry() // its own: a process may run one manager after another
		counters, err := notify.NewMetrics(registry)
		if err != nil {
			return err
		}
		if err := registry.Register(view.NewMetrics(picture(manager.GetClient(), options.Namespace, uid))); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
		if err := manager.Add(t.server(registry)); err != nil {
			return err
		}
		tellers = append(tellers, counters)
	}
	if t.webhook.URL != "" {
		t.webhook.Hub, t.webhook.Namespace = uid, options.Namespace
		webhook, err := notify.NewWebhook(t.webhook)
		if err != nil {
			return err
		}
		tellers = append(tellers, webhook)
	}
	return manager.Add(&notify.Notifier{Cache: manager.GetCache(), Clock: clock.RealClock{}, Tellers: tellers, Log: log.With("loop", "notify")})
}

// picture is that of a hub, as "refit status" has it.
func picture(reader client.Reader, namespace, uid string) func(context.Context) (view.Status, error) {
	return func(ctx context.Context) (view.Status, error) {
		seen, err := observe.ReadHub(ctx, reader, namespace)
		if err != nil {
			return view.Status{}, err
		}
		return view.Held(seen, hold.Why(observe.Hold(uid, seen.Upgrades, seen.Approvals)), time.Now()), nil
	}
}

// server serves a registry's numbers, and those of the loops, whoever leads.
func (t telling) server(registry *prometheus.Registry) *ctrlmanager.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.Gatherers{metrics.Registry, registry}, promhttp.HandlerOpts{}))
	return &ctrlmanager.Server{
		Name: "metrics", Listener: t.metrics,
		Server: &http.Server{Handler: mux, ReadHeaderTimeout: askedWithin, ReadTimeout: askedWithin, WriteTimeout: time.Minute},
	}
}
