// Command mutants breaks code in small ways, one at a time, and tells which of them no test notices.
//
// A mutant is a file with one such break. It is compiled through an overlay, so the source tree is never
// changed, and judged by the tests that depend on it. One that passes them all, survives: either a test is
// missing, or it means the same as the code did. The latter are accepted in a file, each with its argument.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

const usage = `Breaks code in small ways, one at a time, and tells which of them no test notices.

  go run . [FLAG...]

Flags:
`

const examples = `
Examples:
  go run . -C ../..                                             every mutant of the planners
  go run . -C ../.. -sample 150 -seed 7                         150 of them; the same seed draws the same
  go run . -C ../.. -packages ./internal/plan/noderoll          those of one package
  go run . -C ../.. -only internal/plan/noderoll/noderoll.go:95 those of one line, and what kills each
  go run . -C ../.. -list                                       what would be tried, and nothing else

A survivor that means the same as the code is accepted by a line in the -accepted file, as it is printed but
without its line number, and below it, indented, why no test can tell. An interrupted run (Ctrl-C) reports
what it has judged.

It exits 1 if a survivor is not accepted, or if fewer than 90 % of the mutants that compile are killed.
`

// options are what a run is asked for.
type options struct {
	root     string
	packages []string
	except   []string
	tests    []string
	sample   int
	seed     uint64
	only     string
	accepted string
	list     bool
	verbose  bool
	quick    int
	full     int
}

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprint(out, usage)
		flags.PrintDefaults()
		fmt.Fprint(out, examples)
	}
	var packages, except, tests string
	flags.StringVar(&o.root, "C", ".", "the `folder` of the module")
	flags.StringVar(&packages, "packages", "./internal/plan/...", "the `packages` to break, separated by commas")
	flags.StringVar(&except, "except", "./internal/plan/world", "the `packages` of these to leave alone")
	flags.StringVar(&tests, "tests", "./internal/plan/...", "the `packages` whose tests judge")
	flags.IntVar(&o.sample, "sample", 0, "try only so many mutants, drawn by the seed; 0 is all")
	flags.Uint64Var(&o.seed, "seed", 1, "what the sample is drawn by")
	flags.StringVar(&o.only, "only", "", "try only the mutants of one `file:line`")
	flags.StringVar(&o.accepted, "accepted", "", "a `file` of survivors that are known, with why")
	flags.BoolVar(&o.list, "list", false, "print the mutants and try none")
	flags.BoolVar(&o.verbose, "v", false, "tell of every mutant, and whose tests killed it; -only does as well")
	flags.IntVar(&o.quick, "quick", 30, "worlds per property (RAPID_CHECKS) at first")
	flags.IntVar(&o.full, "full", 100, "worlds per property for what survived that")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(out, "mutants: %q is not a flag; see -help\n", flags.Arg(0))
		return o, errors.New("too many arguments")
	}
	o.packages, o.except, o.tests = words(packages), words(except), words(tests)
	return o, nil
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func run(ctx context.Context, o options, out io.Writer) error {
	in := module{o.root}
	packages, err := in.packages(ctx, o.packages, o.except)
	if err != nil {
		return err
	}
	all, err := generate(in, packages)
	if err != nil {
		return err
	}
	known, err := readAccepted(o.accepted)
	if err != nil {
		return err
	}
	chosen := choose(all, o)
	if len(chosen) == 0 {
		return errors.New("there is nothing to break; see -list for what there is")
	}
	if o.list {
		for _, m := range chosen {
			fmt.Fprintf(out, "%s  (%s)\n", m, m.Kind)
		}
		return nil
	}
	w, err := open(ctx, in, o)
	if err != nil {
		return err
	}
	defer w.close()
	r := &report{out: out, generated: all, total: len(chosen), known: known, verbose: o.verbose || o.only != "", line: o.only}
	if err := w.judge(ctx, chosen, r.add); err != nil {
		return err
	}
	return r.finish()
}

// choose takes the mutants of a line, or a sample, in the order of the code.
func choose(all []mutant, o options) []mutant {
	if o.only != "" {
		return slices.DeleteFunc(slices.Clone(all), func(m mutant) bool { return fmt.Sprintf("%s:%d", m.File, m.Line) != o.only })
	}
	if o.sample <= 0 || o.sample >= len(all) {
		return all
	}
	random := rand.New(rand.NewPCG(o.seed, 0)) //nolint:gosec // a sample is no secret
	indexes := random.Perm(len(all))[:o.sample]
	slices.Sort(indexes)
	var chosen []mutant
	for _, i := range indexes {
		chosen = append(chosen, all[i])
	}
	return chosen
}
