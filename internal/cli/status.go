package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"refit.dev/refit/internal/view"
)

// refresh is how often a watched picture is drawn anew: as fast as people read.
const refresh = time.Second

func newStatusCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show fleets and members: where each is, and why it is not further",
		Example: `  refit status
  refit status --watch`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			hub, err := connect(cmd)
			if err != nil {
				return err
			}
			screen := NewScreen(cmd.OutOrStdout())
			for {
				seen, err := hub.look(cmd.Context())
				if err != nil {
					return err
				}
				screen.Draw(view.Held(seen.Hub, seen.held, time.Now()))
				if !watch {
					return nil
				}
				if !pause(cmd.Context(), refresh) {
					return nil
				}
			}
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "keep showing it until interrupted")
	return cmd
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
	out   io.Writer
	fd    int
	tty   bool
	color bool
	drawn int
	last  map[string]bool
}

// NewScreen finds out what can be shown on out. A dumb terminal cannot move its
// cursor: it is written to as a log is.
func NewScreen(out io.Writer) *Screen {
	s := &Screen{out: out, last: map[string]bool{}}
	if file, ok := out.(*os.File); ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd())) {
		s.fd, s.tty = int(file.Fd()), true
		s.color = os.Getenv("NO_COLOR") == ""
	}
	return s
}

// Draw shows a picture.
func (s *Screen) Draw(status view.Status) {
	style := view.Style{Color: s.color, Now: time.Now()}
	if !s.tty {
		s.changes(status, style)
		return
	}
	height := 0
	if width, rows, err := term.GetSize(s.fd); err == nil {
		style.Width, height = width, rows
	}
	lines := strings.Split(strings.TrimSuffix(status.Tree(style), "\n"), "\n")
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
	timeless := strings.SplitAfter(status.Tree(view.Style{}), "\n") // at no time, nothing has held for long
	for i, line := range strings.SplitAfter(status.Tree(style), "\n") {
		now[timeless[i]] = true
		if !s.last[timeless[i]] {
			_, _ = io.WriteString(s.out, line) // a closed pipe ends us by signal
		}
	}
	s.last = now
}
