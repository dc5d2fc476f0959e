package fleet_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every reason has a line in the runbook, and every line there is a reason.
func TestReasonsAreDocumented(t *testing.T) {
	codes := found(t, "reason.go", `Code += "(\w+)"|Code = "(\w+)"`)
	documented := found(t, "../../docs/reasons.md", `(?m)^\| ([A-Z]\w+) \|`)
	if diff := cmp.Diff(codes, documented); diff != "" {
		t.Errorf("codes in reason.go, against docs/reasons.md (-code +documented):\n%s", diff)
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
		for _, word := range match[1:] {
			if word != "" {
				words[word] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(words))
}
