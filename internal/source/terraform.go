package source

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"refit.dev/refit/internal/fleet"
)

// value is a version in a file: where its bytes are, and what they are.
type value struct {
	text       fleet.Declared
	line       int
	start, end int
	// bare is of a number, which has no quotes.
	bare bool
}

// find looks for an attribute's value in a file. What is computed, or no version, is
// refused by name; what it is, is not told, for it may be a secret.
func find(file []byte, name, attribute string) (value, error) {
	steps, err := address(attribute)
	if err != nil {
		return value{}, err
	}
	parsed, diags := hclsyntax.ParseConfig(file, name, hcl.InitialPos)
	if diags.HasErrors() {
		return value{}, fmt.Errorf("%s:%d: %s", name, diags[0].Subject.Start.Line, diags[0].Summary)
	}
	found := inBody(parsed.Body.(*hclsyntax.Body), steps)
	switch len(found) {
	case 0:
		return value{}, fmt.Errorf("%s has no %s", name, attribute)
	case 1:
		return literal(file, name, attribute, found[0])
	}
	return value{}, fmt.Errorf("%s has %s %d times, first in lines %d and %d",
		name, attribute, len(found), found[0].Range().Start.Line, found[1].Range().Start.Line)
}

// address takes an attribute's address apart: names, and keys in brackets.
func address(attribute string) ([]string, error) {
	traversal, diags := hclsyntax.ParseTraversalAbs([]byte(attribute), "", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, fmt.Errorf("%s is no address of an attribute, such as resource.aws_eks_cluster.main.version", attribute)
	}
	var steps []string
	for _, part := range traversal {
		switch part := part.(type) {
		case hcl.TraverseRoot:
			steps = append(steps, part.Name)
		case hcl.TraverseAttr:
			steps = append(steps, part.Name)
		case hcl.TraverseIndex:
			if part.Key.Type() != cty.String {
				return nil, fmt.Errorf("%s: an element is named by its key, not by its number", attribute)
			}
			steps = append(steps, part.Key.AsString())
		default:
			return nil, fmt.Errorf("%s: names one attribute, not several", attribute)
		}
	}
	return steps, nil
}

// inBody finds what the steps lead to: through blocks, by their type and labels, and
// through the objects in an attribute.
func inBody(body *hclsyntax.Body, steps []string) []hclsyntax.Expression {
	var found []hclsyntax.Expression
	if attribute, there := body.Attributes[steps[0]]; there {
		found = inExpression(attribute.Expr, steps[1:])
	}
	for _, block := range body.Blocks {
		head := append([]string{block.Type}, block.Labels...)
		if len(steps) > len(head) && slices.Equal(head, steps[:len(head)]) {
			found = append(found, inBody(block.Body, steps[len(head):])...)
		}
	}
	return found
}

func inExpression(expr hclsyntax.Expression, steps []string) []hclsyntax.Expression {
	if len(steps) == 0 {
		return []hclsyntax.Expression{expr}
	}
	object, ok := expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		return nil
	}
	var found []hclsyntax.Expression
	for _, item := range object.Items {
		key, diags := item.KeyExpr.Value(nil) // nil: only a key that is written out
		if !diags.HasErrors() && key.Type() == cty.String && key.IsKnown() && key.AsString() == steps[0] {
			found = append(found, inExpression(item.ValueExpr, steps[1:])...)
		}
	}
	return found
}

// literal is a value that is written out, as a text or a number.
func literal(file []byte, name, attribute string, expr hclsyntax.Expression) (value, error) {
	at := expr.Range()
	v := value{line: at.Start.Line, start: at.Start.Byte, end: at.End.Byte}
	switch expr := expr.(type) {
	case *hclsyntax.LiteralValueExpr:
		v.bare = true
	case *hclsyntax.TemplateExpr:
		if !expr.IsStringLiteral() || file[v.start] != '"' {
			return value{}, computed(name, attribute, expr)
		}
		v.start, v.end = v.start+1, v.end-1
	default:
		return value{}, computed(name, attribute, expr)
	}
	v.text = fleet.Declared(file[v.start:v.end])
	place := fmt.Sprintf("%s:%d", name, v.line)
	if v.text.Version().IsZero() {
		return value{}, fmt.Errorf("%s: the value of %s is no version such as 1.36 or v1.36.3", place, attribute)
	}
	if v.bare && strings.HasSuffix(string(v.text), "0") {
		return value{}, fmt.Errorf("%s: %s is %s without quotes, which Terraform reads as %s; put it in quotes",
			place, attribute, v.text, strings.TrimRight(string(v.text), "0"))
	}
	return v, nil
}

// computed says what stands where a value should be, and what to name instead.
func computed(name, attribute string, expr hclsyntax.Expression) error {
	what, instead := "an expression", "name the attribute that has the version itself"
	switch expr := expr.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		what, instead = reference(expr.Traversal)
	case *hclsyntax.FunctionCallExpr:
		what = fmt.Sprintf("a call of %s(…)", expr.Name)
	case *hclsyntax.TemplateWrapExpr, *hclsyntax.TemplateExpr:
		what = "a text with ${…} in it, or a heredoc"
	case *hclsyntax.ConditionalExpr:
		what = "a condition"
	case *hclsyntax.ParenthesesExpr:
		what, instead = "in parentheses", "take them away"
	case *hclsyntax.ObjectConsExpr, *hclsyntax.TupleConsExpr:
		what = "a collection"
	}
	return fmt.Errorf("%s:%d: the value of %s is not written out: it is %s; %s", name, expr.Range().Start.Line, attribute, what, instead)
}

// reference says where a name that is referred to has its value.
func reference(t hcl.Traversal) (what, instead string) {
	var names []string
	for _, part := range t {
		switch part := part.(type) {
		case hcl.TraverseRoot:
			names = append(names, part.Name)
		case hcl.TraverseAttr:
			names = append(names, part.Name)
		default:
			names = append(names, "…")
		}
	}
	what, instead = strings.Join(names, "."), "name the attribute that has the version itself"
	switch {
	case len(names) > 1 && names[0] == "var":
		instead = fmt.Sprintf("name %s in the .tfvars file that sets it, or variable.%s.default", names[1], names[1])
	case len(names) > 1 && names[0] == "local":
		instead = "name locals." + strings.Join(names[1:], ".")
	}
	return what, instead
}

// splice is the file with another version in the place of the value, and every other
// byte as it was.
func (v value) splice(file []byte, to fleet.Declared) []byte {
	return slices.Concat(file[:v.start], []byte(to), file[v.end:])
}
