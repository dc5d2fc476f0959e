package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"refit.dev/refit/internal/fleet"
)

// cause is one of the things that hold a fleet as a whole.
type cause int

// The causes, in the order in which they are asked for.
const (
	clockSkew cause = iota
	noRelease
	withdrawn
	shrunk
	tooManyFailed
	gateFailed
	causes
)

// halts are why nothing of a fleet starts, by cause; all zero where it may.
type halts [causes]fleet.Reason

// first is the one that is told.
func (h *halts) first() fleet.Reason {
	for i := range h {
		if !h[i].IsZero() {
			return h[i]
		}
	}
	return fleet.Reason{}
}

// halts looks for all causes.
func (p *planner) halts(f Fleet, state FleetState) halts {
	return halts{
		clockSkew:     p.clock(),
		noRelease:     missing(f.Release),
		withdrawn:     takenBack(f.Release),
		shrunk:        vanished(f, state.ShrankAt),
		tooManyFailed: p.tooManyFailures(f),
		gateFailed:    failedGate(f, state.Waves),
	}
}

func (p *planner) clock() fleet.Reason {
	if p.skew.Abs() <= maxSkew {
		return fleet.Reason{}
	}
	return fleet.Reason{
		Code:    fleet.ClockSkew,
		Message: fmt.Sprintf("the clock of this machine is %s off the hub's", p.skew.Abs().Round(time.Second)),
		Fix:     "set both by NTP; what is under way goes on",
	}
}

func missing(release Release) fleet.Reason {
	if !release.Target.IsZero() {
		return fleet.Reason{}
	}
	return fleet.Reason{
		Code: fleet.NoRelease, Object: "release " + release.Name,
		Message: fmt.Sprintf("release %q does not exist", release.Name),
		Fix:     "create it, or set the fleet's spec.release to one that exists: kubectl get releases",
	}
}

func takenBack(release Release) fleet.Reason {
	if release.Withdrawn == "" {
		return fleet.Reason{}
	}
	return fleet.Reason{
		Code: fleet.Withdrawn, Object: "release " + release.Name,
		Message: fmt.Sprintf("release %s was withdrawn: %s", release.Name, release.Withdrawn),
		Fix:     "set the fleet's spec.release to another release",
	}
}

func vanished(f Fleet, shrankAt time.Time) fleet.Reason {
	if shrankAt.IsZero() {
		return fleet.Reason{}
	}
	return fleet.Reason{
		Code: fleet.InventoryShrank, Object: "fleet " + f.Name, Since: shrankAt,
		Message: "a tenth of its members, or more, vanished or changed wave within 10 minutes",
		Fix:     fmt.Sprintf("see that labels and selectors are as they should be; if they are: refit resume %s --reason …", f.Name),
	}
}

// tooManyFailures halts a fleet when more have failed in this revision than it,
// or one of its waves, tolerates: what broke them is likely to break the next.
func (p *planner) tooManyFailures(f Fleet) fleet.Reason {
	members := f.members()
	names := p.failed(f, members)
	tolerated, where := f.MaxFailures, ""
	for _, w := range f.Waves {
		if w.MaxFailures != nil && len(names) <= tolerated {
			members = w.Members
			names, tolerated, where = p.failed(f, members), *w.MaxFailures, " in wave "+w.Name
		}
	}
	if len(names) <= tolerated {
		return fleet.Reason{}
	}
	return fleet.Reason{
		Code: fleet.Halted, Object: "member " + names[0], Since: p.crossed(f, members, tolerated),
		Message: fmt.Sprintf("%d failed%s (%s), %d tolerated", len(names), where, list(names), tolerated),
		Fix: fmt.Sprintf("see refit why %s; then set the fleet's spec.release to a release that mends it, or let it go on: refit resume %s --reason …",
			names[0], f.Name),
	}
}

// failed are those of a fleet's members that failed.
func (p *planner) failed(f Fleet, members []string) []string {
	var names []string
	for _, u := range p.failures(f, members) {
		names = append(names, u.Member)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// crossed is when more of some members had failed than is tolerated.
func (p *planner) crossed(f Fleet, members []string, tolerated int) time.Time {
	failures := p.failures(f, members)
	slices.SortFunc(failures, func(a, b Upgrade) int { return a.EndedAt.Compare(b.EndedAt) })
	counted := map[string]struct{}{}
	for _, u := range failures {
		counted[u.Member] = struct{}{}
		if len(counted) > tolerated {
			return u.EndedAt
		}
	}
	return time.Time{}
}

// list is some names, of which the first few tell enough.
func list(names []string) string {
	const told = 5
	if len(names) <= told {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:told], ", "), len(names)-told)
}

// failures are the upgrades of some members that failed in this revision, or are
// stuck, and no person has let the fleet go on since. One that was retried stays
// a failure.
func (p *planner) failures(f Fleet, members []string) []Upgrade {
	var failures []Upgrade
	for _, name := range members {
		for _, u := range p.upgrades[name] {
			u, bad := p.failure(f, u)
			if bad && !p.verbs.resumed(f, u) {
				failures = append(failures, u)
			}
		}
	}
	return failures
}

// failure is an upgrade that counts as one: it failed, or has been in one step
// for so long that nobody would wait for it. It counts from then on.
func (p *planner) failure(f Fleet, u Upgrade) (Upgrade, bool) {
	if u.of(f) && u.Outcome == Running && u.Step != "" {
		stuck := u.Since.Add(3 * expected(u))
		if !p.now.Before(stuck) {
			u.EndedAt = stuck
			return u, true
		}
		p.recheck(stuck)
	}
	return u, u.failed(f)
}

// members are all that the fleet selects.
func (f Fleet) members() []string {
	names := slices.Clone(f.NoWave)
	for _, w := range f.Waves {
		names = append(names, w.Members...)
	}
	return names
}

// excepted tells whether a member may start though its fleet has halted: it
// failed, and a person who knew of all that halts the fleet said it may.
func (p *planner) excepted(f Fleet, name string) bool {
	last, _ := p.last(name)
	return last.failed(f) && !slices.ContainsFunc(p.failures(f, f.members()), func(u Upgrade) bool { return !p.verbs.retried(f, name, u) })
}
