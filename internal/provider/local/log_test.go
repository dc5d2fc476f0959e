package local

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

// The log of a supervisor that runs for years is bounded while it runs.
func TestSupervisorBoundsItsLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(t, "dev", PoolSpec{"a", 1})
	log := folder(w.Folder("dev")).log()
	file, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(bytes.Repeat([]byte("x\n"), logLimit)); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); ; <-tick.C {
		now, err := os.Stat(log)
		before, errBefore := os.Stat(log + ".1")
		if err == nil && errBefore == nil && now.Size() < logLimit && before.Size() == logLimit {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log: %v, %v; before: %v, %v", now, err, before, errBefore)
		}
	}
}

// What goes wrong again and again is one line, and that it is over another.
func TestSupervisorSaysItOnce(t *testing.T) {
	var out bytes.Buffer
	s := &supervisor{log: slog.New(slog.NewJSONHandler(&out, nil))}
	said := ""
	for _, text := range []string{"", "a", "a", "a", "b", "", "", "b"} {
		var err error
		if text != "" {
			err = errors.New(text)
		}
		said = s.sayOnce(said, err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), `,"level":`)
		got = append(got, line)
	}
	want := `"WARN","msg":"nodes","error":"a"}
"WARN","msg":"nodes","error":"b"}
"INFO","msg":"nodes are tended again"}
"WARN","msg":"nodes","error":"b"}`
	if strings.Join(got, "\n") != want {
		t.Errorf("logged are\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
