package controlplane

import (
	"fmt"
	"time"
)

// An exit is the end of one process that nobody asked for.
type exit struct {
	version string
	started time.Time
	// ended is zero where nobody saw it.
	ended time.Time
	how   string
}

// unwatched is how a process ended that no supervisor saw end.
const unwatched = "ended while nobody watched"

// lastExit is the last end of a part, if nobody asked for it and it was in this
// boot: the supervisor before this one may have seen it.
func (c *ControlPlane) lastExit(name Part, boot string) *exit {
	ended, found := c.journal.LastEnd(string(name))
	if !found || ended.Asked || ended.Boot != boot {
		return nil
	}
	started, _ := c.journal.Start(ended.ID)
	last := &exit{version: ended.Version, started: started.Time, ended: ended.Time, how: ended.Reason}
	if last.how == unwatched || last.started.IsZero() {
		last.ended = time.Time{}
	}
	return last
}

// life is how long the process ran; 0 where nobody knows.
func (e exit) life() time.Duration {
	if e.ended.IsZero() {
		return 0
	}
	return e.ended.Sub(e.started)
}

// longestProof is enough for a part that had run for days before it ended.
const longestProof = 5 * time.Minute

// steadyAt is when a part that ended by itself may be relied on again. One that
// dies every minute is healthy most of the time, and nothing must be built on
// it: it has to run for twice as long as it did before.
func (p partView) steadyAt() time.Time {
	return p.since.Add(min(2*p.exit.life(), longestProof))
}

// shaky tells whether a part of the version that it should run ended by itself,
// and is not steady again.
func (v view) shaky(name Part) bool {
	p := v.parts[name]
	if p.exit == nil || !p.asked.IsZero() || p.exit.version != v.wanted(name) {
		return false
	}
	return !p.running || v.now.Before(p.steadyAt())
}

// story tells of a shaky part. It does not change from one look to the next.
func (p partView) story() string {
	text := p.exit.version + " ended by itself"
	if life := p.exit.life(); life > 0 {
		text += " after " + life.Round(100*time.Millisecond).String()
	}
	text += " (" + p.exit.how + ")"
	if !p.running {
		return text + ", and is started again"
	}
	const clock = time.TimeOnly
	return text + fmt.Sprintf("; it runs again since %s, and is relied on from %s UTC", p.since.UTC().Format(clock), p.steadyAt().UTC().Format(clock))
}
