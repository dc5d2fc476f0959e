package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMutate(t *testing.T) {
	tests := map[string]struct {
		code string
		want []string
	}{
		"a comparison": {
			"func f(a, b int) bool { return a <= b }",
			[]string{
				"comparison f: func f(a, b int) bool { return a <= b } → func f(a, b int) bool { return a < b }",
				"comparison f: func f(a, b int) bool { return a <= b } → func f(a, b int) bool { return a > b }",
			},
		},
		"a number outside of functions": {
			"const wait = 0x10 * second // a while",
			[]string{
				"boundary wait: const wait = 0x10 * second → const wait = 17 * second",
				"boundary wait: const wait = 0x10 * second → const wait = 15 * second",
				"arithmetic wait: const wait = 0x10 * second → const wait = 0x10 / second",
			},
		},
		"a number that stands alone, and texts": {
			`var n, s = 3, "a" + t + "b"`,
			nil,
		},
		"counting": {
			"func (p *plan[T]) f() {\n\tp.n++\n\tp.n -= p.m\n}",
			[]string{
				"arithmetic plan.f: p.n++ → p.n--",
				"statement plan.f: p.n++ → (dropped)",
				"arithmetic plan.f: p.n -= p.m → p.n += p.m",
				"statement plan.f: p.n -= p.m → (dropped)",
			},
		},
		"a condition": {
			"func f() {\n\tif a && !b.c() {\n\t\tg()\n\t}\n}",
			[]string{
				"negation f: if a && !b.c() { → if !(a && !b.c()) {",
				"negation f: if a && !b.c() { → if !a && !b.c() {",
				"condition f: if a && !b.c() { → if a {",
				"condition f: if a && !b.c() { → if !b.c() {",
				"negation f: if a && !b.c() { → if a && b.c() {",
				"statement f: if a && !b.c() { g() → (dropped)",
			},
		},
		"cases over nothing": {
			"func f() {\n\tswitch {\n\tcase a, b:\n\t}\n}",
			[]string{
				"negation f: case a, b: → case !a, b:",
				"negation f: case a, b: → case a, !b:",
				"condition f: case a, b: → case b:",
				"condition f: case a, b: → case a:",
			},
		},
		"cases over something": {
			"func f() {\n\tswitch x {\n\tcase a, b:\n\t}\n}",
			nil,
		},
		"what is done": {
			"func f() {\n\tg(a, 1, nil)\n\tx := 1\n\tl.m = append(l.m, x)\n}",
			[]string{
				"statement f: g(a, 1, nil) → (dropped)",
				"statement f: l.m = append(l.m, x) → (dropped)",
			},
		},
		"early exits, and late ones": {
			"func f() (int, error) {\n\tfor range n {\n\t\tif a {\n\t\t\tcontinue\n\t\t}\n\t\tif b {\n\t\t\treturn g()\n\t\t}\n\t}\n\treturn 0, nil\n}",
			[]string{
				"negation f: if a { → if !a {",
				"exit f: if a { continue → (dropped)",
				"negation f: if b { → if !b {",
				"exit f: if b { return g() → (dropped)",
			},
		},
		"true and false": {
			"func f() {\n\tg(\n\t\ttrue,\n\t)\n}",
			[]string{
				"statement f: g( true, ) → (dropped)",
				"boolean f: true, → false,",
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found, err := mutate("package p\n\n"+tt.code+"\n", mutant{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range found {
				got = append(got, fmt.Sprintf("%s %s: %s → %s", m.Kind, m.Func, m.Before, m.After))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// What is dropped is not done, but leaves its variables in use, or the mutant would seldom compile.
func TestMutateKeepsVariablesInUse(t *testing.T) {
	found, err := mutate("package p\n\nfunc f() (int, error) {\n\tif a && b || c {\n\t\treturn g()\n\t}\n\th(b)\n\treturn 0, nil\n}\n", mutant{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"{\n\t\t_ = func() (int, error) { return g() }\n\t}", "\n\t_ = func() { h(b) }\n", "if ((a && b) || (false && (c))) {", "if ((true || (a)) && (b)) || c {"} {
		if !slices.ContainsFunc(found, func(m mutant) bool { return strings.Contains(m.Source, want) }) {
			t.Errorf("no mutant has\n%s", want)
		}
	}
}

// sample are the options that break the shelf in testdata, and let its tests and the shop's judge.
func sample(t *testing.T, more ...string) options {
	t.Helper()
	o, err := parse(append([]string{"-C", "testdata/sample", "-packages", "./...", "-except", "./shop", "-tests", "./..."}, more...), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestRun(t *testing.T) {
	const (
		full     = "shelf/shelf.go: Shelf.Full: return len(s.Things) == s.Room → return len(s.Things) != s.Room"
		distance = "shelf/shelf.go: Distance: if a < b { → if a <= b {"
		needless = "shelf/shelf.go: Distance: if a < b { → if a >= b {"
		stale    = "shelf/shelf.go: Distance: if b < a { → if b <= a {"
	)
	path := filepath.Join(t.TempDir(), "accepted.txt")
	lines := []string{"# known", distance, "\tBoth are 0 where a is b.", needless, "\tIt is not.", stale, "\tIt was."}
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	before := tree(t)

	var out bytes.Buffer
	err := run(t.Context(), sample(t, "-accepted", path), &out)
	if err == nil || err.Error() != "1 mutants survive that are not accepted: write a test, or say in the -accepted file why there is none" {
		t.Errorf("error %v", err)
	}
	report := out.String()
	for _, want := range []string{
		"\nSurvivors that are accepted:\n" + strings.Replace(distance, ": ", ":38: ", 1) + "\n\n",
		"\nSurvivors:\n" + strings.Replace(full, ": ", ":46: ", 1) + "\n\n",
		"\nAccepted, but killed: remove these:\n" + needless + "\n\n",
		"\nAccepted, but not there: the code has changed:\n" + stale + "\n\n",
		"\nscore: 90.0 % (18 of 20 that compile are killed, 1 are accepted)\n",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(report)
	}
	if after := tree(t); after != before {
		t.Errorf("the code was changed:\n%s", after)
	}
}

func tree(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	paths, err := filepath.Glob("testdata/sample/*/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s\n%s\n", path, text)
	}
	return all.String()
}

// Each line of the shelf has mutants whose fate is known.
func TestRunOnly(t *testing.T) {
	tests := map[string]struct {
		only string
		want []string
	}{
		"killed by its own tests":       {"shelf/shelf.go:12", []string{"killed (by shelf)", "killed (by shelf)"}},
		"killed by those of dependents": {"shelf/shelf.go:23", []string{"killed (by shop)"}},
		"a loop that does not end":      {"shelf/shelf.go:31", []string{"hung (by shelf)", "hung (by shelf)"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := run(t.Context(), sample(t, "-only", tt.only), &out); err != nil {
				t.Error(err)
			}
			var got []string
			for line := range strings.Lines(out.String()) {
				if words := strings.Fields(line); strings.Contains(line, " → ") {
					got = append(got, words[0]+" "+strings.Join(words[len(words)-2:], " "))
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q; it said\n%s", got, tt.want, out.String())
			}
		})
	}
}

func TestRunComplains(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"of a line without mutants":  {[]string{"-only", "shelf/shelf.go:1"}, "there is nothing to break"},
		"of tests of something else": {[]string{"-tests", "cmp"}, "no tests depend on example.com/sample/shelf"},
		"of packages without tests":  {[]string{"-tests", "builtin"}, "no package of builtin has tests"},
		"of a file that is missing":  {[]string{"-accepted", "missing.txt"}, "read the accepted survivors: open missing.txt"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), sample(t, tt.args...), t.Output())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	var all []mutant
	for line := range 100 {
		all = append(all, mutant{Line: line})
	}
	lines := func(seed uint64) []int {
		var list []int
		for _, m := range choose(all, options{sample: 10, seed: seed}) {
			list = append(list, m.Line)
		}
		return list
	}
	if one := lines(1); len(one) != 10 || !slices.IsSorted(one) || !slices.Equal(one, lines(1)) || slices.Equal(one, lines(2)) {
		t.Errorf("sample of 10 by seed 1: %v, again %v, by seed 2 %v", one, lines(1), lines(2))
	}
}

func TestReadAccepted(t *testing.T) {
	tests := map[string]struct {
		text string
		want string // of its error
	}{
		"two of the same name": {"a.go: f: x → y\n\twhy\n\na.go: f: x → y\n\twhy\n\tand why\n", ""},
		"no argument":          {"a.go: f: x → y\na.go: f: x → z\n\twhy", `:2: "a.go: f: x → y" above it is not argued for`},
		"none at the end":      {"a.go: f: x → y\n", `"a.go: f: x → y" is not argued for`},
		"only an argument":     {"# a\n\twhy\n", ":2: an argument without a survivor above it"},
		"no mutant":            {"whatever\n", `:1: want "file: function: before → after"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "accepted.txt")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readAccepted(path)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("error %v, want one that says %q", err, tt.want)
				}
				return
			}
			if err != nil || got["a.go: f: x → y"] != 2 {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
