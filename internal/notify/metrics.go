package notify

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	v1 "refit.dev/refit/api/v1alpha1"
)

// Metrics counts notices. What had happened before this process looked was counted by
// another.
type Metrics struct {
	notices, ended *prometheus.CounterVec
	took           *prometheus.HistogramVec
}

// NewMetrics makes the counters of a registry.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "refit_notices_total", Help: "What happened to fleets, upgrades and members, by kind.",
		}, []string{"kind"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "refit_upgrades_ended_total", Help: "Upgrades that ended, by fleet and how they did.",
		}, []string{"fleet", "outcome"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "refit_upgrade_duration_seconds", Help: "How long upgrades took, from their creation to their end.",
			Buckets: []float64{30, 60, 120, 300, 600, 1200, 2400, 4800, 9600, 21600, 43200, 86400}, // half a minute is a lab's; a day is a big cluster's
		}, []string{"fleet", "outcome"}),
	}
	for _, collector := range []prometheus.Collector{m.notices, m.ended, m.took} {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// Name is for the log.
func (m *Metrics) Name() string { return "metrics" }

// Tell counts a notice.
func (m *Metrics) Tell(_ context.Context, notice Notice) error {
	if notice.Old {
		return nil
	}
	m.notices.WithLabelValues(string(notice.Kind)).Inc()
	if up, ok := notice.About.(*v1.ClusterUpgrade); ok && notice.Kind == UpgradeEnded {
		m.ended.WithLabelValues(up.Spec.Fleet, notice.Code).Inc()
		m.took.WithLabelValues(up.Spec.Fleet, notice.Code).Observe(notice.At.Sub(up.CreationTimestamp.Time).Seconds())
	}
	return nil
}
