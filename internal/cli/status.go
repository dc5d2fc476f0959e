package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"refit.dev/refit/internal/view"
)

// refresh is how often a watched picture is drawn anew: as fast as people read.
const refresh = time.Second

func newStatusCommand(app App) *cobra.Command {
	var watch bool
	output := format{now: app.Now}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show fleets and members: where each is, and why it is not further",
		Example: `  refit status
  refit status --watch
  refit status -o json | jq -r '.fleets[].waves[].members[] | select(.state == "Failed") | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := output.check(); err != nil {
				return err
			}
			if watch && output.name != "" {
				return fmt.Errorf("--watch: is for people, and --output %s is one document; leave one of them out", output.name)
			}
			hub, err := connect(cmd)
			if err != nil {
				return err
			}
			if watch {
				return watchStatus(cmd, app, hub)
			}
			seen, err := hub.look(cmd.Context())
			if err != nil {
				return err
			}
			return output.print(cmd, view.Held(seen.Hub, seen.held, app.Now()))
		},
	}
	output.add(cmd)
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "keep showing it until interrupted")
	return cmd
}

// watchStatus shows the picture again and again. To be interrupted is its end,
// whatever it is at.
func watchStatus(cmd *cobra.Command, app App, hub *hub) error {
	screen := NewScreen(cmd.OutOrStdout())
	for {
		seen, err := hub.look(cmd.Context())
		if cmd.Context().Err() != nil {
			return nil //nolint:nilerr // what was read or not is of no interest any more
		}
		if err != nil {
			return err
		}
		screen.Draw(view.Held(seen.Hub, seen.held, app.Now()))
		if !pause(cmd.Context(), refresh) {
			return nil
		}
	}
}

// pause waits; false means that ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Screen shows a picture again and again: on a terminal in place, elsewhere
// only the lines that changed, so that a log stays readable.
type Screen struct {
	terminal
	out   io.Writer
	drawn int
	last  map[string]bool
}

// NewScreen finds out what can be shown on out.
func NewScreen(out io.Writer) *Screen {
	return &Screen{terminal: terminalOf(out), out: out, last: map[string]bool{}}
}

// Draw shows a picture.
func (s *Screen) Draw(status view.Status) {
	style := view.Style{Color: s.color, Now: time.Now()}
	if !s.tty {
		s.changes(status, style)
		return
	}
	var height int
	style.Width, height = s.size()
	lines := strings.Split(strings.TrimSuffix(status.Text(style), "\n"), "\n")
	if height > 2 && len(lines) > height-1 {
		lines = append(lines[:height-2], fmt.Sprintf("… %d more lines", len(lines)-height+2))
	}
	var frame strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&frame, "\x1b[%dA\r", s.drawn)
	}
	for _, line := range lines {
		// Cleared before, not after: behind a line as wide as the terminal the
		// cursor is still on the last column, which would be cleared with the rest.
		frame.WriteString("\x1b[K" + line + "\n")
	}
	frame.WriteString("\x1b[J")
	s.drawn = len(lines)
	_, _ = io.WriteString(s.out, frame.String()) // a closed terminal ends us by signal
}

// changes prints the lines that the last picture did not have. That a reason
// has held for a second more is no change.
func (s *Screen) changes(status view.Status, style view.Style) {
	now := map[string]bool{}
	timeless := strings.SplitAfter(status.Text(view.Style{}), "\n") // at no time, nothing has held for long
	for i, line := range strings.SplitAfter(status.Text(style), "\n") {
		now[timeless[i]] = true
		if !s.last[timeless[i]] {
			_, _ = io.WriteString(s.out, line) // a closed pipe ends us by signal
		}
	}
	s.last = now
}
