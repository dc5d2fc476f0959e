package sim_test

import (
	"fmt"
	"slices"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/world"
)

// gate draws one of a wave.
func (r *fleetRun) gate(wave int) rollout.Gate {
	return rollout.Gate{Gate: fleet.Gate{
		Name: "errors", Failures: r.pick(1, 3), Question: fleet.Question{Query: fmt.Sprint("errors of wave ", wave), Interval: world.Tick},
	}}
}

// hear answers what a decision asks, and forgets what it does not ask.
func (r *fleetRun) hear(d rollout.Decision) {
	before := r.in.Heard
	r.in.Heard = map[fleet.Question]fleet.Heard{}
	for _, state := range d.Fleets {
		for _, w := range state.Waves {
			for _, g := range w.Gates {
				heard := fleet.Heard{Answer: r.says, AskedAt: r.in.Now, YesAt: before[g.Question].YesAt, Said: "it says " + string(r.says)}
				if r.says == fleet.Yes {
					heard.YesAt = r.in.Now
				}
				r.in.Heard[g.Question] = heard
			}
		}
	}
}

// remembered are gates with what a decision wants to be remembered of them.
func remembered(gates []rollout.Gate, states []rollout.GateState) []rollout.Gate {
	gates = slices.Clone(gates)
	for i := range gates {
		gates[i].Memory = rollout.GateMemory{}
		for _, s := range states {
			if s.Name == gates[i].Name {
				gates[i].Memory = s.Memory
			}
		}
	}
	return gates
}
