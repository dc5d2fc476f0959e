package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// mutant is one file with one break.
type mutant struct {
	Package string // its import path
	Path    string // of the file on disk
	File    string // the same within the module
	Line    int
	Func    string // or the constant or variable, where it is in none
	Kind    string
	// Before and After are the lines in question, in one.
	Before, After string
	// Source is the whole file as it is to be compiled.
	Source string
}

// String is where the mutant is, and what it is.
func (m mutant) String() string {
	return fmt.Sprintf("%s:%d: %s: %s → %s", m.File, m.Line, m.Func, m.Before, m.After)
}

// name is what a mutant is known by however the lines above it change.
func (m mutant) name() string {
	return fmt.Sprintf("%s: %s: %s → %s", m.File, m.Func, m.Before, m.After)
}

// generate makes every mutant of the packages, in the order of the code.
func generate(in module, packages []pkg) ([]mutant, error) {
	var all []mutant
	for _, p := range packages {
		for _, name := range p.GoFiles {
			path := filepath.Join(p.Dir, name)
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			file, err := in.within(path)
			if err != nil {
				return nil, err
			}
			found, err := mutate(string(text), mutant{Package: p.ImportPath, Path: path, File: file})
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
	}
	return all, nil
}

// mutate makes the mutants of one file, whose place is given. Two breaks that come to the same text are one,
// and one that is no Go is none.
func mutate(text string, place mutant) ([]mutant, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, place.Path, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("look for what to break: %w", err)
	}
	src := source{fset.File(tree.FileStart), text}
	var found []mutant
	seen := map[string]bool{}
	ast.PreorderStack(tree, nil, func(node ast.Node, stack []ast.Node) bool {
		for _, k := range kinds() {
			for _, e := range k.breaks(site{node, stack, src}) {
				m := place
				m.Kind, m.Func, m.Line = k.name, enclosing(stack), src.file.Line(e.from)
				m.Before, m.After, m.Source = e.before(src), e.after(src), e.apply(src)
				if !seen[m.Source] && isGo(m.Source) {
					found = append(found, m)
				}
				seen[m.Source] = true
			}
		}
		return true
	})
	return found, nil
}

func isGo(text string) bool {
	_, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
	return err == nil
}

// enclosing names the function, or what is declared outside of one.
func enclosing(stack []ast.Node) string {
	for _, node := range stack {
		switch d := node.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil && len(d.Recv.List) == 1 {
				return receiver(d.Recv.List[0].Type) + "." + d.Name.Name
			}
			return d.Name.Name
		case *ast.ValueSpec:
			return d.Names[0].Name
		}
	}
	return "the file"
}

func receiver(expr ast.Expr) string {
	switch t := expr.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	default:
		return "?"
	}
}

// source is the text of a file and where its lines begin.
type source struct {
	file *token.File
	text string
}

func (s source) between(from, to token.Pos) string {
	return s.text[s.file.Offset(from):s.file.Offset(to)]
}

func (s source) of(node ast.Node) string { return s.between(node.Pos(), node.End()) }

// edges are where the line of one position begins, and that of another one ends.
func (s source) edges(from, to token.Pos) (first, last token.Pos) {
	first = s.file.LineStart(s.file.Line(from))
	last = token.Pos(s.file.Base() + s.file.Size())
	if line := s.file.Line(to); line < s.file.LineCount() {
		last = s.file.LineStart(line + 1)
	}
	return first, last
}

// edit puts a text in the place of another one.
type edit struct {
	from, to token.Pos
	text     string
	compiled string // the same in other words, where the text alone might not compile
	// within is set where a statement is dropped: the line that opens the block it is in.
	dropped bool
	within  string
}

func (e edit) apply(src source) string {
	return src.text[:src.file.Offset(e.from)] + cmp.Or(e.compiled, e.text) + src.text[src.file.Offset(e.to):]
}

func (e edit) before(src source) string {
	if e.dropped {
		return oneLine(e.within + " " + src.between(e.from, e.to))
	}
	first, last := src.edges(e.from, e.to)
	return oneLine(src.between(first, last))
}

func (e edit) after(src source) string {
	if e.dropped {
		return "(dropped)"
	}
	first, last := src.edges(e.from, e.to)
	return oneLine(src.between(first, e.from) + e.text + src.between(e.to, last))
}

// oneLine is code without its line breaks, its indentation and the comment at its end.
func oneLine(code string) string {
	var parts []string
	for line := range strings.Lines(code) {
		line, _, _ = strings.Cut(line, " // ")
		parts = append(parts, strings.Fields(line)...)
	}
	return strings.Join(parts, " ")
}
