package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestDetachedArgs: the process that "refit up --detach" starts has every option that
// was given, and none that was not.
func TestDetachedArgs(t *testing.T) {
	webhook := filepath.Join(t.TempDir(), "webhook")
	if err := os.WriteFile(webhook, []byte("https://chat.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := UpOptions{DataDir: "/srv/refit", Namespace: "refit"}
	full := UpOptions{
		DataDir: "/srv/refit", Namespace: "fleets", Port: 6443, LogLevel: slog.LevelDebug, FakeProvider: true,
		Metrics: "127.0.0.1:9464", Webhook: webhook, GateHosts: []string{"one:9090", "two"},
		SourcePrefixes: []string{"https://git.example/a", "/srv/git"},
	}
	elsewhere := plain
	elsewhere.Kubeconfig = "/home/ann/.kube/management"
	for name, want := range map[string]UpOptions{"plain": plain, "full": full, "on a management cluster": elsewhere} {
		t.Run(name, func(t *testing.T) {
			var got UpOptions
			root := New(App{Up: func(_ context.Context, options UpOptions) error {
				got = options
				return nil
			}})
			root.SetArgs(want.args())
			root.SetOut(io.Discard)
			if err := root.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(UpOptions{}, "Out", "Ready")); diff != "" {
				t.Errorf("options (-given +started with):\n%s", diff)
			}
		})
	}
}
