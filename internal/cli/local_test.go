package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// runLocal runs a command on an empty data directory.
func runLocal(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := &cobra.Command{Use: "refit", SilenceUsage: true, SilenceErrors: true}
	root.PersistentFlags().String("data-dir", t.TempDir(), "")
	root.AddCommand(newLocalCommand(memberHooks{}), newSuperviseCommand())
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// Every bad value is refused with its flag, the value, and what to write instead.
func TestLocalRefusesBadInput(t *testing.T) {
	create := func(args ...string) []string {
		return append([]string{"local", "create", "dev", "--version", "v1.36.3"}, args...)
	}
	tests := map[string]struct {
		args []string
		want string
	}{
		"no name":             {[]string{"local", "create", "--version", "v1.36.3"}, "name one member, like: refit local create dev"},
		"two names":           {[]string{"local", "create", "a", "b"}, "name one member, like: refit local create dev"},
		"bad name":            {[]string{"local", "create", "Dev", "--version", "v1.36.3"}, `NAME: name "Dev" is no DNS label; use lower-case letters, digits and inner hyphens, such as team-a-1`},
		"long name":           {[]string{"local", "create", strings.Repeat("x", 51), "--version", "v1.36.3"}, "has 51 characters; use at most 50"},
		"no version":          {[]string{"local", "create", "dev"}, "--version is missing; name a Kubernetes version, such as --version v1.36.3"},
		"only a minor":        {[]string{"local", "create", "dev", "--version", "1.36"}, `--version "1.36" is no full Kubernetes version; write it like v1.36.3`},
		"a word":              {[]string{"local", "create", "dev", "--version", "latest"}, `--version "latest" is no full Kubernetes version; write it like v1.36.3`},
		"nodes below":         {create("--nodes", "-1"), "--nodes -1 is out of range; use 0 to 500"},
		"nodes above":         {create("--nodes", "501"), "--nodes 501 is out of range; use 0 to 500"},
		"nodes no number":     {create("--nodes", "many"), `invalid argument "many" for "--nodes" flag`},
		"pool without nodes":  {create("--pools", "a"), `--pools: pool "a" is not of the form NAME=NODES, such as a=10`},
		"pool of words":       {create("--pools", "a=ten"), `--pools: pool "a=ten" is not of the form NAME=NODES, such as a=10`},
		"pool below":          {create("--pools", "a=-1"), `--pools: pool "a" has -1 nodes; give it 0 or more`},
		"pool twice":          {create("--pools", "a=1,a=2"), `--pools: pool "a" is named twice; give each pool a name of its own`},
		"pool's name":         {create("--pools", "A=1"), `--pools: pool "A" is no DNS label`},
		"pools above":         {create("--pools", "a=400,b=101"), "--pools: 501 nodes are too many for a member on one machine; ask for at most 500"},
		"sums that differ":    {create("--nodes", "20", "--pools", "a=10,b=5"), "--pools a=10,b=5 has 15 nodes, but --nodes says 20; leave --nodes out, or make them agree"},
		"label without =":     {create("--label", "env"), `--label "env" is not of the form KEY=VALUE, such as env=prod`},
		"label's key":         {create("--label", "a b=c"), `--label: label key "a b" is not valid`},
		"label's value":       {create("--label", "env=a b"), `--label: label env="a b" has a value that is not valid`},
		"delete nothing":      {[]string{"local", "delete"}, "name a member, like: refit local delete dev"},
		"delete none such":    {[]string{"local", "delete", "dev"}, `there is no local member "dev"; see: refit local list`},
		"start none such":     {[]string{"local", "start", "dev"}, `there is no local member "dev"; see: refit local list`},
		"stop none such":      {[]string{"local", "stop", "dev"}, `there is no local member "dev"; see: refit local list`},
		"kubeconfig of two":   {[]string{"local", "kubeconfig", "a", "b"}, "name one member, like: refit local kubeconfig dev"},
		"kubeconfig of none":  {[]string{"local", "kubeconfig", "dev"}, `there is no local member "dev"; see: refit local list`},
		"logs of nothing":     {[]string{"local", "logs"}, "name a member and at most one of its parts, like: refit local logs dev kube-apiserver"},
		"logs of none such":   {[]string{"local", "logs", "dev"}, `there is no local member "dev"; see: refit local list`},
		"supervise no folder": {[]string{"local-supervisor", "/nowhere"}, "/nowhere is no folder of a local member: it has no cluster.json"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := runLocal(t, test.args...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("refit %s = %v\n%s\nwant: %s", strings.Join(test.args, " "), err, out, test.want)
			}
		})
	}
}

func TestLocalListOfNone(t *testing.T) {
	out, err := runLocal(t, "local", "list")
	if err != nil || out != "There are none. Create one with: refit local create dev --version v1.36.3\n" {
		t.Errorf("list = %q, %v", out, err)
	}
}

// The nodes are those of --pools, or else --nodes in one pool.
func TestCreateFlags(t *testing.T) {
	tests := map[string]struct {
		flags createFlags
		given bool
		want  string
	}{
		"as they are":       {createFlags{version: "v1.36.3", nodes: 3}, false, "[{default 3}]"},
		"nodes":             {createFlags{version: "v1.36.3", nodes: 0}, true, "[{default 0}]"},
		"pools":             {createFlags{version: "1.36.3", nodes: 3, pools: []string{"a=10", "b=5"}}, false, "[{a 10} {b 5}]"},
		"pools that add up": {createFlags{version: "v1.36.3", nodes: 15, pools: []string{"a=10", "b=5"}}, true, "[{a 10} {b 5}]"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			spec, err := test.flags.spec("dev", test.given)
			if got := fmt.Sprint(spec.Pools); err != nil || got != test.want || spec.Version.String() != "v1.36.3" {
				t.Errorf("spec = %s at %s, %v; want %s", got, spec.Version, err, test.want)
			}
		})
	}
}
