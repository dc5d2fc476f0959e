package app_test

import (
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/cli"
)

// TestReadyAdmits: a hub that says it is ready admits a person's word at once, and
// knows whose it is, at its first start and at those after.
func TestReadyAdmits(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dataDir := t.TempDir()
	for _, start := range []string{"first", "second"} {
		begun := time.Now()
		runUp(t, cli.UpOptions{DataDir: dataDir}, func(c client.Client) {
			asked := grep(t, cli.LogPath(dataDir), "the hub admits freezes and approvals")
			t.Logf("%s start: ready after %s; its log: %s", start, time.Since(begun), asked)
			if asked == "" || os.Truncate(cli.LogPath(dataDir), 0) != nil {
				t.Errorf("%s start: it did not find out before it said so", start)
			}
			freeze := &v1.Freeze{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "now-"}, Spec: v1.FreezeSpec{Reason: "now"}}
			if err := c.Create(t.Context(), freeze); err != nil {
				t.Errorf("%s start: %v", start, err)
			}
			if by := freeze.Annotations[v1.ByAnnotation]; by != "refit-admin" {
				t.Errorf("%s start: it is by %q", start, by)
			}
		})
	}
}

// grep is the last line of a file that has a word.
func grep(t *testing.T, path, word string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, word) {
			found = strings.TrimSpace(line)
		}
	}
	return found
}
