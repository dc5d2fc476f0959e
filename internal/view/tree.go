package view

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"refit.dev/refit/internal/fleet"
)

// Text prints a picture as a tree: fleets, waves, members, and the reason for
// everything that is not further.
func (s Status) Text(style Style) string {
	var lines []string
	add := func(line, hang string) { lines = append(lines, style.wrap(line, hang)...) }
	for _, f := range s.Fleets {
		add(style.bold("fleet "+f.Headline()), "   ")
		if f.Halt.Code != "" {
			add(style.red("!  halted: "+f.Halt.Message), "   ")
		}
		for _, w := range f.Waves {
			add("└─ "+w.headline(), "   ")
			lines = append(lines, style.members(w.Members)...)
		}
	}
	if len(s.Unassigned) > 0 {
		add(style.bold("members of no fleet"), "   ")
		lines = append(lines, style.members(s.Unassigned)...)
	}
	if len(lines) == 0 {
		add("no fleets and no members: create a member with \"refit local create\", then apply a Release and a Fleet", "")
	}
	return strings.Join(lines, "\n") + "\n"
}

func (style Style) members(members []Member) []string {
	width := 0
	for _, m := range members {
		width = max(width, utf8.RuneCountInString(m.Name))
	}
	var lines []string
	for i, m := range members {
		branch, trunk := "├─", "│ "
		if i == len(members)-1 {
			branch, trunk = "└─", "  "
		}
		line := fmt.Sprintf("   %s %s %-*s  %s", branch, style.mark(m.State), width, m.Name, style.line(m))
		lines = append(lines, style.wrap(line, fmt.Sprintf("   %s   %-*s  ", trunk, width, ""))...)
	}
	return lines
}

// headline is a wave in one line. That it is under way is told of its members;
// that it waits for something else, here.
func (w Wave) headline() string {
	if w.Name == "" {
		return "in no wave"
	}
	line := fmt.Sprintf("wave %s, %d at once", w.Name, w.MaxConcurrent)
	if w.Why.Code == string(fleet.Soaking) || w.Why.Code == string(fleet.EmptyWave) {
		line += ": " + w.Why.Message
	}
	return line
}

// line is what follows a member's name.
func (style Style) line(m Member) string {
	if note := style.note(m); note != "" {
		return m.Versions() + "  " + note
	}
	return m.Versions()
}

// Versions are what a member runs, and of one that is on its way what it goes to.
func (m Member) Versions() string {
	versions := m.Version
	if m.Nodes != "" && m.Nodes != m.Version {
		versions += " (nodes " + m.Nodes + ")"
	}
	if m.State == Running && m.Hop != "" {
		versions += " → " + m.Hop
	}
	return versions
}

// Note is why a member is not further, or that it is there, as "refit status"
// prints it.
func (m Member) Note() string { return Style{}.note(m) }

func (style Style) note(m Member) string {
	switch m.State {
	case Running:
		where := ""
		if m.Step != "" {
			where = style.bold(strings.TrimSpace(m.Step+" "+nodes(m))) + "  "
		}
		return where + m.Why.Message + style.since(m.Why)
	case Done:
		if m.Took.Duration > 0 {
			return fmt.Sprintf("done in %s", m.Took.Round(time.Second))
		}
		return "done"
	case Failed:
		return style.red("failed: " + m.Why.Message)
	case Waiting:
		if m.Why.Code != string(fleet.Starting) {
			return "waiting: " + m.Why.Message
		}
		return m.Why.Message
	case Aborted, Skipped:
		return m.Why.Message
	}
	return ""
}

func nodes(m Member) string {
	if m.Step != "Nodes" {
		return ""
	}
	return fmt.Sprintf("%d/%d", m.NodesDone, m.NodesTotal)
}

// since tells how long a reason has held, once that is worth telling.
func (style Style) since(why Reason) string {
	if why.Since.IsZero() || style.Now.Sub(why.Since) < 10*time.Second {
		return ""
	}
	return fmt.Sprintf(" (for %s)", style.Now.Sub(why.Since).Round(time.Second))
}

// Mark is the sign of a state: it tells states apart also where there is no colour.
func (s State) Mark() string {
	switch s {
	case Done:
		return "✓"
	case Running:
		return "▶"
	case Failed:
		return "✗"
	case Aborted:
		return "■"
	case Waiting:
		return "·"
	case Skipped:
		return "-"
	}
	return " "
}

func (style Style) mark(state State) string {
	switch state {
	case Done:
		return style.paint("32", state.Mark())
	case Running:
		return style.paint("33", state.Mark())
	case Failed, Aborted:
		return style.paint("31", state.Mark())
	case Waiting, Skipped:
	}
	return state.Mark()
}
