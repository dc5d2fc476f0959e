package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
)

// unreached is an app none of whose parts may be called.
func unreached(t *testing.T) App {
	return App{
		Version: "v0.0.0-test",
		Now:     time.Now,
		Up: func(context.Context, UpOptions) error {
			t.Error("a hub was started")
			return nil
		},
		Controllers: func(context.Context, UpOptions) error {
			t.Error("the loops were run")
			return nil
		},
		Demo: func(context.Context, DemoOptions) error {
			t.Error("a demonstration was started")
			return nil
		},
		Lab: func(context.Context, LabOptions) error {
			t.Error("a lab was started")
			return nil
		},
		Dashboard: func(context.Context, DashboardOptions) error {
			t.Error("a dashboard was served")
			return nil
		},
		HubProcess: func(string) (int, error) { return 0, nil },
		Issue: func(string, Person) ([]byte, error) {
			t.Error("a certificate was issued")
			return nil, nil
		},
		DataFiles: []string{"lock", "version"},
	}
}

// refit runs a command line as app.Main does.
func refit(t *testing.T, app App, args ...string) (string, error) {
	t.Helper()
	root := New(app)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// A bad value is one flag's, and what is said of it.
type badValue struct {
	flag string // as "up --port"; of the root where there is no command
	args []string
	want string
}

// badValues are what cannot be used, by flag. Numbers that are none and truths
// that are neither are tried on every flag anyway.
func badValues(folder string) []badValue {
	broken, missing := filepath.Join(folder, "broken"), filepath.Join(folder, "missing")
	return []badValue{
		{"--data-dir", []string{"up", "--data-dir="}, "--data-dir is empty; name a folder, or leave it out"},
		{"--data-dir", []string{"up", "--data-dir"}, "flag needs an argument: --data-dir"},
		{"--data-dir", []string{"status", "--data-dir", folder}, "no hub: " + folder + `/kubeconfig does not exist; start one with "refit up", or name a management cluster with --kubeconfig`},
		{"--data-dir", []string{"uninstall", "--yes", "--data-dir", folder}, "--data-dir " + folder + " holds broken, which is not Refit's: nothing was removed; name the folder of a hub, or move that away"},
		{"--data-dir", []string{"uninstall", "--yes", "--data-dir", broken}, "--data-dir " + broken + ": open " + broken + ": not a directory; name the folder of a hub"},
		{"--kubeconfig", []string{"status", "--kubeconfig="}, "--kubeconfig is empty; name the file of a management cluster, or leave it out for the embedded hub"},
		{"--kubeconfig", []string{"plan", "--kubeconfig", missing}, "no hub: " + missing + ` does not exist; start one with "refit up", or name a management cluster with --kubeconfig`},
		{"--kubeconfig", []string{"why", "one", "--kubeconfig", broken}, "read kubeconfig " + broken + ": error loading config file \"" + broken + "\": couldn't get version/kind; json parse error: json: cannot unmarshal string into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }"},
		{"--namespace", []string{"status", "-n", "A B"}, `--namespace "A B" is no name of a namespace; use at most 63 lower-case letters, digits and inner hyphens`},
		{"--namespace", []string{"up", "--namespace="}, `--namespace "" is no name of a namespace; use at most 63 lower-case letters, digits and inner hyphens`},
		{"up --port", []string{"up", "--port", "-1"}, "--port -1: is no port; name one from 1 to 65535, or leave it out for the one of the last start"},
		{"up --port", []string{"up", "--port", "65536"}, "--port 65536: is no port; name one from 1 to 65535, or leave it out for the one of the last start"},
		{"up --port", []string{"up", "--port", "6443", "--kubeconfig", "x"}, "--port 6443: is of the embedded hub, and --kubeconfig x names another; leave one of them out"},
		{"up --gate-host", []string{"up", "--gate-host", "http://prometheus:9090"}, `--gate-host "http://prometheus:9090": is no host; write HOST or HOST:PORT, as in prometheus.monitoring:9090`},
		{"up --gate-host", []string{"up", "--gate-host="}, `--gate-host "": is no host; write HOST or HOST:PORT, as in prometheus.monitoring:9090`},
		{"up --metrics", []string{"up", "--metrics", "9464"}, `--metrics "9464": is no address and port; write it as 127.0.0.1:9464, or leave it out`},
		{"up --metrics", []string{"up", "--metrics", "127.0.0.1:70000"}, `--metrics "127.0.0.1:70000": is no address and port; write it as 127.0.0.1:9464, or leave it out`},
		{"up --metrics", []string{"up", "--metrics="}, `--metrics "": is no address and port; write it as 127.0.0.1:9464, or leave it out`},
		{"up --webhook", []string{"up", "--webhook", missing}, fmt.Sprintf("--webhook %q: is no file; name one with the URL of a webhook on its first line, or leave it out", missing)},
		{"up --webhook", []string{"up", "--webhook", folder}, fmt.Sprintf("--webhook %q: is no file; name one with the URL of a webhook on its first line, or leave it out", folder)},
		{"up --metrics", []string{"up", "--metrics", ":70000"}, `--metrics ":70000": is no address and port; write it as 127.0.0.1:9464, or leave it out`},
		{"controllers --health", []string{"controllers", "--health", "8081"}, `--health "8081": is no address and port; write it as 127.0.0.1:8081, or leave it out`},
		{"controllers --health", []string{"controllers", "--health="}, `--health "": is no address and port; write it as 127.0.0.1:8081, or leave it out`},
		{"controllers --metrics", []string{"controllers", "--metrics", "9464"}, `--metrics "9464": is no address and port; write it as 127.0.0.1:9464, or leave it out`},
		{"controllers --webhook", []string{"controllers", "--webhook", missing}, fmt.Sprintf("--webhook %q: is no file; name one with the URL of a webhook on its first line, or leave it out", missing)},
		{"controllers --gate-host", []string{"controllers", "--gate-host="}, `--gate-host "": is no host; write HOST or HOST:PORT, as in prometheus.monitoring:9090`},
		{"controllers --source-prefix", []string{"controllers", "--source-prefix="}, `--source-prefix "": name an https address, or the absolute path of a folder`},
		{"controllers --log-level", []string{"controllers", "--log-level", "loud"}, `--log-level "loud": is no level; name debug, info, warn or error`},
		{"uninstall --kubeconfig", []string{"uninstall", "--yes", "--kubeconfig", "x"}, "--kubeconfig: means nothing here: uninstall removes what is on this machine, and nothing of a management cluster; leave it out"},
		{"up --log-level", []string{"up", "--log-level", "loud"}, `--log-level "loud": is no level; name debug, info, warn or error`},
		{"up --log-level", []string{"up", "--log-level="}, `--log-level "": is no level; name debug, info, warn or error`},
		{"local-supervisor --log-level", []string{"local-supervisor", folder, "--log-level", "INFO"}, `--log-level "INFO": is no level; name debug, info, warn or error`},
		{"plan --release", []string{"plan", "--release="}, "--release is empty; name a release, or leave it out"},
		{"report --release", []string{"report", "--release="}, "--release is empty; name a release, or leave it out for all of them"},
		{"report --output", []string{"report", "-o", "table"}, `--output "table": is no format; name json or yaml, or leave it out for text`},
		{"plan --fleet", []string{"plan", "--release", "x", "--fleet="}, "--fleet is empty; name a fleet, or leave it out"},
		{"plan --output", []string{"plan", "-o", "table"}, `--output "table": is no format; name json or yaml, or leave it out for text`},
		{"status --output", []string{"status", "--output="}, `--output "": is no format; name json or yaml, or leave it out for text`},
		{"status --watch", []string{"status", "-w", "-o", "json"}, "--watch: is for people, and --output json is one document; leave one of them out"},
		{"dashboard --listen", []string{"dashboard", "--listen="}, `--listen "": is no address and port; write it as 127.0.0.1:7777, or leave it out`},
		{"dashboard --listen", []string{"dashboard", "--listen", "7777"}, `--listen "7777": is no address and port; write it as 127.0.0.1:7777, or leave it out`},
		{"dashboard --listen", []string{"dashboard", "--listen", "hub.example:7777"}, `--listen "hub.example:7777": is no address and port; write it as 127.0.0.1:7777, or leave it out`},
		{"dashboard --listen", []string{"dashboard", "--listen", "127.0.0.1:70000"}, `--listen "127.0.0.1:70000": is no address and port; write it as 127.0.0.1:7777, or leave it out`},
		{"dashboard --listen", []string{"dashboard", "--listen", "0.0.0.0:7777"}, "--listen 0.0.0.0:7777: is not on loopback, where the dashboard is for this machine alone; write it as 127.0.0.1:7777, and reach it from elsewhere by ssh -L"},
		{"dashboard --listen", []string{"dashboard", "--listen", "[::]:0"}, "--listen [::]:0: is not on loopback, where the dashboard is for this machine alone; write it as 127.0.0.1:0, and reach it from elsewhere by ssh -L"},
		{"dashboard --listen", []string{"dashboard", "--listen", "10.0.0.1:7777"}, "--listen 10.0.0.1:7777: is not on loopback, where the dashboard is for this machine alone; write it as 127.0.0.1:7777, and reach it from elsewhere by ssh -L"},
		{"drift --output", []string{"drift", "-o", "JSON"}, `--output "JSON": is no format; name json or yaml, or leave it out for text`},
		{"up --source-prefix", []string{"up", "--source-prefix", "ssh://git.example/infra"}, `--source-prefix "ssh://git.example/infra": name an https address, or the absolute path of a folder`},
		{"up --source-prefix", []string{"up", "--source-prefix", "https://ann:secret@git.example/infra"}, `--source-prefix: an address has no "..", and neither user, password nor query`},
		{"up --source-prefix", []string{"up", "--source-prefix", "/srv/../etc"}, `--source-prefix: an address has no "..", and neither user, password nor query`},
		{"why --output", []string{"why", "one", "-o", "JSON"}, `--output "JSON": is no format; name json or yaml, or leave it out for text`},
		{"uninstall --yes", []string{"uninstall", "--data-dir", folder}, "this removes " + folder + " and every local member; say so with --yes"},
		{"demo --from", []string{"demo", "--from", "latest"}, "--from latest: is no version; name one as v1.36.3"},
		{"demo --to", []string{"demo", "--to", "next"}, "--to next: is no version; name one as v1.37.2"},
		{"demo --to", []string{"demo", "--to", "v1.36.3"}, "--to v1.36.3: is not newer than --from v1.36.3"},
		{"demo --to", []string{"demo", "--to", "v2.0.0"}, "--to v2.0.0: is another major version than --from v1.36.3"},
		{"demo --members", []string{"demo", "--members", "0"}, "--members 0: name a number from 1 to 8; each takes some 600 MiB of memory"},
		{"demo --members", []string{"demo", "--members", "9"}, "--members 9: name a number from 1 to 8; each takes some 600 MiB of memory"},
		{"demo --nodes", []string{"demo", "--nodes", "1"}, "--nodes 1: name a number from 2 to 50"},
		{"demo --nodes", []string{"demo", "--nodes", "51"}, "--nodes 51: name a number from 2 to 50"},
		{"--data-dir", []string{"demo", "--data-dir", folder}, "--data-dir: means nothing here: demo has a hub and a folder of its own; leave it out"},
		{"--kubeconfig", []string{"demo", "--kubeconfig", "x"}, "--kubeconfig: means nothing here: demo has a hub and a folder of its own; leave it out"},
		{"--namespace", []string{"demo", "-n", "x"}, "--namespace: means nothing here: demo has a hub and a folder of its own; leave it out"},
		{"--kubeconfig", []string{"kube", "list", "--kubeconfig", "x"}, "--kubeconfig: means nothing here: kube works on the cache of binaries alone; leave it out"},
		{"lab eks --version", []string{"lab", "eks", "--version", "latest"}, "--version latest: is no version; name one as v1.36.3"},
		{"lab eks --clusters", []string{"lab", "eks", "--clusters", "0"}, "--clusters 0: name a number from 1 to 8; each takes some 600 MiB of memory"},
		{"lab eks --clusters", []string{"lab", "eks", "--clusters", "9"}, "--clusters 9: name a number from 1 to 8; each takes some 600 MiB of memory"},
		{"lab eks --nodes", []string{"lab", "eks", "--nodes", "1"}, "--nodes 1: name a number from 2 to 50"},
		{"lab eks --nodes", []string{"lab", "eks", "--nodes", "51"}, "--nodes 51: name a number from 2 to 50"},
		{"lab eks --port", []string{"lab", "eks", "--port", "-1"}, "--port -1: name a port from 1 to 65535, or 0 for any that is free"},
		{"lab eks --port", []string{"lab", "eks", "--port", "65536"}, "--port 65536: name a port from 1 to 65535, or 0 for any that is free"},
		{"--data-dir", []string{"lab", "eks", "--data-dir", folder}, "--data-dir: means nothing here: a lab is no hub, and has a folder of its own; leave it out"},
		{"--kubeconfig", []string{"lab", "eks", "--kubeconfig", "x"}, "--kubeconfig: means nothing here: a lab is no hub, and has a folder of its own; leave it out"},
		{"--namespace", []string{"lab", "eks", "-n", "x"}, "--namespace: means nothing here: a lab is no hub, and has a folder of its own; leave it out"},

		{"local create --version", []string{"local", "create", "dev", "--version="}, "--version is missing; name a Kubernetes version, such as --version v1.36.3"},
		{"local create --pools", []string{"local", "create", "dev", "--version", "v1.36.3", "--pools", "a"}, `--pools: pool "a" is not of the form NAME=NODES, such as a=10`},
		{"local create --label", []string{"local", "create", "dev", "--version", "v1.36.3", "--label", "env"}, `--label "env" is not of the form KEY=VALUE, such as env=prod`},
		{"pause --reason", []string{"pause", "main"}, `--reason is missing: say why, for whoever asks later, as --reason "holidays"`},
		{"pause --reason", []string{"pause", "--reason", "  "}, `--reason is missing: say why, for whoever asks later, as --reason "holidays"`},
		{"pause --reason", []string{"pause", "--reason", "a\nb"}, `--reason "a\nb": is more than a line of text; leave out line breaks, tabs and the like`},
		{"pause --until", []string{"pause", "--reason", "x", "--until", "tomorrow"}, `--until "tomorrow": is neither a time nor a duration; write it as 2026-12-31T08:00:00Z or 36h, or leave it out`},
		{"pause --until", []string{"pause", "--reason", "x", "--until="}, `--until "": is neither a time nor a duration; write it as 2026-12-31T08:00:00Z or 36h, or leave it out`},
		{"pause --until", []string{"pause", "--reason", "x", "--until", "2020-01-01T08:00:00Z"}, `--until 2020-01-01T08:00:00Z: is not in the future; name a later time, or leave it out`},
		{"pause --until", []string{"pause", "--reason", "x", "--until", "-1h"}, `--until -1h: is not in the future; name a later time, or leave it out`},
		{"pause --until", []string{"pause", "--reason", "x", "--until", "0s"}, `--until 0s: is not in the future; name a later time, or leave it out`},
		{"pause --member", []string{"pause", "--reason", "x", "--member="}, "--member is empty; name a member, or leave it out for all of them"},
		{"skip --reason", []string{"skip", "one"}, `--reason is missing: say why, for whoever asks later, as --reason "holidays"`},
		{"skip --until", []string{"skip", "one", "--reason", "x", "--until", "1d"}, `--until "1d": is neither a time nor a duration; write it as 2026-12-31T08:00:00Z or 36h, or leave it out`},
		{"resume --reason", []string{"resume", "main", "--reason="}, `--reason is missing: say why, for whoever asks later, as --reason "holidays"`},
		{"resume --until", []string{"resume", "main", "--reason", "x", "--until", "2026-12-31"}, `--until "2026-12-31": is neither a time nor a duration; write it as 2026-12-31T08:00:00Z or 36h, or leave it out`},
		{"abort --reason", []string{"abort", "one", "--reason", "a\nb"}, `--reason "a\nb": is more than a line of text; leave out line breaks, tabs and the like`},
		{"forget --reason", []string{"forget", "one"}, `--reason is missing: say why, for whoever asks later, as --reason "holidays"`},
		{"retry --reason", []string{"retry", "one"}, `--reason is missing: say why, for whoever asks later, as --reason "holidays"`},
		{"retry --until", []string{"retry", "one", "--reason", "x", "--until", "08:00"}, `--until "08:00": is neither a time nor a duration; write it as 2026-12-31T08:00:00Z or 36h, or leave it out`},
		{"takeover --reason", []string{"takeover", "uid-1"}, `--reason is missing: say why, for whoever asks later, as --reason "holidays"`},
		{"user add --role", []string{"user", "add", "ann", "--reason", "x"}, "--role is missing; name viewer, operator or admin"},
		{"user add --role", []string{"user", "add", "ann", "--reason", "x", "--role", "root"}, `--role "root": is no role; name viewer, operator or admin`},
		{"user add --reason", []string{"user", "add", "ann", "--role", "viewer"}, `--reason is missing: say why, for whoever asks later, as --reason "holidays"`},
		{"user add --expires", []string{"user", "add", "ann", "--role", "viewer", "--reason", "x", "--expires", "90d"}, `--expires "90d": is no duration; write it as 2160h, or leave it out for that`},
		{"user add --expires", []string{"user", "add", "ann", "--role", "viewer", "--reason", "x", "--expires="}, `--expires "": is no duration; write it as 2160h, or leave it out for that`},
		{"user add --expires", []string{"user", "add", "ann", "--role", "viewer", "--reason", "x", "--expires", "59m"}, `--expires 59m: name a duration from 1h to 8760h`},
		{"user add --expires", []string{"user", "add", "ann", "--role", "viewer", "--reason", "x", "--expires", "8761h"}, `--expires 8761h: name a duration from 1h to 8760h`},
		{"user add --out", []string{"user", "add", "ann", "--role", "viewer", "--reason", "x", "--out="}, `--out is empty; name a file, or - for standard output, or leave it out for NAME.kubeconfig`},
		{
			"--kubeconfig",
			[]string{"user", "add", "ann", "--role", "operator", "--reason", "x", "--kubeconfig", broken},
			"--kubeconfig " + broken + ": names a hub that knows people by itself, and Refit issues no certificates there; bind the role to the name that it has for them: " +
				"kubectl create rolebinding -n refit refit:user:ann --clusterrole refit-operator --user ann && " +
				"kubectl create clusterrolebinding refit:user:refit:ann --clusterrole refit-viewer-cluster --user ann",
		},
		{"kube get --base-url", []string{"kube", "get", "v1.36.3", "--base-url="}, `--base-url: base URL "": write it like https://mirror.example/release`},
		{"kube export --output", []string{"kube", "export", "v1.36.3", "--output="}, "-o: name the file to write, like: -o refit-kube.tar.gz"},
	}
}

// Bad input of every flag is answered with the flag, the value and the fix, and
// nothing is begun.
func TestEveryFlagRefuses(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "broken"), []byte("no kubeconfig\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	tried := map[string]bool{}
	for _, bad := range badValues(folder) {
		tried[bad.flag] = true
		refuses(t, bad.args, bad.want)
	}
	for _, command := range commands(New(unreached(t))) {
		path := strings.Fields(command.CommandPath())[1:]
		command.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { refusesType(t, tried, path, f) })
		command.PersistentFlags().VisitAll(func(f *pflag.Flag) { refusesType(t, tried, path, f) })
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want that nothing was written or removed", entries, err)
	}
}

// refusesType tries what is not of the flag's type; any text is a text, so that
// a flag of texts must have been tried by name.
func refusesType(t *testing.T, tried map[string]bool, path []string, f *pflag.Flag) {
	t.Helper()
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	switch f.Value.Type() {
	case "bool":
		refuses(t, append(slices.Clone(path), "--"+f.Name+"=maybe"), fmt.Sprintf(`invalid argument "maybe" for %q flag: strconv.ParseBool: parsing "maybe": invalid syntax`, name))
	case "int":
		refuses(t, append(slices.Clone(path), "--"+f.Name+"=many"), fmt.Sprintf(`invalid argument "many" for %q flag: strconv.ParseInt: parsing "many": invalid syntax`, name))
	default:
		if key := strings.TrimSpace(strings.Join(path, " ") + " --" + f.Name); !tried[key] {
			t.Errorf("no bad value of %s is tried", key)
		}
	}
}

func refuses(t *testing.T, args []string, want string) {
	t.Helper()
	if out, err := refit(t, unreached(t), args...); err == nil || err.Error() != want {
		t.Errorf("refit %s\ngot  %v\n%s\nwant %s", strings.Join(args, " "), err, out, want)
	}
}

// commands are a command and all below it.
func commands(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, command := range root.Commands() {
		all = append(all, commands(command)...)
	}
	return all
}

func TestEveryCommandRefusesArguments(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"stauts"}, "unknown command \"stauts\" for \"refit\"\n\nDid you mean this?\n\tstatus\n"},
		{[]string{"status", "--wach"}, "unknown flag: --wach"},
		{[]string{"up", "now"}, `unknown command "now" for "refit up"`},
		{[]string{"down", "now"}, `unknown command "now" for "refit down"`},
		{[]string{"demo", "now"}, `unknown command "now" for "refit demo"`},
		{[]string{"dashboard", "now"}, `unknown command "now" for "refit dashboard"`},
		{[]string{"lab", "eks", "now"}, `unknown command "now" for "refit lab eks"`},
		{[]string{"plan", "main"}, `unknown command "main" for "refit plan"`},
		{[]string{"report", "main", "edge"}, `refit report wants one FLEET, or none for all, not 2; see "refit status"`},
		{[]string{"status", "one"}, `unknown command "one" for "refit status"`},
		{[]string{"uninstall", "now"}, `unknown command "now" for "refit uninstall"`},
		{[]string{"version", "now"}, `unknown command "now" for "refit version"`},
		{[]string{"pause", "main", "edge", "--reason", "x"}, `refit pause wants one FLEET, or none for all, not 2; see "refit status"`},
		{[]string{"pause", "", "--reason", "x"}, `refit pause: the name of the FLEET is empty; leave it out to mean all, or see "refit status"`},
		{[]string{"skip", "--reason", "x"}, `refit skip wants exactly one MEMBER, not 0; see "refit status"`},
		{[]string{"resume", "--reason", "x"}, `refit resume wants exactly one FLEET, not 0; see "refit status"`},
		{[]string{"resume", "main", "edge", "--reason", "x"}, `refit resume wants exactly one FLEET, not 2; see "refit status"`},
		{[]string{"retry", "one", "two", "--reason", "x"}, `refit retry wants exactly one MEMBER, not 2; see "refit status"`},
		{[]string{"abort", "--reason", "x"}, `refit abort wants exactly one MEMBER, not 0; see "refit status"`},
		{[]string{"forget", "one", "two", "--reason", "x"}, `refit forget wants exactly one MEMBER, not 2; see "refit status"`},
		{[]string{"takeover", "--reason", "x"}, `refit takeover wants exactly one HUB, not 0; see "refit status"`},
		{[]string{"user", "add", "--role", "viewer"}, `refit user add wants exactly one NAME, not 0; see "refit user list"`},
		{[]string{"user", "remove", "ann", "ben"}, `refit user remove wants exactly one NAME, not 2; see "refit user list"`},
		{[]string{"user", "list", "ann"}, `unknown command "ann" for "refit user list"`},
		{[]string{"why"}, `refit why wants exactly one MEMBER, not 0; see "refit status"`},
		{[]string{"why", "one", "two"}, `refit why wants exactly one MEMBER, not 2; see "refit status"`},
	} {
		refuses(t, test.args, test.want)
	}
}

// Every command that people run has an example in its help, but those that take
// nothing.
func TestEveryCommandHasHelp(t *testing.T) {
	for _, command := range commands(New(unreached(t))) {
		if command.Hidden || !command.Runnable() || command.HasSubCommands() {
			continue
		}
		takes := command.HasLocalFlags() || strings.Contains(command.Use, " ")
		if command.Short == "" || (takes && command.Example == "") {
			t.Errorf("%s: short %q, example %q", command.CommandPath(), command.Short, command.Example)
		}
	}
}

func TestWhatIf(t *testing.T) {
	hub := func(fleets ...string) observe.Hub {
		h := observe.Hub{Releases: []v1.Release{{ObjectMeta: metav1.ObjectMeta{Name: "2026.12"}}}}
		for _, name := range fleets {
			h.Fleets = append(h.Fleets, v1.Fleet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.FleetSpec{Release: "2026.11"}})
		}
		return h
	}
	for _, test := range []struct {
		hub            observe.Hub
		fleet, release string
		want           string // the releases afterwards, or the error
	}{
		{hub("main"), "", "", "2026.11"},
		{hub("main"), "", "2026.12", "2026.12"},
		{hub("main", "edge"), "edge", "2026.12", "2026.11 2026.12"},
		{hub("main"), "main", "", `--fleet main: names the fleet whose release is replaced; add --release`},
		{hub("main"), "", "2026.13", `--release 2026.13: there is no such release; see "kubectl get releases"`},
		{hub("main", "edge"), "", "2026.12", "--release 2026.12: there are 2 fleets; name one with --fleet"},
		{hub(), "", "2026.12", "--release 2026.12: there are 0 fleets; name one with --fleet"},
		{hub("main"), "edge", "2026.12", `--fleet edge: there is no such fleet; see "kubectl get fleets"`},
	} {
		var got []string
		if err := whatIf(&test.hub, test.fleet, test.release); err != nil {
			got = append(got, err.Error())
		} else {
			for _, f := range test.hub.Fleets {
				got = append(got, f.Spec.Release)
			}
		}
		if got := strings.Join(got, " "); got != test.want {
			t.Errorf("--fleet %q --release %q\ngot  %s\nwant %s", test.fleet, test.release, got, test.want)
		}
	}
}
