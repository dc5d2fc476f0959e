package view

import (
	"slices"
	"strings"
	"time"
)

// Style is how a picture is printed.
type Style struct {
	// Color prints with ANSI colours.
	Color bool
	// Width wraps lines, in columns; 0 does not.
	Width int
	Now   time.Time
}

// narrowest is the width that text is still wrapped for: words of a few letters
// a line cannot be read. What is narrower shows what fits.
const narrowest = 20

func (style Style) bold(text string) string { return style.paint("1", text) }
func (style Style) red(text string) string  { return style.paint("31", text) }

func (style Style) paint(code, text string) string {
	if !style.Color {
		return text
	}
	return "\x1b[" + code + "m" + text + plain
}

// plain ends all colours.
const plain = "\x1b[0m"

// A word is what lines are not broken within, where it fits into one.
type word struct {
	space, text string
	// command is the number of the command that it is part of; 0 for none.
	command int
}

// wrap breaks a line where it is too long. Lines after the first begin with
// hang. Nothing is left out: a word that is too long for a line goes on in the
// next. A command stays in one line if it can, for people copy it; where it
// cannot, it is broken as a shell allows it, so that it can be copied all the same.
func (style Style) wrap(line, hang string) []string {
	if style.Width <= 0 || columnsOf(line) <= style.Width {
		return []string{line}
	}
	width := max(style.Width, narrowest)
	p := &page{width: width, hang: string([]rune(hang)[:min(len([]rune(hang)), width/3)])}
	words := wordsOf(line)
	for len(words) > 0 {
		n := 1
		for words[0].command > 0 && n < len(words) && words[n].command == words[0].command {
			n++
		}
		p.put(words[:n])
		words = words[n:]
	}
	p.end()
	for i := range p.lines {
		p.lines[i] = style.cut(p.lines[i])
	}
	return p.lines
}

// wordsOf takes a line apart, and finds the commands in it.
func wordsOf(line string) []word {
	var words []word
	commands, inside := 0, false
	for line != "" {
		text := strings.TrimLeft(line, " ")
		space := line[:len(line)-len(text)]
		end := len(text)
		if i := strings.IndexByte(text, ' '); i >= 0 {
			end = i
		}
		w := word{space: space, text: text[:end]}
		line = text[end:]
		bare := uncolored(w.text)
		if !inside && slices.Contains([]string{"kubectl", "refit"}, strings.TrimLeft(bare, `"(`)) {
			inside = true
			commands++
		}
		if inside {
			w.command = commands
			inside = !strings.ContainsAny(lastOf(bare), `";,)`)
		}
		words = append(words, w)
	}
	return words
}

func lastOf(text string) string { return text[max(0, len(text)-1):] }

// A page is filled with lines that are no longer than its width.
type page struct {
	width   int
	hang    string
	lines   []string
	current string
	// color is what was begun and not ended.
	color string
}

// fresh tells that nothing is on the line yet but its beginning.
func (p *page) fresh() bool { return uncolored(p.current) == p.hang && len(p.lines) > 0 }

func (p *page) room() int { return p.width - columnsOf(p.current) }

// put adds words that belong together: one, or those of a command.
func (p *page) put(words []word) {
	columns := columnsOf(words[0].text)
	for _, w := range words[1:] {
		columns += columnsOf(w.space + w.text)
	}
	if !p.fresh() && columns+len(words[0].space) > p.room() && p.current != "" {
		p.newLine("")
	}
	last := len(words) - 1
	long := columns > p.width-len([]rune(p.hang))
	for i, w := range words {
		spare := 0
		if long && i < last {
			spare = len(goesOn)
		}
		if i > 0 && columnsOf(w.space+w.text)+spare > p.room() {
			p.newLine(goesOn)
		}
		p.add(w, spare)
	}
}

// goesOn ends each line but the last of a command that takes several.
const goesOn = ` \`

// add adds a word to the line, and what does not fit to the next ones, in all of
// which something is spared.
func (p *page) add(w word, spare int) {
	if !p.fresh() {
		p.current += w.space
	}
	escaped := false
	for _, r := range w.text {
		switch {
		case r == '\x1b':
			escaped, p.color = true, ""
		case !escaped && p.room() <= spare:
			p.newLine("")
		}
		p.current += string(r)
		if escaped {
			p.color += string(r)
			escaped = r != 'm'
		}
	}
	if p.color == plain {
		p.color = ""
	}
}

// newLine ends the line with a mark. A colour is ended with it and begun again.
func (p *page) newLine(mark string) {
	open := p.color
	p.current += mark
	p.end()
	p.current, p.color = p.hang+open, open
}

func (p *page) end() {
	if p.color != "" && p.color != plain {
		p.current += plain
	}
	p.lines = append(p.lines, p.current)
	p.current = ""
}

// uncolored takes colour codes out.
func uncolored(text string) string {
	if !strings.Contains(text, "\x1b") {
		return text
	}
	var out strings.Builder
	escaped := false
	for _, r := range text {
		switch {
		case r == '\x1b':
			escaped = true
		case escaped:
			escaped = r != 'm'
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// columnsOf is a line's width; colour codes take no room.
func columnsOf(line string) int { return len([]rune(uncolored(line))) }

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
				out.WriteString(plain)
			}
			return out.String()
		default:
			columns++
		}
		out.WriteRune(r)
	}
	return out.String()
}
