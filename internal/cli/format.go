package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"sigs.k8s.io/yaml"

	"refit.dev/refit/internal/view"
)

// format is how a command prints what it found: for people, or for programs.
type format struct {
	name string
	set  func() bool
	now  func() time.Time
}

func (f *format) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.name, "output", "o", "", "json or yaml, for programs: see docs/output.md (default: text, for people)")
	f.set = func() bool { return cmd.Flags().Changed("output") }
}

func (f *format) check() error {
	if f.set() && !slices.Contains([]string{"json", "yaml"}, f.name) {
		return fmt.Errorf("--output %q: is no format; name json or yaml, or leave it out for text", f.name)
	}
	return nil
}

// A picture is what a command found.
type picture interface{ Text(style view.Style) string }

// print prints a picture in the format that was asked for.
func (f *format) print(cmd *cobra.Command, p picture) error {
	out := cmd.OutOrStdout()
	switch f.name {
	case "json":
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(p)
	case "yaml":
		text, err := yaml.Marshal(p)
		if err != nil {
			return fmt.Errorf("write it as yaml: %w", err)
		}
		_, err = out.Write(text)
		return err
	}
	t := terminalOf(out)
	width, _ := t.size()
	_, err := io.WriteString(out, p.Text(view.Style{Color: t.color, Width: width, Now: f.now()}))
	return err
}

// terminal is what can be shown on out.
type terminal struct {
	// fd of a terminal; there is none where tty is false.
	fd    int
	tty   bool
	color bool
}

// terminalOf finds out. A dumb terminal cannot move its cursor: it is written to
// as a log is.
func terminalOf(out io.Writer) terminal {
	file, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(file.Fd())) {
		return terminal{}
	}
	return terminal{fd: int(file.Fd()), tty: true, color: os.Getenv("NO_COLOR") == ""}
}

// size is what fits; zeros where it is not known, and where there is no end.
func (t terminal) size() (width, height int) {
	if !t.tty {
		return 0, 0
	}
	width, height, err := term.GetSize(t.fd)
	if err != nil {
		return 0, 0
	}
	return width, height
}
