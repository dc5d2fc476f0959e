package member

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"refit.dev/refit/internal/fleet"
)

var (
	leases = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
	us     = fleet.Holder{Hub: "hub-1", Upgrade: "up-1"}
)

func aLease(holder string) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "refit", UID: "uid-lease", ResourceVersion: "8"},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &holder, LeaseDurationSeconds: new(int32(300)), RenewTime: new(metav1.NewMicroTime(ten)),
		},
	}
}

func TestReadClaim(t *testing.T) {
	nobody := aLease("")
	nobody.Spec = coordinationv1.LeaseSpec{}
	for name, c := range map[string]struct {
		lease *coordinationv1.Lease
		want  fleet.Claim
	}{
		"none":     {nil, fleet.Claim{Seen: true}},
		"nobody's": {nobody, fleet.Claim{Seen: true, UID: "uid-lease", ResourceVersion: "8"}},
		"a hub's": {aLease("hub-2/up-7"), fleet.Claim{
			Seen: true, Holder: fleet.Holder{Hub: "hub-2", Upgrade: "up-7"}, Renewed: ten, Lasts: 5 * time.Minute, UID: "uid-lease", ResourceVersion: "8",
		}},
		"somebody else's": {aLease("what is that"), fleet.Claim{
			Seen: true, Holder: fleet.Holder{Hub: "what is that"}, Renewed: ten, Lasts: 5 * time.Minute, UID: "uid-lease", ResourceVersion: "8",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			kube := kubefake.NewSimpleClientset()
			if c.lease != nil {
				kube = kubefake.NewSimpleClientset(c.lease)
			}
			got, err := (&Client{Kube: kube}).claim(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("claim (-want +got):\n%s", diff)
			}
		})
	}
}

// TestClaim: a claim is created where there was none, and else written over the
// one that was seen and no other.
func TestClaim(t *testing.T) {
	kube := kubefake.NewSimpleClientset()
	client := &Client{Kube: kube}
	read := func() fleet.Claim {
		t.Helper()
		claim, err := client.claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return claim
	}
	if err := client.Claim(t.Context(), ClaimRef{}, us, 5*time.Minute, ten); err != nil {
		t.Fatal(err)
	}
	want := fleet.Claim{Seen: true, Holder: us, Renewed: ten, Lasts: 5 * time.Minute}
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("claim (-want +got):\n%s", diff)
	}
	other := fleet.Holder{Hub: "hub-2", Upgrade: "up-1"}
	if err := client.Claim(t.Context(), ClaimRef{}, other, time.Minute, ten); !errors.Is(err, ErrChanged) {
		t.Errorf("a second one is answered with %v, want ErrChanged", err)
	}

	// client-go's fake takes any resource version for the one it has.
	var sent *coordinationv1.Lease
	answer := error(nil)
	kube.PrependReactor("update", "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
		sent = action.(clienttesting.UpdateAction).GetObject().(*coordinationv1.Lease)
		return answer != nil, nil, answer
	})
	later := ten.Add(time.Minute)
	if err := client.Claim(t.Context(), ClaimRef{UID: "uid-lease", ResourceVersion: "8"}, us, 5*time.Minute, later); err != nil {
		t.Fatal(err)
	}
	if sent.UID != "uid-lease" || sent.ResourceVersion != "8" || !read().Renewed.Equal(later) {
		t.Errorf("sent for UID %q, resource version %q; renewed %s", sent.UID, sent.ResourceVersion, read().Renewed)
	}
	for _, answer = range []error{
		apierrors.NewConflict(leases, "refit", errors.New("modified")), apierrors.NewNotFound(leases, "refit"),
	} {
		if err := client.Claim(t.Context(), ClaimRef{UID: "uid-lease", ResourceVersion: "8"}, us, time.Minute, ten); !errors.Is(err, ErrChanged) {
			t.Errorf("%v came to %v, want ErrChanged", answer, err)
		}
	}
	answer = apierrors.NewForbidden(leases, "refit", errors.New("no right"))
	err := client.Claim(t.Context(), ClaimRef{UID: "uid-lease", ResourceVersion: "8"}, us, time.Minute, ten)
	if want := "write lease kube-system/refit: " + answer.Error(); textOf(err) != want || errors.Is(err, ErrChanged) {
		t.Errorf("error is %v, want %s", err, want)
	}
}

// TestRelease: what goes is the claim that was seen, if it is still there.
func TestRelease(t *testing.T) {
	kube := kubefake.NewSimpleClientset(aLease("hub-1/up-1"))
	client := &Client{Kube: kube}
	var sent metav1.DeleteOptions
	answer := error(nil)
	kube.PrependReactor("delete", "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
		sent = action.(clienttesting.DeleteActionImpl).DeleteOptions
		return answer != nil, nil, answer
	})
	seen := ClaimRef{UID: "uid-lease", ResourceVersion: "8"}
	answer = apierrors.NewConflict(leases, "refit", errors.New("the precondition does not match"))
	if err := client.Release(t.Context(), seen); !errors.Is(err, ErrChanged) {
		t.Errorf("another than was seen: %v, want ErrChanged", err)
	}
	answer = nil
	if err := client.Release(t.Context(), seen); err != nil {
		t.Error(err)
	}
	if *sent.Preconditions.UID != "uid-lease" || *sent.Preconditions.ResourceVersion != "8" {
		t.Errorf("preconditions are %v", sent.Preconditions)
	}
	if claim, err := client.claim(t.Context()); err != nil || !claim.IsZero() {
		t.Errorf("claimed by %v, %v", claim.Holder, err)
	}
	if err := client.Release(t.Context(), seen); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
}

func TestHolds(t *testing.T) {
	const lost = "the member is not claimed by this upgrade any more: it is claimed by "
	for _, c := range []struct {
		lease *coordinationv1.Lease
		as    fleet.Holder
		want  string
	}{
		{aLease("hub-1/up-1"), us, ""},
		{aLease("hub-1/up-2"), us, lost + `"hub-1/up-2"`},
		{aLease("hub-2/up-1"), us, lost + `"hub-2/up-1"`},
		{aLease(""), us, lost + `""`},
		{aLease(""), fleet.Holder{}, lost + `""`},
	} {
		err := (&Client{Kube: kubefake.NewSimpleClientset(c.lease)}).Holds(t.Context(), c.as)
		if textOf(err) != c.want || (err != nil) != errors.Is(err, ErrNotClaimed) {
			t.Errorf("claimed by %q, for %v: %v, want %s", *c.lease.Spec.HolderIdentity, c.as, err, c.want)
		}
	}
	silent := kubefake.NewSimpleClientset()
	silent.PrependReactor("get", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("connection refused")
	})
	err := (&Client{Kube: silent}).Holds(t.Context(), us)
	if textOf(err) != "get lease kube-system/refit: connection refused" || errors.Is(err, ErrNotClaimed) {
		t.Errorf("of a silent member: %v", err)
	}
}
