package world

import (
	"strconv"
	"time"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
)

// take is a claim arriving. What is written over must be what was seen.
func (c *Cluster) take(a plan.Claim) Answer {
	if a.UID != c.claim.UID || a.ResourceVersion != c.claim.ResourceVersion {
		return Outdated
	}
	if c.claim.Hub != "" && c.claim.Hub != a.Hub && c.now.Before(c.claim.Renewed.Add(c.claim.Lasts)) {
		c.breaks("hub %s takes the member from hub %s, which is at work in it", a.Hub, c.claim.Hub)
	}
	c.write(a.Holder, c.now, a.Lasts)
	return Accepted
}

func (c *Cluster) write(holder fleet.Holder, renewed time.Time, lasts time.Duration) {
	c.serial++
	c.claim = fleet.Claim{Holder: holder, Renewed: renewed, Lasts: lasts, UID: "uid-of-claim", ResourceVersion: strconv.Itoa(c.serial)}
}

func (c *Cluster) release(a plan.Release) Answer {
	if a.UID != c.claim.UID || a.ResourceVersion != c.claim.ResourceVersion {
		return Outdated
	}
	c.claim = fleet.Claim{}
	return Accepted
}

// Holder is who has claimed the cluster; the zero one where nobody has.
func (c *Cluster) Holder() fleet.Holder { return c.claim.Holder }

// TakenBy is another hub's claim, made now; nobody's where it is gone again.
func (c *Cluster) TakenBy(hub string) {
	c.claim = fleet.Claim{}
	if hub != "" {
		c.write(fleet.Holder{Hub: hub, Upgrade: "uid-of-theirs"}, c.now, time.Hour)
	}
	c.present = c.picture()
}
