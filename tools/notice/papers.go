package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// accepted are the licences that Refit may link: permissive ones, and MPL-2.0, whose copyleft ends at
// the file. Unicode's is for its tables. By SPDX identifier.
var accepted = []string{ //nolint:gochecknoglobals // a constant, but for the language
	"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "Unicode-DFS-2016",
}

var (
	licenceFile = regexp.MustCompile(`(?i)^(un)?licen[cs]e([-.].*)?$|^copying([-.].*)?$`)
	noticeFile  = regexp.MustCompile(`(?i)^notice(\.(txt|md))?$`)
)

// besideTheCode are endings of files that only look like a licence of code: license.go is code, and
// LICENSE.docs is about documentation, which is not linked.
var besideTheCode = []string{".go", ".docs"} //nolint:gochecknoglobals // a constant, but for the language

// paper is a text that came with a module.
type paper struct {
	module, version string
	path            string   // within the module
	licences        []string // what it grants; none for a NOTICE
	text            string
}

// collect reads the papers of all packages, sorted. Every objection is reported, not only the first.
func collect(linked map[pkg]bool) ([]paper, error) {
	papers := map[string]paper{}
	var errs []error
	for p := range linked {
		licensed := false
		for dir := p.dir; ; dir = filepath.Dir(dir) {
			found, err := papersIn(p, dir)
			errs = append(errs, err)
			for _, paper := range found {
				papers[paper.module+"\x00"+paper.path] = paper
				licensed = licensed || paper.licences != nil
			}
			if dir == p.root {
				break
			}
		}
		if !licensed {
			errs = append(errs, fmt.Errorf("%s %s: no licence for %s", p.module, p.version, p.dir))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(papers), func(a, b paper) int {
		return strings.Compare(a.module+"\x00"+a.path, b.module+"\x00"+b.path)
	}), nil
}

func papersIn(p pkg, dir string) ([]paper, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []paper
	for _, file := range files {
		isLicence := licenceFile.MatchString(file.Name()) && !slices.Contains(besideTheCode, filepath.Ext(file.Name()))
		if file.IsDir() || !isLicence && !noticeFile.MatchString(file.Name()) {
			continue
		}
		path := filepath.Join(dir, file.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		within, err := filepath.Rel(p.root, path)
		if err != nil {
			return nil, err
		}
		one := paper{module: p.module, version: p.version, path: within, text: string(text)}
		if isLicence {
			one.licences, err = classify(text)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %s: %w", p.module, p.version, within, err)
			}
		}
		found = append(found, one)
	}
	return found, nil
}

// coverage is how much of a file must be the text of known licences, in percent. What is left is room
// for copyright lines and headings, not for further conditions.
const coverage = 75

// classify names the licences in a text, sorted, all of them accepted ones.
func classify(text []byte) ([]string, error) {
	scan := licensecheck.Scan(text)
	if scan.Percent < coverage {
		return nil, fmt.Errorf("only %.0f %% of it is a licence that is known", scan.Percent)
	}
	var licences []string
	for _, match := range scan.Match {
		if !slices.Contains(accepted, match.ID) {
			return nil, fmt.Errorf("licence %s is not accepted; accepted are %s", match.ID, strings.Join(accepted, ", "))
		}
		licences = append(licences, match.ID)
	}
	slices.Sort(licences)
	return slices.Compact(licences), nil
}
