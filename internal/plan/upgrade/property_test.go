package upgrade_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/invariant"
	"refit.dev/refit/internal/plan/noderoll"
	"refit.dev/refit/internal/plan/upgrade"
	"refit.dev/refit/internal/plan/world"
)

// run is one upgrade of one made-up cluster, as the Upgrades loop drives it.
type run struct {
	t       *rapid.T
	journey world.Journey
	world   *world.Cluster
	// in is what stays the same from decision to decision.
	in upgrade.Input
	// delayed actions have yet to arrive.
	delayed []plan.Action
	trail   []string
	said    [2]string // the last lines of it
	// late is for how many turns yet the provider's lateness may show.
	late int
	// pinsAfter is how many turns the fleet takes to pin what is asked for, and
	// asked since when it is.
	pinsAfter, asked int
}

// chaos is what goes wrong in one turn of the loop.
type chaos struct {
	lag world.Lag
	// crash before the decision is recorded, or after it and so many actions.
	unrecorded bool
	acts       int
	// delayed are the actions that are left then: they arrive after the next
	// decision, as if from a leader that was frozen.
	delayed bool
}

const allActs = 1000

func newRun(t *rapid.T, more ...world.Workload) *run {
	pick := func(what string, low, high int) int { return rapid.IntRange(low, high).Draw(t, what) }
	j := world.Random(pick)
	j.Shape.Workloads = append(j.Shape.Workloads, more...)
	if len(more) > 0 { // in whose way they are, is only known of pools that Refit rolls
		rolledByRefit(j.Shape.Pools)
	}
	return &run{
		t: t, journey: j, world: world.New(j.Shape),
		in: upgrade.Input{
			UID: us, Hub: hub, Target: j.Target, Hops: j.Hops, AddOns: j.AddOns,
			Policy: upgrade.Policy{
				Settle: time.Duration(pick("settle", 0, 3)) * world.Tick,
				Bake:   time.Duration(pick("bake", 0, 3)) * world.Tick,
				Nodes: func(size int) noderoll.Policy {
					surge, unavailable := j.Shape.Limits(size)
					return noderoll.Policy{MaxSurge: surge, MaxUnavailable: unavailable}
				},
			},
		},
	}
}

// turn is one turn of the loop: observe, plan, record, act.
func (r *run) turn(c chaos) upgrade.Step {
	if r.late = max(0, r.late-1); c.lag.Provider {
		r.late = 3
	}
	in := r.in
	in.Now, in.Cluster = r.world.Now(), r.world.Observe(c.lag)
	step := upgrade.Next(in)
	r.note(step)
	r.judge(in, step)
	if c.unrecorded {
		return upgrade.Step{}
	}
	r.in.Memory = recorded(step.Memory)
	r.pin(step.Path)
	if step.Outcome != upgrade.Going {
		return step
	}
	done := min(c.acts, len(step.Actions))
	r.act(step.Actions[:done])
	r.act(r.delayed)
	if r.delayed = nil; c.delayed {
		r.delayed = step.Actions[done:]
	}
	return step
}

func (r *run) act(actions []plan.Action) {
	for _, action := range actions {
		answer := world.Outdated // of who has lost the claim: act asks before each change
		if claims(action) || r.world.Holder() == (fleet.Holder{Hub: hub, Upgrade: us}) {
			answer = r.world.Do(action)
		}
		r.tell(fmt.Sprintf("    %s: %s", action, answer))
		if answer == world.Stopped {
			r.in.Refused = fleet.Reason{Code: fleet.ProviderFault, Message: "refused for good: " + action.String()}
			return
		}
	}
}

// claims tells whether an action is about the claim itself.
func claims(action plan.Action) bool {
	switch action.(type) {
	case plan.Claim, plan.Release:
		return true
	default:
		return false
	}
}

// recorded is a memory as it comes back from a status: in whole seconds.
func recorded(m upgrade.Memory) upgrade.Memory {
	back := upgrade.Memory{From: m.From, Declared: m.Declared}
	for _, record := range m.Records {
		record.Entered, record.Finished = record.Entered.Truncate(time.Second), record.Finished.Truncate(time.Second)
		back.Records = append(back.Records, record)
	}
	return back
}

// judge is what holds for every decision.
func (r *run) judge(in upgrade.Input, step upgrade.Step) {
	if broken := invariant.Step(in, step); len(broken) > 0 {
		r.fail("the decision breaks an invariant: %s", strings.Join(broken, "; "))
	}
	if step.Why.IsZero() {
		r.fail("no reason is given")
	}
	if step.Outcome == upgrade.Going && !step.Recheck.After(in.Now) {
		r.fail("recheck at %s would spin", step.Recheck)
	}
	if again := upgrade.Next(in); !reflect.DeepEqual(step, again) {
		r.fail("the same input gives another decision:\n%s", cmp.Diff(step, again))
	}
	if broken := r.world.Broken(); len(broken) > 0 {
		r.fail("what must never happen: %s", strings.Join(broken, "; "))
	}
}

// until drives the upgrade to its end, for so many turns at most.
func (r *run) until(turns int, next func() chaos) upgrade.Step {
	var last upgrade.Step
	for range turns {
		last = r.turn(next())
		if last.Outcome != upgrade.Going {
			return last
		}
		r.help(last.Why)
		r.world.Tick()
	}
	r.fail("no end after %d turns", turns)
	return last
}

// help is a person who does what the reason says.
func (r *run) help(why fleet.Reason) {
	if why.Code == fleet.NodeCordoned {
		r.tell("    somebody does: " + why.Fix)
		r.world.Uncordon(strings.TrimPrefix(why.Object, "node "))
	}
}

func calm() chaos { return chaos{acts: allActs} }

// stormy draws what goes wrong between the loop and the cluster.
func (r *run) stormy() chaos {
	c := calm()
	switch rapid.IntRange(0, 9).Draw(r.t, "chaos") {
	case 0:
		c.unrecorded = true
	case 1:
		c.acts = rapid.IntRange(0, 3).Draw(r.t, "acts before the crash")
		c.delayed = rapid.Bool().Draw(r.t, "the others arrive late")
	case 2:
		c.lag.Provider = true
	case 3:
		c.lag.API = true
	case 4:
		c.lag.Provider, c.lag.API = true, true
	}
	return c
}

// patience is more turns than any journey takes.
func (r *run) patience() int {
	nodes := 1
	for _, pool := range r.journey.Shape.Pools {
		nodes += len(pool.Nodes)
	}
	hops := r.journey.Target.Minor - r.journey.Shape.ControlPlane.Minor + 2
	return hops * (100 + 40*nodes)
}

// arrived judges a run that ended Done.
func (r *run) arrived() {
	if behind := r.world.Behind(r.journey.Target); behind != "" {
		r.fail("done with %s", behind)
	}
	if behind := r.world.AddOnBehind(r.journey.AddOns, r.journey.Target.MinorName()); behind != "" {
		r.fail("done with %s", behind)
	}
	if behind := r.world.SourceBehind(r.journey.Target); behind != "" {
		r.fail("done with %s", behind)
	}
	r.atRest()
	for _, pool := range r.journey.Shape.Pools {
		needed := 0
		for _, node := range pool.Nodes {
			needed += r.rotations(node)
		}
		if got := r.world.AddedTo(pool.Name); !asNeeded(pool, got, needed) {
			r.fail("pool %s: %d nodes were added; %d are needed", pool.Name, got, needed)
		}
	}
}

// atRest judges every end: nothing runs, nothing is cordoned, no node is
// missing, and none too much but where it could not be helped: a machine asked
// for just before may not have shown, and where others cordoned nodes, one that
// is to go may be needed.
func (r *run) atRest() {
	if r.world.Busy() {
		r.fail("ended while an operation runs")
	}
	if nodes := r.world.CordonedBy(r.in.UID); len(nodes) > 0 {
		r.fail("ended with nodes cordoned: %v", nodes)
	}
	for _, pool := range r.journey.Shape.Pools {
		got, size := r.world.Machines(pool.Name), len(pool.Nodes)
		surge, _ := r.journey.Shape.Limits(size)
		if r.late == 0 && len(pool.Cordoned) == 0 {
			surge = 0
		}
		if got < size || got > size+surge {
			r.fail("pool %s ends with %d machines; its size is %d", pool.Name, got, size)
		}
	}
}

// rotations is how often a node must be replaced: before a control plane that
// its kubelet could not follow, and at the end if the release is not reached by
// then.
func (r *run) rotations(node fleet.Version) int {
	count := 0
	for next := r.journey.Shape.ControlPlane.Minor + 1; next <= r.journey.Target.Minor; next++ {
		allowed := 3
		if node.Minor < 25 {
			allowed = 2
		}
		if limit := r.journey.Shape.MaxNodeSkew; limit > 0 {
			allowed = min(allowed, limit)
		}
		if next-node.Minor > allowed {
			node = fleet.Version{Major: 1, Minor: next - 1}
			count++
		}
	}
	if node.Less(r.journey.Target) {
		count++
	}
	return count
}

func (r *run) note(step upgrade.Step) {
	r.tell(fmt.Sprintf("%s/%s %s: %s %s", step.Hop, step.Name, step.Why.Code, step.Why.Message, step.Outcome))
}

// tell keeps what happened for whoever reads a failure; nothing twice in a row.
func (r *run) tell(line string) {
	if slices.Contains(r.said[:], line) {
		return
	}
	r.said[0], r.said[1] = r.said[1], line
	r.trail = append(r.trail, r.world.Now().Format(time.TimeOnly)+" "+line)
}

func (r *run) fail(format string, args ...any) {
	r.t.Helper()
	shape := r.journey.Shape
	r.t.Logf("control plane %s → %s, hops %v, offers %v", shape.ControlPlane, r.journey.Target, r.journey.Hops, shape.Offers)
	r.t.Logf("pools %+v, workloads %+v, pace %+v", shape.Pools, shape.Workloads, shape.Pace)
	r.t.Logf("the last turns:\n%s", strings.Join(r.trail[max(0, len(r.trail)-60):], "\n"))
	r.t.Fatalf(format, args...)
}

// TestEveryUpgradeEnds: where nothing fails, every cluster arrives, and no node
// is replaced more often than the skew demands.
func TestEveryUpgradeEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun(t)
		end := r.until(r.patience(), calm)
		if end.Outcome != upgrade.Done {
			r.fail("ended %s: %+v", end.Outcome, end.Why)
		}
		r.arrived()
		if refused := r.world.Counts().Refused; refused > 0 {
			r.fail("%d evictions were asked for that no budget allowed", refused)
		}
	})
}

// TestEveryUpgradeSurvivesCrashesAndLateness: a crash anywhere and a look that
// is a tick late cost time and nothing else.
func TestEveryUpgradeSurvivesCrashesAndLateness(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun(t)
		end := r.until(3*r.patience(), r.stormy)
		if end.Outcome != upgrade.Done {
			r.fail("ended %s: %+v", end.Outcome, end.Why)
		}
		r.arrived()
	})
}

// TestNoStepGoesBack because an API server falls silent: once the control plane
// was changed, who watches sees the upgrade wait where it is.
func TestNoStepGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun(t)
		furthest := upgrade.Step{}
		for range 2 * r.patience() {
			if rapid.IntRange(0, 9).Draw(t, "silence") == 0 {
				r.world.Silence(rapid.IntRange(1, 3).Draw(t, "ticks"))
			}
			step := r.turn(calm())
			if step.Outcome != upgrade.Going {
				return
			}
			ends := slices.ContainsFunc(step.Actions, letsGo)
			if !ends && position(step) < position(furthest) {
				r.fail("goes back from %s/%s to %s/%s", furthest.Hop, furthest.Name, step.Hop, step.Name)
			}
			begun := !slices.ContainsFunc(step.Actions, claims) // before the claim nothing is
			if begun && step.Name != upgrade.Settle && step.Name != upgrade.Preflight {
				furthest = step
			}
			r.help(step.Why)
			r.world.Tick()
		}
	})
}

// TestSupersededEndsAtASafePoint, whenever it comes.
func TestSupersededEndsAtASafePoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun(t)
		for range rapid.IntRange(0, 60).Draw(t, "turns before") {
			if r.turn(r.stormy()).Outcome != upgrade.Going {
				return
			}
			r.world.Tick()
		}
		r.in.Superseded = fleet.Reason{Code: fleet.FleetMovedOn, Message: "fleet main wants release 2026.12 now"}
		if rapid.Bool().Draw(t, "the release is gone") {
			r.in.Target, r.in.Hops = fleet.Version{}, nil
		}
		end := r.until(r.patience(), func() chaos {
			c := r.stormy()
			c.lag.API, c.delayed = false, false // the plan has changed its mind: it must have seen what the last one did
			return c
		})
		if end.Outcome != upgrade.Superseded {
			r.fail("ended %s: %+v", end.Outcome, end.Why)
		}
		r.atRest()
	})
}

// TestFaultsCostTime: nodes that fall sick, an API server that falls silent, an
// operation of somebody else and one that fails: none of it breaks a rule, and
// when faults end, work ends.
func TestFaultsCostTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun(t)
		failing := false
		for range rapid.IntRange(1, 80).Draw(t, "turns of trouble") {
			failing = r.trouble() || failing
			if end := r.turn(calm()).Outcome; end != upgrade.Going {
				r.ended(end, failing)
				return
			}
			r.world.Tick()
		}
		r.ended(r.until(r.patience(), calm).Outcome, failing)
	})
}

// trouble draws a fault; it tells whether an operation will fail.
func (r *run) trouble() bool {
	draw := func(what string, low, high int) int { return rapid.IntRange(low, high).Draw(r.t, what) }
	switch draw("trouble", 0, 19) {
	case 0, 1:
		r.world.Sicken(draw("machine", 0, 11), draw("ticks", 1, 5))
		r.tell("    a node falls sick")
	case 2:
		r.world.Silence(draw("ticks", 1, 3))
		r.tell("    the API server falls silent")
	case 3:
		r.world.Foreign()
		r.tell("    somebody takes the control plane to the next patch")
	case 4:
		if nodes := r.world.CordonedBy(r.in.UID); len(nodes) > 0 {
			r.world.Uncordon(nodes[0])
			r.tell("    somebody uncordons " + nodes[0])
		}
	case 6:
		r.world.LoseNext()
		r.tell("    the answer to the next push will be lost")
	case 5:
		if draw("fails", 0, 4) == 0 {
			r.world.FailNext()
			r.tell("    the next operation will fail")
			return true
		}
	}
	return false
}

// ended judges the end of an upgrade, one operation of which may have failed.
func (r *run) ended(outcome upgrade.Outcome, failing bool) {
	switch {
	case outcome == upgrade.Failed && failing:
		r.atRest()
	case outcome != upgrade.Done:
		r.fail("ended %s", outcome)
	default:
		r.atRest()
		if behind := r.world.Behind(r.journey.Target); behind != "" {
			r.fail("done with %s", behind)
		}
	}
}

// TestWaitsForPeople: what nobody but a person can move is waited for, and
// called by its name; once it is out of the way, the upgrade goes on by itself.
func TestWaitsForPeople(t *testing.T) {
	for _, test := range []struct {
		name     string
		workload world.Workload
		want     fleet.Code
		fix      func(*world.Cluster)
	}{
		{
			name:     "a budget that allows nothing",
			workload: world.Workload{Name: "stuck", Replicas: 3, Floor: 3, Owner: fleet.OwnedByController},
			want:     fleet.BudgetExhausted,
			fix:      func(c *world.Cluster) { c.DropBudget("stuck") },
		},
		{
			name:     "a pod that nobody would make anew",
			workload: world.Workload{Name: "stuck", Replicas: 1, Floor: -1, Owner: fleet.OwnedByNobody},
			want:     fleet.PodWithoutOwner,
			fix:      func(c *world.Cluster) { c.DeletePods("stuck") },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				r := newRun(t, test.workload)
				end, waited := upgrade.Step{}, 0
				for turn := 0; turn < r.patience() && waited < 30 && end.Outcome == upgrade.Going; turn++ {
					end = r.turn(calm())
					if waited++; end.Why.Code != test.want {
						waited = 0
					}
					r.help(end.Why)
					r.world.Tick()
				}
				if waited > 0 {
					if end.Why.Fix == "" || !strings.Contains(end.Why.Message, "default/stuck-") {
						r.fail("the reason does not say what to do about what: %+v", end.Why)
					}
					test.fix(r.world)
					end = r.until(r.patience(), calm)
				}
				if end.Outcome != upgrade.Done {
					r.fail("ended %s: %+v", end.Outcome, end.Why)
				}
				r.arrived()
			})
		})
	}
}
