package view

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics is the picture as numbers, drawn anew whenever somebody asks for them: so
// they can never disagree with what "refit status" says, and none is left behind by
// what is gone.
type Metrics struct {
	read func(context.Context) (Status, error)

	members, revision, halted, info, since *prometheus.Desc
}

// readWithin is more than it takes to read a hub's cache.
const readWithin = 10 * time.Second

// NewMetrics makes numbers of a picture that is read for each answer.
func NewMetrics(read func(context.Context) (Status, error)) *Metrics {
	return &Metrics{
		read: read,
		members: prometheus.NewDesc("refit_fleet_members",
			"Members of a fleet's wave, by where they stand.", []string{"fleet", "wave", "state"}, nil),
		revision: prometheus.NewDesc("refit_fleet_revision",
			"The revision that a fleet rolls.", []string{"fleet", "release"}, nil),
		halted: prometheus.NewDesc("refit_fleet_halted",
			"1 where nothing of a fleet starts, with the reason; 0 where it may.", []string{"fleet", "reason"}, nil),
		info: prometheus.NewDesc("refit_member_info",
			"1: where a member stands, and why it is not further.", []string{"member", "fleet", "wave", "version", "nodes", "state", "step", "reason"}, nil),
		since: prometheus.NewDesc("refit_member_reason_timestamp_seconds",
			"Since when that is the reason, where it is known.", []string{"member", "reason"}, nil),
	}
}

// Describe names them.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{m.members, m.revision, m.halted, m.info, m.since} {
		out <- desc
	}
}

// Collect draws the picture. One that cannot be drawn is an error for whoever asks, and
// not the last one again.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	status, err := m.read(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(m.members, err)
		return
	}
	for _, f := range status.Fleets {
		m.fleet(out, f)
	}
	for _, member := range status.Unassigned {
		m.member(out, "", "", member)
	}
}

func (m *Metrics) fleet(out chan<- prometheus.Metric, f Fleet) {
	halted := 0.0
	if f.Halt.Code != "" {
		halted = 1
	}
	out <- prometheus.MustNewConstMetric(m.revision, prometheus.GaugeValue, float64(f.Revision), f.Name, f.Release)
	out <- prometheus.MustNewConstMetric(m.halted, prometheus.GaugeValue, halted, f.Name, f.Halt.Code)
	for _, wave := range f.Waves {
		counts := Fleet{Waves: []Wave{wave}}.Counts()
		for _, state := range []State{Done, Running, Waiting, Failed, Aborted, Skipped} {
			out <- prometheus.MustNewConstMetric(m.members, prometheus.GaugeValue, float64(counts[state]), f.Name, wave.Name, string(state))
		}
		for _, member := range wave.Members {
			m.member(out, f.Name, wave.Name, member)
		}
	}
}

func (m *Metrics) member(out chan<- prometheus.Metric, fleet, wave string, seen Member) {
	out <- prometheus.MustNewConstMetric(m.info, prometheus.GaugeValue, 1,
		seen.Name, fleet, wave, seen.Version, seen.Nodes, string(seen.State), seen.Step, seen.Why.Code)
	if !seen.Why.Since.IsZero() {
		out <- prometheus.MustNewConstMetric(m.since, prometheus.GaugeValue, float64(seen.Why.Since.Unix()), seen.Name, seen.Why.Code)
	}
}
