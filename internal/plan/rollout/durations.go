package rollout

import "time"

// Step is what an upgrade is busy with, as far as it takes its time.
type Step string

// The steps that are given up on when they take too long. The others wait for
// something that the upgrade names.
const (
	ControlPlane Step = "ControlPlane"
	Nodes        Step = "Nodes"
)

// What nine of ten take. Managed control planes take 10 to 25 minutes a minor;
// a node is made, joins and is drained in 5 to 10.
const (
	controlPlaneTakes = 30 * time.Minute
	nodeTakes         = 10 * time.Minute
)

// expected is what nine of ten upgrades take for the step that one is in.
func expected(u Upgrade) time.Duration {
	if u.Step == ControlPlane {
		return controlPlaneTakes
	}
	return time.Duration(max(1, u.Nodes)) * nodeTakes
}
