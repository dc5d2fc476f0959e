package addon

import (
	"context"
	"encoding/json"
	"fmt"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	"k8s.io/client-go/rest"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/member"
	"refit.dev/refit/internal/provider"
)

// Upgrade takes a release to a version of its chart, or installs it, on behalf of an
// upgrade, if After is the revision that is there. It waits for the chart's hooks,
// and for nothing else. What becomes of the revision that it begins is to be
// observed; an error is of one that it could not begin.
func (h *Helm) Upgrade(ctx context.Context, config *rest.Config, what fleet.Helm, version, upgrade string, after int) error {
	r, err := h.open(config, what)
	if err != nil {
		return err
	}
	history, err := r.history()
	if err != nil {
		return err
	}
	seen := stateOf(history)
	if seen.Revision != after {
		return fmt.Errorf("%s is at revision %d, not at %d: %w", r, seen.Revision, after, member.ErrChanged)
	}
	chart, err := h.Charts.Fetch(ctx, Chart{Repository: what.Repository, Name: what.Chart, Version: version})
	if err != nil {
		return err
	}
	values := map[string]any{}
	if err := json.Unmarshal([]byte(what.Values), &values); err != nil {
		return &provider.Fault{Class: provider.Stop, Code: provider.CodeInvalid, Err: fmt.Errorf("values of %s: %w", r, err)}
	}
	if seen.Phase == fleet.Absent {
		install := action.NewInstall(r.Configuration)
		install.ReleaseName, install.Namespace, install.CreateNamespace = r.Release, r.Namespace, true
		install.Replace = len(history) > 0 // what was uninstalled may have kept its history
		install.WaitStrategy, install.Timeout, install.Labels = kube.HookOnlyStrategy, hookTimeout, labels(upgrade, after+1)
		_, err = install.RunWithContext(ctx, chart, values)
	} else {
		change := action.NewUpgrade(r.Configuration)
		change.Namespace, change.MaxHistory, change.ResetValues = r.Namespace, keptRevisions, true
		change.WaitStrategy, change.Timeout, change.Labels = kube.HookOnlyStrategy, hookTimeout, labels(upgrade, after+1)
		_, err = change.RunWithContext(ctx, r.Release, chart, values)
	}
	return r.unlessBegun(after, err)
}

// unlessBegun is the error of a change that came to no revision.
func (r *release) unlessBegun(after int, err error) error {
	if err == nil {
		return nil
	}
	if history, unread := r.history(); unread == nil && stateOf(history).Revision > after {
		return nil
	}
	return fmt.Errorf("change %s: %w", r, err)
}

// TakeBack takes a release from the changes of an upgrade back to where it was.
func (h *Helm) TakeBack(config *rest.Config, what fleet.Helm, upgrade string, after int) error {
	r, err := h.open(config, what)
	if err != nil {
		return err
	}
	history, err := r.history()
	if err != nil {
		return err
	}
	back := wayBack(history, upgrade)
	if at := stateOf(history).Revision; at != after || back == nil {
		return fmt.Errorf("%s is at revision %d, not at %d: %w", r, at, after, member.ErrChanged)
	}
	rollback := action.NewRollback(r.Configuration)
	rollback.Version, rollback.MaxHistory, rollback.Description = back.Version, keptRevisions, takenBackBy+upgrade
	rollback.WaitStrategy, rollback.Timeout = kube.HookOnlyStrategy, hookTimeout
	return r.unlessBegun(after, rollback.Run(r.Release))
}

// Unlock ends a change that was left half done by a process that died: Helm begins
// nothing beside a pending one.
func (h *Helm) Unlock(config *rest.Config, what fleet.Helm, revision int) error {
	r, err := h.open(config, what)
	if err != nil {
		return err
	}
	history, err := r.history()
	if err != nil {
		return err
	}
	seen := stateOf(history)
	if seen.Revision != revision || seen.Phase != fleet.Pending {
		return fmt.Errorf("%s is %s at revision %d: %w", r, seen.Phase, seen.Revision, member.ErrChanged)
	}
	last := history[len(history)-1]
	if !seen.TakenBack { // whose way back it is, is in its description only
		last.Info.Description = fmt.Sprintf("%s: it was %s", fleet.LeftPending, last.Info.Status)
	}
	last.Info.Status = common.StatusFailed
	if err := r.Releases.Update(last); err != nil {
		return fmt.Errorf("end the pending revision %d of %s: %w", revision, r, err)
	}
	return nil
}
