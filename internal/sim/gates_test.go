package sim_test

import (
	"fmt"
	"slices"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan/rollout"
	"refit.dev/refit/internal/plan/world"
)

// gates draws those of a wave, which seldom has one.
func (r *fleetRun) gates(wave int) []rollout.Gate {
	if r.asks.IntN(10) >= 3 {
		return nil
	}
	return []rollout.Gate{{Gate: fleet.Gate{
		Name: "errors", Failures: 1 + r.asks.IntN(3), Question: fleet.Question{Query: fmt.Sprint("errors of wave ", wave), Interval: world.Tick},
	}}}
}

// gateTrouble lets gates say something else now and then, or the process die that has
// heard them.
func (r *fleetRun) gateTrouble() {
	switch r.asks.IntN(20) {
	case 0:
		r.says = fleet.No
	case 1:
		r.says = fleet.Unknown
	case 2:
		clear(r.in.Heard)
	}
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
