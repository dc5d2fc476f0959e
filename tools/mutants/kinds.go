package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
)

// site is a place in the code, with all that is around it, the outermost first.
type site struct {
	node  ast.Node
	stack []ast.Node
	source
}

// kind is one way of breaking code.
type kind struct {
	name   string
	breaks func(site) []edit
}

// kinds are tried in this order; what an earlier one made already is not made again.
func kinds() []kind {
	return []kind{
		{"comparison", comparisons},
		{"boundary", boundaries},
		{"arithmetic", arithmetic},
		{"negation", negations},
		{"condition", conditions},
		{"statement", statements},
		{"exit", exits},
		{"boolean", booleans},
	}
}

// comparisons shifts a comparison by one, and turns it around.
func comparisons(at site) []edit {
	b, ok := at.node.(*ast.BinaryExpr)
	if !ok {
		return nil
	}
	var edits []edit
	for _, op := range otherComparisons()[b.Op] {
		edits = append(edits, operator(b.OpPos, b.Op, op))
	}
	return edits
}

func otherComparisons() map[token.Token][]token.Token {
	return map[token.Token][]token.Token{
		token.LSS: {token.LEQ, token.GEQ},
		token.LEQ: {token.LSS, token.GTR},
		token.GTR: {token.GEQ, token.LEQ},
		token.GEQ: {token.GTR, token.LSS},
		token.EQL: {token.NEQ},
		token.NEQ: {token.EQL},
	}
}

func operator(at token.Pos, op, other token.Token) edit {
	return edit{from: at, to: at + token.Pos(len(op.String())), text: other.String()}
}

// boundaries moves a number that is compared with or counted with by one.
func boundaries(at site) []edit {
	b, ok := at.node.(*ast.BinaryExpr)
	if !ok || (otherComparisons()[b.Op] == nil && otherArithmetic()[b.Op] == 0) {
		return nil
	}
	var edits []edit
	for _, operand := range []ast.Expr{b.X, b.Y} {
		literal, ok := operand.(*ast.BasicLit)
		if !ok || literal.Kind != token.INT {
			continue
		}
		n, err := strconv.ParseInt(literal.Value, 0, 64)
		if err != nil {
			continue
		}
		for _, other := range []int64{n + 1, n - 1} {
			edits = append(edits, edit{from: literal.Pos(), to: literal.End(), text: strconv.FormatInt(other, 10)})
		}
	}
	return edits
}

// arithmetic counts into the other direction. Texts are added as well, but cannot be subtracted.
func arithmetic(at site) []edit {
	switch n := at.node.(type) {
	case *ast.BinaryExpr:
		if other := otherArithmetic()[n.Op]; other != 0 && !isText(n) {
			return []edit{operator(n.OpPos, n.Op, other)}
		}
	case *ast.AssignStmt:
		if other := otherArithmetic()[n.Tok]; other != 0 && !isText(n.Rhs[0]) {
			return []edit{operator(n.TokPos, n.Tok, other)}
		}
	case *ast.IncDecStmt:
		return []edit{operator(n.TokPos, n.Tok, otherArithmetic()[n.Tok])}
	}
	return nil
}

func otherArithmetic() map[token.Token]token.Token {
	return map[token.Token]token.Token{
		token.ADD: token.SUB, token.ADD_ASSIGN: token.SUB_ASSIGN, token.INC: token.DEC,
		token.SUB: token.ADD, token.SUB_ASSIGN: token.ADD_ASSIGN, token.DEC: token.INC,
		token.MUL: token.QUO, token.MUL_ASSIGN: token.QUO_ASSIGN,
		token.QUO: token.MUL, token.QUO_ASSIGN: token.MUL_ASSIGN,
		token.REM: token.MUL, token.REM_ASSIGN: token.MUL_ASSIGN,
	}
}

func isText(expr ast.Expr) bool {
	switch e := expr.(type) {
	case *ast.BasicLit:
		return e.Kind == token.STRING
	case *ast.BinaryExpr:
		return isText(e.X) || isText(e.Y)
	default:
		return false
	}
}

// negations says the opposite of a condition, and of each part of one. Comparisons have that already.
func negations(at site) []edit {
	if not, ok := at.node.(*ast.UnaryExpr); ok && not.Op == token.NOT {
		return []edit{{from: not.OpPos, to: not.X.Pos()}}
	}
	var edits []edit
	for _, expr := range asked(at.node) {
		switch e := expr.(type) {
		case *ast.UnaryExpr: // above
		case *ast.BinaryExpr:
			if e.Op == token.LAND || e.Op == token.LOR {
				edits = append(edits, edit{from: e.Pos(), to: e.End(), text: "!(" + at.of(e) + ")"})
			}
		case *ast.Ident:
			if e.Name != "true" && e.Name != "false" {
				edits = append(edits, edit{from: e.Pos(), to: e.Pos(), text: "!"})
			}
		default:
			edits = append(edits, edit{from: e.Pos(), to: e.Pos(), text: "!"})
		}
	}
	return edits
}

// asked are the expressions in a node that are surely true or false.
func asked(node ast.Node) []ast.Expr {
	switch n := node.(type) {
	case *ast.IfStmt:
		return []ast.Expr{n.Cond}
	case *ast.ForStmt:
		if n.Cond != nil {
			return []ast.Expr{n.Cond}
		}
	case *ast.SwitchStmt:
		return slices.Concat(questions(n)...)
	case *ast.BinaryExpr:
		if n.Op == token.LAND || n.Op == token.LOR {
			return []ast.Expr{n.X, n.Y}
		}
	}
	return nil
}

// questions are the cases of a switch over nothing.
func questions(s *ast.SwitchStmt) [][]ast.Expr {
	if s.Tag != nil {
		return nil
	}
	var lists [][]ast.Expr
	for _, stmt := range s.Body.List {
		lists = append(lists, stmt.(*ast.CaseClause).List)
	}
	return lists
}

// conditions leaves out one half of a condition, or one of the questions of a case.
func conditions(at site) []edit {
	switch n := at.node.(type) {
	case *ast.BinaryExpr:
		if n.Op == token.LAND || n.Op == token.LOR {
			x, y := at.of(n.X), at.of(n.Y)
			return []edit{
				{from: n.Pos(), to: n.End(), text: x, compiled: fmt.Sprintf("((%s) %s (%s (%s)))", x, n.Op, unasked(n.Op), y)},
				{from: n.Pos(), to: n.End(), text: y, compiled: fmt.Sprintf("((%s (%s)) %s (%s))", unasked(n.Op), x, n.Op, y)},
			}
		}
	case *ast.SwitchStmt:
		var edits []edit
		for _, list := range questions(n) {
			for i := range list {
				switch {
				case len(list) == 1: // the only one
				case i == 0:
					edits = append(edits, edit{from: list[0].Pos(), to: list[1].Pos()})
				default:
					edits = append(edits, edit{from: list[i-1].End(), to: list[i].End()})
				}
			}
		}
		return edits
	}
	return nil
}

// unasked comes before the half of a condition that counts no more: it is not evaluated, but its variables are in
// use, and the mutant compiles.
func unasked(op token.Token) string {
	if op == token.LAND {
		return "true ||"
	}
	return "false &&"
}

// statements leaves out what is done: calls and assignments.
func statements(at site) []edit {
	if !at.listed() {
		return nil
	}
	switch n := at.node.(type) {
	case *ast.ExprStmt:
		if _, ok := n.X.(*ast.CallExpr); ok {
			return []edit{at.drop(unused("", at.of(n)))}
		}
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return []edit{at.drop(unused("", at.of(n)))}
		}
	case *ast.IncDecStmt:
		return []edit{at.drop(unused("", at.of(n)))}
	}
	return nil
}

// exits leaves out what ends a function, a pass of a loop or a loop before its time.
func exits(at site) []edit {
	if !at.listed() {
		return nil
	}
	switch n := at.node.(type) {
	case *ast.BranchStmt:
		if n.Tok == token.CONTINUE || n.Tok == token.BREAK {
			return []edit{at.drop("")}
		}
	case *ast.ReturnStmt:
		signature, body := at.function()
		if body.List[len(body.List)-1] == at.node {
			return nil // this is its time
		}
		results := ""
		if signature.Results != nil {
			results = at.between(signature.Params.End(), signature.Results.End())
		}
		return []edit{at.drop(unused(results, at.of(n)))}
	}
	return nil
}

// unused puts a statement into a function that nobody calls: it is not done, but its variables are in use, and the
// mutant compiles.
func unused(results, statement string) string {
	return "_ = func()" + results + " { " + statement + " }"
}

// function is the signature of the innermost function, and its body.
func (at site) function() (*ast.FuncType, *ast.BlockStmt) {
	for _, node := range slices.Backward(at.stack) {
		switch f := node.(type) {
		case *ast.FuncDecl:
			return f.Type, f.Body
		case *ast.FuncLit:
			return f.Type, f.Body
		}
	}
	panic(fmt.Sprintf("a statement in no function: %s", at.of(at.node)))
}

// booleans flips true and false.
func booleans(at site) []edit {
	name, ok := at.node.(*ast.Ident)
	if !ok || (name.Name != "true" && name.Name != "false") {
		return nil
	}
	return []edit{{from: name.Pos(), to: name.End(), text: strconv.FormatBool(name.Name == "false")}}
}

// listed tells whether the node is a statement among others, which goes without it.
func (at site) listed() bool {
	switch at.parent().(type) {
	case *ast.BlockStmt, *ast.CaseClause:
		_, ok := at.node.(ast.Stmt)
		return ok
	default:
		return false
	}
}

func (at site) parent() ast.Node {
	if len(at.stack) == 0 {
		return nil
	}
	return at.stack[len(at.stack)-1]
}

// drop puts a text in the place of the whole statement.
func (at site) drop(instead string) edit {
	return edit{from: at.node.Pos(), to: at.node.End(), compiled: instead, dropped: true, within: at.opening()}
}

// opening is the line that opens the block the statement is in, unless that is the function's: "return nil"
// alone says little.
func (at site) opening() string {
	var opened token.Pos
	switch p := at.parent().(type) {
	case *ast.CaseClause:
		opened = p.Colon
	case *ast.BlockStmt:
		if _, body := at.function(); body == p {
			return ""
		}
		opened = p.Lbrace
	default:
		return ""
	}
	first, _ := at.edges(opened, opened)
	return at.between(first, opened+1)
}
