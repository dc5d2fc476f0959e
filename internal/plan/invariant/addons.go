package invariant

import (
	"slices"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
)

// upgradeAddOn: an add-on goes to what the release says for a minor that is there, or
// comes next; one after the other, and never back.
func (j *judge) upgradeAddOn(a plan.UpgradeAddOn) {
	seen := j.seenAddOn(a.AddOn, a.After)
	i := slices.IndexFunc(j.AddOns, func(want fleet.WantedAddOn) bool { return want.Name == a.AddOn })
	if i < 0 {
		j.breaks("%s: the release has no such add-on", a)
		return
	}
	latest := j.Cluster.ControlPlane.Oldest.Minor
	if j.AddOns[i].When == fleet.BeforeControlPlane {
		latest++
	}
	known := false
	for minor, to := range j.AddOns[i].Versions {
		of, _ := fleet.ParseVersion(minor)
		known = known || of.Minor <= latest && to.Version == a.To
	}
	if !known {
		j.breaks("%s: that is no version for Kubernetes %d or older", a, latest)
	}
	if seen.Phase == fleet.Pending || seen.Phase == fleet.Unseen {
		j.breaks("%s: it is %q", a, seen.Phase)
	}
	if a.To.Less(seen.Version) && seen.Phase == fleet.Deployed {
		j.breaks("%s: it would go back", a)
	}
}

// takeBackAddOn: only what this upgrade did, and what did not come out well.
func (j *judge) takeBackAddOn(a plan.TakeBackAddOn) {
	seen := j.seenAddOn(a.AddOn, a.After)
	if seen.By != j.UID || seen.Phase == fleet.Pending || seen.Phase == fleet.Deployed && seen.Sick == "" {
		j.breaks("%s: it is %q at %s by %q, and sick: %q", a, seen.Phase, seen.Version, seen.By, seen.Sick)
	}
}

// unlockAddOn: only what this upgrade began.
func (j *judge) unlockAddOn(a plan.UnlockAddOn) {
	if seen := j.seenAddOn(a.AddOn, a.Revision); seen.By != j.UID || seen.Phase != fleet.Pending {
		j.breaks("%s: it is %q by %q", a, seen.Phase, seen.By)
	}
}

// seenAddOn counts the changes, of which a step makes one.
func (j *judge) seenAddOn(name string, revision int) fleet.AddOn {
	if j.changed++; j.changed > 1 {
		j.breaks("two add-ons are changed at once")
	}
	seen := j.Cluster.AddOn(name)
	if seen.Revision != revision {
		j.breaks("add-on %s is changed after revision %d; it is at %d", name, revision, seen.Revision)
	}
	return seen
}

func (j *judge) addOnsDone() {
	for _, want := range j.AddOns {
		to, named := want.Versions[j.Target.MinorName()]
		seen := j.Cluster.AddOn(want.Name)
		if named && (seen.Phase != fleet.Deployed || seen.Version.Less(to.Version)) {
			j.breaks("done is claimed with add-on %s %q at %s, wanted %s", want.Name, seen.Phase, seen.Version, to.Version)
		}
	}
}
