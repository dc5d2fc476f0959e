package kube

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// versionArgs makes a command print its version and do nothing else.
func versionArgs(command string) []string {
	if command == "kubectl" {
		return []string{"version", "--client"}
	}
	return []string{"--version"}
}

// checkCommands runs every command of an artefact: it must be there, run on
// this machine and be of the version it is kept as.
func checkCommands(ctx context.Context, a Artefact, dir, scratch string) error {
	for _, command := range a.product().commands {
		version, err := askVersion(ctx, filepath.Join(dir, command), scratch)
		if err != nil {
			return err
		}
		if version != a.Version {
			return fmt.Errorf("%s of %s says it is %s", command, a, version)
		}
	}
	return nil
}

// askVersion runs a command in a bare environment, so that no kubeconfig or
// setting of the user's has a say.
func askVersion(ctx context.Context, path, home string) (string, error) {
	command := filepath.Base(path)
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // it takes 0.1 s, on a busy machine a few
	defer cancel()
	cmd := exec.CommandContext(ctx, path, versionArgs(command)...)
	cmd.Env = []string{"HOME=" + home}
	cmd.Dir = home
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.ENOEXEC) {
		return "", fmt.Errorf("%s does not run here: it is no program for %s", command, platform())
	}
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w: %s", command, err, strings.TrimSpace(string(out)))
	}
	found := versionInText().FindStringSubmatch(string(out))
	if found == nil {
		return "", fmt.Errorf("ask %s for its version: it says %q", command, strings.TrimSpace(string(out)))
	}
	return "v" + found[1], nil
}

// versionInText matches what all of them print before anything else that looks
// like a version: "Kubernetes v1.36.3", "Client Version: v1.36.3",
// "etcd Version: 3.7.0", "kwok version v0.8.0 go1.26.8 (linux/amd64)".
func versionInText() *regexp.Regexp {
	return regexp.MustCompile(`(?:^|\s)v?(\d+\.\d+\.\d+\S*)`)
}
