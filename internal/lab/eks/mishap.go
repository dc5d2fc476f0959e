package eks

import (
	"time"

	"refit.dev/refit/internal/fleet"
)

// Throttle lets the next changes come too often.
func (l *Lab) Throttle(changes int, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mishaps.throttled, l.mishaps.after = changes, after
}

// Expire lets the keys expire, or be good again.
func (l *Lab) Expire(expired bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mishaps.expired = expired
}

// Lose lets the next change take effect and its answer get lost.
func (l *Lab) Lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mishaps.lost++
}

// Fail lets the next update of a cluster's version fail.
func (l *Lab) Fail(cluster string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mishaps.failing[cluster] = true
}

// Withdraw ends the offer of a minor.
func (l *Lab) Withdraw(minor fleet.Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mishaps.withdrawn = append(l.mishaps.withdrawn, minor)
}
