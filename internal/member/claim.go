package member

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"refit.dev/refit/internal/fleet"
)

// The claim is a Lease in the member: kubectl get lease -n kube-system refit
// tells who changes it.
const (
	claimNamespace = "kube-system"
	claimName      = "refit"
)

// ErrNotClaimed means that the member does not say any more that the holder
// changes it: nothing may be done to it.
var ErrNotClaimed = errors.New("the member is not claimed by this upgrade any more")

// ClaimRef is a claim as it was observed; empty where there was none.
type ClaimRef struct{ UID, ResourceVersion string }

// Claim makes the member say that the holder changes it, as the successor of
// the claim that was observed. Where that is another by now, it is ErrChanged.
func (c *Client) Claim(ctx context.Context, seen ClaimRef, holder fleet.Holder, lasts time.Duration, now time.Time) error {
	at := metav1.NewMicroTime(now)
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: claimNamespace, Name: claimName, UID: types.UID(seen.UID), ResourceVersion: seen.ResourceVersion,
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new(writeHolder(holder)), LeaseDurationSeconds: new(int32(lasts / time.Second)),
			RenewTime: &at,
		},
	}
	leases := c.Kube.CoordinationV1().Leases(claimNamespace)
	var err error
	if seen == (ClaimRef{}) {
		_, err = leases.Create(ctx, lease, metav1.CreateOptions{FieldManager: "refit"})
	} else {
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{FieldManager: "refit"})
	}
	return changed("write lease", err)
}

// Release takes the claim that was observed from the member. One that is gone
// needs no release.
func (c *Client) Release(ctx context.Context, seen ClaimRef) error {
	err := c.Kube.CoordinationV1().Leases(claimNamespace).Delete(ctx, claimName, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: new(types.UID(seen.UID)), ResourceVersion: &seen.ResourceVersion},
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return changed("delete lease", err)
}

// Holds makes sure, by asking the API server now, that the member is the
// holder's to change; else it is ErrNotClaimed.
func (c *Client) Holds(ctx context.Context, holder fleet.Holder) error {
	claim, err := c.claim(ctx)
	if err != nil {
		return err
	}
	if holder.IsZero() || claim.Holder != holder {
		return fmt.Errorf("%w: it is claimed by %q", ErrNotClaimed, writeHolder(claim.Holder))
	}
	return nil
}

// claim reads the member's claim from the API server itself.
func (c *Client) claim(ctx context.Context) (fleet.Claim, error) {
	lease, err := c.Kube.CoordinationV1().Leases(claimNamespace).Get(ctx, claimName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fleet.Claim{Seen: true}, nil
	}
	if err != nil {
		return fleet.Claim{}, fmt.Errorf("get lease %s/%s: %w", claimNamespace, claimName, err)
	}
	claim := fleet.Claim{
		Seen: true, Holder: readHolder(ptr.Deref(lease.Spec.HolderIdentity, "")),
		Lasts: time.Duration(ptr.Deref(lease.Spec.LeaseDurationSeconds, 0)) * time.Second,
		UID:   string(lease.UID), ResourceVersion: lease.ResourceVersion,
	}
	if lease.Spec.RenewTime != nil {
		claim.Renewed = lease.Spec.RenewTime.Time
	}
	return claim, nil
}

func writeHolder(h fleet.Holder) string {
	if h.IsZero() {
		return ""
	}
	return h.Hub + "/" + h.Upgrade
}

// readHolder takes a text that is not ours for a hub's: it is somebody's.
func readHolder(text string) fleet.Holder {
	hub, upgrade, _ := strings.Cut(text, "/")
	return fleet.Holder{Hub: hub, Upgrade: upgrade}
}

func changed(doing string, err error) error {
	doing = fmt.Sprintf("%s %s/%s", doing, claimNamespace, claimName)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("%s: %w: %w", doing, ErrChanged, err)
	}
	return wrap(doing, err)
}
