package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
)

// leastScore is how many of the mutants that compile are to be killed, in percent. What is accepted counts as not
// killed, so that a pile of arguments does not take the place of tests.
const leastScore = 90

// often is after how many verdicts progress is told.
const often = 20

// report tells how a run goes, and what it came to.
type report struct {
	out       io.Writer
	generated []mutant // also those that are not tried
	total     int      // of those that are
	known     accepted
	verbose   bool   // tell of every verdict
	line      string // the only one that is broken; empty for all
	verdicts  []verdict
}

func (r *report) add(v verdict) {
	r.verdicts = append(r.verdicts, v)
	if v.by != "" && r.verbose {
		fmt.Fprintf(r.out, "%s %s  (by %s)\n", v.outcome, v.mutant, path.Base(v.by))
	} else if v.outcome == survived || r.verbose {
		fmt.Fprintf(r.out, "%s %s\n", v.outcome, v.mutant)
	}
	if n := len(r.verdicts); n%often == 0 || n == r.total {
		c := r.count(func(verdict) bool { return true })
		fmt.Fprintf(r.out, "%d of %d: %d killed, %d survived, %d do not compile\n", n, r.total, c.killed, c.survived, c.tried-c.compiled)
	}
}

// count is how many verdicts there are of each outcome.
type count struct{ tried, compiled, killed, hung, survived int }

func (r *report) count(counts func(verdict) bool) count {
	var c count
	for _, v := range r.verdicts {
		if !counts(v) {
			continue
		}
		c.tried++
		switch v.outcome {
		case killed:
			c.killed++
		case hung:
			c.killed++
			c.hung++
		case survived:
			c.survived++
		case invalid:
			continue
		}
		c.compiled++
	}
	return c
}

// finish tells what the run came to; the error is what is wrong with it.
func (r *report) finish() error {
	r.table("kind", func(v verdict) string { return v.Kind })
	r.table("file", func(v verdict) string { return v.File })

	unknown, expected := r.survivors()
	r.section("Survivors that are accepted", expected)
	r.section("Survivors", unknown)
	r.section("Accepted, but killed: remove these", r.needless())
	r.section("Accepted, but not there: the code has changed", r.stale())

	sum := r.count(func(verdict) bool { return true })
	score := 100.0
	if sum.compiled > 0 {
		score = 100 * float64(sum.killed) / float64(sum.compiled)
	}
	fmt.Fprintf(r.out, "\nscore: %.1f %% (%d of %d that compile are killed, %d are accepted)\n", score, sum.killed, sum.compiled, len(expected))

	var errs []error
	if len(r.verdicts) < r.total {
		errs = append(errs, fmt.Errorf("only %d of %d mutants were judged", len(r.verdicts), r.total))
	}
	if len(unknown) > 0 {
		errs = append(errs, fmt.Errorf("%d mutants survive that are not accepted: write a test, or say in the -accepted file why there is none", len(unknown)))
	}
	if score < leastScore && r.line == "" { // of a single line, a score says nothing
		errs = append(errs, fmt.Errorf("the score is under %d %%", leastScore))
	}
	return errors.Join(errs...)
}

func (r *report) table(heading string, of func(verdict) string) {
	names := map[string]bool{}
	for _, v := range r.verdicts {
		names[of(v)] = true
	}
	table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\n%s\ttried\tcompile\tkilled\tby hanging\tsurvived\n", heading)
	row := func(name string, c count) {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\n", name, c.tried, c.compiled, c.killed, c.hung, c.survived)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		row(name, r.count(func(v verdict) bool { return of(v) == name }))
	}
	row("all", r.count(func(verdict) bool { return true }))
	_ = table.Flush()
}

func (r *report) section(heading string, lines []string) {
	if len(lines) > 0 {
		fmt.Fprintf(r.out, "\n%s:\n%s\n", heading, strings.Join(lines, "\n"))
	}
}

// survivors are those that nobody expected, and those that are accepted, in the order of the code.
func (r *report) survivors() (unknown, expected []string) {
	left := maps.Clone(r.known)
	for _, m := range r.generated { // the verdicts come as they are found
		if !slices.ContainsFunc(r.verdicts, func(v verdict) bool { return v.outcome == survived && v.Source == m.Source && v.File == m.File }) {
			continue
		}
		if left[m.name()] > 0 {
			left[m.name()]--
			expected = append(expected, m.String())
		} else {
			unknown = append(unknown, m.String())
		}
	}
	return unknown, expected
}

// needless are names of which more are accepted than survive, where all of the name were tried.
func (r *report) needless() []string {
	all, tried, alive := map[string]int{}, map[string]int{}, map[string]int{}
	for _, m := range r.generated {
		all[m.name()]++
	}
	for _, v := range r.verdicts {
		tried[v.name()]++
		if v.outcome == survived {
			alive[v.name()]++
		}
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.known)) {
		if tried[name] > 0 && tried[name] == all[name] && alive[name] < r.known[name] {
			names = append(names, name)
		}
	}
	return names
}

// stale are accepted names in files that were broken, which no mutant has any more.
func (r *report) stale() []string {
	files, there := map[string]bool{}, map[string]bool{}
	for _, m := range r.generated {
		files[m.File], there[m.name()] = true, true
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.known)) {
		if file, _, _ := strings.Cut(name, ": "); files[file] && !there[name] {
			names = append(names, name)
		}
	}
	return names
}
