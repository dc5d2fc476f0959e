package world

import (
	"fmt"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
)

// Source is where the cluster's version is declared; without a mode, nowhere.
type Source struct {
	Mode fleet.SourceMode
	Says fleet.Declared
}

// source is the place as it is now.
type source struct {
	Source

	commits int
	// why it is not known, theirs what somebody has written instead of before, and
	// during which upgrade, and losesNext that the next push arrives, and its answer
	// does not.
	why            fleet.Reason
	theirs, before fleet.Declared
	during         string
	losesNext      bool
	// rewriteNext lets somebody write at the next operation.
	rewriteNext bool
}

func (c *Cluster) seenSource() fleet.Source {
	seen := fleet.Source{SourceRef: sourceRef(), Mode: c.source.Mode, Line: 12, At: c.now, Commit: fmt.Sprint(c.source.commits)}
	switch {
	case seen.Mode == "":
		return fleet.Source{}
	case c.source.why.IsZero():
		seen.Says = c.source.Says
	default:
		seen.Why = c.source.why
	}
	return seen
}

func sourceRef() fleet.SourceRef {
	return fleet.SourceRef{URL: "https://git.example/infra", File: "eks.tf", Attribute: "module.eu_1.version"}
}

func (c *Cluster) writeSource(a plan.WriteSource) Answer {
	switch {
	case c.source.Mode != fleet.WriteBack || a.Source != sourceRef():
		c.breaks("a source is written that is not to be: %s", a)
		return Stopped
	case !c.source.why.IsZero():
		return Unanswered
	case c.source.Says == a.To:
		return Accepted
	case c.source.Says != a.From:
		return Outdated
	}
	if a.To.Version().Less(a.From.Version()) {
		c.breaks("the source is taken back from %s to %s", a.From, a.To)
	}
	if a.To != a.To.Like(c.version) && c.operation == nil {
		c.breaks("the source is to say %s, and the cluster runs %s", a.To, c.version)
	}
	if a.From == c.source.theirs && c.claim.Upgrade == c.source.during {
		c.breaks("the source is written over %s, which somebody has written meanwhile", a.From)
	}
	c.source.Says = a.To
	c.source.commits++
	if c.source.losesNext {
		c.source.losesNext = false
		return Unanswered
	}
	return Accepted
}

// LoseNext lets the next push arrive, and its answer not.
func (c *Cluster) LoseNext() { c.source.losesNext = true }

// HideSource lets the source not be known, for a reason; or be known again.
func (c *Cluster) HideSource(code fleet.Code) {
	c.source.why = fleet.Reason{}
	if code != "" {
		c.source.why = fleet.Reason{Code: code, Message: "the source is not known", Object: "source " + sourceRef().URL}
	}
	c.present = c.picture()
}

// RewriteNext lets somebody write another version while the control plane is next
// being changed.
func (c *Cluster) RewriteNext() { c.source.rewriteNext = c.source.Mode == fleet.WriteBack }

func (c *Cluster) rewrite() {
	if !c.source.rewriteNext || c.source.theirs != "" {
		return
	}
	c.source.rewriteNext, c.source.before = false, c.source.Says
	to := c.source.Says.Version()
	to.Minor, to.Patch = to.Minor-1, to.Patch+1
	c.source.Says = c.source.Says.Like(to)
	c.source.theirs, c.source.during = c.source.Says, c.claim.Upgrade
}

// Reconcile lets whoever wrote another version write the one that the cluster runs,
// as long as that upgrade lasts: the one after it goes by what it has found. Whoever
// so writes what was there before leaves the rest to the upgrade.
func (c *Cluster) Reconcile() {
	next := c.claim.Upgrade != "" && c.claim.Upgrade != c.source.during
	switch {
	case c.source.theirs == "":
		return
	case next:
		c.source.theirs = ""
		return
	}
	c.source.Says = c.source.Says.Like(c.version)
	if c.source.theirs = c.source.Says; c.source.Says == c.source.before {
		c.source.theirs = ""
	}
	c.present = c.picture()
}

// SourceBehind is what a source says that is to be written, and less than a version;
// empty where there is none.
func (c *Cluster) SourceBehind(version fleet.Version) string {
	says := c.source.Says
	if c.source.Mode == fleet.WriteBack && says.Version().Less(says.Like(version).Version()) {
		return fmt.Sprintf("a source that says %s", says)
	}
	return ""
}
