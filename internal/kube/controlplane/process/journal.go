package process

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// Event is what a line of the journal tells.
type Event string

// The events.
const (
	Started Event = "started"
	Ended   Event = "ended"
)

// Entry is one line of the journal: the start or the end of one process.
type Entry struct {
	Time    time.Time `json:"time"`
	Event   Event     `json:"event"`
	Part    string    `json:"part"`
	Version string    `json:"version"`
	ID
	Exe string `json:"exe,omitempty"`
	// Asked marks the end of a process that was asked to end.
	Asked  bool   `json:"asked,omitempty"`
	Reason string `json:"reason"`
}

// Journal is an append-only file of the starts and ends of processes, one JSON
// object a line. It is all that is remembered about what runs.
type Journal struct {
	mu      sync.Mutex
	file    *os.File
	entries []Entry
}

// journalLimit bounds the file over years of restarts: a line has about 250
// bytes, so a part that fails every 30 s fills it in half a week. When a journal is
// opened beyond it, the newer half stays.
const journalLimit = 4 << 20

// OpenJournal reads a journal and opens it for appending. A line that a crash
// cut short is left out.
func OpenJournal(path string) (*Journal, error) {
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("read the journal of starts: %w", err)
	}
	if len(text) > journalLimit {
		text = text[len(text)-journalLimit/2:]
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return nil, fmt.Errorf("shorten the journal of starts: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal of starts: %w", err)
	}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		if _, err := file.WriteString("\n"); err != nil {
			return nil, fmt.Errorf("end a line of the journal of starts: %w", err)
		}
	}
	return &Journal{file: file, entries: parseEntries(text)}, nil
}

func parseEntries(text []byte) []Entry {
	var entries []Entry
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var entry Entry
		if json.Unmarshal(lines.Bytes(), &entry) == nil {
			entries = append(entries, entry)
		}
	}
	return entries
}

// Add appends a line. It is not flushed to disk: after a crash of the machine
// no process of the journal lives.
func (j *Journal) Add(entry Entry) error {
	line, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("write the journal of starts: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the journal of starts: %w", err)
	}
	j.entries = append(j.entries, entry)
	return nil
}

// LastStart is the newest start of a part; false if there was none.
func (j *Journal) LastStart(part string) (Entry, bool) {
	return j.last(func(e Entry) bool { return e.Event == Started && e.Part == part })
}

// Start is the line that tells the start of the process; false if there is none.
func (j *Journal) Start(id ID) (Entry, bool) {
	return j.last(func(e Entry) bool { return e.Event == Started && e.ID == id })
}

// LastEnd is the newest end of a part; false if there was none.
func (j *Journal) LastEnd(part string) (Entry, bool) {
	return j.last(func(e Entry) bool { return e.Event == Ended && e.Part == part })
}

// End is the line that tells the end of the process; false if there is none.
func (j *Journal) End(id ID) (Entry, bool) {
	return j.last(func(e Entry) bool { return e.Event == Ended && e.ID == id })
}

func (j *Journal) last(matches func(Entry) bool) (Entry, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, entry := range slices.Backward(j.entries) {
		if matches(entry) {
			return entry, true
		}
	}
	return Entry{}, false
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }
