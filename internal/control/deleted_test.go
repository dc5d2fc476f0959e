package control_test

import (
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/fake"
)

// draining is the moment that asks most of whoever ends an upgrade.
func draining(c *cluster) func(*v1.ClusterUpgrade) bool {
	return func(*v1.ClusterUpgrade) bool { return len(c.cordoned()) > 0 }
}

// gone tells whether an object is not there any more.
func gone(l *loops, name string, object client.Object) bool {
	l.t.Helper()
	err := l.hub.Get(l.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, object)
	if client.IgnoreNotFound(err) != nil {
		l.t.Fatal(err)
	}
	return apierrors.IsNotFound(err)
}

// TestDeletingAnUpgrade is aborting it: it goes when it is at a safe point.
func TestDeletingAnUpgrade(t *testing.T) {
	l, c := begin(t)
	l.ride("eu-1.1", "draining", draining(c))
	l.remove("eu-1.1", &v1.ClusterUpgrade{})
	l.repeat("gone", func() bool { return gone(l, "eu-1.1", &v1.ClusterUpgrade{}) }, func() {
		l.clock.Step(min(5*time.Second, max(time.Millisecond, l.move("eu-1.1"))))
	})
	checkSafePoint(t, c)
}

// TestDeletingAMember waits for its upgrade, which comes to a safe point; the
// cluster itself is left as it is.
func TestDeletingAMember(t *testing.T) {
	l, c := begin(t)
	l.see("eu-1")
	l.ride("eu-1.1", "draining", draining(c))
	l.remove("eu-1", &v1.MemberCluster{})
	l.see("eu-1")
	if gone(l, "eu-1", &v1.MemberCluster{}) {
		t.Fatal("the member is gone with its node cordoned")
	}
	l.ride("eu-1.1", "ended", isEnded)
	up := l.upgrade("eu-1.1")
	if ended(up) != "Aborted" || up.Status.Why.Message != "aborted: its MemberCluster is being deleted" || len(up.Finalizers) > 0 {
		t.Errorf("ended %s: %+v, finalizers %v", ended(up), up.Status.Why, up.Finalizers)
	}
	checkSafePoint(t, c)
	l.see("eu-1")
	if !gone(l, "eu-1", &v1.MemberCluster{}) {
		t.Error("the member stays")
	}
}

// TestDeletingAFleet waits for its upgrades to be superseded, and starts nothing
// meanwhile.
func TestDeletingAFleet(t *testing.T) {
	l, c := begin(t)
	l.ride("eu-1.1", "draining", draining(c))
	l.addMembers("v1.36.3", "eu-2")
	l.remove("main", &v1.Fleet{})
	l.decide()
	checkStarted(t, l, "eu-1.1")
	if gone(l, "main", &v1.Fleet{}) {
		t.Fatal("the fleet is gone with its upgrade in flight")
	}
	l.ride("eu-1.1", "ended", isEnded)
	if up := l.upgrade("eu-1.1"); ended(up) != "Superseded" {
		t.Errorf("ended %s: %+v", ended(up), up.Status.Why)
	}
	checkSafePoint(t, c)
	l.decide()
	if !gone(l, "main", &v1.Fleet{}) {
		t.Error("the fleet stays")
	}
}

// TestForgettingAMember ends an upgrade of a cluster that nobody will reach any
// more, with what was left on it; without that it waits.
func TestForgettingAMember(t *testing.T) {
	l, c := begin(t)
	l.see("eu-1")
	l.ride("eu-1.1", "draining", draining(c))
	c.takeDown(true)
	l.remove("eu-1", &v1.MemberCluster{})
	l.see("eu-1")
	for range 3 {
		l.clock.Step(max(time.Second, l.move("eu-1.1")))
	}
	if up := l.upgrade("eu-1.1"); isEnded(up) || up.Status.Why.Code != "Unreachable" {
		t.Fatalf("ended %q: %+v, want that it waits", ended(up), up.Status.Why)
	}
	edit(l, "eu-1", &v1.MemberCluster{}, func(mc *v1.MemberCluster) {
		mc.Annotations = map[string]string{v1.ForgetAnnotation: "the account is closed"}
	})
	l.move("eu-1.1")
	up := l.upgrade("eu-1.1")
	if ended(up) != "Superseded" || up.Status.Why.Code != "MemberGone" || up.Status.Why.Message != "its MemberCluster is gone: forgotten: the account is closed" {
		t.Errorf("ended %q: %+v", ended(up), up.Status.Why)
	}
	l.see("eu-1")
	if !gone(l, "eu-1", &v1.MemberCluster{}) {
		t.Error("the member stays")
	}
}

// TestProviderCallsAMemberGone: there is nothing left to wait for.
func TestProviderCallsAMemberGone(t *testing.T) {
	l, c := begin(t)
	l.ride("eu-1.1", "draining", draining(c))
	c.fail(fake.Observe, stop(provider.CodeUnknownCluster, "there is no cluster eu-1"))
	l.move("eu-1.1")
	if up := l.upgrade("eu-1.1"); ended(up) != "Superseded" || up.Status.Why.Code != "MemberGone" {
		t.Errorf("ended %q: %+v", ended(up), up.Status.Why)
	}
}

// TestUpgradesAreHeld by a freeze of everything, by a release that is withdrawn,
// and by a fleet that halted after they began: nothing is begun meanwhile. A
// freeze that ends lets them go on.
func TestUpgradesAreHeld(t *testing.T) {
	freeze := &v1.Freeze{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "incident"},
		Spec:       v1.FreezeSpec{Fleet: "main", Member: "eu-1", Stops: v1.StopsEverything, Reason: "incident 4711"},
	}
	for _, test := range []struct {
		code    string
		happens func(*loops)
		ends    func(*loops)
	}{
		{
			"Frozen", func(l *loops) { l.add(freeze.DeepCopy()) },
			func(l *loops) { l.remove("incident", &v1.Freeze{}) },
		},
		{
			"Withdrawn", func(l *loops) {
				edit(l, "2026.11", &v1.Release{}, func(r *v1.Release) { r.Spec.Withdrawn = &v1.Withdrawal{Reason: "loses volumes"} })
			}, nil,
		},
	} {
		t.Run(test.code, func(t *testing.T) {
			l, c := begin(t)
			l.ride("eu-1.1", "draining", draining(c))
			test.happens(l)
			l.ride("eu-1.1", "held", func(up *v1.ClusterUpgrade) bool { return codeOf(up) == test.code })
			checkSafePoint(t, c)
			calls := len(c.changes())
			for range 20 {
				l.clock.Step(max(time.Second, l.move("eu-1.1")))
			}
			if len(c.changes()) != calls {
				t.Errorf("calls while held: %v", c.changes()[calls:])
			}
			if test.ends == nil {
				return
			}
			test.ends(l)
			l.ride("eu-1.1", "ended", isEnded)
			if got := ended(l.upgrade("eu-1.1")); got != "Done" {
				t.Errorf("ended %s, want Done", got)
			}
		})
	}
	t.Run("Halted", heldByAHaltedFleet)
}

func codeOf(up *v1.ClusterUpgrade) string {
	if up.Status.Why == nil {
		return ""
	}
	return up.Status.Why.Code
}

// heldByAHaltedFleet: the failures of others hold who has not changed its control
// plane yet; who began after that was let go on by a person.
func heldByAHaltedFleet(t *testing.T) {
	l, c := begin(t)
	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.Waves[0].MaxConcurrent = intstr.FromInt32(3) })
	l.clock.Step(time.Second)
	l.addMember("eu-2", shape{version: "v1.36.3", offers: offers, pools: map[string]int{"a": 1}, floor: -1}).surge = 1
	l.see("eu-2")
	l.addUpgrade(l.fleet("main"), "eu-2", 1, "Failed")
	l.decide()
	l.ride("eu-1.1", "held", func(up *v1.ClusterUpgrade) bool { return codeOf(up) == "Halted" })
	if operations := c.operations(); len(operations) > 0 {
		t.Errorf("operations %v", operations)
	}
	l.clock.Step(time.Minute)
	l.add(&v1.Approval{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "again"},
		Spec:       v1.ApprovalSpec{Fleet: "main", Revision: 1, Subject: v1.SubjectRetry, Name: "eu-2", Reason: "disk replaced"},
	})
	l.see("eu-2")
	l.decide()
	if up := l.upgrade("eu-2.2"); isEnded(up) {
		t.Fatal("eu-2.2 has ended")
	}
	l.ride("eu-2.2", "ended", isEnded)
	if got := ended(l.upgrade("eu-2.2")); got != "Done" {
		t.Errorf("eu-2.2 ended %s, want Done", got)
	}
}
