package upgrade_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/noderoll"
	"refit.dev/refit/internal/plan/upgrade"
)

const (
	us  = "uid-of-eu-1.1"
	hub = "uid-of-hub"
)

var now = time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC)

// situation is a cluster on its way from v1.36.3 to v1.37.2, but for what is
// said otherwise. Versions stand in one text, with spaces between them.
type situation struct {
	// from is the version the upgrade began at, empty where that is forgotten.
	from, controlPlane, target string
	// nodes are the versions of the kubelets of pool a: with "!" one that is
	// not Ready, with "~" one that carries our cordon, with "^" one that
	// carries that of another upgrade.
	nodes    string
	template string
	offers   string
	hops     map[string]fleet.Version
	maxSkew  int
	picks    bool // the provider picks patches
	// pins are the fleet's, or "none"; without them it has pinned what is asked for.
	pins string
	// silent is what the API server's silence is called; nodes are unknown then.
	silent     string
	operations []fleet.Operation
	// memory is a record a line: hop ("end" for none), step, and how long ago it
	// was entered and, if it was, left.
	memory     string
	superseded bool
	refused    bool
	// What people want: an end, or that it waits.
	aborted, withdrawn, frozen, halted bool
	// stuck is a node with a pod that nothing would make anew, cordoned for so long.
	stuck    string
	stuckFor time.Duration
	// claim is whose the member is, as "hub upgrade 10s", with how long ago it
	// was renewed; "nobody", and "unseen". Without it it is ours.
	claim string
	// takeOver is how long ago a person said that we take the other hub's place.
	takeOver string
	held     bool
	rolledBy fleet.RolledBy
	// wanted add-ons, and how they were seen; see seen.
	wanted []fleet.WantedAddOn
	addOns string
	// source is its mode and what it says, or why it is not known; declared what it
	// said in the beginning.
	source, declared string
	// settle and bake are 30s and 5m.
	settle, bake time.Duration
}

func version(text string) fleet.Version {
	v, ok := fleet.ParseVersion(text)
	if !ok {
		panic("no version: " + text)
	}
	return v
}

func versions(text string) []fleet.Version {
	var list []fleet.Version
	for field := range strings.FieldsSeq(text) {
		list = append(list, version(field))
	}
	return list
}

// or is a text, or what it is by default.
func or(text, byDefault string) string {
	if text == "" {
		return byDefault
	}
	return text
}

func (s situation) input() upgrade.Input {
	in := upgrade.Input{
		Now: now, UID: us, Hub: hub, Member: "eu-1", Release: "2026.11", Target: version(or(s.target, "v1.37.2")), Hops: s.hops,
		Cluster: s.cluster(), AddOns: s.wanted,
		Policy: upgrade.Policy{
			Settle: 30 * time.Second, Bake: 5 * time.Minute,
			Nodes: func(int) noderoll.Policy { return noderoll.Policy{MaxSurge: 1} },
		},
		Memory: remembered(s.memory),
	}
	in.Memory.Declared = fleet.Declared(s.declared)
	if s.from != "" {
		in.Memory.From = version(s.from)
	}
	if s.settle != 0 {
		in.Policy.Settle = s.settle
	}
	if s.bake != 0 {
		in.Policy.Bake = s.bake
	}
	if s.superseded {
		in.Superseded = fleet.Reason{Code: fleet.FleetMovedOn, Message: "fleet main wants release 2026.12 now", Object: "fleet main"}
	}
	if s.aborted {
		in.Aborted = fleet.Reason{Code: fleet.UpgradeAborted, Message: "aborted by ann: wrong night"}
	}
	if s.withdrawn {
		in.Withdrawn = fleet.Reason{Code: fleet.Withdrawn, Message: "release 2026.11 was withdrawn: loses volumes"}
	}
	if s.frozen {
		in.Frozen = fleet.Reason{Code: fleet.Frozen, Message: "frozen by ann: incident"}
	}
	if s.halted {
		in.Halted = fleet.Reason{Code: fleet.Halted, Message: "fleet main halted"}
	}
	if s.takeOver != "" {
		in.TakeOvers = []fleet.TakeOver{{From: "uid-of-other", At: ago(s.takeOver)}}
	}
	if s.held {
		in.Held = fleet.Reason{Code: fleet.RestoredHub, Message: "this hub only watches"}
	}
	if s.refused {
		in.Refused = fleet.Reason{Code: fleet.ProviderFault, Message: "the account is suspended"}
	}
	in.Pins = s.pinned(in)
	return in
}

func (s situation) pinned(in upgrade.Input) []fleet.Pin {
	in.Held = fleet.Reason{} // what is held asks for nothing
	switch s.pins {
	case "none":
		return nil
	case "":
		return pin(nil, upgrade.Next(in).Path)
	default:
		return pin(nil, versions(s.pins))
	}
}

// pin pins what is asked for, as the fleet does: what is pinned stays.
func pin(pins []fleet.Pin, asked []fleet.Version) []fleet.Pin {
	for _, v := range asked {
		if fleet.Pinned(pins, v) == (fleet.Pin{}) {
			pins = append(slices.Clip(pins), fleet.Pin{Provider: "local", Version: v, Member: "eu-0"})
		}
	}
	return pins
}

func (s situation) cluster() fleet.Cluster {
	c := fleet.Cluster{
		Name: "eu-1", UID: "uid-of-eu-1", MaxNodeSkew: s.maxSkew, PicksPatch: s.picks,
		ControlPlane: fleet.ControlPlane{Ready: s.silent == "", Message: s.silent},
		Offers:       versions(or(s.offers, "v1.35.7 v1.36.3 v1.36.6 v1.37.2 v1.37.4 v1.38.1")),
		Operations:   s.operations,
	}
	c.Claim = claimOf(or(s.claim, hub+" "+us+" 10s"))
	if text := or(s.controlPlane, "v1.36.3"); text != "unknown" {
		c.ControlPlane.Oldest, c.ControlPlane.Newest = version(text), version(text)
	}
	pool := fleet.Pool{Name: "a", RolledBy: fleet.ByRefit}
	if s.rolledBy != "" {
		pool.RolledBy = s.rolledBy
	}
	for i, text := range strings.Fields(or(s.nodes, "v1.36.3 v1.36.3")) {
		name := string(rune('a' + i))
		node := fleet.Node{Name: name, UID: "uid-" + name, ResourceVersion: "1", Instance: "i-" + name, Ready: true}
		if strings.HasSuffix(text, "!") {
			node.Ready, node.Message = false, "kubelet stopped posting node status"
		}
		if strings.HasSuffix(text, "~") {
			node.Cordoned, node.CordonedBy = true, us
		}
		if strings.HasSuffix(text, "^") {
			node.Cordoned, node.CordonedBy = true, "uid-of-eu-1.0"
		}
		node.Version = version(strings.TrimRight(text, "!~^"))
		if name == s.stuck {
			node.CordonedAt = now.Add(-s.stuckFor)
			node.Pods = []fleet.Pod{{Namespace: "shop", Name: "lonely", UID: "uid-of-lonely", Owner: fleet.OwnedByNobody}}
		}
		if pool.Template.Less(node.Version) {
			pool.Template = node.Version
		}
		if s.silent != "" {
			node = fleet.Node{Name: name, Instance: node.Instance, Message: "has not joined the cluster"}
		}
		pool.Nodes = append(pool.Nodes, node)
		pool.Size++
	}
	if s.template != "" {
		pool.Template = version(s.template)
	}
	c.Pools = []fleet.Pool{pool}
	if s.source != "" {
		c.Source = sourceOf(s.source)
	}
	if s.addOns != "" {
		c.AddOns = seen(s.addOns)
	}
	return c
}

// claimOf reads a claim.
func claimOf(text string) fleet.Claim {
	if text == "unseen" {
		return fleet.Claim{}
	}
	if text == "nobody" {
		return fleet.Claim{Seen: true}
	}
	fields := strings.Fields(text)
	return fleet.Claim{
		Seen: true, Holder: fleet.Holder{Hub: fields[0], Upgrade: fields[1]}, Renewed: ago(fields[2]), Lasts: 5 * time.Minute,
		UID: "uid-of-claim", ResourceVersion: "7",
	}
}

// next is the next step of an upgrade. One that lets its claim go first is the
// one after that: that every end does so is shown in TestClaim.
func next(in upgrade.Input) upgrade.Step {
	step := upgrade.Next(in)
	if len(step.Actions) == 1 && letsGo(step.Actions[0]) {
		in.Cluster.Claim = fleet.Claim{Seen: true}
		return upgrade.Next(in)
	}
	return step
}

// letsGo tells whether an action releases the claim.
func letsGo(action plan.Action) bool {
	_, releases := action.(plan.Release)
	return releases
}

// remembered reads a memory.
func remembered(text string) upgrade.Memory {
	var memory upgrade.Memory
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		record := upgrade.Record{Step: upgrade.StepName(fields[1])}
		if fields[0] != "end" {
			record.Hop = version(fields[0])
		}
		record.Entered = ago(fields[2])
		if len(fields) > 3 {
			record.Finished = ago(fields[3])
		}
		memory.Records = append(memory.Records, record)
	}
	return memory
}

func ago(text string) time.Time {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return now.Add(-d)
}

// told is a memory in the words that remembered reads.
func told(m upgrade.Memory) string {
	var lines []string
	for _, r := range m.Records {
		hop := r.Hop.String()
		if r.Hop.IsZero() {
			hop = "end"
		}
		line := fmt.Sprintf("%s %s", hop, r.Step)
		for _, at := range []time.Time{r.Entered, r.Finished} {
			if !at.IsZero() {
				line += " " + now.Sub(at).String()
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// stepInWords is a step as its test wants it: where it is, what it does, why no
// more than that, and when to look again.
func stepInWords(step upgrade.Step) string {
	lines := []string{fmt.Sprintf("%s %s", step.Name, step.Hop)}
	for _, action := range step.Actions {
		lines = append(lines, action.String())
	}
	for _, finding := range step.Findings {
		lines = append(lines, fmt.Sprintf("finding %s: %s", finding.Check, finding.Message))
	}
	lines = append(lines, fmt.Sprintf("%s: %s", step.Why.Code, step.Why.Message))
	if step.Outcome == upgrade.Going {
		lines = append(lines, "again in "+step.Recheck.Sub(now).String())
	} else {
		lines[0] = "ended " + string(step.Outcome)
	}
	return strings.Join(lines, "\n")
}

// text is a wanted text without the indentation it is written with.
func text(indented string) string {
	var lines []string
	for line := range strings.Lines(indented) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// steps is a table of situations and the steps wanted in them.
type steps []struct {
	name string
	situation
	want string
}

func (table steps) run(t *testing.T) {
	t.Helper()
	for _, test := range table {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(text(test.want), stepInWords(next(test.input()))); diff != "" {
				t.Errorf("step (-want +got):\n%s", diff)
			}
		})
	}
}

// token is how the control plane's change of a pass is known.
func token(hop string) string {
	return fleet.Token("uid-of-eu-1", us, hop, "control-plane")
}

func running(token, to string) fleet.Operation {
	return fleet.Operation{
		ID: "op-7", Token: token, To: version(to), Phase: fleet.Running, Started: ago("1m"), Foreign: token == "",
	}
}

func ended(token, to string, phase fleet.Phase) fleet.Operation {
	op := running(token, to)
	op.Phase, op.ID = phase, "op-6"
	if phase == fleet.Failed {
		op.Code, op.Message = "EtcdUnhealthy", "no quorum"
	}
	return op
}
