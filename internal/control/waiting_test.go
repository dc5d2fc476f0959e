package control_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/fake"
)

// A provider that does not answer is waited for, and nothing else is touched.
func TestUpgradesUnreachableProvider(t *testing.T) {
	l, c := begin(t)
	l.ride("eu-1.1", "baking", func(up *v1.ClusterUpgrade) bool { return up.Status.Step == "Bake" })
	before := l.upgrade("eu-1.1").Status
	c.takeDown(true)
	since := l.clock.Now()
	for range 3 {
		if wait := l.move("eu-1.1"); wait != 5*time.Second {
			t.Errorf("looks again after %s, want 5s", wait)
		}
		l.clock.Step(5 * time.Second)
	}
	up := l.upgrade("eu-1.1")
	why := up.Status.Why
	if why.Code != "Unreachable" || why.Object != "member eu-1" || !why.Since.Time.Equal(since) ||
		why.Message != "observe eu-1 through its provider: Unreachable: no route to host" {
		t.Errorf("waits for %+v, want Unreachable since %s", why, since)
	}
	if diff := cmp.Diff(before.Steps, up.Status.Steps); diff != "" || up.Status.Step != "Bake" || up.Status.Nodes != before.Nodes {
		t.Errorf("in step %s with nodes %+v; steps (-want +got):\n%s", up.Status.Step, up.Status.Nodes, diff)
	}
	c.takeDown(false)
	l.ride("eu-1.1", "done", isEnded)
	if got := ended(l.upgrade("eu-1.1")); got != "Done" {
		t.Errorf("ended %s, want Done", got)
	}
}

// Without its MemberCluster an upgrade has nothing left to do.
func TestUpgradesMemberGone(t *testing.T) {
	l, c := begin(t)
	l.ride("eu-1.1", "baking", func(up *v1.ClusterUpgrade) bool { return up.Status.Step == "Bake" })
	l.remove("eu-1", &v1.MemberCluster{})
	edit(l, "eu-1", &v1.MemberCluster{}, func(mc *v1.MemberCluster) { mc.Finalizers = nil })
	calls := len(c.changes())
	l.move("eu-1.1")
	up := l.upgrade("eu-1.1")
	if ended(up) != "Superseded" || up.Status.Why.Code != "MemberGone" || len(c.changes()) != calls {
		t.Errorf("ended %q for %+v, calls %v", ended(up), up.Status.Why, c.changes()[calls:])
	}
}

// That a provider finds something of its own missing is not the member's end.
func TestUpgradesProviderMissesSomething(t *testing.T) {
	l, c := begin(t)
	c.fail(fake.Observe, &provider.Fault{
		Class: provider.Retry, Code: provider.CodeUnreachable,
		Err: apierrors.NewNotFound(schema.GroupResource{Resource: "machinedeployments"}, "eu-1-a"),
	})
	l.move("eu-1.1")
	if up := l.upgrade("eu-1.1"); isEnded(up) || up.Status.Why.Code != "Unreachable" {
		t.Errorf("ended %q for %+v, want that it waits", ended(up), up.Status.Why)
	}
	l.ride("eu-1.1", "done", isEnded)
}

// A plan that breaks an invariant is not carried out. Here it is one that
// somebody else makes wrong, after the preflight has passed.
func TestUpgradesHoldWhatMustNeverBe(t *testing.T) {
	l, c := begin(t)
	c.fail(fake.UpgradeControlPlane, errors.New("connection reset"))
	l.ride("eu-1.1", "asked", func(*v1.ClusterUpgrade) bool { return len(c.changes()) > 0 })
	c.newest(version(t, "v1.37.4")) // of its API servers
	for range 3 {
		l.clock.Step(l.move("eu-1.1"))
	}
	up := l.upgrade("eu-1.1")
	why := up.Status.Why
	if why.Code != "InvariantViolated" || why.Message != "control plane would go back: v1.37.4 → v1.37.2" || conditionsOf(up)["Stalled"] != "True" {
		t.Errorf("waits for %+v, conditions %v", why, conditions(up.Status.Conditions))
	}
	if calls := c.changes(); len(calls) != 1 {
		t.Errorf("called %v nevertheless", calls[1:])
	}
	c.newest(fleet.Version{})
	l.ride("eu-1.1", "done", isEnded)
	if got := ended(l.upgrade("eu-1.1")); got != "Done" {
		t.Errorf("ended %s, want Done", got)
	}
}

// What has ended is left alone, as is what is gone.
func TestUpgradesEndedAreLeftAlone(t *testing.T) {
	l, c := begin(t)
	l.ride("eu-1.1", "done", isEnded)
	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.Release = "2027.01" })
	c.Change(func(s *fake.State) { s.Version = version(t, "v1.36.3") })
	before, calls := l.upgrade("eu-1.1"), len(c.changes())
	if wait := l.move("eu-1.1"); wait != 0 {
		t.Errorf("looks again after %s", wait)
	}
	if diff := cmp.Diff(before, l.upgrade("eu-1.1")); diff != "" || len(c.changes()) != calls {
		t.Errorf("calls %v; upgrade (-before +after):\n%s", c.changes()[calls:], diff)
	}
	result, err := l.upgrades.Reconcile(t.Context(), types.NamespacedName{Namespace: namespace, Name: "eu-1.9"})
	if err != nil || !result.IsZero() {
		t.Errorf("of an upgrade that is gone: %v, %v", result, err)
	}
}

// An operation that somebody else started is waited for, not fought.
func TestUpgradesForeignOperation(t *testing.T) {
	l, c := begin(t)
	c.Begin(version(t, "v1.36.6"), time.Minute)
	l.ride("eu-1.1", "blocked", func(up *v1.ClusterUpgrade) bool { return up.Status.Step == "Preflight" })
	if got := l.upgrade("eu-1.1").Status.Findings; len(got) != 1 || got[0].Message != "operation op-1 is under way" {
		t.Errorf("findings are %+v, want the operation", got)
	}
	l.ride("eu-1.1", "done", isEnded)
	if up := l.upgrade("eu-1.1"); ended(up) != "Done" || up.Status.From != "v1.36.3" || c.Look().Version != version(t, "v1.37.2") {
		t.Errorf("ended %s, from %s, at %s", ended(up), up.Status.From, c.Look().Version)
	}
}
