package gen

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPlace: afterwards a folder holds what was generated and what is nobody's business, and files that are
// the same were not touched: whoever compiles them meanwhile finds them, and need not compile them again.
func TestPlace(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	fill(t, from, map[string]string{"same.yaml": "a", "changed.yaml": "new", "added.yaml": "b", "notes.txt": "x"})
	fill(t, to, map[string]string{"same.yaml": "a", "changed.yaml": "old", "gone.yaml": "c", "README.md": "read me"})
	same, changed := look(t, to, "same.yaml"), open(t, to, "changed.yaml")

	place(t, from, to)
	want := map[string]string{"same.yaml": "a", "changed.yaml": "new", "added.yaml": "b", "README.md": "read me"}
	if got := contents(t, to); !maps.Equal(want, got) {
		t.Errorf("the folder holds %v, want %v", got, want)
	}
	if after := look(t, to, "same.yaml"); !os.SameFile(same, after) || !same.ModTime().Equal(after.ModTime()) {
		t.Error("a file that is the same was written")
	}
	// Whoever has begun to read it goes on with what it was.
	text := make([]byte, 3)
	if n, err := changed.Read(text); err != nil || string(text[:n]) != "old" {
		t.Errorf("who reads a file that is replaced reads %q, %v", text[:n], err)
	}
}

// TestPlaceNothing: a generator that wrote nothing takes nothing away.
func TestPlaceNothing(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	fill(t, to, map[string]string{"kept.yaml": "a"})
	if out, err := command(t, from, to).CombinedOutput(); err == nil {
		t.Errorf("no error where nothing was generated: %s", out)
	}
	if got := contents(t, to); got["kept.yaml"] != "a" || len(got) != 1 {
		t.Errorf("the folder holds %v, want what it held", got)
	}
}

func command(t *testing.T, from, to string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), "./place", from, to, ".yaml")
}

func place(t *testing.T, from, to string) {
	t.Helper()
	if out, err := command(t, from, to).CombinedOutput(); err != nil {
		t.Fatalf("place: %v: %s", err, out)
	}
}

func fill(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(text)
	}
	return files
}

func look(t *testing.T, folder, name string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func open(t *testing.T, folder, name string) *os.File {
	t.Helper()
	file, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}
