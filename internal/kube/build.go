package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// A build is one compilation of an artefact.
type build struct {
	Artefact
	scratch string   // an empty folder for what is needed on the way
	into    string   // an empty folder for the binaries
	lock    *os.File // given to every child: the lock is free when the last of them has ended
	report  func(doing string)

	userCache string // the compiler's cache of the user
}

// compile builds an artefact from its published Go modules. Go verifies each
// against the checksum database, unless the user's Go settings say otherwise.
func compile(ctx context.Context, b build) error {
	g, err := newGoTool(b)
	if err != nil {
		return err
	}
	b.report("reading its modules")
	published, err := g.published(ctx, b.Artefact)
	if err != nil {
		return err
	}
	m := generate(b.Artefact, published)
	if err := m.write(g.dir); err != nil {
		return err
	}
	total, err := g.chooseCache(ctx, m.target)
	if err != nil {
		return err
	}
	if err := g.build(ctx, m, total); err != nil {
		return err
	}
	return linkCommands(b, m.output)
}

// linkCommands names a multi-call binary after every command it can be.
func linkCommands(b build, binary string) error {
	for _, command := range b.product().commands {
		if command == binary {
			continue
		}
		if err := os.Symlink(binary, filepath.Join(b.into, command)); err != nil {
			return fmt.Errorf("name the commands of %s: %w", b.Artefact, err)
		}
	}
	return nil
}

// recipe names everything that decides what a build makes: two builds with one
// recipe are interchangeable. The published modules are not read for it, since
// a version stands for their content.
func recipe(a Artefact, goVersion string) string {
	m := generate(a, upstream{Go: "of the module"})
	parts := []string{a.String(), platform(), goVersion, m.target, m.output}
	parts = append(parts, buildFlags(a)...)
	for _, settings := range []map[string]string{goSettings(), m.files} {
		for _, key := range sortedKeys(settings) {
			parts = append(parts, key, settings[key])
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:6])
}

// moduleHash is the recipe without the Go version.
func moduleHash(a Artefact) string { return recipe(a, "") }

func buildFlags(a Artefact) []string {
	linker := []string{"-s -w"}
	for _, v := range a.linkerVars() {
		linker = append(linker, "-X "+v)
	}
	return []string{"-trimpath", "-buildvcs=false", "-ldflags=" + strings.Join(linker, " ")}
}

// goSettings are the Go settings that decide what a build makes; the caller's
// own do not reach it. Where modules come from stays the caller's choice.
func goSettings() map[string]string {
	return map[string]string{
		"CGO_ENABLED":  "0", // runs on any Linux, whatever its C library
		"GO111MODULE":  "on",
		"GOAMD64":      "v1",
		"GOARCH":       runtime.GOARCH,
		"GOARM64":      "v8.0",
		"GODEBUG":      "",
		"GOEXPERIMENT": "",
		"GOFLAGS":      "-mod=mod", // the generated module has no go.sum yet
		"GOOS":         runtime.GOOS,
		"GOTOOLCHAIN":  "auto", // the module may need a newer Go than the one installed
		"GOWORK":       "off",
	}
}
