// Package rules proves that the rules of .golangci.yml are on. A linter that is misconfigured reports
// nothing, which looks like success; so each rule that the architecture rests on must report a line of
// code made to break it, and must leave alone the line beside it that does not.
package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// tree is source code by path.
type tree map[string]string

// findings are the linters that report a line, by "path:line". A rule of revive is named after both.
type findings map[string][]string

func TestSample(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/sample.txtar")
	if err != nil {
		t.Fatal(err)
	}
	code, want := tree{}, findings{}
	for _, file := range archive.Files {
		code[file.Name] = string(file.Data)
		for i, line := range strings.Split(string(file.Data), "\n") {
			if _, linters, found := strings.Cut(line, "// want "); found {
				want[fmt.Sprintf("%s:%d", file.Name, i+1)] = strings.Fields(linters)
			}
		}
	}

	got := lint(t, code).only(slices.Concat(slices.Collect(maps.Values(want))...))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines reported (-want +got):\n%s", diff)
	}
}

// TestArrows builds the program that testdata/arrows.txt describes: every package imports every other.
func TestArrows(t *testing.T) {
	rows := arrows(t)
	code, want := tree{"go.mod": "module refit.dev/refit\n\ngo 1.26.0\n"}, findings{}
	for from, row := range rows {
		// The importer is a package of its own below, since packages that import each other do not compile.
		file := filepath.Join(place(from), "importer", "importer.go")
		lines := []string{"package importer", ""}
		for to, allowed := range row {
			code[filepath.Join(place(to), "named.go")] = "package named\n"
			lines = append(lines, fmt.Sprintf("import _ %q", "refit.dev/refit/"+place(to)))
			if !allowed {
				want[fmt.Sprintf("%s:%d", file, len(lines))] = []string{"depguard"}
			}
		}
		code[file] = strings.Join(lines, "\n") + "\n"
	}

	got := lint(t, code).only([]string{"depguard"})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("imports reported (-want +got):\n%s", diff)
	}
}

// arrows reads the picture: who imports whom, and whether that is allowed.
func arrows(t *testing.T) map[string]map[string]bool {
	t.Helper()
	text, err := os.ReadFile("testdata/arrows.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, picture, _ := strings.Cut(string(text), "\n\n")
	lines := strings.Split(strings.TrimRight(picture, "\n"), "\n")
	columns := strings.Fields(lines[0])
	rows := map[string]map[string]bool{}
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) != len(columns)+1 {
			t.Fatalf("testdata/arrows.txt: row %q has %d marks, want %d", fields[0], len(fields)-1, len(columns))
		}
		row := map[string]bool{}
		for i, mark := range fields[1:] {
			row[columns[i]] = mark == "."
		}
		rows[fields[0]] = row
	}
	return rows
}

// place is the folder of a package that the picture names.
func place(name string) string {
	switch name {
	case "api":
		return "api/v1alpha1"
	case "eks", "local", "fake", "contract":
		return "internal/provider/" + name
	case "cmd":
		return "cmd/refit"
	case "test":
		return "test/e2e"
	default:
		return "internal/" + name
	}
}

func TestLimits(t *testing.T) {
	code := tree{
		"go.mod":       "module refit.dev/refit\n\ngo 1.26.0\n",
		"long/long.go": "package long\n\n" + function("Fits", 80, 1) + function("Long", 81, 1),
		"knot/knot.go": "package knot\n\n" + function("Fits", 40, 15) + function("Knot", 40, 16),
		"file/fits.go": "package file\n" + strings.Repeat("\n// More.\n", 249) + "\n",
		"file/long.go": "package file\n" + strings.Repeat("\n// More.\n", 250),
	}
	got := lint(t, code).only([]string{"funlen", "cyclop", "revive/file-length-limit"})
	want := findings{
		"long/long.go:86":  {"funlen"},
		"knot/knot.go:46":  {"cyclop"},
		"file/long.go:501": {"revive/file-length-limit"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines reported (-want +got):\n%s", diff)
	}
}

// function is the source of a function with so many lines between its braces and so many paths through it.
func function(name string, lines, paths int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "func %s(n int) int {\n", name)
	for range paths - 1 {
		b.WriteString("\tif n > 1 { n++ }\n")
	}
	for range lines - paths {
		b.WriteString("\tn++\n")
	}
	b.WriteString("\treturn n\n}\n\n")
	return b.String()
}

// lint runs the pinned linter over the code with the project's own settings.
func lint(t *testing.T, code tree) findings {
	t.Helper()
	dir := t.TempDir()
	settings, err := os.ReadFile("../../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, ".golangci.yml"), string(settings))
	for path, text := range code {
		write(t, filepath.Join(dir, path), text)
	}

	tool, err := filepath.Abs("../run")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool, "lint", "golangci-lint", "run", "--allow-parallel-runners",
		"--show-stats=false", "--output.text.path=/dev/null", "--output.json.path=stdout", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "GOLANGCI_LINT_CACHE="+filepath.Join(dir, ".cache"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var failed *exec.ExitError
	if err := cmd.Run(); err != nil && (!errors.As(err, &failed) || failed.ExitCode() != 1) {
		t.Fatalf("run the linter: %v\n%s", err, &stderr)
	}
	return parse(t, stdout.Bytes())
}

// parse reads the linter's report. Code that does not compile is looked at by few linters: it proves nothing.
func parse(t *testing.T, report []byte) findings {
	t.Helper()
	var out struct {
		Issues []struct {
			FromLinter, Text string
			Pos              struct {
				Filename string
				Line     int
			}
		}
	}
	if err := json.Unmarshal(report, &out); err != nil {
		t.Fatalf("read the linter's report: %v\n%s", err, report)
	}
	all := findings{}
	for _, issue := range out.Issues {
		at, linter := fmt.Sprintf("%s:%d", issue.Pos.Filename, issue.Pos.Line), issue.FromLinter
		if linter == "typecheck" {
			t.Fatalf("%s: the sample does not compile: %s", at, issue.Text)
		}
		if rule, _, found := strings.Cut(issue.Text, ":"); found && linter == "revive" {
			linter += "/" + rule
		}
		all[at] = append(all[at], linter)
	}
	return all
}

// only keeps what the named linters report: each linter once a line, sorted.
func (f findings) only(linters []string) findings {
	kept := findings{}
	for at, all := range f {
		all = slices.DeleteFunc(all, func(l string) bool { return !slices.Contains(linters, l) })
		if len(all) > 0 {
			kept[at] = slices.Compact(slices.Sorted(slices.Values(all)))
		}
	}
	return kept
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
