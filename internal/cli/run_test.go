package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/view"
)

// The code that each command ends with: 0 done, 1 not done, 130 interrupted.
func TestExitCodes(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("XDG_DATA_HOME", folder)
	t.Setenv("PATH", "")
	archive := filepath.Join(t.TempDir(), "broken.tar.gz")
	if err := os.WriteFile(archive, []byte("no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	hub := serve(t, heldHub(func(h *observe.Hub) { at(7, failed("uid-main"))(h) }))
	kubeconfig := filepath.Join(t.TempDir(), "ann.kubeconfig")
	tried := map[string]bool{}
	onHub := func(args ...string) []string { return append(args, "--kubeconfig", hub) }
	for _, test := range []struct {
		args []string
		code int
	}{
		{nil, 0},
		{[]string{"--help"}, 0},
		{[]string{"--version"}, 0},
		{[]string{"stauts"}, 1},
		{[]string{"up"}, 0},
		{[]string{"up", "--port", "-1"}, 1},
		{[]string{"down"}, 0},
		{[]string{"down", "now"}, 1},
		{onHub("status"), 0}, // one member has failed, which it tells
		{onHub("status", "-o", "json"), 0},
		{onHub("status", "-o", "table"), 1},
		{[]string{"status"}, 1}, // there is no hub
		{onHub("why", "one"), 0},
		{onHub("why", "nobody"), 1},
		{onHub("plan"), 0},
		{onHub("plan", "--release", "none"), 1},
		{onHub("report"), 0},
		{onHub("report", "main", "-o", "yaml"), 0},
		{onHub("report", "nobody"), 1},
		{onHub("report", "--release", "none"), 1},
		{onHub("pause", "main", "--reason", "x"), 0},
		{onHub("pause", "main"), 1},
		{onHub("skip", "one", "--reason", "x"), 0},
		{onHub("drift"), 0},
		{onHub("drift", "nobody"), 1},
		{onHub("skip", "nobody", "--reason", "x"), 1},
		{onHub("resume", "main", "--reason", "x"), 0},
		{onHub("resume", "edge", "--reason", "x"), 1},
		{onHub("retry", "one", "--reason", "x"), 0},
		{onHub("retry", "two", "--reason", "x"), 1},
		{onHub("abort", "one", "--reason", "x"), 1}, // it has ended
		{onHub("forget", "one", "--reason", "x"), 0},
		{onHub("forget", "nobody", "--reason", "x"), 1},
		{onHub("takeover", "another", "--reason", "x"), 1}, // no loops have run yet
		{[]string{"user"}, 0},
		{onHub("user", "add", "ann", "--role", "viewer", "--reason", "x"), 1}, // certificates are not ours to issue there
		{[]string{"user", "add", "ann", "--role", "viewer", "--reason", "x"}, 1},
		{[]string{"user", "add", "ann", "--role", "viewer", "--reason", "x", "--out", kubeconfig, "--data-dir", filepath.Dir(hub)}, 0},
		{[]string{"user", "add", "ann", "--role", "viewer", "--reason", "x", "--out", kubeconfig, "--data-dir", filepath.Dir(hub)}, 1}, // it is there
		{onHub("user", "list"), 0},
		{onHub("user", "list", "ann"), 1},
		{onHub("user", "remove", "ann"), 0},
		{[]string{"user", "remove", "ann"}, 1},
		{[]string{"demo"}, 0},
		{[]string{"demo", "--nodes", "0"}, 1},
		{onHub("dashboard"), 0},
		{onHub("dashboard", "--listen", "0.0.0.0:0"), 1},
		{[]string{"dashboard"}, 1}, // there is no hub
		{[]string{"lab"}, 0},
		{[]string{"lab", "eks"}, 0},
		{[]string{"lab", "eks", "--clusters", "0"}, 1},
		{[]string{"local"}, 0},
		{[]string{"local", "list"}, 0},
		{[]string{"local", "list", "all"}, 1},
		{[]string{"local", "create", "dev"}, 1},
		{[]string{"local", "start", "dev"}, 1},
		{[]string{"local", "stop", "dev"}, 1},
		{[]string{"local", "delete", "dev"}, 1},
		{[]string{"local", "kubeconfig", "dev"}, 1},
		{[]string{"local", "logs", "dev"}, 1},
		{[]string{"local-supervisor", folder}, 1},
		{[]string{"kube"}, 0},
		{[]string{"kube", "list"}, 0},
		{[]string{"kube", "get"}, 1},
		{[]string{"kube", "import", archive}, 1},
		{[]string{"kube", "export", "v1.36.3"}, 1},
		{[]string{"completion", "bash"}, 0},
		{[]string{"completion", "bash", "now"}, 1},
		{[]string{"controllers"}, 0},
		{[]string{"controllers", "now"}, 1},
		{[]string{"version"}, 0},
		{[]string{"version", "now"}, 1},
		{[]string{"uninstall"}, 1},
		{[]string{"uninstall", "--yes"}, 0},
	} {
		app := unreached(t)
		app.Up = func(context.Context, UpOptions) error { return nil }
		app.Controllers = app.Up
		app.Demo = func(context.Context, DemoOptions) error { return nil }
		app.Dashboard = func(context.Context, DashboardOptions) error { return nil }
		app.Lab = func(context.Context, LabOptions) error { return nil }
		app.Now = func() time.Time { return ten }
		app.Issue = func(string, Person) ([]byte, error) { return []byte("a kubeconfig"), nil }
		var out, errOut bytes.Buffer
		if command, _, err := New(app).Find(test.args); err == nil {
			tried[command.CommandPath()] = true
		}
		code := Run(t.Context(), app, test.args, &out, &errOut)
		if code != test.code {
			t.Errorf("refit %s exits with %d, want %d\n%s%s", strings.Join(test.args, " "), code, test.code, &out, &errOut)
		}
		if said := errOut.String(); (code == 0) == strings.HasPrefix(said, "refit: ") {
			t.Errorf("refit %s exits with %d and says %q", strings.Join(test.args, " "), code, said)
		}
	}
	for _, command := range commands(New(unreached(t))) {
		if !tried[command.CommandPath()] {
			t.Errorf("%s is not tried", command.CommandPath())
		}
	}
}

// Only who interrupts a command makes it end as interrupted.
func TestExitCodesOfInterrupted(t *testing.T) {
	cause := errors.New("no disk")
	for _, test := range []struct {
		name        string
		interrupted bool
		err         error
		code        int
		said        string
	}{
		{"done", false, nil, 0, ""},
		{"not done", false, cause, 1, "refit: no disk\n"},
		{"interrupted, which is its end", true, nil, 0, ""},
		{"interrupted before its end", true, context.Canceled, 130, "refit: interrupted\n"},
		{"interrupted, and something else went wrong", true, cause, 1, "refit: no disk\n"},
		{"something within was cancelled", false, context.Canceled, 1, "refit: context canceled\n"},
	} {
		ctx, interrupt := context.WithCancel(t.Context())
		app := unreached(t)
		app.Up = func(context.Context, UpOptions) error {
			if test.interrupted {
				interrupt()
			}
			return test.err
		}
		var out, errOut bytes.Buffer
		if code := Run(ctx, app, []string{"up", "--data-dir", t.TempDir()}, &out, &errOut); code != test.code || errOut.String() != test.said {
			t.Errorf("%s: exits with %d and says %q, want %d and %q", test.name, code, errOut.String(), test.code, test.said)
		}
		interrupt()
	}
}

// Both formats are one document, and the same.
func TestFormats(t *testing.T) {
	app := unreached(t)
	app.Now = func() time.Time { return ten }
	kubeconfig := serve(t, shown())
	for _, args := range [][]string{{"status"}, {"plan"}, {"report"}, {"why", "two"}} {
		documents := map[string]any{}
		for format, read := range map[string]func([]byte, any) error{
			"json": json.Unmarshal,
			"yaml": func(text []byte, to any) error { return yaml.Unmarshal(text, to) },
		} {
			out, err := refit(t, app, append(args, "--kubeconfig", kubeconfig, "-o", format)...)
			if err != nil {
				t.Fatal(err)
			}
			var document map[string]any
			if err := read([]byte(out), &document); err != nil {
				t.Fatalf("%v as %s: %v\n%s", args, format, err, out)
			}
			if format == "json" == (json.Unmarshal([]byte(out), &document) != nil) {
				t.Errorf("%v as %s is\n%s", args, format, out)
			}
			documents[format] = document
		}
		if diff := cmp.Diff(documents["json"], documents["yaml"]); diff != "" {
			t.Errorf("%v (-json +yaml):\n%s", args, diff)
		}
	}
	out, err := refit(t, app, "why", "two", "--kubeconfig", kubeconfig, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var why view.Why
	if err := json.Unmarshal([]byte(out), &why); err != nil || why.Member.Name != "two" || why.Member.Why.Code != "Frozen" || why.Fleet != "main" {
		t.Errorf("%v: %+v", err, why)
	}
	// A person reads it too.
	withLess := heldHub(frozen(v1.FreezeSpec{Member: "two", Stops: v1.StopsStarts, Reason: "a < b & c", Until: &metav1.Time{Time: ten.Add(time.Hour)}}))
	if out, _ := refit(t, app, "why", "two", "--kubeconfig", serve(t, withLess), "-o", "json"); !strings.Contains(out, "a < b & c") {
		t.Errorf("signs are escaped:\n%s", out)
	}
}
