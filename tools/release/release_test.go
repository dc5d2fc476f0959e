package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
)

// release releases the sample for one other system and this one, and is the folder.
func release(t *testing.T, out string) string {
	t.Helper()
	r, err := parse([]string{
		"-C", "testdata/sample", "-out", out, "-version", "v1.2.3-rc.1+abc", "-time", "1700000000",
		"-ldflags", "-s -w -X main.version=v1.2.3-rc.1+abc",
		"-platforms", "darwin/arm64," + runtime.GOOS + "/" + runtime.GOARCH, "./cmd/sample",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out
}

// What is released unpacks, runs, and adds up, by the tools that users have.
func TestRelease(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "dist")
	if err := os.MkdirAll(filepath.Join(folder, "of the last time"), 0o755); err != nil {
		t.Fatal(err)
	}
	release(t, folder)
	base := "sample-v1.2.3-rc.1+abc-" + runtime.GOOS + "-" + runtime.GOARCH
	other := "sample-v1.2.3-rc.1+abc-darwin-arm64"
	want := []string{"checksums.txt", other + ".cdx.json", other + ".tar.gz", base + ".cdx.json", base + ".tar.gz"}
	if diff := cmp.Diff(want, names(t, folder)); diff != "" {
		t.Errorf("the folder (-want +got):\n%s", diff)
	}

	check := run(t, folder, "sha256sum", "--check", "--strict", checksums)
	if lines := strings.Count(check, ": OK\n"); lines != len(want)-1 {
		t.Errorf("%d sums are right, want %d:\n%s", lines, len(want)-1, check)
	}
	elsewhere := t.TempDir()
	run(t, elsewhere, "tar", "-xzf", filepath.Join(folder, base+".tar.gz"))
	if diff := cmp.Diff([]string{base}, names(t, elsewhere)); diff != "" {
		t.Errorf("the archive holds more than a folder (-want +got):\n%s", diff)
	}
	unpacked := filepath.Join(elsewhere, base)
	if diff := cmp.Diff([]string{"LICENSE", "NOTICE", "README.md", "sample"}, names(t, unpacked)); diff != "" {
		t.Errorf("the archive (-want +got):\n%s", diff)
	}
	if got := run(t, unpacked, "./sample"); got != "sample v1.2.3-rc.1+abc\n" {
		t.Errorf("the binary says %q", got)
	}
}

// Of the machine, the user and the time nothing gets into an archive.
func TestReleaseIsReproducible(t *testing.T) {
	first, second := release(t, filepath.Join(t.TempDir(), "a")), release(t, filepath.Join(t.TempDir(), "b"))
	for _, name := range names(t, first) {
		if a, b := sum(t, filepath.Join(first, name)), sum(t, filepath.Join(second, name)); a != b {
			t.Errorf("%s differs the second time", name)
		}
	}
	archive := filepath.Join(first, "sample-v1.2.3-rc.1+abc-darwin-arm64.tar.gz")
	want := "drwxr-xr-x 0/0 2023-11-14 22:13\n-rwxr-xr-x 0/0 2023-11-14 22:13\n" + strings.Repeat("-rw-r--r-- 0/0 2023-11-14 22:13\n", 3)
	var got strings.Builder
	for line := range strings.Lines(run(t, first, "tar", "--numeric-owner", "--utc", "-tvzf", archive)) {
		f := strings.Fields(line)
		fmt.Fprintln(&got, f[0], f[1], f[3], f[4])
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The bill names what is linked, its licences, and the standard library.
func TestBillOfMaterials(t *testing.T) {
	folder := release(t, filepath.Join(t.TempDir(), "dist"))
	text, err := os.ReadFile(filepath.Join(folder, "sample-v1.2.3-rc.1+abc-darwin-arm64.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" || !json.Valid(text) || bom.Metadata.Timestamp != "2023-11-14T22:13:20Z" {
		t.Errorf("format %q, timestamp %q", bom.BOMFormat, bom.Metadata.Timestamp)
	}
	got := []string{line(*bom.Metadata.Component)}
	for _, component := range *bom.Components {
		got = append(got, line(component))
	}
	goVersion := strings.TrimPrefix(strings.Fields(run(t, ".", "go", "env", "GOVERSION"))[0], "go")
	want := []string{
		"pkg:golang/example.com/sample@v1.2.3-rc.1%2Babc?type=module&goos=darwin&goarch=arm64 Apache-2.0 ",
		"pkg:golang/github.com/google/go-cmp@v0.7.0 BSD-3-Clause AND MIT AND ISC c24f37f36113b2fe0961467022c9fa6296225a206c60b489893b320726d5b8df",
		"pkg:golang/std@" + goVersion + " BSD-3-Clause ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func line(c cdx.Component) string {
	hash := ""
	if c.Hashes != nil {
		hash = (*c.Hashes)[0].Value
	}
	return c.PackageURL + " " + (*c.Licenses)[0].Expression + " " + hash
}

// What cannot be released is refused, and leaves no folder that looks like a release.
func TestRefusals(t *testing.T) {
	notice := filepath.Join(t.TempDir(), "module")
	if err := os.CopyFS(notice, os.DirFS("testdata/sample")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(notice, "NOTICE"), []byte("MIT\n  somebody v1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "dist")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-version", "1.2.3", "./cmd/sample"}, `-version "1.2.3": is no version; name one as v1.2.3`},
		{[]string{"-version", "v1/../x", "./cmd/sample"}, `-version "v1/../x": is no version`},
		{[]string{"-version", "v1", "-platforms", "linux", "./cmd/sample"}, `-platforms "linux": is no platform; name it as linux/amd64`},
		{[]string{"-version", "v1"}, "name the one package of the command, for example ./cmd/refit"},
		{[]string{"-version", "v1", "-C", "testdata/sample", "-platforms", "linux/abacus", "./cmd/sample"}, "linux/abacus: build: exit status"},
		{[]string{"-version", "v1", "-C", "testdata/sample", "./cmd/none"}, "build: exit status"},
		{[]string{"-version", "v1", "-C", notice, "./cmd/sample"}, "NOTICE names no licence of github.com/google/go-cmp v0.7.0: run make notice"},
		{[]string{"-version", "v1", "-C", notice, "./cmd/sample"}, "NOTICE names no licence of the Go standard library: run make notice"},
	} {
		r, err := parse(append([]string{"-out", out}, test.args...), io.Discard)
		if err == nil {
			err = r.run(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v\ngot  %v\nwant %s", test.args, err, test.want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%v: there is a release", test.args)
		}
	}
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

func sum(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

func run(t *testing.T, folder, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = folder
	cmd.WaitDelay = time.Minute
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, text)
	}
	return string(text)
}
