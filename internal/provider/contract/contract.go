// Package contract is what every provider promises to those who use the port, as
// one suite of tests that runs on each of them.
//
// A provider leaves a case out only by a capability that it declares to lack,
// with the reason; docs/providers.md has the table, and Run compares it.
package contract

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/client-go/kubernetes"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// Subject is a provider to be tried.
type Subject struct {
	// Name is its column in docs/providers.md.
	Name string
	// Limits are those that it is known to have.
	Limits provider.Limits
	Lacks  Lacks
	// Make makes a world for one case.
	Make func(t *testing.T) World
}

// Lacks are the capabilities that a provider does not have, each with the reason.
type Lacks struct {
	Tokens       string // a token is taken with an operation of a control plane
	Told         string // the token that an operation was begun with is told
	OneVersion   string // the version is the old one until the operation has ended
	Throttling   string // calls can come too often
	Expiry       string // credentials can expire
	PartialPools string // an instance can fail to become a node
	Nodes        string // nodes are added and removed one by one
	Rolling      string // a pool is rolled by the provider itself
	Choice       string // there is more than one version to go to
	Failure      string // an operation can end as failed
	Catalogue    string // there is a list of versions that can be had
}

// World is where one case happens.
type World struct {
	Provider provider.Provider
	Versions Versions
	// Cluster makes a cluster at rest, at Versions.Old, with the pools a of three
	// nodes and b of one. Each has a name of its own.
	Cluster func(name string) provider.Ref
	// Pass lets some time pass.
	Pass func()
	// Foreign lets somebody else begin an operation.
	Foreign func(ref provider.Ref, to fleet.Version)
	// Busy lets somebody else begin an operation that is no change of version;
	// nil where there is none, and Foreign serves.
	Busy func(ref provider.Ref)
	// Failing makes the next operation fail, if it goes to the version returned.
	Failing func(ref provider.Ref) fleet.Version
	// Missing is a version, of Old's minor or the next, that cannot be had.
	Missing func(ref provider.Ref) fleet.Version
	// Lose makes the next call take effect and its reply get lost; nil leaves it
	// to the suite not to look at the reply.
	Lose func(ref provider.Ref, call Call)
	// Throttle lets the next change of a control plane come too often.
	Throttle func(ref provider.Ref)
	// Expire makes the credentials expire, and Renew new ones.
	Expire, Renew func(ref provider.Ref)
	// Stunt keeps the next instance from becoming a node.
	Stunt func(ref provider.Ref)
}

// Call is a call of the port that changes something.
type Call string

// The calls.
const (
	Upgrade     Call = "Upgrade"     // Ensure of a control plane
	SetTemplate Call = "SetTemplate" // Ensure of a pool
	AddNode     Call = "AddNode"
	RemoveNode  Call = "RemoveNode"
)

// Versions are those that the cases use.
type Versions struct {
	Old fleet.Version
	// Next is one minor after Old, and offered.
	Next fleet.Version
	// Elsewhere is another patch of Old's minor that can be had; an operation to
	// it takes long enough to be met under way.
	Elsewhere fleet.Version
	// Skipping is two minors after Old, and Back one before it.
	Skipping, Back fleet.Version
}

// testCase is one promise.
type testCase struct {
	name string
	run  func(*trial)
	// lacking is why a provider leaves it out; nil for a case that none may.
	lacking func(Lacks) string
	// still is a case that changes nothing: what the provider shows is afterwards
	// what it was before.
	still bool
}

func (c testCase) leftOut(lacks Lacks) string {
	if c.lacking == nil {
		return ""
	}
	return c.lacking(lacks)
}

// cases are all there are, in the order of the table.
func cases() []testCase {
	var all []testCase
	for _, part := range [][]testCase{observing(), changing(), meeting(), failing(), replacing(), rolling()} {
		all = append(all, part...)
	}
	return all
}

// Run tries a provider in every case, prints what became of each, and compares
// that with the table in docs/providers.md.
func Run(t *testing.T, subject Subject) {
	t.Helper()
	ran := map[string]bool{}
	t.Run(strings.ReplaceAll(subject.Name, " ", "-"), func(t *testing.T) {
		// Cases that change nothing share a cluster: to make one can take seconds.
		shared := subject.Make(t)
		still := shared.Cluster("still")
		for _, c := range cases() {
			if c.leftOut(subject.Lacks) != "" {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				ran[c.name] = true
				t.Parallel()
				if c.still {
					tryStill(c, &trial{T: t, World: shared, limits: subject.Limits, lacks: subject.Lacks, ref: still})
					return
				}
				w := &trial{T: t, World: subject.Make(t), limits: subject.Limits, lacks: subject.Lacks}
				w.ref = w.Cluster("one")
				c.run(w)
			})
		}
	})
	var column strings.Builder
	for _, c := range cases() {
		outcome := "ran"
		if why := c.leftOut(subject.Lacks); why != "" {
			outcome = "left out: " + why
		} else if !ran[c.name] {
			outcome = "not run"
		}
		fmt.Fprintf(&column, "\n%-58s %s", c.name, outcome)
		if outcome == "not run" && !selective() {
			t.Errorf("case %q was neither run nor declared to be left out", c.name)
		}
	}
	t.Logf("the contract on %s:%s", subject.Name, &column)
	checkTable(t, subject)
}

// selective tells whether a person asked for some cases only.
func selective() bool {
	asked := flag.Lookup("test.run")
	return asked != nil && strings.Contains(asked.Value.String(), "/")
}

// tryStill checks that what the provider shows is afterwards what it was before.
func tryStill(c testCase, w *trial) {
	w.Helper()
	before := w.observe()
	c.run(w)
	ignored := cmp.Options{cmpopts.IgnoreFields(provider.Observation{}, "At"), cmpopts.EquateEmpty()}
	if diff := cmp.Diff(before, w.observe(), ignored); diff != "" {
		w.Errorf("the cluster is not as it was (-before +after):\n%s", diff)
	}
}

// trial is a case under way.
type trial struct {
	*testing.T
	World

	limits provider.Limits
	lacks  Lacks
	ref    provider.Ref
}

func (w *trial) observe() provider.Observation {
	w.Helper()
	seen, err := w.Provider.Observe(w.Context(), w.ref)
	if err != nil {
		w.Fatal(err)
	}
	return seen
}

// patience is for what takes seconds on real control planes.
const patience = 3 * time.Minute

// until looks, and lets time pass, until something is observed. A look that is
// worth another may fail meanwhile.
func (w *trial) until(what string, met func(provider.Observation) bool) provider.Observation {
	w.Helper()
	for deadline := time.Now().Add(patience); ; w.Pass() {
		seen, err := w.Provider.Observe(w.Context(), w.ref)
		switch {
		case err == nil && met(seen):
			return seen
		case err != nil && provider.AsFault(err).Class == provider.Stop, time.Now().After(deadline):
			w.Fatalf("never seen: %s; last %+v, %v", what, seen, err)
		}
	}
}

// ended waits for the control plane's operation, and is its last one.
func (w *trial) ended() provider.Operation {
	w.Helper()
	seen := w.until("an operation that has ended", func(o provider.Observation) bool {
		all := operations(o, controlPlane())
		return len(all) > 0 && all[0].Phase != provider.Running
	})
	return operations(seen, controlPlane())[0]
}

// upgrade takes the control plane to the next version.
func (w *trial) upgrade() {
	w.Helper()
	w.ensure(w.control(w.Versions.Old, w.Versions.Next, "first"))
	if op := w.ended(); op.Phase != provider.Succeeded {
		w.Fatalf("operation = %+v, want that it has succeeded", op)
	}
}

func (w *trial) ensure(change provider.Change) provider.Operation {
	w.Helper()
	op, err := w.Provider.Ensure(w.Context(), w.ref, change)
	if err != nil {
		w.Fatal(err)
	}
	return op
}

// refused checks an answer to a change that is not made.
func (w *trial) refused(change provider.Change, class provider.Class, codes ...string) provider.Fault {
	w.Helper()
	op, err := w.Provider.Ensure(w.Context(), w.ref, change)
	if err == nil {
		w.Errorf("Ensure(%s, %s → %s) = %+v, want a fault", change.Part, change.From.Version, change.To.Version, op)
		return provider.Fault{}
	}
	return w.fault(err, class, codes...)
}

// fault checks that an error was classed at the port.
func (w *trial) fault(err error, class provider.Class, codes ...string) provider.Fault {
	w.Helper()
	fault, ok := asFault(err)
	switch {
	case !ok:
		w.Errorf("error %v is no fault, want %s %v", err, class, codes)
		return provider.Fault{}
	case fault.Class != class || !contains(codes, fault.Code) || fault.Err == nil:
		w.Errorf("fault is %s %s (%v), want %s %v and a cause", fault.Class, fault.Code, fault.Err, class, codes)
	}
	return *fault
}

func controlPlane() provider.Part { return provider.Part{Kind: provider.PartControlPlane} }

func poolA() provider.Part { return provider.Part{Kind: provider.PartPool, Pool: "a"} }

// control is a change of the control plane.
func (w *trial) control(from, to fleet.Version, token string) provider.Change {
	return provider.Change{Part: controlPlane(), From: provider.State{Version: from}, To: provider.State{Version: to}, Token: token}
}

// template is a change of pool a.
func (w *trial) template(from, to fleet.Version, token string) provider.Change {
	change := w.control(from, to, token)
	change.Part = poolA()
	return change
}

// at tells whether a version is the wanted one, as the provider compares them.
func (w *trial) at(v, want fleet.Version) bool {
	return v == want || w.limits.PicksPatch && v.SameMinor(want)
}

func operations(o provider.Observation, part provider.Part) []provider.Operation {
	var all []provider.Operation
	for _, op := range o.Operations {
		if op.Part == part {
			all = append(all, op)
		}
	}
	return all
}

func (w *trial) pool(o provider.Observation, name string) provider.Pool {
	w.Helper()
	for _, pool := range o.Pools {
		if pool.Name == name {
			return pool
		}
	}
	w.Fatalf("there is no pool %s among %+v", name, o.Pools)
	return provider.Pool{}
}

// nodes is the optional part of the port.
func (w *trial) nodes() provider.NodeReplacer {
	w.Helper()
	nodes, ok := w.Provider.(provider.NodeReplacer)
	if !ok {
		w.Fatal("the provider replaces no nodes, and does not declare it")
	}
	return nodes
}

// rolls tells whether the provider rolls its pools itself.
func (w *trial) rolls() bool { return w.lacks.Nodes != "" }

// client speaks to the cluster itself.
func (w *trial) client() kubernetes.Interface {
	w.Helper()
	config, err := w.Provider.Connect(w.Context(), w.ref)
	if err != nil {
		w.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		w.Fatal(err)
	}
	return client
}

// checkTable compares a provider with its column in the docs.
func checkTable(t *testing.T, subject Subject) {
	t.Helper()
	path, err := docs()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, c := range cases() {
		want[c.name] = "yes"
		if why := c.leftOut(subject.Lacks); why != "" {
			want[c.name] = "no"
			if line := fmt.Sprintf("- %s, %s: %s", subject.Name, c.name, why); !strings.Contains(string(text), line+"\n") {
				t.Errorf("%s lacks the line %q", path, line)
			}
		}
	}
	if diff := cmp.Diff(want, column(string(text), subject.Name)); diff != "" {
		t.Errorf("column %q of the table in %s (-want +got):\n%s", subject.Name, path, diff)
	}
}

// column are the cells of one column of a table, by the first of their row.
func column(text, name string) map[string]string {
	cells, at := map[string]string{}, -1
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		switch {
		case fields[0] == "case":
			for i, field := range fields {
				if field == name {
					at = i
				}
			}
		case len(fields) <= at || at < 0 || strings.HasPrefix(fields[0], "-"):
		default:
			cells[fields[0]] = fields[at]
		}
	}
	return cells
}

// docs is the file with the table, from wherever in the module a test runs.
func docs() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return filepath.Join(dir, "docs", "providers.md"), nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find docs/providers.md: %s is in no module", dir)
		}
		dir = filepath.Dir(dir)
	}
	return "", fmt.Errorf("find docs/providers.md: %w", err)
}
