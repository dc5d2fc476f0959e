package control_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/fake"
)

// begin makes one member that is behind, with three nodes, and starts its upgrade.
func begin(t *testing.T) (*loops, *cluster) {
	t.Helper()
	l := newLoops(t)
	c := l.addMember("eu-1", shape{version: "v1.36.3", offers: offers, pools: map[string]int{"a": 3}, pods: 4, floor: 3})
	c.surge = 1
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.turn()
	return l, c
}

func isEnded(up *v1.ClusterUpgrade) bool { return ended(up) != "" }

// TestUpgradesRecordBeforeActing looks at the hub at the very time of each call.
func TestUpgradesRecordBeforeActing(t *testing.T) {
	t.Run("the intent is there when the call arrives", intentComesFirst)
	t.Run("a conflict means no call", conflictMeansNoCall)
	t.Run("an old intent means no call", oldIntentMeansNoCall)
	t.Run("a lost reply is asked for again, by the same token", lostReply)
}

func intentComesFirst(t *testing.T) {
	l, c := begin(t)
	changes := map[fake.Verb]string{}
	c.arriving = func(arrived fake.Call) {
		if arrived.Token == "" {
			return // it goes to the member, where a UID guards it
		}
		intents := l.upgrade("eu-1.1").Status.Intents
		i := slices.IndexFunc(intents, func(i v1.Intent) bool { return i.Token == arrived.Token })
		if i < 0 {
			t.Errorf("%s: %s: no intent of token %s among %v", arrived.Verb, arrived.What, arrived.Token, intents)
			return
		}
		if !intents[i].At.Time.Equal(l.clock.Now().Truncate(time.Second)) {
			t.Errorf("%s: intent was written at %s, and it is %s", arrived.Verb, intents[i].At.UTC(), l.clock.Now())
		}
		if _, ok := changes[arrived.Verb]; !ok {
			changes[arrived.Verb] = intents[i].Change
		}
	}
	l.ride("eu-1.1", "done", isEnded)
	want := map[fake.Verb]string{
		fake.UpgradeControlPlane: "upgrade control plane v1.36.3 → v1.37.2",
		fake.SetPoolTemplate:     "set template of pool a v1.36.3 → v1.37.2",
		fake.AddNode:             "add node to pool a for a-1",
		fake.RemoveNode:          "remove node a-1",
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(changes))); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	for name, change := range changes {
		if words, _, _ := strings.Cut(want[name], "a-1"); !strings.HasPrefix(change, words) {
			t.Errorf("intent of %s is %q, want %q", name, change, want[name])
		}
	}
	if intents := l.upgrade("eu-1.1").Status.Intents; len(intents) > 0 {
		t.Errorf("intents %v are left at the end", intents)
	}
}

// Every first write of an intent meets a change that it has not seen.
func conflictMeansNoCall(t *testing.T) {
	l, c := begin(t)
	met := map[string]bool{} // tokens
	conflicts := 0
	l.ride("eu-1.1", "done", func(up *v1.ClusterUpgrade) bool {
		calls, before := len(c.changes()), conflicts
		l.writing = func(object client.Object) error {
			for _, intent := range object.(*v1.ClusterUpgrade).Status.Intents {
				if !met[intent.Token] {
					met[intent.Token] = true
					conflicts++
					return l.conflict(object)
				}
			}
			return nil
		}
		wait := l.move("eu-1.1")
		l.writing = nil
		if now := c.changes(); conflicts > before && len(now) > calls {
			t.Errorf("%s: %s was called after a conflict", now[calls].Verb, now[calls].What)
		}
		if conflicts > before && wait > time.Second {
			t.Errorf("looks again %s after a conflict, want at once", wait)
		}
		return isEnded(l.upgrade("eu-1.1"))
	})
	if want := 1 + 1 + 3 + 3; conflicts != want {
		t.Errorf("%d conflicts met, want %d: control plane, template, three nodes added and removed", conflicts, want)
	}
}

// A leader that was frozen between plan and call plans again.
func oldIntentMeansNoCall(t *testing.T) {
	l, c := begin(t)
	l.writing = func(object client.Object) error {
		if len(object.(*v1.ClusterUpgrade).Status.Intents) > 0 {
			l.clock.Step(time.Minute + time.Second)
		}
		return nil
	}
	l.ride("eu-1.1", "an intent", func(up *v1.ClusterUpgrade) bool { return len(up.Status.Intents) > 0 })
	if calls := c.changes(); len(calls) > 0 {
		t.Errorf("%v was called a minute after it was planned", calls)
	}
	l.writing = nil
	l.move("eu-1.1")
	if len(c.Calls(fake.UpgradeControlPlane)) != 1 {
		t.Errorf("calls are %v, want the control plane's", c.changes())
	}
}

func lostReply(t *testing.T) {
	l, c := begin(t)
	lost := &provider.Fault{Class: provider.Retry, Code: provider.CodeUnreachable, Err: errors.New("connection reset")}
	c.lose(fake.UpgradeControlPlane, lost)
	c.lose(fake.SetPoolTemplate, lost)
	c.lose(fake.AddNode, lost)
	c.lose(fake.RemoveNode, lost)
	l.ride("eu-1.1", "done", isEnded)
	if got := ended(l.upgrade("eu-1.1")); got != "Done" {
		t.Errorf("ended %s, want Done", got)
	}
	if len(c.operations()) != 1 || c.count("v1.37.2") != 3 || len(c.versions()) != 3 {
		t.Errorf("%d operations, machines %v; want 1, and 3 at v1.37.2", len(c.operations()), c.versions())
	}
	tokens := map[string]int{}
	for _, arrived := range c.Calls(fake.AddNode) {
		tokens[arrived.Token]++
	}
	if len(tokens) != 3 {
		t.Errorf("nodes were added by tokens %v, want three", tokens)
	}
}

// TestUpgradesRefused: an answer that will not get better by itself ends the
// upgrade, but not before what was changed is undone.
func TestUpgradesRefused(t *testing.T) {
	t.Run("for good, with a node in hand", refusedForGood)
	t.Run("for good, at the control plane", refusedControlPlane)
	t.Run("for now", refusedForNow)
}

func refusedForGood(t *testing.T) {
	l, c := begin(t)
	c.fail(fake.RemoveNode, stop(provider.CodeInvalid, "machine a-1 is protected"))
	l.ride("eu-1.1", "refused", func(up *v1.ClusterUpgrade) bool { return up.Status.Refused != nil })
	asked := c.Calls(fake.RemoveNode)
	up := l.upgrade("eu-1.1")
	want := v1.Why{
		Code: "ProviderFault", Object: "member eu-1",
		Message: "eu-1: remove node " + asked[0].What + ": Invalid: machine a-1 is protected",
		Since:   up.Status.Refused.Since,
	}
	if diff := cmp.Diff(&want, up.Status.Refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	if !up.Status.Refused.Since.Time.Equal(asked[0].At.Truncate(time.Second)) {
		t.Errorf("refused since %s, asked at %s", up.Status.Refused.Since.UTC(), asked[0].At)
	}
	if isEnded(up) || len(c.cordoned()) != 1 {
		t.Fatalf("ended %q with nodes %v cordoned; want that it goes on until the one is restored", ended(up), c.cordoned())
	}

	l.ride("eu-1.1", "failed", func(up *v1.ClusterUpgrade) bool {
		if isEnded(up) && len(c.cordoned()) > 0 {
			t.Errorf("ended %s with nodes %v cordoned", ended(up), c.cordoned())
		}
		return isEnded(up)
	})
	up = l.upgrade("eu-1.1")
	if ended(up) != "Failed" || up.Status.Why.Message != want.Message {
		t.Errorf("ended %s: %s", ended(up), up.Status.Why.Message)
	}
	if n := len(c.Calls(fake.RemoveNode)); n != 1 {
		t.Errorf("asked %d times for what was refused for good", n)
	}
	if status := conditionsOf(up); status["Stalled"] != "True" || status["Ready"] != "False" || status["Progressing"] != "False" || status["Ended"] != "True" {
		t.Errorf("conditions are %v", conditions(up.Status.Conditions))
	}
}

// conditionsOf are the statuses of an upgrade's conditions.
func conditionsOf(up *v1.ClusterUpgrade) map[string]string {
	status := map[string]string{}
	for _, condition := range up.Status.Conditions {
		status[condition.Type] = string(condition.Status)
	}
	return status
}

func refusedControlPlane(t *testing.T) {
	l, c := begin(t)
	c.fail(fake.UpgradeControlPlane, stop(provider.CodeNotOffered, "v1.37.2 is not offered"))
	l.ride("eu-1.1", "ended", isEnded)
	up := l.upgrade("eu-1.1")
	if got := ended(up); got != "Failed" || up.Status.Refused == nil || len(c.changes()) != 1 {
		t.Errorf("ended %s, refused %v, calls %v; want Failed after one", got, up.Status.Refused, c.changes())
	}
}

// What may get better is waited for, for as long as the provider says, with one
// reason since it began.
func refusedForNow(t *testing.T) {
	for _, class := range []provider.Class{provider.Retry, provider.Wait} {
		t.Run(string(class), func(t *testing.T) {
			l, c := begin(t)
			fault := &provider.Fault{Class: class, Code: provider.CodeInProgress, After: 40 * time.Second, Err: errors.New("maintenance")}
			c.fail(fake.UpgradeControlPlane, fault, fault, errors.New("connection reset"))
			l.ride("eu-1.1", "faulted", func(*v1.ClusterUpgrade) bool { return len(c.changes()) > 0 })
			began := c.changes()[0].At
			l.writing = func(object client.Object) error {
				if why := object.(*v1.ClusterUpgrade).Status.Why; why.Code != "ProviderFault" {
					t.Errorf("another try is told: %s: %s", why.Code, why.Message)
				}
				return nil
			}
			var waits []time.Duration
			for range 2 {
				waits = append(waits, l.move("eu-1.1"))
				why := l.upgrade("eu-1.1").Status.Why
				if why.Code != "ProviderFault" || why.Object != "member eu-1" || !why.Since.Time.Equal(began) {
					t.Errorf("waits for %+v, want ProviderFault since %s", why, began)
				}
				l.clock.Step(waits[len(waits)-1])
			}
			if diff := cmp.Diff([]time.Duration{40 * time.Second, 5 * time.Second}, waits); diff != "" {
				t.Errorf("waits: what the provider says, else 5s (-want +got):\n%s", diff)
			}
			l.writing = nil
			if up := l.upgrade("eu-1.1"); up.Status.Refused != nil || isEnded(up) {
				t.Errorf("refused %v, ended %q", up.Status.Refused, ended(up))
			}
			l.ride("eu-1.1", "ended", isEnded)
			if got := ended(l.upgrade("eu-1.1")); got != "Done" {
				t.Errorf("ended %s, want Done", got)
			}
			tokens := map[string]bool{}
			for _, arrived := range c.Calls(fake.UpgradeControlPlane) {
				tokens[arrived.Token] = true
			}
			if len(tokens) != 1 {
				t.Errorf("control plane was asked for by tokens %v, want one", tokens)
			}
		})
	}
}

// TestUpgradesCountEvictions: the API server's own count is what is to be told.
func TestUpgradesCountEvictions(t *testing.T) {
	l, c := begin(t)
	l.ride("eu-1.1", "draining", func(*v1.ClusterUpgrade) bool { return len(c.cordoned()) > 0 })
	c.Change(func(s *fake.State) { s.Stolen = 2 })
	l.ride("eu-1.1", "refused twice", func(up *v1.ClusterUpgrade) bool { return c.Look().Refused == 2 })
	if got := l.upgrade("eu-1.1").Status.Evictions.Refused; got != 2 {
		t.Errorf("%d evictions refused so far, want 2", got)
	}
	l.ride("eu-1.1", "done", isEnded)
	up := l.upgrade("eu-1.1")
	want := v1.Evictions{Accepted: int32(c.Look().Accepted), Refused: 2}
	if ended(up) != "Done" || up.Status.Evictions != want || want.Accepted < 4 {
		t.Errorf("ended %s, evictions %+v; want Done, %+v, and at least one for each of 4 pods", ended(up), up.Status.Evictions, want)
	}
}

// TestUpgradesCountEvictionsOnce: somebody else changes the upgrade between the
// evictions and the count.
func TestUpgradesCountEvictionsOnce(t *testing.T) {
	l, c := begin(t)
	conflicts, counted := 0, int32(0)
	l.writing = func(object client.Object) error {
		if now := object.(*v1.ClusterUpgrade).Status.Evictions.Accepted; now > counted {
			counted = now
			conflicts++
			return l.conflict(object)
		}
		return nil
	}
	l.ride("eu-1.1", "done", isEnded)
	if got := l.upgrade("eu-1.1").Status.Evictions.Accepted; got != int32(c.Look().Accepted) || conflicts == 0 {
		t.Errorf("%d evictions counted after %d conflicts, want %d after some", got, conflicts, c.Look().Accepted)
	}
}

// TestUpgradesRecordFindings: what a preflight finds is told as long as it is so.
func TestUpgradesRecordFindings(t *testing.T) {
	l, c := begin(t)
	c.Change(func(s *fake.State) {
		s.Machines[1].Annotations["refit.dev/undo"] = `{"upgrade":"another","unschedulable":false}`
		s.Pools = append(s.Pools, fake.Pool{Name: "b", Template: s.Version, RolledBy: "InMember"})
	})
	l.ride("eu-1.1", "blocked", func(up *v1.ClusterUpgrade) bool { return up.Status.Step == "Preflight" })
	up := l.upgrade("eu-1.1")
	cordoned := v1.Finding{
		Check: "NothingUnderWay", Message: "node a-2 is still cordoned by another upgrade",
		Evidence: "annotation refit.dev/undo names upgrade another",
		Fix:      "kubectl uncordon a-2, and remove its annotation refit.dev/undo",
	}
	other := v1.Finding{
		Check: "PoolsRolled", Message: "pool b is rolled by InMember, which Refit cannot drive yet",
		Evidence: "reported by the provider", Fix: "take the member out of the fleet",
	}
	if diff := cmp.Diff([]v1.Finding{cordoned, other}, up.Status.Findings); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if why := up.Status.Why; why.Code != "PreflightBlocked" || why.Fix != cordoned.Fix || conditionsOf(up)["Stalled"] != "True" {
		t.Errorf("waits for %+v, conditions %v", why, conditions(up.Status.Conditions))
	}

	c.Change(func(s *fake.State) { clear(s.Machines[1].Annotations) })
	l.move("eu-1.1")
	if diff := cmp.Diff([]v1.Finding{other}, l.upgrade("eu-1.1").Status.Findings); diff != "" {
		t.Errorf("findings after one was mended (-want +got):\n%s", diff)
	}
	if calls := c.changes(); len(calls) > 0 {
		t.Errorf("%v was called with findings in the way", calls)
	}
	c.Change(func(s *fake.State) { s.Pools = s.Pools[:1] })
	l.move("eu-1.1")
	up = l.upgrade("eu-1.1")
	if len(up.Status.Findings) > 0 || up.Status.Step != "ControlPlane" || conditionsOf(up)["Stalled"] != "False" {
		t.Errorf("findings %v in step %s, conditions %v; want none, ControlPlane", up.Status.Findings, up.Status.Step, conditions(up.Status.Conditions))
	}
}
