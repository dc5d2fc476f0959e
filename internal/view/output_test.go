package view_test

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	core "refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/view"
)

// Every field that programs are given is in docs/output.md, with its type and
// whether it may be absent, and nothing else is.
func TestOutputIsDocumented(t *testing.T) {
	fields := map[string]bool{}
	for _, document := range []any{view.Status{}, view.Why{}, view.Plan{}, view.Drift{}, view.Report{}} {
		walk(t, reflect.TypeOf(document), fields)
	}
	text, err := os.ReadFile("../../docs/output.md")
	if err != nil {
		t.Fatal(err)
	}
	documented, section := map[string]bool{}, ""
	row := regexp.MustCompile("^\\| `(\\w+)` \\| ([^|]+) \\| [^|]+ \\|$")
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			section = heading
		}
		if found := row.FindStringSubmatch(line); found != nil {
			documented[section+"."+found[1]+" "+found[2]] = true
		}
	}
	if len(documented) < 30 {
		t.Errorf("only %d rows were read", len(documented))
	}
	if diff := cmp.Diff(fields, documented); diff != "" {
		t.Errorf("fields of the types, against docs/output.md (-types +documented):\n%s", diff)
	}
}

// walk notes the fields of a struct and of those within it: Type.field type.
func walk(t *testing.T, of reflect.Type, fields map[string]bool) {
	for f := range of.Fields() {
		if f.Tag.Get("json") == "-" {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || !f.IsExported() {
			t.Errorf("%s.%s has no name in JSON", of.Name(), f.Name)
		}
		kind := kindOf(t, f.Type)
		if slices.ContainsFunc(strings.Split(options, ","), func(o string) bool { return strings.HasPrefix(o, "omit") }) {
			kind += ", optional"
		}
		fields[of.Name()+"."+name+" "+kind] = true
		inner := f.Type
		for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[time.Time]() && inner != reflect.TypeFor[metav1.Duration]() {
			walk(t, inner, fields)
		}
	}
}

func kindOf(t *testing.T, of reflect.Type) string {
	switch {
	case of == reflect.TypeFor[time.Time]():
		return "time"
	case of == reflect.TypeFor[metav1.Duration]():
		return "duration"
	case of.Kind() == reflect.Pointer:
		return kindOf(t, of.Elem())
	case of.Kind() == reflect.Slice:
		return "list of " + kindOf(t, of.Elem())
	case of.Kind() == reflect.Struct:
		return of.Name()
	case of.Kind() == reflect.String:
		return "string"
	case of.Kind() == reflect.Bool:
		return "truth"
	case of.Kind() >= reflect.Int && of.Kind() <= reflect.Int64:
		return "number"
	}
	t.Errorf("%s has no word in docs/output.md", of)
	return of.String()
}

// What programs are given stays as it is, but for new fields. A time zone of the
// machine does not change it.
func TestOutputIsStable(t *testing.T) {
	away := busy()
	for i := range away.Upgrades {
		if why := away.Upgrades[i].Status.Why; why != nil {
			why.Since = metav1.NewTime(why.Since.In(time.FixedZone("away", 5*3600)))
		}
		for j := range away.Upgrades[i].Status.Steps {
			step := &away.Upgrades[i].Status.Steps[j]
			step.Started = metav1.NewTime(step.Started.In(time.FixedZone("away", 5*3600)))
		}
	}
	frozen, nobody := held(), halted()
	from := metav1.NewTime(frozen.Freezes[0].Spec.From.In(time.FixedZone("away", 5*3600)))
	frozen.Freezes[0].Spec.From = &from
	nobody.Members = nil
	draining, _ := view.WhyOf(away, core.Reason{}, "eu-2", now)
	blocked, _ := view.WhyOf(away, core.Reason{}, "eu-3", now)
	skipped, _ := view.WhyOf(held(), core.Reason{}, "eu-1", now)
	waiting, _ := view.WhyOf(frozen, core.Reason{}, "eu-2", now)
	failed, _ := view.WhyOf(halted(), core.Reason{}, "eu-1", now)
	for name, document := range map[string]any{
		"why-frozen":    waiting,
		"why-failed":    failed,
		"status-nobody": view.Of(nobody, now),
		"status-busy":   view.Of(away, now),
		"status-halted": view.Of(halted(), now),
		"status-empty":  view.Of(observe.Hub{}, now),
		"why-draining":  draining,
		"why-blocked":   blocked,
		"why-skipped":   skipped,
		"plan-busy":     view.PlanOf(away, core.Reason{}, now),
		"plan-behind":   view.PlanOf(behind(), core.Reason{}, now),
		"plan-empty":    view.PlanOf(observe.Hub{}, core.Reason{}, now),
	} {
		text, err := json.MarshalIndent(document, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", string(text)+"\n")
	}
}
