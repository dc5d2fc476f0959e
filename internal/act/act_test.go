package act_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"

	"refit.dev/refit/internal/act"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/member"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/source"
)

// rig is an Actor over a provider and an API server that write down what they
// are asked for, and answer all of it with one error.
type rig struct {
	actor   *act.Actor
	cluster provider.Cluster
	asked   []string
	answer  error
}

// plain is a provider that cannot replace nodes.
type plain struct{ *rig }

// replacing is one that can.
type replacing struct{ plain }

func (p plain) note(format string, args ...any) error {
	p.asked = append(p.asked, fmt.Sprintf(format, args...))
	return p.answer
}

func (p plain) Observe(context.Context, provider.Ref) (provider.Observation, error) {
	return provider.Observation{}, p.note("Observe")
}

func (p plain) Connect(_ context.Context, ref provider.Ref) (*rest.Config, error) {
	return &rest.Config{Host: ref.Name}, nil
}

func (p plain) Ensure(_ context.Context, ref provider.Ref, change provider.Change) (provider.Operation, error) {
	return provider.Operation{}, p.note("Ensure %s: %s %s → %s, token %s",
		ref.Name, change.Part, change.From.Version, change.To.Version, change.Token)
}

func (p plain) Write(_ context.Context, what fleet.SourceRef, from, to fleet.Declared, message string) error {
	return p.note("Write %s of %s: %s → %s: %s", what.File, what.URL, from, to, message)
}

func (p replacing) AddNode(_ context.Context, ref provider.Ref, add provider.NodeAddition) error {
	return p.note("AddNode %s: %+v", ref.Name, add)
}

func (p replacing) RemoveNode(_ context.Context, ref provider.Ref, removal provider.NodeRemoval) error {
	return p.note("RemoveNode %s: %+v", ref.Name, removal)
}

var ten = time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC)

// holder has claimed the member.
var holder = fleet.Holder{Hub: "hub-1", Upgrade: "up-1"}

const undo = `{"upgrade":"up-1","unschedulable":true}`

func newRig() *rig {
	r := &rig{}
	r.cluster = provider.Cluster{Name: "eu-1", Provider: replacing{plain{r}}, Ref: provider.Ref{Name: "cloud-name"}}
	kube := kubefake.NewSimpleClientset(&coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "refit", UID: "uid-of-lease", ResourceVersion: "3"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: new("hub-1/up-1")},
	}, &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: "a-1", UID: "uid-1", ResourceVersion: "7", Annotations: map[string]string{member.UndoAnnotation: undo},
	}})
	kube.PrependReactor("patch", "nodes", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patch := action.(clienttesting.PatchAction)
		return true, &corev1.Node{}, plain{r}.note("Patch node %s: %s", patch.GetName(), patch.GetPatch())
	})
	kube.PrependReactor("create", "pods/eviction", func(action clienttesting.Action) (bool, runtime.Object, error) {
		eviction := action.(clienttesting.CreateAction).GetObject().(*policyv1.Eviction)
		return true, nil, plain{r}.note("Evict pod %s/%s, UID %s", eviction.Namespace, eviction.Name, *eviction.DeleteOptions.Preconditions.UID)
	})
	for _, verb := range []string{"create", "update", "delete"} {
		kube.PrependReactor(verb, "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
			return true, &coordinationv1.Lease{}, plain{r}.note("%s", leaseCall(action))
		})
	}
	clients := &member.Clients{Dial: func(*rest.Config) (*member.Client, error) { return &member.Client{Kube: kube}, nil }}
	r.actor = &act.Actor{Members: clients, Sources: plain{r}, Clock: clocktesting.NewFakePassiveClock(ten)}
	return r
}

// leaseCall is a write of a lease in words.
func leaseCall(action clienttesting.Action) string {
	switch a := action.(type) {
	case clienttesting.DeleteActionImpl:
		only := a.DeleteOptions.Preconditions
		return fmt.Sprintf("delete lease %s/%s, UID %s, version %s", a.Namespace, a.Name, *only.UID, *only.ResourceVersion)
	case clienttesting.CreateActionImpl:
		lease := a.Object.(*coordinationv1.Lease)
		return fmt.Sprintf("create lease %s/%s for %s", a.Namespace, lease.Name, *lease.Spec.HolderIdentity)
	case clienttesting.UpdateActionImpl:
		lease := a.Object.(*coordinationv1.Lease)
		return fmt.Sprintf("update lease %s/%s, UID %s, version %s: %s for %ds from %s", a.Namespace, lease.Name, lease.UID, lease.ResourceVersion,
			*lease.Spec.HolderIdentity, *lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime.UTC().Format(time.TimeOnly))
	}
	return fmt.Sprintf("%T", action)
}

// actions are one of each, with the call that each becomes.
func actions() []struct {
	action plan.Action
	call   string
} {
	from, to := fleet.Version{Major: 1, Minor: 36, Patch: 4}, fleet.Version{Major: 1, Minor: 37, Patch: 2}
	return []struct {
		action plan.Action
		call   string
	}{
		{
			plan.UpgradeControlPlane{From: from, To: to, Token: "t1"},
			"Ensure cloud-name: control plane v1.36.4 → v1.37.2, token t1",
		},
		{
			plan.SetPoolTemplate{Pool: "a", From: from, To: to, Token: "t2"},
			"Ensure cloud-name: pool a v1.36.4 → v1.37.2, token t2",
		},
		{
			plan.UpgradePool{Pool: "b", From: from, To: to, Token: "t4"},
			"Ensure cloud-name: pool b v1.36.4 → v1.37.2, token t4",
		},
		{
			plan.AddNode{Pool: "a", Replaces: "i-1", Token: "t3"},
			"AddNode cloud-name: {Pool:a Replaces:i-1 Token:t3}",
		},
		{
			plan.RemoveNode{Pool: "a", Instance: "i-1", Node: "a-1", UID: "uid-1"},
			"RemoveNode cloud-name: {Pool:a Instance:i-1}",
		},
		{
			plan.Cordon{Node: "a-1", UID: "uid-1", ResourceVersion: "7", Upgrade: "up-1", WasCordoned: true},
			`Patch node a-1: {"metadata":{"uid":"uid-1","resourceVersion":"7","annotations":` +
				`{"refit.dev/undo":"{\"upgrade\":\"up-1\",\"unschedulable\":true,\"at\":\"2026-11-03T22:00:00Z\"}"}},"spec":{"unschedulable":true}}`,
		},
		{
			plan.WriteSource{Source: fleet.SourceRef{URL: "https://git.example/infra", File: "eks.tf"}, From: "1.36", To: "1.37", Message: "Upgrade"},
			"Write eks.tf of https://git.example/infra: 1.36 → 1.37: Upgrade",
		},
		{
			plan.Evict{Namespace: "shop", Pod: "web-1", UID: "uid-web-1", Node: "a-1"},
			"Evict pod shop/web-1, UID uid-web-1",
		},
		{
			plan.Restore{Node: "a-1", UID: "uid-1", Upgrade: "up-1"},
			`Patch node a-1: {"metadata":{"uid":"uid-1","resourceVersion":"7","annotations":{"refit.dev/undo":null}},"spec":{"unschedulable":true}}`,
		},
		{
			plan.Claim{Holder: fleet.Holder{Hub: "hub-2", Upgrade: "up-2"}, Lasts: 5 * time.Minute},
			"create lease kube-system/refit for hub-2/up-2",
		},
		{
			plan.Claim{Holder: holder, Lasts: 5 * time.Minute, UID: "uid-of-lease", ResourceVersion: "3"},
			"update lease kube-system/refit, UID uid-of-lease, version 3: hub-1/up-1 for 300s from 22:00:00",
		},
		{
			plan.Release{Holder: holder, UID: "uid-of-lease", ResourceVersion: "3"},
			"delete lease kube-system/refit, UID uid-of-lease, version 3",
		},
	}
}

func TestEachActionIsOneCall(t *testing.T) {
	for _, c := range actions() {
		t.Run(c.action.String(), func(t *testing.T) {
			r := newRig()
			result, err := r.actor.Do(t.Context(), r.cluster, holder, c.action)
			if err != nil || result != act.Accepted {
				t.Errorf("came to %q, %v", result, err)
			}
			if diff := cmp.Diff([]string{c.call}, r.asked); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever is answered, an error says which action of which member it is of,
// and keeps the class that was given to it.
func TestErrorsAreOfTheAction(t *testing.T) {
	for _, c := range actions() {
		for _, answer := range []error{
			&provider.Fault{Class: provider.Stop, Code: provider.CodeChanged, Err: errors.New("it is at v1.35.0")},
			&provider.Fault{Class: provider.Wait, Code: provider.CodeInProgress, After: time.Minute, Err: errors.New("maintenance")},
			errors.New("connection reset"),
		} {
			t.Run(fmt.Sprint(c.action, ": ", answer), func(t *testing.T) {
				r := newRig()
				r.answer = answer
				result, err := r.actor.Do(t.Context(), r.cluster, holder, c.action)
				if result != "" || err == nil || !errors.Is(err, answer) {
					t.Fatalf("came to %q, %v; want %v", result, err, answer)
				}
				want := provider.AsFault(answer)
				if got := provider.AsFault(err); got.Class != want.Class || got.After != want.After {
					t.Errorf("fault is of %s, after %s; want %s, %s", got.Class, got.After, want.Class, want.After)
				}
				if prefix := fmt.Sprintf("eu-1: %s: ", c.action); !strings.HasPrefix(err.Error(), prefix) {
					t.Errorf("error is %q, want it to begin with %q", err, prefix)
				}
			})
		}
	}
}

// Two answers are no errors: a budget that does not allow it now, and a world
// that has moved on.
func TestAnswersThatAreNoErrors(t *testing.T) {
	nodes := schema.GroupResource{Resource: "nodes"}
	cordon := plan.Cordon{Node: "a-1", UID: "uid-1", ResourceVersion: "7", Upgrade: "up-1"}
	restore := plan.Restore{Node: "a-1", UID: "uid-1", Upgrade: "up-1"}
	evict := plan.Evict{Namespace: "shop", Pod: "web-1", UID: "uid-web-1"}
	leases := schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
	claim, release := plan.Claim{Holder: holder}, plan.Release{UID: "uid-of-lease", ResourceVersion: "3"}
	for _, c := range []struct {
		action plan.Action
		answer error
		want   act.Result
	}{
		{evict, apierrors.NewTooManyRequests("the budget", 0), act.Refused},
		{evict, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "web-1"), act.Outdated},
		{cordon, apierrors.NewConflict(nodes, "a-1", errors.New("modified")), act.Outdated},
		{cordon, apierrors.NewNotFound(nodes, "a-1"), act.Outdated},
		{restore, apierrors.NewConflict(nodes, "a-1", errors.New("modified")), act.Outdated},
		{claim, apierrors.NewAlreadyExists(leases, "refit"), act.Outdated},
		{plan.WriteSource{}, source.ErrChanged, act.Outdated},
		{release, apierrors.NewConflict(leases, "refit", errors.New("modified")), act.Outdated},
	} {
		t.Run(fmt.Sprint(c.action, ": ", c.answer), func(t *testing.T) {
			r := newRig()
			r.answer = c.answer
			result, err := r.actor.Do(t.Context(), r.cluster, holder, c.action)
			if err != nil || result != c.want {
				t.Errorf("came to %q, %v; want %q", result, err, c.want)
			}
		})
	}
}

// A restore of what is not ours changes nothing, and is done.
func TestRestoreOfAnothers(t *testing.T) {
	r := newRig()
	result, err := r.actor.Do(t.Context(), r.cluster, holder, plan.Restore{Node: "a-1", UID: "uid-1", Upgrade: "up-2"})
	if err != nil || result != act.Accepted || len(r.asked) > 0 {
		t.Errorf("came to %q, %v, calls %v", result, err, r.asked)
	}
}

// To ask for single nodes where there are none is refused for good.
func TestProviderWithoutNodes(t *testing.T) {
	for _, action := range []plan.Action{plan.AddNode{Pool: "a"}, plan.RemoveNode{Pool: "a", Node: "a-1"}} {
		r := newRig()
		r.cluster.Provider = plain{r}
		_, err := r.actor.Do(t.Context(), r.cluster, holder, action)
		if fault := provider.AsFault(err); fault.Class != provider.Stop || fault.Code != provider.CodeInvalid || len(r.asked) > 0 {
			t.Errorf("%s: came to %v, calls %v", action, err, r.asked)
		}
	}
}

// A member that cannot be reached is a fault like any other.
func TestMemberWithoutClient(t *testing.T) {
	r := newRig()
	r.actor.Members.Dial = func(*rest.Config) (*member.Client, error) { return nil, errors.New("no certificate") }
	_, err := r.actor.Do(t.Context(), r.cluster, holder, plan.Evict{Namespace: "shop", Pod: "web-1", UID: "uid-web-1", Node: "a-1"})
	const want = "eu-1: evict pod shop/web-1 from a-1: connect to eu-1: no certificate"
	if err == nil || err.Error() != want || provider.AsFault(err).Class != provider.Retry {
		t.Errorf("error is %v, want %s", err, want)
	}
}

// Once the member says that somebody else changes it, or nobody, nothing is done
// to it: it is asked right before each change. Claims themselves are guarded by
// what was seen of them.
func TestNothingWithoutTheClaim(t *testing.T) {
	for _, c := range actions() {
		_, claims := c.action.(plan.Claim)
		if _, releases := c.action.(plan.Release); claims || releases {
			continue
		}
		for _, as := range []fleet.Holder{{Hub: "hub-2", Upgrade: "up-1"}, {Hub: "hub-1", Upgrade: "up-2"}, {}} {
			r := newRig()
			result, err := r.actor.Do(t.Context(), r.cluster, as, c.action)
			if err != nil || result != act.NotClaimed || len(r.asked) > 0 {
				t.Errorf("%s for %v: came to %q, %v, calls %v; want NotClaimed and none", c.action, as, result, err, r.asked)
			}
		}
	}
}
