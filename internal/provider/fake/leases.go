package fake

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func copyLeases(leases map[string]coordinationv1.Lease) map[string]coordinationv1.Lease {
	all := maps.Clone(leases)
	for key, lease := range all {
		all[key] = *lease.DeepCopy()
	}
	return all
}

func (c *Cluster) allLeases() []object {
	var all []object
	for _, key := range slices.Sorted(maps.Keys(c.state.Leases)) {
		lease := c.state.Leases[key]
		all = append(all, lease.DeepCopy())
	}
	return all
}

func (c *Cluster) createLease(lease *coordinationv1.Lease) error {
	key := lease.Namespace + "/" + lease.Name
	if _, ok := c.state.Leases[key]; ok {
		return apierrors.NewAlreadyExists(resources()["leases"].group(), lease.Name)
	}
	c.storeLease(key, lease)
	return nil
}

// updateLease refuses what was read before another wrote.
func (c *Cluster) updateLease(lease *coordinationv1.Lease) error {
	key := lease.Namespace + "/" + lease.Name
	known, ok := c.state.Leases[key]
	switch {
	case !ok:
		return apierrors.NewNotFound(resources()["leases"].group(), lease.Name)
	case lease.ResourceVersion != "" && lease.ResourceVersion != known.ResourceVersion, lease.UID != "" && lease.UID != known.UID:
		return apierrors.NewConflict(resources()["leases"].group(), lease.Name, errors.New("the object has been modified"))
	}
	c.storeLease(key, lease)
	return nil
}

func (c *Cluster) storeLease(key string, lease *coordinationv1.Lease) {
	revision := c.revised()
	lease.ResourceVersion = strconv.Itoa(revision)
	if known, ok := c.state.Leases[key]; ok {
		lease.UID, lease.CreationTimestamp = known.UID, known.CreationTimestamp
	} else {
		lease.UID, lease.CreationTimestamp = uidOf(fmt.Sprintf("lease-%d", revision)), metav1.NewTime(c.clock.Now())
	}
	c.state.Leases[key] = *lease.DeepCopy()
}

// deleteLease refuses where what is to go is not what was meant.
func (c *Cluster) deleteLease(key string, only metav1.Preconditions) error {
	known, ok := c.state.Leases[key]
	switch {
	case !ok:
		return apierrors.NewNotFound(resources()["leases"].group(), key)
	case only.UID != nil && *only.UID != known.UID, only.ResourceVersion != nil && *only.ResourceVersion != known.ResourceVersion:
		return apierrors.NewConflict(resources()["leases"].group(), key, errors.New("the precondition does not match"))
	}
	delete(c.state.Leases, key)
	c.delete()
	return nil
}

// reviseLeases gives a new resource version to those that are not as before.
func (c *Cluster) reviseLeases(before map[string]coordinationv1.Lease) {
	for _, key := range slices.Sorted(maps.Keys(c.state.Leases)) {
		if now := c.state.Leases[key]; !equality.Semantic.DeepEqual(before[key], now) {
			c.storeLease(key, &now)
		}
	}
	for key := range before {
		if _, ok := c.state.Leases[key]; !ok {
			c.delete()
		}
	}
}

// readPreconditions are those of a deletion; it need have none.
func readPreconditions(request *http.Request) (metav1.Preconditions, error) {
	if request.Body == nil {
		return metav1.Preconditions{}, nil
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return metav1.Preconditions{}, apierrors.NewBadRequest(err.Error())
	}
	options := &metav1.DeleteOptions{}
	if err := decode(body, options); err != nil {
		return metav1.Preconditions{}, err
	}
	return ptr.Deref(options.Preconditions, metav1.Preconditions{}), nil
}
