package witness

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// An outage lasts from the last answer before it to the first one after it: what
// could not be seen counts as away.
func TestProbeMeasuresOutages(t *testing.T) {
	refused := errors.New("connection refused")
	type answer struct {
		at      int // milliseconds
		version string
	}
	for _, test := range []struct {
		name    string
		answers []answer
		want    string
	}{
		{"none", []answer{{20, "v1"}, {40, "v1"}, {60, "v1"}}, "[] [v1]"},
		{"one", []answer{{20, "v1"}, {40, ""}, {60, ""}, {80, "v2"}}, "[v1 → v2 60ms (connection refused)] [v1 v2]"},
		{"a single failure", []answer{{20, "v1"}, {40, ""}, {60, "v1"}}, "[v1 → v1 40ms (connection refused)] [v1]"},
		{"two", []answer{{20, "v1"}, {40, ""}, {60, "v1"}, {80, ""}, {100, "v2"}}, "[v1 → v1 40ms (connection refused) v1 → v2 40ms (connection refused)] [v1 v2]"},
		{"from the beginning", []answer{{20, ""}, {40, ""}, {60, "v1"}}, "[? → v1 40ms (connection refused)] [v1]"},
		{"a version that comes back is told again", []answer{{20, "v1"}, {40, "v2"}, {60, "v1"}}, "[] [v1 v2 v1]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, begin := &Probe{cancel: func() {}}, time.Now()
			for _, a := range test.answers {
				var err error
				if a.version == "" {
					err = refused
				}
				p.note(begin.Add(time.Duration(a.at)*time.Millisecond), a.version, err)
			}
			seen := p.Stop()
			if got := fmt.Sprint(seen.Outages, " ", seen.Versions); strings.TrimSpace(got) != test.want {
				t.Errorf("seen %s, want %s", got, test.want)
			}
		})
	}
	p := &Probe{cancel: func() {}}
	p.note(time.Now().Add(-time.Hour), "v1", nil)
	p.note(time.Now().Add(-time.Minute), "", refused)
	if seen := p.Stop(); len(seen.Outages) != 1 || seen.Outages[0].For < time.Hour {
		t.Errorf("an outage that has not ended: %v, want an hour", seen.Outages)
	}
}
