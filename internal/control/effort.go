package control

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
)

// What is counted of a thing stays counted when its object is gone, and nothing is
// counted twice. Both are in one status, which is written by Update with
// resourceVersion: a thing is remembered with its count, or neither is. It is
// forgotten when its object is gone, and that is believed of the API server alone: a
// cache may be from before the object was made, and would have it counted again.

// counted is the effort of each fleet with what a hub tells now. A fleet that is
// being deleted is left out.
func counted(hub observe.Hub, now time.Time) map[string]*v1.FleetEffort {
	things := observe.Things(hub)
	all := map[string]*v1.FleetEffort{}
	for i := range hub.Fleets {
		if f := &hub.Fleets[i]; f.DeletionTimestamp.IsZero() {
			all[f.Name] = effortOf(f, hub, things, now)
		}
	}
	return all
}

// tells whether a hub tells of anything that is not counted, or counts what is gone.
func tells(hub observe.Hub, efforts map[string]*v1.FleetEffort) bool {
	return slices.ContainsFunc(hub.Fleets, func(f v1.Fleet) bool {
		return f.DeletionTimestamp.IsZero() && !equality.Semantic.DeepEqual(f.Status.Effort, efforts[f.Name])
	})
}

// tally is one fleet's effort, being counted.
type tally struct {
	*v1.FleetEffort

	fleet *v1.Fleet
	// begins tells that this is the first look at a revision.
	begins bool
	things []observe.Thing
	known  map[observe.Thing]bool
}

// effortOf is a fleet's effort with what a hub tells now; things are all that it
// could tell of.
func effortOf(f *v1.Fleet, hub observe.Hub, things map[observe.Thing]bool, now time.Time) *v1.FleetEffort {
	t := &tally{FleetEffort: f.Status.Effort.DeepCopy(), fleet: f, known: map[observe.Thing]bool{}}
	if t.FleetEffort == nil {
		t.FleetEffort = &v1.FleetEffort{Since: f.CreationTimestamp}
		if f.Status.Revision > 0 { // it was rolled before anybody counted
			t.Since = metav1.NewTime(now).Rfc3339Copy()
		}
	}
	release, there := hub.Release(f.Spec.Release)
	if there {
		t.begin(observe.Revision(f, release), release.Name, now)
	}
	if t.newest() == nil {
		return t.FleetEffort // there is no revision yet to count for
	}
	t.specs(releaseBy(hub, f.Spec.Release))
	acts := observe.Acts(hub, f, t.Since.Time)
	t.forget(things, acts)
	t.Uncounted = 0
	for _, act := range acts {
		t.act(act)
	}
	t.prune(hub)
	slices.Sort(t.things)
	t.Counted = observe.Packed(t.things)
	return t.FleetEffort
}

// newest revision; nil where there is none.
func (t *tally) newest() *v1.RevisionEffort {
	if len(t.Revisions) == 0 {
		return nil
	}
	return &t.Revisions[len(t.Revisions)-1]
}

// revision of a number; nil where it is not kept any more, or not there yet.
func (t *tally) revision(n int64) *v1.RevisionEffort {
	i := slices.IndexFunc(t.Revisions, func(r v1.RevisionEffort) bool { return r.Revision == n })
	if i < 0 {
		return nil
	}
	return &t.Revisions[i]
}

// begin begins to count for a revision, where it is a new one, and ends the one
// before it.
func (t *tally) begin(revision int64, release string, now time.Time) {
	at, was := metav1.NewTime(now).Rfc3339Copy(), t.newest()
	if was != nil && was.Revision >= revision {
		return
	}
	next := v1.RevisionEffort{Revision: revision, Release: clip(release, nameRoom)}
	if t.fleet.Status.Revision != revision {
		next.Began, t.begins = &at, true
	}
	if was != nil {
		was.Ended, was.Members, was.Done = &at, t.fleet.Status.Members.Total, t.fleet.Status.Members.Done
	}
	t.Revisions = append(t.Revisions, next)
	t.Revisions = t.Revisions[max(0, len(t.Revisions)-keptRevisions):]
}

// specs counts the changes of the fleet's spec since it was last looked at, by its
// generation. The object names who made the last of them; of more than one in one
// look nobody can tell which that was.
func (t *tally) specs(maker string) {
	edits, by, revision := t.fleet.Generation-t.fleet.Status.ObservedGeneration, t.fleet.Annotations[v1.ByAnnotation], t.newest()
	if t.begins {
		switch {
		case edits > 1:
			by = ""
		case edits < 1 && t.fleet.Status.Revision > 0: // the release was made anew
			by = maker
		}
		book(revision, v1.ActRelease, by, 1)
		book(revision, v1.ActEdit, "", int32(edits-1))
		return
	}
	if edits > 0 {
		book(revision, v1.ActEdit, by, 1)
		book(revision, v1.ActEdit, "", int32(edits-1))
	}
}

// forget forgets what is gone, and what is of a revision that is not kept any more.
// A no or a yes that is gone was taken back by somebody.
func (t *tally) forget(things map[observe.Thing]bool, acts []observe.Act) {
	past := map[observe.Thing]bool{}
	for _, act := range acts {
		past[act.Thing] = act.Revision != 0 && t.revision(act.Revision) == nil
	}
	for _, thing := range observe.Counted(t.FleetEffort) {
		switch {
		case past[thing]:
		case things[thing]:
			t.remember(thing)
		case thing.MayBeTakenBack():
			book(t.newest(), v1.ActTakeBack, "", 1)
		}
	}
}

func (t *tally) remember(thing observe.Thing) {
	t.things, t.known[thing] = append(t.things, thing), true
}

// act counts an act, once. One of a revision that is not kept any more, or not there
// yet, is left alone.
func (t *tally) act(act observe.Act) {
	revision := t.newest()
	if act.Revision != 0 {
		revision = t.revision(act.Revision)
	}
	switch {
	case t.known[act.Thing] || revision == nil:
	case len(t.things) >= keptThings:
		t.Uncounted++
	default:
		t.remember(act.Thing)
		if act.Kind != v1.ActWithdraw || !t.begins { // else that was before this revision
			book(revision, act.Kind, act.By, 1)
		}
	}
}

// prune adds the work of those upgrades up that are not to be kept. They are deleted
// only once that is recorded.
func (t *tally) prune(hub observe.Hub) {
	for _, up := range surplus(hub) {
		thing := observe.Pruned(up)
		if up.Spec.FleetUID != string(t.fleet.UID) || t.known[thing] || len(t.things) >= keptThings {
			continue
		}
		if revision := t.revision(up.Spec.Revision); revision != nil {
			t.remember(thing)
			revision.Pruned = observe.AddWork(revision.Pruned, observe.WorkOf(up))
		}
	}
}

// addedUp tells whether nothing is lost with an upgrade: its work is recorded, or
// nobody counts it.
func addedUp(up *v1.ClusterUpgrade, hub observe.Hub, efforts map[string]*v1.FleetEffort) bool {
	effort := efforts[up.Spec.Fleet]
	ours := slices.ContainsFunc(hub.Fleets, func(f v1.Fleet) bool { return string(f.UID) == up.Spec.FleetUID })
	if effort == nil || !ours {
		return true
	}
	kept := slices.ContainsFunc(effort.Revisions, func(r v1.RevisionEffort) bool { return r.Revision == up.Spec.Revision })
	return !kept || slices.Contains(observe.Counted(effort), observe.Pruned(up))
}

// surplus are the ended upgrades of each member but for its newest.
func surplus(hub observe.Hub) []*v1.ClusterUpgrade {
	newest := make([]*v1.ClusterUpgrade, 0, len(hub.Upgrades))
	for i := range hub.Upgrades {
		newest = append(newest, &hub.Upgrades[i])
	}
	slices.SortFunc(newest, func(a, b *v1.ClusterUpgrade) int {
		return cmp.Or(cmp.Compare(observe.Number(b), observe.Number(a)), cmp.Compare(a.Name, b.Name))
	})
	kept := map[string]int{}
	return slices.DeleteFunc(newest, func(up *v1.ClusterUpgrade) bool {
		kept[up.Spec.Member]++
		return kept[up.Spec.Member] <= keptUpgrades || !observe.Ended(up)
	})
}

// book adds what somebody did so many times.
func book(r *v1.RevisionEffort, act v1.Act, by string, times int32) {
	if times < 1 {
		return
	}
	by = clip(by, nameRoom)
	acts := &r.Unknown
	if i := slices.IndexFunc(r.People, func(p v1.PersonEffort) bool { return p.By == by }); i >= 0 {
		acts = &r.People[i].Acts
	} else if by != "" && len(r.People) < keptPeople {
		r.People = append(r.People, v1.PersonEffort{By: by})
		acts = &r.People[len(r.People)-1].Acts
	} else if by != "" {
		acts = &r.Others
	}
	if *acts == nil {
		*acts = map[v1.Act]int32{}
	}
	(*acts)[act] += times
}

// releaseBy is who made a release, or changed it last.
func releaseBy(hub observe.Hub, name string) string {
	for i := range hub.Releases {
		if hub.Releases[i].Name == name {
			return hub.Releases[i].Annotations[v1.ByAnnotation]
		}
	}
	return ""
}

// reach remembers when all members of a revision were there for the first time.
func reach(status *v1.FleetStatus, now time.Time) {
	e, members := status.Effort, status.Members
	if e == nil || len(e.Revisions) == 0 || members.Total == 0 || members.Done+members.Skipped < members.Total {
		return
	}
	if r := &e.Revisions[len(e.Revisions)-1]; r.Revision == status.Revision && r.Reached == nil {
		r.Reached = new(metav1.NewTime(now).Rfc3339Copy())
	}
}
