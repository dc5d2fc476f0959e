package control_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/provider/fake"
)

func saidBy(person string) map[string]string { return map[string]string{v1.ByAnnotation: person} }

// says creates an Approval or a Freeze as a person does.
func (l *loops) says(person, name string, object client.Object) {
	l.t.Helper()
	object.SetNamespace(namespace)
	object.SetName(name)
	object.SetAnnotations(saidBy(person))
	l.add(object)
}

func resume(revision int64) *v1.Approval {
	return &v1.Approval{Spec: v1.ApprovalSpec{Fleet: "main", Revision: revision, Subject: v1.SubjectResume, Reason: "x"}}
}

func retry(revision int64, member string) *v1.Approval {
	return &v1.Approval{Spec: v1.ApprovalSpec{Fleet: "main", Revision: revision, Subject: v1.SubjectRetry, Name: member, Reason: "x"}}
}

// effort is that of fleet main, after a look.
func (l *loops) effort() *v1.FleetEffort {
	l.t.Helper()
	l.decide()
	return l.fleet("main").Status.Effort
}

func judgeEffort(t *testing.T, what string, want []v1.RevisionEffort, got *v1.FleetEffort) {
	t.Helper()
	if diff := cmp.Diff(want, got.Revisions, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s: revisions (-want +got):\n%s", what, diff)
	}
}

// TestFleetsCountActs: what people do is counted for the revision that it is about,
// by whoever is named on the object; deleting the object is an act of its own, of
// whom nobody is named.
func TestFleetsCountActs(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addMembers("v1.37.2", "eu-1")
	l.says("old", "long-ago", &v1.Freeze{Spec: v1.FreezeSpec{Stops: v1.StopsSkip, Member: "eu-1", Reason: "x"}})
	l.clock.Step(time.Minute)
	began := metav1.NewTime(l.clock.Now())
	l.addFleet("main", "2026.11", nil)
	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Generation, f.Annotations = 0, saidBy("ann") }) // as it was created
	l.effort()

	l.clock.Step(time.Minute)
	l.says("ann", "go-on", resume(1))
	l.says("ann", "again", retry(1, "eu-1"))
	l.says("ben", "again-2", retry(1, "eu-1"))
	l.says("ben", "another", retry(7, "eu-1")) // of a revision that is not there
	l.says("ben", "stop", &v1.Freeze{Spec: v1.FreezeSpec{Fleet: "main", Stops: v1.StopsStarts, Reason: "x"}})
	l.says("ben", "elsewhere", &v1.Freeze{Spec: v1.FreezeSpec{Fleet: "edge", Stops: v1.StopsStarts, Reason: "x"}})
	l.says("cy", "out", &v1.Freeze{Spec: v1.FreezeSpec{Member: "eu-1", Stops: v1.StopsSkip, Reason: "x"}})
	l.says("cy", "hub", &v1.Approval{Spec: v1.ApprovalSpec{Subject: v1.SubjectTakeOver, Hub: hubUID, Name: "lost", Reason: "x"}})
	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.MaxFailures.IntVal, f.Annotations = 1, saidBy("ben") })
	edit(l, "2026.11", &v1.Release{}, func(r *v1.Release) { r.Spec.Withdrawn, r.Annotations = &v1.Withdrawal{Reason: "x"}, saidBy("dan") })
	first := v1.RevisionEffort{
		Revision: 1, Release: "2026.11", Began: &began, Reached: &began,
		People: []v1.PersonEffort{
			{By: "ann", Acts: map[v1.Act]int32{v1.ActRelease: 1, v1.ActResume: 1, v1.ActRetry: 1}},
			{By: "ben", Acts: map[v1.Act]int32{v1.ActEdit: 1, v1.ActRetry: 1, v1.ActPause: 1}},
			{By: "cy", Acts: map[v1.Act]int32{v1.ActTakeOver: 1, v1.ActSkip: 1}},
			{By: "dan", Acts: map[v1.Act]int32{v1.ActWithdraw: 1}},
		},
	}
	got := l.effort()
	judgeEffort(t, "everything", []v1.RevisionEffort{first}, got)
	if !got.Since.Equal(&began) {
		t.Errorf("it is counted since %s, want since the fleet was made", got.Since)
	}
	written := l.writes
	judgeEffort(t, "looked at again", []v1.RevisionEffort{first}, l.effort())
	if l.writes != written {
		t.Errorf("%d writes of what was counted", l.writes-written)
	}

	l.remove("stop", &v1.Freeze{})
	l.says("eve", "late", resume(1))
	first.Unknown = map[v1.Act]int32{v1.ActTakeBack: 1}
	first.Others = map[v1.Act]int32{v1.ActResume: 1}
	judgeEffort(t, "a fifth person, and one taken back", []v1.RevisionEffort{first}, l.effort())

	// Two edits in one look: nobody can tell which of them the last person's was.
	l.clock.Step(time.Hour)
	l.addRelease("2026.12", "v1.37.3")
	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.Release, f.Annotations = "2026.12", saidBy("ann") })
	edit(l, "main", &v1.Fleet{}, func(f *v1.Fleet) { f.Spec.MaxFailures.IntVal, f.Annotations = 2, saidBy("ben") })
	l.says("ann", "go-on-2", resume(2))
	ended := metav1.NewTime(l.clock.Now())
	first.Ended, first.Members = &ended, 1 // which is left out: it is not done, and nobody waits for it
	judgeEffort(t, "the next revision", []v1.RevisionEffort{first, {
		Revision: 2, Release: "2026.12", Began: &ended, Reached: &ended,
		People:  []v1.PersonEffort{{By: "ann", Acts: map[v1.Act]int32{v1.ActResume: 1}}},
		Unknown: map[v1.Act]int32{v1.ActRelease: 1, v1.ActEdit: 1},
	}}, l.effort())
}

// TestFleetsCountAborts: an upgrade that is ended, or deleted under way, is one act;
// a member that is forgotten, too.
func TestFleetsCountAborts(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addMembers("v1.36.4", "eu-1", "eu-2", "eu-3")
	l.addFleet("main", "2026.11", func(spec *v1.FleetSpec) { spec.Waves[0].MaxConcurrent.IntVal = 3 })
	l.decide()
	edit(l, "eu-1.1", &v1.ClusterUpgrade{}, func(up *v1.ClusterUpgrade) {
		up.Spec.End, up.Spec.EndReason, up.Annotations = v1.EndAbort, "x", saidBy("ann")
	})
	l.remove("eu-2.1", &v1.ClusterUpgrade{})
	edit(l, "eu-3", &v1.MemberCluster{}, func(mc *v1.MemberCluster) {
		mc.Annotations = map[string]string{v1.ForgetAnnotation: "x", v1.ByAnnotation: "ben"}
	})
	l.effort()
	l.remove("eu-1.1", &v1.ClusterUpgrade{}) // ended before it is deleted
	r := l.effort().Revisions[0]
	want := []v1.PersonEffort{{By: "ann", Acts: map[v1.Act]int32{v1.ActAbort: 1}}, {By: "ben", Acts: map[v1.Act]int32{v1.ActForget: 1}}}
	if diff := cmp.Diff(want, r.People); diff != "" {
		t.Errorf("people (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[v1.Act]int32{v1.ActRelease: 1, v1.ActAbort: 1}, r.Unknown); diff != "" {
		t.Errorf("somebody (-want +got):\n%s", diff)
	}
}

// TestFleetsCountWork: the work of an upgrade that is pruned is added up before that,
// once, also where the process dies in between.
func TestFleetsCountWork(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addMembers("v1.37.2", "eu-1")
	l.addFleet("main", "2026.11", nil)
	l.decide()
	for n := 1; n <= 7; n++ {
		l.addUpgrade(l.fleet("main"), "eu-1", n, "Failed")
		up := l.upgrade(fmt.Sprintf("eu-1.%d", n))
		up.Status.Nodes.Replaced, up.Status.AddOns = 10, 1
		up.Status.Steps = []v1.StepStatus{
			{Hop: "v1.37.2", Name: "ControlPlane", Started: metav1.NewTime(l.clock.Now()), Finished: metav1.NewTime(l.clock.Now())},
			{Hop: "v1.38.0", Name: "ControlPlane", Started: metav1.NewTime(l.clock.Now())},
		}
		if err := l.hub.Status().Update(t.Context(), up); err != nil {
			t.Fatal(err)
		}
	}
	dies := errors.New("the process dies")
	l.fleets.Client = interceptor.NewClient(l.own, interceptor.Funcs{
		Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error { return dies },
	})
	for range 2 {
		if _, err := l.fleets.Reconcile(t.Context()); !errors.Is(err, dies) {
			t.Fatalf("pruned: %v, want that it died", err)
		}
	}
	l.fleets.Client = l.own
	e := l.effort()
	if diff := cmp.Diff(v1.Work{Failed: 2, ControlPlanes: 2, Nodes: 20, AddOns: 2}, e.Revisions[0].Pruned); diff != "" {
		t.Errorf("work (-want +got):\n%s", diff)
	}
	if n := len(l.started()); n != 5 {
		t.Errorf("%d upgrades are kept, want 5", n)
	}
	if e = l.effort(); len(e.Counted) != 0 || e.Revisions[0].Pruned.Failed != 2 {
		t.Errorf("what is gone is remembered by %d bytes, and counted as %+v", len(e.Counted), e.Revisions[0].Pruned)
	}
}

// TestFleetsHaveNoRoom: what there is no room for is told, and counted as soon as
// there is.
func TestFleetsHaveNoRoom(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	l.decide()
	for n := range 515 {
		l.says("ann", fmt.Sprintf("a-%d", n), retry(1, "eu-1"))
	}
	e := l.effort()
	if e.Uncounted != 3 || e.Revisions[0].People[0].Acts[v1.ActRetry] != 512 {
		t.Errorf("%d are not counted, %v are; want 3 and 512", e.Uncounted, e.Revisions[0].People)
	}
	l.remove("a-0", &v1.Approval{})
	e = l.effort()
	if n := e.Revisions[0].People[0].Acts[v1.ActRetry]; e.Uncounted+n != 515 && e.Uncounted+n != 514 {
		t.Errorf("%d are not counted, %d are", e.Uncounted, n)
	}
}

// trouble is what can go wrong of one look.
type trouble string

const (
	none       trouble = "none"
	staleCache trouble = "a cache that is late"
	notSent    trouble = "dies before it records"
	noAnswer   trouble = "dies after it recorded"
)

// TestFleetsCountOnce: whatever people create and delete, whichever look dies before
// or after it records, and however late a cache is, what is counted is the number of
// different objects that the loop has seen and recorded.
func TestFleetsCountOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLoops(t)
		l.addRelease("2026.11", "v1.37.2")
		l.addFleet("main", "2026.11", nil)
		l.decide()
		w := &witness{loops: l, seen: map[types.UID]bool{}}
		w.remember()
		serial := 0
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0, 1:
				serial++
				name := fmt.Sprintf("a-%d", serial%5) // names come again, UIDs do not
				object := client.Object(resume(1))
				if serial%2 == 0 {
					object = &v1.Freeze{Spec: v1.FreezeSpec{Stops: v1.StopsStarts, Reason: "x"}}
				}
				object.SetNamespace(namespace)
				object.SetName(name)
				object.SetAnnotations(saidBy("ann"))
				_ = l.hub.Create(t.Context(), object) // one of the name may be there
			case 2:
				name := fmt.Sprintf("a-%d", rapid.IntRange(0, 4).Draw(rt, "which"))
				for _, object := range []client.Object{&v1.Approval{}, &v1.Freeze{}} {
					object.SetNamespace(namespace)
					object.SetName(name)
					_ = l.hub.Delete(t.Context(), object) // it may not be there
				}
			case 3:
				w.remember()
			default:
				w.look(rapid.SampledFrom([]trouble{none, staleCache, notSent, noAnswer}).Draw(rt, "trouble"))
			}
			if counted := w.counted(); counted != len(w.seen) {
				rt.Fatalf("%d are counted, %d were seen", counted, len(w.seen))
			}
		}
		w.look(none)
		r := l.fleet("main").Status.Effort
		if back, there := int(r.Revisions[0].Unknown[v1.ActTakeBack]), len(observe.Counted(r)); back+there != len(w.seen) {
			rt.Fatalf("%d were taken back and %d are remembered, of %d", back, there, len(w.seen))
		}
	})
}

// witness keeps what the loop has read of the API server itself and recorded.
type witness struct {
	*loops

	seen map[types.UID]bool
	// before is what a cache that is late shows.
	before observe.Hub
}

func (w *witness) remember() {
	hub, err := observe.ReadHub(w.t.Context(), w.hub, namespace)
	if err != nil {
		w.t.Fatal(err)
	}
	w.before = hub
}

// look lets the loop look, with some trouble.
func (w *witness) look(trouble trouble) {
	read := map[types.UID]bool{}
	w.fleets.Reader = interceptor.NewClient(w.own, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
		if err := c.List(ctx, list, o...); err != nil {
			return err
		}
		switch list := list.(type) {
		case *v1.ApprovalList:
			for i := range list.Items {
				read[list.Items[i].UID] = true
			}
		case *v1.FreezeList:
			for i := range list.Items {
				read[list.Items[i].UID] = true
			}
		}
		return nil
	}})
	died, failed := errors.New(string(trouble)), false
	w.fleets.Client = interceptor.NewClient(w.own, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
			if trouble == staleCache {
				switch list := list.(type) {
				case *v1.ApprovalList:
					list.Items = w.before.Approvals
					return nil
				case *v1.FreezeList:
					list.Items = w.before.Freezes
					return nil
				}
			}
			return c.List(ctx, list, o...)
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, options ...client.SubResourceUpdateOption) error {
			if trouble == notSent {
				failed = true
				return died
			}
			if err := c.SubResource(sub).Update(ctx, o, options...); err != nil || trouble != noAnswer {
				return err
			}
			return died
		},
	})
	if _, err := w.fleets.Reconcile(w.t.Context()); err != nil && !errors.Is(err, died) {
		w.t.Fatal(err)
	}
	if !failed {
		for uid := range read {
			w.seen[uid] = true
		}
	}
}

func (w *witness) counted() int {
	sum := 0
	for _, person := range w.fleet("main").Status.Effort.Revisions[0].People {
		sum += int(person.Acts[v1.ActResume] + person.Acts[v1.ActPause])
	}
	return sum
}

// TestMembersTellForeignChanges: what moves without an upgrade of ours, or back after
// one, was moved by somebody else; what moves while one is under way was not.
func TestMembersTellForeignChanges(t *testing.T) {
	l := newLoops(t)
	l.addRelease("2026.11", "v1.37.2")
	l.addFleet("main", "2026.11", nil)
	c := l.addMember("eu-1", shape{version: "v1.36.4", pools: map[string]int{"a": 2, "b": 1}, floor: -1})
	l.see("eu-1")
	judge := func(what string, want ...string) {
		t.Helper()
		l.clock.Step(time.Minute)
		l.see("eu-1")
		var got []string
		count := 0
		if foreign := get(l, "eu-1", &v1.MemberCluster{}).Status.Foreign; foreign != nil {
			count = int(foreign.Count)
			for _, change := range foreign.Last {
				got = append(got, change.At.UTC().Format(time.TimeOnly)+" "+change.What)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || count != len(want) {
			t.Errorf("%s: %d, and the last (-want +got):\n%s", what, count, diff)
		}
	}
	judge("nothing moved")
	c.Change(func(s *fake.State) { s.Version, s.Newest = version(t, "v1.36.5"), version(t, "v1.36.5") })
	moved := "22:02:00 control plane v1.36.4 → v1.36.5"
	judge("somebody moves the control plane", moved)
	judge("and nothing after that", moved)

	l.addUpgrade(l.fleet("main"), "eu-1", 1, "")
	c.Change(func(s *fake.State) { s.Version, s.Newest = version(t, "v1.37.2"), version(t, "v1.37.2") })
	judge("ours moves it", moved)
	up := l.upgrade("eu-1.1")
	up.Status.To = "v1.37.2"
	up.Status.Conditions = []metav1.Condition{{
		Type: v1.ConditionEnded, Status: metav1.ConditionTrue, Reason: "Done", LastTransitionTime: metav1.NewTime(l.clock.Now().Add(time.Minute)),
	}}
	if err := l.hub.Status().Update(t.Context(), up); err != nil {
		t.Fatal(err)
	}
	c.Change(func(s *fake.State) {
		for i := range s.Machines {
			s.Machines[i].Version = version(t, "v1.37.2")
		}
	})
	judge("ours moved the nodes, and has ended since", moved)
	c.Change(func(s *fake.State) { s.Machines[0].Version = version(t, "v1.36.4") })
	judge("a pool is moved back", moved, "22:06:00 pool a v1.37.2 → v1.36.4")
}
