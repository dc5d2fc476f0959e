package view

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Style is how a picture is printed.
type Style struct {
	// Color prints with ANSI colours.
	Color bool
	// Width cuts lines, in columns; 0 does not.
	Width int
	Now   time.Time
}

// Tree prints a picture as a tree: fleets, waves, members, and the reason for
// everything that is not further.
func (s Status) Tree(style Style) string {
	var lines []string
	for _, f := range s.Fleets {
		lines = append(lines, style.bold("fleet "+f.Headline()))
		if f.Halt != "" {
			lines = append(lines, style.red("!  halted: "+f.Halt))
		}
		for _, w := range f.Waves {
			lines = append(lines, fmt.Sprintf("└─ wave %s, %d at once", w.Name, w.MaxConcurrent))
			lines = append(lines, style.members(w.Members)...)
		}
	}
	if len(s.Unassigned) > 0 {
		lines = append(lines, style.bold("members of no fleet"))
		lines = append(lines, style.members(s.Unassigned)...)
	}
	if len(lines) == 0 {
		lines = []string{"no fleets and no members: create a member with \"refit local create\", then apply a Release and a Fleet"}
	}
	for i := range lines {
		lines[i] = style.cut(lines[i])
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
		branch := "├─"
		if i == len(members)-1 {
			branch = "└─"
		}
		lines = append(lines, fmt.Sprintf("   %s %s %-*s  %s", branch, style.mark(m.State), width, m.Name, style.line(m)))
	}
	return lines
}

// line is what follows a member's name.
func (style Style) line(m Member) string {
	versions := m.Version
	if m.Nodes != "" && m.Nodes != m.Version {
		versions += " (nodes " + m.Nodes + ")"
	}
	switch m.State {
	case Running:
		where := ""
		if m.Step != "" {
			where = "  " + style.bold(strings.TrimSpace(m.Step+" "+nodes(m)))
		}
		if m.Hop != "" {
			versions += " → " + m.Hop
		}
		return fmt.Sprintf("%s%s  %s%s", versions, where, m.Why.Message, style.since(m.Why))
	case Done:
		if m.Took > 0 {
			return fmt.Sprintf("%s  done in %s", versions, m.Took.Round(time.Second))
		}
		return versions + "  done"
	case Failed:
		return fmt.Sprintf("%s  %s", versions, style.red("failed: "+m.Why.Message))
	case Waiting:
		return fmt.Sprintf("%s  waiting: %s", versions, m.Why.Message)
	case Skipped:
		return fmt.Sprintf("%s  %s", versions, m.Why.Message)
	}
	return versions
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

func (style Style) mark(state State) string {
	switch state {
	case Done:
		return style.paint("32", "✓")
	case Running:
		return style.paint("33", "▶")
	case Failed:
		return style.paint("31", "✗")
	case Waiting:
		return "·"
	case Skipped:
		return "-"
	}
	return " "
}

func (style Style) bold(text string) string { return style.paint("1", text) }
func (style Style) red(text string) string  { return style.paint("31", text) }

func (style Style) paint(code, text string) string {
	if !style.Color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// columnsOf is a line's width; colour codes take no room.
func columnsOf(line string) int {
	columns, escaped := 0, false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escaped = true
		case escaped:
			escaped = r != 'm'
		default:
			columns++
		}
	}
	return columns
}

// cut shortens a line to the width.
func (style Style) cut(line string) string {
	if style.Width <= 0 || columnsOf(line) <= style.Width {
		return line
	}
	var out strings.Builder
	columns, escaped := 0, false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escaped = true
		case escaped:
			escaped = r != 'm'
		case columns == style.Width-1:
			out.WriteString("…")
			if style.Color {
				out.WriteString("\x1b[0m")
			}
			return out.String()
		default:
			columns++
		}
		out.WriteRune(r)
	}
	return out.String()
}
