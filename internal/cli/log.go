package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/natefinch/lumberjack.v2"
)

// What a log may take of the disk: some weeks of a busy fleet at the level info,
// and never more than 40 MB.
const (
	logMegabytes = 10
	logBackups   = 3
)

// LogPath is the log of the process that runs hub and loops.
func LogPath(dataDir string) string { return filepath.Join(dataDir, "logs", "refit.log") }

// A Log is a log that can be closed.
type Log struct {
	*slog.Logger
	io.Closer
}

// OpenLog is a log that is kept from one start to the next, one JSON object a
// line. A file that has grown is renamed by its time, and the oldest is removed.
func OpenLog(path string, level slog.Level) (Log, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return Log{}, fmt.Errorf("open the log: %w", err)
	}
	// A log that cannot be written is told of now, not by lines that are missing.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return Log{}, fmt.Errorf("open the log: %w", err)
	}
	if err := file.Close(); err != nil {
		return Log{}, fmt.Errorf("open the log: %w", err)
	}
	rotated := &lumberjack.Logger{Filename: path, MaxSize: logMegabytes, MaxBackups: logBackups}
	return Log{NewLog(rotated, level), rotated}, nil
}

// NewLog is a log of one JSON object a line.
func NewLog(out io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level}))
}

// logLevel is the flag of what is logged.
type logLevel struct{ text string }

func (l *logLevel) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.text, "log-level", "info", "least that is logged: debug, info, warn or error")
}

func (l *logLevel) read() (slog.Level, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[l.text]
	if !ok {
		return 0, fmt.Errorf("--log-level %q: is no level; name debug, info, warn or error", l.text)
	}
	return level, nil
}

// levelName is a level as the flag has it.
func levelName(level slog.Level) string { return strings.ToLower(level.String()) }
