package sim_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/sim"
)

var update = flag.Bool("update", false, "write the stories' timelines anew")

// TestStories tells each story as its timeline says, and then in many random
// orders of what is due at once, each look more or less late: the end is the same,
// and nothing happens on the way that must never happen.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("stories: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			story, err := sim.ReadStory(text)
			if err != nil {
				t.Fatal(err)
			}
			drawn := drawnLots()[strings.TrimSuffix(filepath.Base(file), ".txtar")]
			end := without(tell(t, story, file), drawn)
			for seed := range uint64(orders) {
				w, err := story.Tell(t.Context(), seed+1)
				if err != nil {
					t.Fatalf("in order %d: %v", seed+1, err)
				}
				if diff := cmp.Diff(end, without(joined(w.End(t.Context())), drawn)); diff != "" {
					t.Errorf("in order %d it ends otherwise (-as told +so):\n%s\n%s", seed+1, diff, joined(w.Timeline()))
				}
				unbroken(t, w, fmt.Sprintf("in order %d", seed+1))
			}
		})
	}
}

// drawnLots are texts of those lines of a story's end that depend on the order: which
// hub had an upgrade of its own while another moved the member, and which of a fleet's
// upgrades were those of the fleet that it replaced.
func drawnLots() map[string]string {
	return map[string]string{"two-hubs-one-member": "foreign changes", "fleet-deleted-and-restored": "; Refit:"}
}

// without is a text without the lines that contain another, where there is one.
func without(text, part string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if part == "" || !strings.Contains(line, part) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// tell tells a story in its own order, and is its end.
func tell(t *testing.T, story *sim.Story, file string) string {
	t.Helper()
	w, err := story.Tell(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	unbroken(t, w, "as told")
	timeline, end := joined(w.Timeline()), joined(w.End(t.Context()))
	if *update {
		if err := os.WriteFile(file, story.With(timeline, end), 0o600); err != nil {
			t.Fatal(err)
		}
		return end
	}
	if diff := cmp.Diff(story.Timeline(), timeline); diff != "" {
		t.Errorf("the timeline (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(story.End(), end); diff != "" {
		t.Errorf("the end (-want +got):\n%s", diff)
	}
	return end
}

func unbroken(t *testing.T, w *sim.World, how string) {
	t.Helper()
	for _, sentence := range slices.Clone(w.Broken()) {
		t.Errorf("%s: %s", how, sentence)
	}
}

func joined(lines []string) string { return strings.Join(lines, "\n") + "\n" }
