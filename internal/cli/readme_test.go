package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The README has a row for every command.
func TestReadmeHasEveryCommand(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `.*$").FindAllString(string(readme), -1)
	names := regexp.MustCompile("`([a-z]+)[^`]*`")
	told := map[string]bool{}
	for _, row := range rows {
		cell, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		for _, name := range names.FindAllStringSubmatch(cell, -1) {
			told[name[1]] = true
		}
	}
	for _, command := range New(unreached(t)).Commands() {
		if name := command.Name(); name != "help" && !command.Hidden && !told[name] {
			t.Errorf("refit %s is in no row of the table in README.md", name)
		}
	}
}
