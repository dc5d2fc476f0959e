//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// What "make release" makes for this machine adds up, unpacks and runs. The other
// platforms take minutes to compile, and are built the same way.
func TestRelease(t *testing.T) {
	dist := filepath.Join(t.TempDir(), "dist")
	platform := runtime.GOOS + "/" + runtime.GOARCH
	do := func(folder, name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = folder
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, text)
		}
		return string(text)
	}
	do("../..", "make", "--no-print-directory", "release", "ARGS=-platforms "+platform+" -out "+dist)
	archives, err := filepath.Glob(filepath.Join(dist, "refit-v*-"+strings.ReplaceAll(platform, "/", "-")+".tar.gz"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("archives: %v, %v", archives, err)
	}
	if sums := do(dist, "sha256sum", "--check", "--strict", "checksums.txt"); strings.Count(sums, ": OK\n") != 2 {
		t.Errorf("sums of archive and bill of materials:\n%s", sums)
	}
	unpacked := t.TempDir()
	do(unpacked, "tar", "-xzf", archives[0])
	base := strings.TrimSuffix(filepath.Base(archives[0]), ".tar.gz")
	for _, name := range []string{"LICENSE", "NOTICE", "README.md"} {
		want, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(unpacked, base, name)); string(got) != string(want) {
			t.Errorf("%s of the archive: %v, want that of the repository", name, err)
		}
	}
	version := strings.TrimSuffix(strings.TrimPrefix(base, "refit-"), "-"+strings.ReplaceAll(platform, "/", "-"))
	words := do(unpacked, filepath.Join(unpacked, base, "refit"), "version")
	if !strings.HasPrefix(words, "refit "+version+"\n") || !strings.Contains(words, "kubernetes v1.37.2 (embedded hub)\n") {
		t.Errorf("refit version says\n%s\nwant %s", words, version)
	}
}
