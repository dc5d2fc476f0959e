package fleet

import (
	"fmt"
	"time"
)

// Answer is what a gate says. Nothing else is a yes: a question that was not
// answered, or not lately, is Unknown.
type Answer string

// The answers.
const (
	Yes     Answer = "Yes"
	No      Answer = "No"
	Unknown Answer = "Unknown"
)

// Gate is a question that is asked again and again.
type Gate struct {
	Name     string
	Question Question
	// Failures is how many intervals may pass without a yes.
	Failures int
}

// Patience is how long a gate may go without a yes.
func (g Gate) Patience() time.Duration { return g.Question.Interval * time.Duration(g.Failures) }

// Question is what is asked, of whom and how often. Who asks the same gets the
// same answer.
type Question struct {
	// URL of Prometheus, and Query in its language.
	URL, Query string
	// Min and Max bound what is good.
	Min, Max Bound
	Interval time.Duration
}

// Bound is a number as somebody wrote it; none where there is no text.
type Bound struct {
	Number float64
	Text   string
}

// Good tells whether a number is within the bounds, of which there is one at least:
// what is not a number is in none.
func (q Question) Good(number float64) bool {
	return (q.Min.Text == "" || number >= q.Min.Number) && (q.Max.Text == "" || number <= q.Max.Number)
}

// Bounds are those of a question, in words.
func (q Question) Bounds() string {
	switch {
	case q.Min.Text == "":
		return fmt.Sprintf("at most %s is good", q.Max.Text)
	case q.Max.Text == "":
		return fmt.Sprintf("at least %s is good", q.Min.Text)
	}
	return fmt.Sprintf("%s to %s is good", q.Min.Text, q.Max.Text)
}

// Heard is an answer, and when it was asked for. Without that time nobody has
// asked.
type Heard struct {
	Answer  Answer
	AskedAt time.Time
	// YesAt is when the last yes was asked for; zero where there was none.
	YesAt time.Time
	// Said is the answer in words, or why there is none; Fix is what to do about
	// it, where somebody has to.
	Said, Fix string
}

// At is what is left of it at a time. It is good for two intervals; after that it is
// no answer any more.
func (h Heard) At(now time.Time, interval time.Duration) Answer {
	if h.AskedAt.IsZero() || !now.Before(h.Stale(interval)) {
		return Unknown
	}
	return h.Answer
}

// Stale is when it is no answer any more.
func (h Heard) Stale(interval time.Duration) time.Time { return h.AskedAt.Add(2 * interval) }
