package addon

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/release/common"
	helm "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"

	"refit.dev/refit/internal/fleet"
)

const (
	// byLabel is on the revisions that Refit begins, and names upgrade and revision:
	// Helm copies the labels of one revision to the next, also where somebody else
	// begins that.
	byLabel = "refit.dev/by"
	// takenBackBy begins the description of a way back, which has no labels of its own.
	takenBackBy = "taken back by Refit's upgrade "
)

func labels(upgrade string, revision int) map[string]string {
	return map[string]string{byLabel: fmt.Sprintf("%s.%d", upgrade, revision)}
}

// begunBy is the upgrade that began a revision; empty where that was somebody else.
func begunBy(r *helm.Release) string {
	if upgrade, ok := strings.CutPrefix(r.Info.Description, takenBackBy); ok {
		return upgrade
	}
	upgrade, revision, _ := strings.Cut(r.Labels[byLabel], ".")
	if revision != fmt.Sprint(r.Version) {
		return ""
	}
	return upgrade
}

// history is what Helm keeps of a release, oldest first.
func (r *release) history() ([]*helm.Release, error) {
	found, err := r.Releases.History(r.Release)
	if err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, fmt.Errorf("read the history of %s: %w", r, err)
	}
	var history []*helm.Release
	for _, kept := range found {
		if revision, ok := kept.(*helm.Release); ok && revision.Info != nil && revision.Chart != nil && revision.Chart.Metadata != nil {
			history = append(history, revision)
		}
	}
	slices.SortFunc(history, func(a, b *helm.Release) int { return cmp.Compare(a.Version, b.Version) })
	return history, nil
}

// stateOf is what a history says.
func stateOf(history []*helm.Release) fleet.AddOn {
	if len(history) == 0 {
		return fleet.AddOn{Phase: fleet.Absent}
	}
	last := history[len(history)-1]
	seen := fleet.AddOn{
		Phase: phaseOf(last.Info.Status), Message: last.Info.Description, Values: canonical(last.Config),
		Revision: last.Version, By: begunBy(last), TakenBack: strings.HasPrefix(last.Info.Description, takenBackBy),
		Since: last.Info.LastDeployed.UTC(),
	}
	seen.Version, _ = fleet.ParseVersion(last.Chart.Metadata.Version) // zero: a chart of no version has none to compare
	for _, before := range history[:len(history)-1] {
		if upgrade := begunBy(before); upgrade != "" {
			seen.Tried = append(seen.Tried, upgrade)
		}
	}
	if back := wayBack(history, seen.By); back != nil && seen.By != "" {
		seen.Back, _ = fleet.ParseVersion(back.Chart.Metadata.Version)
	}
	return seen
}

// wayBack is the last revision that ran before those of an upgrade; nil where there
// is none.
func wayBack(history []*helm.Release, upgrade string) *helm.Release {
	for _, r := range slices.Backward(history) {
		ran := r.Info.Status == common.StatusDeployed || r.Info.Status == common.StatusSuperseded
		if ran && begunBy(r) != upgrade {
			return r
		}
	}
	return nil
}

func phaseOf(status common.Status) fleet.AddOnPhase {
	switch {
	case status.IsPending(), status == common.StatusUninstalling:
		return fleet.Pending
	case status == common.StatusDeployed:
		return fleet.Deployed
	case status == common.StatusUninstalled:
		return fleet.Absent
	default:
		return fleet.Broken
	}
}
