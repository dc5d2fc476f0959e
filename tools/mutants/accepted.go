package main

import (
	"fmt"
	"os"
	"strings"
)

// accepted are survivors that are known, by name. The same name twice accepts two: of two equal lines in one
// function, each needs an argument.
type accepted map[string]int

// readAccepted reads a file of mutants' names, each followed by indented lines that argue why no test can tell it
// from the code. Lines that begin with # are for readers.
func readAccepted(path string) (accepted, error) {
	if path == "" {
		return accepted{}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the accepted survivors: %w", err)
	}
	known := accepted{}
	name, argued := "", true
	for i, line := range strings.Split(string(text), "\n") {
		indented := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		switch {
		case strings.TrimSpace(line) == "", strings.HasPrefix(line, "#"):
		case indented && name == "":
			return nil, fmt.Errorf("read the accepted survivors: %s:%d: an argument without a survivor above it", path, i+1)
		case indented:
			argued = true
		case !strings.Contains(line, " → "):
			return nil, fmt.Errorf("read the accepted survivors: %s:%d: want \"file: function: before → after\"", path, i+1)
		case !argued:
			return nil, fmt.Errorf("read the accepted survivors: %s:%d: %q above it is not argued for", path, i+1, name)
		default:
			name, argued = strings.TrimSpace(line), false
			known[name]++
		}
	}
	if !argued {
		return nil, fmt.Errorf("read the accepted survivors: %s: %q is not argued for", path, name)
	}
	return known, nil
}
