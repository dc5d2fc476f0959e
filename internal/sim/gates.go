package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	ctrl "sigs.k8s.io/controller-runtime"

	"refit.dev/refit/internal/fleet"
)

// asker asks gates for one process: what it heard dies with it.
type asker struct {
	hub   *Hub
	open  map[fleet.Question]fleet.Heard
	begun []fleet.Question // in the order in which they were opened
}

func newAsker(h *Hub) *asker { return &asker{hub: h, open: map[fleet.Question]fleet.Heard{}} }

// Ask opens questions, each of which is asked at once, and closes all others.
func (a *asker) Ask(questions []fleet.Question) {
	a.begun = slices.DeleteFunc(a.begun, func(q fleet.Question) bool { return !slices.Contains(questions, q) })
	for q := range a.open {
		if !slices.Contains(questions, q) {
			delete(a.open, q)
		}
	}
	for _, q := range questions {
		if !slices.Contains(a.begun, q) {
			a.begun = append(a.begun, q)
			a.hub.wake(gates, q.Query)
		}
	}
}

// Heard is what was answered to the open questions.
func (a *asker) Heard() map[fleet.Question]fleet.Heard {
	return maps.Clone(a.open)
}

// OnAnswer: the Fleets loop is woken anyway.
func (a *asker) OnAnswer(func()) {}

// ask asks the questions of a query, which is all that is told apart in a story.
func (a *asker) ask(query string) ctrl.Result {
	var next ctrl.Result
	now := a.hub.world.Clock.Now()
	for _, q := range a.begun {
		if q.Query != query {
			continue
		}
		heard := fleet.Heard{Answer: fleet.Unknown, Said: "connection refused", AskedAt: now, YesAt: a.open[q].YesAt}
		if said, answers := a.hub.world.Says[query]; answers {
			heard.Answer, heard.Said = said, strings.ToLower(string(said))
		}
		if heard.Answer == fleet.Yes {
			heard.YesAt = now
		}
		a.open[q], next.RequeueAfter = heard, q.Interval
	}
	a.hub.wake(fleets, "all")
	return next
}

// says lets Prometheus answer a query from now on; with "nothing" it is gone.
func (w *World) says(query, answer string) error {
	delete(w.Says, query)
	if answer == "nothing" {
		return nil
	}
	if !slices.Contains([]fleet.Answer{fleet.Yes, fleet.No, fleet.Unknown}, fleet.Answer(answer)) {
		return fmt.Errorf("%q is no answer", answer)
	}
	w.Says[query] = fleet.Answer(answer)
	return nil
}
