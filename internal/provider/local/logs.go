package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"refit.dev/refit/internal/kube/controlplane"
)

// SupervisorLog is the name of the supervisor's own log.
const SupervisorLog = "supervisor"

// logLimit is of the supervisor's own log, and twice that on disk: years of a
// member that is well.
const logLimit = 1 << 20

// LogNames are the logs that every member has.
func LogNames() []string {
	names := []string{SupervisorLog}
	for _, part := range controlplane.Parts() {
		names = append(names, string(part))
	}
	return names
}

// Kubeconfig is the path of a member's kubeconfig.
func (m Members) Kubeconfig(name string) (string, error) {
	f, err := m.folder(name)
	if err != nil {
		return "", err
	}
	path := controlplane.Kubeconfig(string(f))
	if !exists(path) {
		return "", fmt.Errorf("%s has no kubeconfig yet: it was never started", name)
	}
	return path, nil
}

// CopyLog writes what a log of a member holds.
func (m Members) CopyLog(name, log string, to io.Writer) error {
	file, err := m.openLog(name, log)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(to, file); err != nil {
		return fmt.Errorf("copy the log of %s: %w", name, err)
	}
	return nil
}

func (m Members) openLog(name, log string) (*os.File, error) {
	f, err := m.folder(name)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(LogNames(), log) {
		return nil, fmt.Errorf("there is no part %q; name one of: %s", log, strings.Join(LogNames(), ", "))
	}
	file, err := os.Open(controlplane.Log(string(f), controlplane.Part(log)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s of %s has logged nothing yet", log, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the log of %s: %w", name, err)
	}
	return file, nil
}

// FollowLog writes what a log holds and what is added to it, until ctx ends.
func (m Members) FollowLog(ctx context.Context, name, log string, to io.Writer) error {
	file, err := m.openLog(name, log)
	if err != nil {
		return err
	}
	defer file.Close()
	for {
		if _, err := io.Copy(to, file); err != nil {
			return fmt.Errorf("copy the log of %s: %w", name, err)
		}
		if err := rewindIfEmptied(file); err != nil {
			return fmt.Errorf("follow the log of %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// rewindIfEmptied begins again where a log was bounded: it was emptied then.
func rewindIfEmptied(file *os.File) error {
	at, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil || info.Size() >= at {
		return err
	}
	_, err = file.Seek(0, io.SeekStart)
	return err
}
