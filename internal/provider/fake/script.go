package fake

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"refit.dev/refit/internal/provider"
)

// Verb is one kind of call.
type Verb string

// The verbs: those of the port, then those of a cluster's own API.
const (
	Observe             Verb = "Observe"
	Connect             Verb = "Connect"
	UpgradeControlPlane Verb = "UpgradeControlPlane"
	SetPoolTemplate     Verb = "SetPoolTemplate"
	AddNode             Verb = "AddNode"
	RemoveNode          Verb = "RemoveNode"

	PatchNode   Verb = "PatchNode"
	EvictPod    Verb = "EvictPod"
	DeletePod   Verb = "DeletePod"
	WriteLease  Verb = "WriteLease"
	DeleteLease Verb = "DeleteLease"
)

// ofMember tells whether a verb is of a cluster's own API.
func (v Verb) ofMember() bool {
	return slices.Contains([]Verb{PatchNode, EvictPod, DeletePod, WriteLease, DeleteLease}, v)
}

// Mishap is one way in which a call goes wrong.
type Mishap string

// The mishaps.
const (
	none Mishap = ""
	// Refused: the call comes to nothing, and is answered with Fault.Err.
	Refused Mishap = "Refused"
	// Lost: the call takes effect, and its reply never arrives.
	Lost Mishap = "Lost"
	// Throttled: the call comes to nothing; another is welcome after Fault.After.
	Throttled Mishap = "Throttled"
	// Expired: the call comes to nothing, since its credentials have expired.
	Expired Mishap = "Expired"
	// OperationFails: the operation is accepted, and fails in the end.
	OperationFails Mishap = "OperationFails"
	// NeverJoins: the instance is made, and never becomes a node.
	NeverJoins Mishap = "NeverJoins"
)

// Always is a number of Times that never runs out.
const Always = -1

// Fault is a mishap and the calls that it befalls.
type Fault struct {
	// Cluster that it befalls; empty is each, by itself.
	Cluster string
	Verb    Verb
	Mishap  Mishap
	// Times it befalls a call; 0 is once.
	Times int
	// Share of the calls, drawn by the script's seed; 0 is all.
	Share float64
	After time.Duration
	Err   error
}

// Script is all that goes wrong. The first of its faults that befalls a call is
// the one.
type Script struct {
	Seed   uint64
	Faults []Fault
}

// staged is a cluster's part of a script, and how far it was played.
type staged struct {
	seed   uint64
	name   string
	faults []stagedFault
}

type stagedFault struct {
	Fault

	met, left int
}

func (s Script) forCluster(name string) staged {
	part := staged{seed: s.Seed, name: name}
	for _, fault := range s.Faults {
		if fault.Cluster == "" || fault.Cluster == name {
			part.add(fault)
		}
	}
	return part
}

func (s *staged) add(fault Fault) {
	left := fault.Times
	if left == 0 {
		left = 1
	}
	s.faults = append(s.faults, stagedFault{Fault: fault, left: left})
}

// draw is the fault that befalls the next call of a verb, the zero Fault for none.
func (s *staged) draw(verb Verb) Fault {
	for i := range s.faults {
		f := &s.faults[i]
		if f.Verb != verb || f.left == 0 {
			continue
		}
		f.met++
		if f.Share > 0 && s.chance(i, f.met) >= f.Share {
			continue
		}
		if f.left > 0 {
			f.left--
		}
		return f.Fault
	}
	return Fault{}
}

// chance depends on nothing but the seed, the cluster, the fault, and the number
// of the call among those that it could befall: not on what other calls there are.
func (s *staged) chance(fault, met int) float64 {
	hash := fnv.New64a()
	_, _ = fmt.Fprintf(hash, "%s/%d/%d", s.name, fault, met)     // a hash takes everything
	return rand.New(rand.NewPCG(s.seed, hash.Sum64())).Float64() //nolint:gosec // to be repeatable is the point
}

var errReset = errors.New("connection reset by peer")

// answer is the error that the caller gets; nil where the mishap shows later.
func (f Fault) answer() error {
	switch f.Mishap {
	case Refused:
		if f.Err == nil {
			return errReset
		}
		return f.Err
	case Lost:
		if f.Err == nil && !f.Verb.ofMember() {
			return &provider.Fault{Class: provider.Retry, Code: provider.CodeUnreachable, Err: errReset}
		} else if f.Err == nil {
			return errReset
		}
		return f.Err
	case Throttled:
		if f.Verb.ofMember() {
			return apierrors.NewTooManyRequests("too many requests", int(f.After.Seconds()))
		}
		return &provider.Fault{Class: provider.Retry, Code: provider.CodeThrottled, After: f.After, Err: errors.New("rate exceeded")}
	case Expired:
		if f.Verb.ofMember() {
			return apierrors.NewUnauthorized("credentials have expired")
		}
		return errExpired()
	case none, OperationFails, NeverJoins:
	}
	return nil
}

// errExpired is worth another try, with credentials that whoever mints them may
// have renewed by then.
func errExpired() error {
	return &provider.Fault{Class: provider.Retry, Code: provider.CodeUnauthorized, Err: errors.New("credentials have expired")}
}
