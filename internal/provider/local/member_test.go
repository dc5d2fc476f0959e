package local

import (
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	valid := func(change func(*Spec)) Spec {
		s := Spec{Name: "dev", Version: parse(t, "v1.36.3"), Pools: []PoolSpec{{"a", 10}, {"b", 0}}, Labels: map[string]string{"env": "dev"}}
		change(&s)
		return s
	}
	tests := map[string]struct {
		spec Spec
		want string // "" for valid
	}{
		"valid":             {valid(func(*Spec) {}), ""},
		"no pools":          {valid(func(s *Spec) { s.Pools = nil }), ""},
		"the longest name":  {valid(func(s *Spec) { s.Name = strings.Repeat("x", 50) }), ""},
		"all nodes allowed": {valid(func(s *Spec) { s.Pools = []PoolSpec{{"a", 500}} }), ""},
		"name too long":     {valid(func(s *Spec) { s.Name = strings.Repeat("x", 51) }), "has 51 characters; use at most 50"},
		"no name":           {valid(func(s *Spec) { s.Name = "" }), `name "" is no DNS label; use lower-case letters`},
		"upper case":        {valid(func(s *Spec) { s.Name = "Dev" }), `name "Dev" is no DNS label; use lower-case letters`},
		"leads elsewhere":   {valid(func(s *Spec) { s.Name = "../dev" }), `name "../dev" is no DNS label`},
		"no version":        {valid(func(s *Spec) { s.Version.Major, s.Version.Minor, s.Version.Patch = 0, 0, 0 }), "a member needs a version, such as v1.36.3"},
		"pool's name":       {valid(func(s *Spec) { s.Pools[0].Name = "a_b" }), `pool "a_b" is no DNS label`},
		"pool twice":        {valid(func(s *Spec) { s.Pools[1].Name = "a" }), `pool "a" is named twice; give each pool a name of its own`},
		"negative":          {valid(func(s *Spec) { s.Pools[0].Size = -1 }), `pool "a" has -1 nodes; give it 0 or more`},
		"too many nodes":    {valid(func(s *Spec) { s.Pools[0].Size = 501 }), "501 nodes are too many for a member on one machine; ask for at most 500"},
		"too many pools":    {valid(func(s *Spec) { s.Pools = make([]PoolSpec, 21) }), "21 pools are too many; a local member has at most 20"},
		"label key":         {valid(func(s *Spec) { s.Labels = map[string]string{"a b": "c"} }), `label key "a b" is not valid`},
		"label value":       {valid(func(s *Spec) { s.Labels = map[string]string{"env": "a b"} }), `label env="a b" has a value that is not valid`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := test.spec.Validate()
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("Validate = %v, want %q", err, test.want)
			}
		})
	}
}

func TestParsePool(t *testing.T) {
	for text, want := range map[string]PoolSpec{"a=10": {"a", 10}, "web=0": {"web", 0}, "a=-1": {"a", -1}} {
		if got, err := ParsePool(text); err != nil || got != want {
			t.Errorf("ParsePool(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "a", "a=", "a=x", "a=1.5", "a=1=2"} {
		if got, err := ParsePool(text); err == nil || !strings.Contains(err.Error(), "NAME=NODES") {
			t.Errorf("ParsePool(%q) = %v, %v; want an error with the form", text, got, err)
		}
	}
}
