package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/provider/local"
)

// openTestLog is a log that is closed in the end.
func openTestLog(t *testing.T, path string, level slog.Level) Log {
	t.Helper()
	log, err := OpenLog(path, level)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

// A log that grows and grows takes no more of the disk than four files, and what
// is kept is the end of it, without a gap.
func TestLogIsRotated(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "logs")
	log := openTestLog(t, filepath.Join(folder, "refit.log"), slog.LevelInfo)
	const lines = 70
	padding := strings.Repeat("x", 1_000_000)
	for n := range lines { // 70 MB
		log.Info("line", "n", n, "padding", padding)
	}
	var files []string
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ; time.Now().Before(deadline); <-tick.C { // old files are removed beside those who log
		if files, _ = filepath.Glob(filepath.Join(folder, "*")); len(files) == 1+logBackups {
			break
		}
	}
	if len(files) != 1+logBackups {
		t.Fatalf("there are %d files, want %d: %v", len(files), 1+logBackups, files)
	}
	slices.Sort(files) // the times are in the names of the old ones; refit.log comes after them
	var kept []int
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > logMegabytes<<20 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has %d bytes and mode %s", file, info.Size(), info.Mode())
		}
		for _, line := range readLog(t, file) {
			kept = append(kept, int(line["n"].(float64)))
		}
	}
	want := []int{}
	for n := lines - len(kept); n < lines; n++ {
		want = append(want, n)
	}
	if diff := cmp.Diff(want, kept); diff != "" || len(kept) < 30 {
		t.Errorf("kept are %d lines (-want +got):\n%s", len(kept), diff)
	}
}

// readLog reads a log, every line of which is a JSON object.
func readLog(t *testing.T, path string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []map[string]any
	for line := range bytes.Lines(text) {
		var object map[string]any
		if err := json.Unmarshal(line, &object); err != nil {
			t.Fatalf("%s: %v: %.100s", path, err, line)
		}
		lines = append(lines, object)
	}
	return lines
}

// What is below the level is not there, and a second start goes on where the
// first one ended.
func TestLogLevels(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs", "refit.log")
	var want, got []string
	for _, name := range []string{"debug", "info", "warn", "error"} {
		level, err := (&logLevel{text: name}).read()
		if err != nil || levelName(level) != name {
			t.Errorf("--log-level %s is %v, %v", name, level, err)
		}
		log := openTestLog(t, path, level)
		for _, at := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			log.With("loop", "fleets").Log(t.Context(), at, "said", "at", name)
			if at >= level {
				want = append(want, name+" "+at.String()+" fleets")
			}
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, line := range readLog(t, path) {
		got = append(got, fmt.Sprint(line["at"], " ", line["level"], " ", line["loop"]))
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(line["time"])); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 10 {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLogThatCannotBeOpened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "logs")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(file, "refit.log"), filepath.Dir(file)} {
		if _, err := OpenLog(path, slog.LevelInfo); err == nil || !strings.Contains(err.Error(), "open the log: ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// The supervisors that a hub starts log as it does.
func TestLogging(t *testing.T) {
	members := local.Members{Supervisor: []string{"refit", superviseCommand}}
	got := Logging(members, slog.LevelDebug).Supervisor
	if diff := cmp.Diff([]string{"refit", superviseCommand, "--log-level", "debug"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	spare := local.Members{Supervisor: append(make([]string, 0, 9), members.Supervisor...)}
	first, second := Logging(spare, slog.LevelDebug), Logging(spare, slog.LevelError)
	if first.Supervisor[3] != "debug" || second.Supervisor[3] != "error" {
		t.Errorf("one is changed by the other: %v, %v", first.Supervisor, second.Supervisor)
	}
}

// What a hub says beside its log is bounded when one starts.
func TestWordsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "up.log")
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), wordsLimit+1), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := openWords(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	now, _ := os.ReadFile(path)
	if before, err := os.Stat(path + ".1"); string(now) != "hello\n" || err != nil || before.Size() != wordsLimit {
		t.Errorf("the words are %.100q, and before %v, %v", now, before, err)
	}
}
