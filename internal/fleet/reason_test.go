package fleet_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// codes are the constants of reason.go.
const codes = `Code += "(\w+)"`

// Every reason has a line in the runbook, and every line there is a reason.
func TestReasonsAreDocumented(t *testing.T) {
	codes := found(t, "reason.go", codes)
	documented := found(t, "../../docs/reasons.md", `(?m)^\| ([A-Z]\w+) \|`)
	if diff := cmp.Diff(codes, documented); diff != "" {
		t.Errorf("codes in reason.go, against docs/reasons.md (-code +documented):\n%s", diff)
	}
}

// Whoever shows or records a reason takes one of these: a code that is written
// out elsewhere is the same code, and so has a line in the runbook.
func TestReasonsAreCodes(t *testing.T) {
	codes := found(t, "reason.go", codes)
	for _, place := range []string{"../control", "../observe", "../view", "../plan", "../plan/*"} {
		files, err := filepath.Glob(place + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s holds %v, %v; want Go files", place, files, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, code := range found(t, file, `\b(?:Code|Reason): *"(\w+)"`) {
				if !slices.Contains(codes, code) {
					t.Errorf("%s gives the reason %q, which reason.go does not have", file, code)
				}
			}
		}
	}
}

// found are the words of a file that a pattern captures, each once, sorted.
func found(t *testing.T, file, pattern string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
		words[match[1]] = true
	}
	return slices.Sorted(maps.Keys(words))
}
