package control_test

import (
	"errors"
	"fmt"
	"strconv"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
)

// claims are the Leases of all members, as their API servers keep them, whoever
// asks; each has one at most.
type claims struct {
	leases map[string]*coordinationv1.Lease
	serial int
	// writing is told of each write before it is done.
	writing func(verb, member string)
}

var leases = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}

// serve adds Leases to a member's API server.
func (s *claims) serve(member string, k kube) kube {
	k.PrependReactor("*", "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if verb := action.GetVerb(); s.writing != nil && verb != "get" {
			s.writing(verb, member)
		}
		k.cluster.mu.Lock()
		defer k.cluster.mu.Unlock()
		k.cluster.pass()
		if k.cluster.isSilent() {
			return true, nil, errRefused
		}
		lease, err := s.react(member, action)
		if lease == nil {
			return true, nil, err
		}
		return true, lease.DeepCopy(), err
	})
	return k
}

func (s *claims) react(member string, action clienttesting.Action) (*coordinationv1.Lease, error) {
	stored := s.leases[member]
	switch a := action.(type) {
	case clienttesting.GetActionImpl:
		if stored == nil {
			return nil, apierrors.NewNotFound(leases, a.Name)
		}
		return stored, nil
	case clienttesting.CreateActionImpl:
		if stored != nil {
			return nil, apierrors.NewAlreadyExists(leases, stored.Name)
		}
		return s.store(member, a.Object.(*coordinationv1.Lease)), nil
	case clienttesting.UpdateActionImpl:
		lease := a.Object.(*coordinationv1.Lease)
		if stored == nil {
			return nil, apierrors.NewNotFound(leases, lease.Name)
		}
		if lease.UID != stored.UID || lease.ResourceVersion != stored.ResourceVersion {
			return nil, apierrors.NewConflict(leases, lease.Name, errors.New("the object has been modified"))
		}
		return s.store(member, lease), nil
	case clienttesting.DeleteActionImpl:
		if stored == nil {
			return nil, apierrors.NewNotFound(leases, a.Name)
		}
		if only := a.DeleteOptions.Preconditions; *only.UID != stored.UID || *only.ResourceVersion != stored.ResourceVersion {
			return nil, apierrors.NewConflict(leases, a.Name, errors.New("the precondition does not match"))
		}
		delete(s.leases, member)
		return nil, nil
	}
	return nil, fmt.Errorf("a made-up API server does not know %T of leases", action)
}

func (s *claims) store(member string, lease *coordinationv1.Lease) *coordinationv1.Lease {
	s.serial++
	lease = lease.DeepCopy()
	if s.leases[member] == nil {
		lease.UID = types.UID(fmt.Sprintf("uid-of-lease-%d", s.serial))
	}
	lease.ResourceVersion = strconv.Itoa(s.serial)
	s.leases[member] = lease
	return lease
}

// holder is who has claimed a member; empty where nobody has.
func (s *claims) holder(member string) string {
	if lease := s.leases[member]; lease != nil {
		return *lease.Spec.HolderIdentity
	}
	return ""
}
