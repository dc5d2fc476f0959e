package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"refit.dev/refit/internal/fleet"
)

// Freeze is a person's no.
type Freeze struct {
	Name string
	// Fleet and Member that are frozen; any where empty.
	Fleet, Member string
	// From and Until bound it; zero where it has no such bound.
	From, Until time.Time
	Stops       Stops
	// By is who said so, and Reason why.
	By, Reason string
}

// Stops says how much a freeze stops.
type Stops string

// What a freeze stops: Starts lets no upgrade begin, Everything holds what is
// under way as well, Skip leaves the member out of the fleet's count.
const (
	Starts     Stops = "Starts"
	Everything Stops = "Everything"
	Skip       Stops = "Skip"
)

// Approval is a person's yes, given at a time to one revision of a fleet.
type Approval struct {
	Name     string
	Fleet    string
	Revision int64
	Subject  Subject
	// Member of a Retry.
	Member string
	At     time.Time
	// Until bounds it; zero where it has no such bound.
	Until time.Time
}

// Subject is what an approval is about.
type Subject string

// The subjects: Resume lets a fleet go on after the failures before it, Retry
// lets a member start again whose upgrade failed before it.
const (
	Resume Subject = "Resume"
	Retry  Subject = "Retry"
)

// verbs are the yes and no of people that hold now.
type verbs struct {
	freezes   []Freeze
	approvals []Approval
	// changes is when one of them begins or ends; zero if never.
	changes time.Time
}

func newVerbs(in Input) verbs {
	var v verbs
	for _, freeze := range in.Freezes {
		if v.holds(in.Now, freeze.From, freeze.Until) {
			v.freezes = append(v.freezes, freeze)
		}
	}
	for _, approval := range in.Approvals {
		if v.holds(in.Now, approval.At, approval.Until) {
			v.approvals = append(v.approvals, approval)
		}
	}
	slices.SortFunc(v.freezes, func(a, b Freeze) int { return strings.Compare(a.Name, b.Name) })
	return v
}

// holds tells whether now is in [from, until), and remembers when that changes.
func (v *verbs) holds(now, from, until time.Time) bool {
	for _, at := range []time.Time{from, until} {
		if now.Before(at) && (v.changes.IsZero() || at.Before(v.changes)) {
			v.changes = at
		}
	}
	return !now.Before(from) && (until.IsZero() || now.Before(until))
}

// frozen is why a member may not start; zero where no freeze covers it. Without
// a name it is of every member.
func (v verbs) frozen(f Fleet, member string) fleet.Reason {
	return v.covered(f, member, Starts, Everything)
}

// Hold is why what is under way of a member of a fleet must wait; zero where no
// freeze holds everything.
func Hold(freezes []Freeze, fleetName, member string, now time.Time) fleet.Reason {
	return newVerbs(Input{Now: now, Freezes: freezes}).covered(Fleet{Name: fleetName}, member, Everything)
}

// skipped is why a member is left out; zero where it is not.
func (v verbs) skipped(f Fleet, member string) fleet.Reason { return v.covered(f, member, Skip) }

func (v verbs) covered(f Fleet, member string, stops ...Stops) fleet.Reason {
	for _, freeze := range v.freezes {
		if slices.Contains(stops, freeze.Stops) && freeze.covers(f, member) {
			return freeze.why()
		}
	}
	return fleet.Reason{}
}

// covers tells whether a freeze is about a member of a fleet.
func (freeze Freeze) covers(f Fleet, member string) bool {
	return (freeze.Fleet == "" || freeze.Fleet == f.Name) && (freeze.Member == "" || freeze.Member == member)
}

func (freeze Freeze) why() fleet.Reason {
	reason := fleet.Reason{
		Code: fleet.Frozen, Object: "freeze " + freeze.Name, Since: freeze.From,
		Message: fmt.Sprintf("frozen by %s", cmp.Or(freeze.By, "somebody")),
		Fix:     "if it is not to be: kubectl delete freeze " + freeze.Name,
	}
	if freeze.Stops == Skip {
		reason.Code, reason.Message = fleet.Skipped, fmt.Sprintf("left out by %s", cmp.Or(freeze.By, "somebody"))
	}
	if !freeze.Until.IsZero() {
		reason.Message += " until " + freeze.Until.UTC().Format(time.DateTime+" UTC")
	}
	reason.Message += ": " + freeze.Reason
	return reason
}

// resumed tells whether a person let the fleet go on after a failure.
func (v verbs) resumed(f Fleet, failure Upgrade) bool {
	return v.approved(f, failure, func(a Approval) bool { return a.Subject == Resume })
}

// retried tells whether a person let a member start again after a failure, be
// it its own or another's.
func (v verbs) retried(f Fleet, member string, failure Upgrade) bool {
	return v.approved(f, failure, func(a Approval) bool { return a.Subject == Retry && a.Member == member })
}

// approved looks for a yes that is younger than the failure: nobody agrees to
// what has not happened.
func (v verbs) approved(f Fleet, failure Upgrade, about func(Approval) bool) bool {
	return slices.ContainsFunc(v.approvals, func(a Approval) bool {
		return a.Fleet == f.Name && a.Revision == f.Revision && about(a) && failure.EndedAt.Before(a.At)
	})
}
