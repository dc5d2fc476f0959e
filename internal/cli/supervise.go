package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"refit.dev/refit/internal/kube"
	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/provider/local"
)

// superviseCommand is the name of the hidden command that a member's supervisor
// runs.
const superviseCommand = "local-supervisor"

// newSuperviseCommand is "refit local-supervisor DIR": Refit starts one for each
// local member, detached; people never do.
func newSuperviseCommand() *cobra.Command {
	var level logLevel
	cmd := &cobra.Command{
		Use:    superviseCommand + " DIR",
		Short:  "Supervise the local member in a folder",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			least, err := level.read()
			if err != nil {
				return err
			}
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return fmt.Errorf("supervise %s: %w", args[0], err)
			}
			ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer cancel()
			log := NewLog(cmd.ErrOrStderr(), least) // which is the member's log, whoever started us
			err = local.Supervise(ctx, dir, fetchBinaries, log)
			if held := (*process.HeldError)(nil); errors.As(err, &held) {
				log.Info("another supervisor has the member", "pid", held.Holder.PID)
				return nil
			}
			return err
		},
	}
	level.add(cmd)
	return cmd
}

// fetchBinaries gets them from the user's store, for a caller that shows what
// the store is busy with in its own way.
func fetchBinaries(ctx context.Context, artefact, version string, report func(string)) (string, error) {
	store, err := kube.UserStore(lineWriter(report))
	if err != nil {
		return "", err
	}
	return store.Get(ctx, kube.Artefact{Name: artefact, Version: version})
}

// lineWriter hands on each line that is written; the store writes whole ones.
type lineWriter func(string)

func (w lineWriter) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		w(strings.TrimSpace(line))
	}
	return len(text), nil
}

var _ io.Writer = lineWriter(nil)
