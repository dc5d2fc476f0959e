package observe

import (
	"strconv"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
)

// gateOf is a gate, with what is remembered of the gates of its wave.
func gateOf(gate v1.Gate, remembered []v1.GateStatus) rollout.Gate {
	query := gate.Prometheus
	seen := rollout.Gate{Gate: fleet.Gate{
		Name: gate.Name, Failures: int(gate.Failures),
		Question: fleet.Question{
			URL: query.URL, Query: query.Query, Min: bound(query.Min), Max: bound(query.Max), Interval: gate.Interval.Duration,
		},
	}}
	for _, was := range remembered {
		if was.Name == gate.Name {
			seen.Memory = rollout.GateMemory{NoYesSince: timeOf(was.NoYesSince), FailedAt: timeOf(was.FailedAt), Said: was.Said, Fix: was.Fix}
		}
	}
	return seen
}

// bound is a number as it was written; none where nothing was.
func bound(text string) fleet.Bound {
	number, _ := strconv.ParseFloat(text, 64) // admitted by CEL
	return fleet.Bound{Number: number, Text: text}
}

// gatesOf are gates as a status has them.
func gatesOf(gates []rollout.GateState) []v1.GateStatus {
	var list []v1.GateStatus
	for _, g := range gates {
		list = append(list, v1.GateStatus{
			Name: g.Name, NoYesSince: whenOf(g.Memory.NoYesSince), FailedAt: whenOf(g.Memory.FailedAt), Said: g.Memory.Said, Fix: g.Memory.Fix,
		})
	}
	return list
}
