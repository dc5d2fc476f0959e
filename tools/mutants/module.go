package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// module is the Go module whose code is broken.
type module struct {
	root string
}

// pkg is a package, as go list tells.
type pkg struct {
	ImportPath, Dir string
	GoFiles         []string
	Deps            []string
}

// packages lists the packages to break.
func (m module) packages(ctx context.Context, patterns, except []string) ([]pkg, error) {
	found, err := m.list(ctx, patterns)
	if err != nil || len(except) == 0 {
		return found, err
	}
	spared, err := m.list(ctx, except)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(p pkg) bool {
		return slices.ContainsFunc(spared, func(s pkg) bool { return s.ImportPath == p.ImportPath })
	}), nil
}

// suites lists the tests, each with what it depends on.
func (m module) suites(ctx context.Context, patterns []string) ([]suite, error) {
	found, err := m.list(ctx, append([]string{"-test"}, patterns...))
	if err != nil {
		return nil, err
	}
	var suites []suite
	for _, p := range found {
		tested, ok := strings.CutSuffix(p.ImportPath, ".test")
		if !ok {
			continue
		}
		s := suite{path: tested, dir: p.Dir, deps: map[string]bool{}}
		for _, dep := range p.Deps {
			path, _, _ := strings.Cut(dep, " [") // compiled for this test
			s.deps[path] = true
		}
		suites = append(suites, s)
	}
	if len(suites) == 0 {
		return nil, fmt.Errorf("no package of %s has tests", strings.Join(patterns, " "))
	}
	return suites, nil
}

func (m module) list(ctx context.Context, args []string) ([]pkg, error) {
	out, err := m.command(ctx, append([]string{"list", "-json=ImportPath,Dir,GoFiles,Deps"}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	var list []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, fmt.Errorf("list packages: %w", err)
		}
		list = append(list, p)
	}
}

// command runs the go command; its error has what it said.
func (m module) command(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = m.root, environment()
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, strings.TrimSpace(said.String()))
	}
	return out, nil
}

// environment is what the tests of the planners run in everywhere, and in addition: a property that fails writes
// no file into the tree, and does not look for a smaller world, since nobody reads about it.
func environment(more ...string) []string {
	return slices.Concat(os.Environ(), []string{
		"CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "GOWORK=off",
		"RAPID_SEED=1", "RAPID_NOFAILFILE=true", "RAPID_SHRINKTIME=0s",
	}, more)
}

// within is a path as seen from the module's root.
func (m module) within(path string) (string, error) {
	root, err := filepath.Abs(m.root)
	if err != nil {
		return "", err
	}
	root, err = filepath.EvalSymlinks(root)
	if err != nil {
		return "", err
	}
	return filepath.Rel(root, path)
}
