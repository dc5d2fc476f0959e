package controlplane

import (
	"bytes"
	"log/slog"
	"os"
	"testing"
)

// What every part prints is bounded: what it holds moves to one older file, whose
// own text is gone then.
func TestLogsOfAllPartsAreBounded(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/logs", 0o700); err != nil {
		t.Fatal(err)
	}
	c := &ControlPlane{config: Config{Dir: dir}, log: slog.New(slog.DiscardHandler)}
	for _, letter := range []string{"a", "b"} {
		for _, part := range Parts() {
			if err := os.WriteFile(Log(dir, part), bytes.Repeat([]byte(letter), logLimit+1), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c.boundLogs()
		for _, part := range Parts() {
			now, _ := os.ReadFile(Log(dir, part))
			before, _ := os.ReadFile(Log(dir, part) + ".1")
			if len(now) != 0 || len(before) != logLimit || string(before[:1]) != letter {
				t.Errorf("%s: the log has %d bytes, the one before %d", part, len(now), len(before))
			}
		}
	}
	if entries, err := os.ReadDir(dir + "/logs"); err != nil || len(entries) != 2*len(Parts()) {
		t.Errorf("there are %d files, want two of each part: %v", len(entries), err)
	}
}
