package record

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type sample struct{ Name string }

func TestSaveAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.json")
	got := sample{Name: "as it was"}
	if err := Load(path, &got); err != nil || got.Name != "as it was" {
		t.Errorf("Load of what was never saved = %v, %v", got, err)
	}
	for _, name := range []string{"one", "two"} {
		if err := Save(path, sample{Name: name}); err != nil {
			t.Fatal(err)
		}
		if err := Load(path, &got); err != nil || got.Name != name {
			t.Errorf("Load = %v, %v; want %s", got, err, name)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
	}
}

// What cannot be saved changes nothing and leaves nothing behind.
func TestSaveThatFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cluster.json")
	if err := Save(path, sample{Name: "kept"}); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, make(chan int)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("err = %v, want one that names the file", err)
	}
	if err := os.Mkdir(path+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := SaveText(path+".d", []byte("no file")); err == nil {
		t.Error("a folder was replaced by a record")
	}
	var got sample
	if err := Load(path, &got); err != nil || got.Name != "kept" {
		t.Errorf("Load = %v, %v", got, err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	hidden, _ := filepath.Glob(filepath.Join(dir, ".*"))
	if diff := cmp.Diff([]string{path, path + ".d"}, append(names, hidden...)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestLoadOfHalfARecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.json")
	if err := os.WriteFile(path, []byte(`{"Name":"ha`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Load(path, &sample{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("err = %v, want one that names the file", err)
	}
}
