package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/member"
)

// git is the way from one hub's Refit to where the versions of all clusters are
// declared. A push arrives only as long as what it replaces is there.
type git struct{ hub *Hub }

// declaration is what a place says, and what was written to it.
type declaration struct {
	says    fleet.Declared
	commits []string
}

// Declare lets a place say a version.
func (w *World) Declare(what fleet.SourceRef, says fleet.Declared) {
	w.declared[what] = declaration{says: says}
}

// Commits are what was written to a place.
func (w *World) Commits(what fleet.SourceRef) []string { return slices.Clone(w.declared[what].commits) }

// Seen is what a place says; where the cache is late, what it said.
func (g git) Seen(what fleet.SourceRef, _ time.Duration) fleet.Source {
	all := g.hub.world.declared
	if g.hub.late() {
		all = g.hub.stale.declared
	}
	place := all[what]
	return fleet.Source{SourceRef: what, Says: place.says, Line: 1, Commit: fmt.Sprint(len(place.commits)), At: g.hub.world.Clock.Now()}
}

// Write pushes a commit.
func (g git) Write(_ context.Context, what fleet.SourceRef, from, to fleet.Declared, _ string) error {
	w := g.hub.world
	do := func() error {
		place := w.declared[what]
		switch {
		case place.says == to: // it was written before, and the answer got lost
			return nil
		case place.says != from:
			return fmt.Errorf("%s: %w", what.File, member.ErrChanged)
		}
		w.declared[what] = declaration{says: to, commits: append(slices.Clone(place.commits), fmt.Sprintf("%s → %s", from, to))}
		w.tell("%s says %s instead of %s", what.Attribute, to, from)
		return nil
	}
	return g.hub.cross(fmt.Sprintf("push of %s to %s", to, what.Attribute), do, func() { _ = do() })
}

// declarations are what all places say at one moment.
func (w *World) declarations() map[fleet.SourceRef]declaration { return maps.Clone(w.declared) }
