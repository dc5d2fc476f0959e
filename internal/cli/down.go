package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"refit.dev/refit/internal/kube"
)

// endTimeout is how long a hub may take to end: it closes its watches, then etcd.
const endTimeout = 30 * time.Second

func newDownCommand(app App) *cobra.Command {
	var keepMembers bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop the hub and the local members; everything is kept",
		Example: `  refit down
  refit down --keep-members    # the clusters go on without a hub`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := stopHub(cmd.Context(), app, flag(cmd, "data-dir"), cmd.OutOrStdout()); err != nil || keepMembers {
				return err
			}
			return stopMembers(cmd.Context(), flag(cmd, "data-dir"), cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&keepMembers, "keep-members", false, "stop the hub only")
	return cmd
}

// stopHub ends the hub of a data directory, if one runs.
func stopHub(ctx context.Context, app App, dataDir string, out io.Writer) error {
	pid, err := app.HubProcess(dataDir)
	if pid == 0 || err != nil {
		return err
	}
	if err := endHub(ctx, app, dataDir, pid); err != nil {
		return err
	}
	fmt.Fprintf(out, "hub stopped (pid %d)\n", pid)
	return nil
}

func stopMembers(ctx context.Context, dataDir string, out io.Writer) error {
	members, err := LocalMembers(dataDir, io.Discard)
	if err != nil {
		return err
	}
	names, err := members.Names()
	if err != nil {
		return err
	}
	if err := members.StopAll(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d local members stopped; \"refit up\" starts them again\n", len(names))
	return nil
}

// endHub asks the process to end, and waits until its lock is free: the lock,
// not the pid, tells that it is gone.
func endHub(ctx context.Context, app App, dataDir string, pid int) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("stop the hub: %w", err)
	}
	if err := process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the hub (pid %d): %w", pid, err)
	}
	deadline := time.Now().Add(endTimeout)
	for time.Now().Before(deadline) {
		holder, err := app.HubProcess(dataDir)
		if err != nil {
			return err
		}
		if holder != pid {
			return nil
		}
		if !pause(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
	return fmt.Errorf("the hub (pid %d) has not ended after %s; see %s, and end it with kill -9 %d",
		pid, endTimeout, filepath.Join(dataDir, "logs"), pid)
}

func newUninstallCommand(app App) *cobra.Command {
	var yes, caches bool
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Stop everything and remove the data directory",
		Long: `Stop the hub and the local members, and remove the data directory with all that
is in it. Clusters that are not local are not touched. The binary itself stays.`,
		Example: `  refit uninstall --yes
  refit uninstall --yes --cache    # the downloaded and built binaries too`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dataDir := flag(cmd, "data-dir")
			if !yes {
				return fmt.Errorf("this removes %s and every local member; say so with --yes", dataDir)
			}
			if err := checkOurs(dataDir, app.DataFiles); err != nil {
				return err
			}
			if err := uninstall(cmd, app, dataDir); err != nil || !caches {
				return err
			}
			return removeCache(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "yes, remove it")
	cmd.Flags().BoolVar(&caches, "cache", false, "remove the cached binaries too")
	return cmd
}

func uninstall(cmd *cobra.Command, app App, dataDir string) error {
	if err := stopHub(cmd.Context(), app, dataDir, cmd.OutOrStdout()); err != nil {
		return err
	}
	members, err := LocalMembers(dataDir, io.Discard)
	if err != nil {
		return err
	}
	names, err := members.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := members.Delete(cmd.Context(), name); err != nil {
			return err
		}
	}
	return remove(dataDir, cmd.OutOrStdout())
}

// checkOurs guards against a slip of the fingers: a folder that holds something
// else is not removed.
func checkOurs(dataDir string, ours []string) error {
	entries, err := os.ReadDir(dataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--data-dir %s: %w; name the folder of a hub", dataDir, err)
	}
	for _, entry := range entries {
		// A file that was being written has a name of its own: .NAME-12345.
		name, _, _ := strings.Cut(strings.TrimPrefix(entry.Name(), "."), "-")
		if !slices.Contains(ours, name) {
			return fmt.Errorf("--data-dir %s holds %s, which is not Refit's: nothing was removed; name the folder of a hub, or move that away",
				dataDir, entry.Name())
		}
	}
	return nil
}

// removeCache removes the binaries; a demonstration that is running, and what
// other tools keep beside them, stays.
func removeCache(out io.Writer) error {
	cache, err := kube.DefaultDir()
	if err != nil {
		return err
	}
	for _, folder := range []string{"kube", kube.Etcd, kube.Kwok} {
		if err := remove(filepath.Join(cache, folder), out); err != nil {
			return err
		}
	}
	return nil
}

func remove(folder string, out io.Writer) error {
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(out, "%s does not exist\n", folder)
		return nil
	}
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("remove %s: %w", folder, err)
	}
	fmt.Fprintf(out, "removed %s\n", folder)
	return nil
}
