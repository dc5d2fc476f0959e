package kube

import (
	"archive/tar"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// files are the entries of a folder of an archive.
func files(folder string, content map[string]string) []entry {
	var entries []entry
	for _, name := range slices.Sorted(maps.Keys(content)) {
		entries = append(entries, entry{name: folder + name, content: content[name]})
	}
	return entries
}

// without is a folder's files but for one.
func without(name string, content map[string]string) map[string]string {
	rest := maps.Clone(content)
	delete(rest, name)
	return rest
}

func with(name, text string, content map[string]string) map[string]string {
	more := maps.Clone(content)
	more[name] = text
	return more
}

// official is the archive that upstream calls kubernetes-server-linux-amd64.tar.gz.
func official(content map[string]string) []entry {
	more := with("kubelet", program("Kubernetes v1.36.3"), content)
	more["kube-apiserver.tar"], more["kube-apiserver.docker_tag"] = "an image", "v1.36.3"
	return append([]entry{{name: "kubernetes/", kind: tar.TypeDir}, {name: "kubernetes/LICENSES", content: "text"}},
		files("kubernetes/server/bin/", more)...)
}

func TestImport(t *testing.T) {
	multicall := func(folder string) []entry {
		entries := []entry{{name: folder + "kubernetes", content: program("Kubernetes v1.36.3")}}
		for _, command := range kube1363.product().commands {
			entries = append(entries, entry{name: folder + command, link: "kubernetes"})
		}
		return entries
	}
	etcd := Artefact{Etcd, "v3.7.0"}
	for _, test := range []struct {
		name string
		file string
		want []Artefact
	}{
		{"official server archive", tarball(t, official(programs(kube1363))), []Artefact{kube1363}},
		{"not compressed", plainTar(t, official(programs(kube1363))), []Artefact{kube1363}},
		{"in no folder", plainTar(t, files("", programs(kube1363))), []Artefact{kube1363}},
		{"in the current folder", plainTar(t, files("./", programs(kube1363))), []Artefact{kube1363}},
		{"one binary and links to it", tarball(t, multicall("kube/")), []Artefact{kube1363}},
		{"official etcd archive", tarball(t, files("etcd-v3.7.0-linux-amd64/", with("etcdctl", "text", programs(etcd)))), []Artefact{etcd}},
		{"several in one folder", tarball(t, append(files("bin/", programs(kube1363)), files("bin/", programs(etcd))...)), []Artefact{kube1363, etcd}},
		{
			"several versions",
			tarball(t, append(files("a/", programs(kube1363)), files("b/", programs(Artefact{Kubernetes, "v1.37.2"}))...)),
			[]Artefact{kube1363, {Kubernetes, "v1.37.2"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			noGo(t)
			s, _ := newTestStore(t)
			entries, err := importText(t, s, test.file)
			if err != nil {
				t.Fatal(err)
			}
			var got []Artefact
			for _, e := range entries {
				got = append(got, e.Artefact)
				dir, err := get(t, s, e.Artefact)
				if err != nil || dir != e.Dir || dir != filepath.Join(s.home(e.Artefact), "imported") {
					t.Errorf("%s is in %s, %v", e.Artefact, dir, err)
				}
				if err := checkCommands(context.Background(), e.Artefact, dir, t.TempDir()); err != nil {
					t.Error(err)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func importText(t *testing.T, s *Store, content string) ([]Entry, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file.tar")
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return s.Import(t.Context(), file)
}

// A badFile is one that must not be imported, not even in part.
type badFile struct {
	name, content, says string
}

func badFiles(t *testing.T) []badFile {
	t.Helper()
	good := programs(kube1363)
	whole := tarball(t, official(good))
	return []badFile{
		{"empty", "", "no folder in it has the commands of kubernetes, etcd or kwok"},
		{"text", strings.Repeat("this is no tar file\n", 100), "it is no tar file"},
		{"half of one", whole[:len(whole)/2], "it ends early: copy it again, it is not whole"},
		{"zstd", "\x28\xb5\x2f\xfd compressed", "it is compressed with something else than gzip: decompress it first"},
		{"damaged", whole[:len(whole)-8] + "01234567", "it is damaged: copy it again"},
		{"nothing of ours", tarball(t, files("etc/", map[string]string{"passwd": "root"})), "no folder in it has the commands of"},
		{"without the scheduler", tarball(t, official(without("kube-scheduler", good))), "its folder kubernetes/server/bin has a part of kubernetes: kube-scheduler is missing"},
		{"only kubectl", tarball(t, files("bin/", map[string]string{"kubectl": good["kubectl"]})), "kube-apiserver, kube-controller-manager, kube-scheduler are missing"},
		{"good and bad", tarball(t, append(official(good), files("b/", map[string]string{"kubectl": good["kubectl"]})...)), "its folder b has a part of kubernetes"},
		{"for another machine", tarball(t, official(with("kube-apiserver", "\x7fELF of another machine", good))), "kube-apiserver does not run here: it is no program for"},
		{"two versions mixed", tarball(t, official(with("kubectl", program("Client Version: v1.36.1"), good))), "kubectl of kubernetes v1.36.3 says it is v1.36.1"},
		{"a pre-release", tarball(t, official(programs(Artefact{Kubernetes, "v1.37.0-rc.1"}))), "kube-apiserver says it is v1.37.0-rc.1, which is no release"},
		{"says nothing", tarball(t, official(with("kube-apiserver", program("hello"), good))), `ask kube-apiserver for its version: it says "hello"`},
		{"fails", tarball(t, official(with("kube-apiserver", "#!/bin/sh\necho no; exit 3\n", good))), "ask kube-apiserver for its version: exit status 3: no"},
		{"out of it by ..", tarball(t, append(official(good), entry{name: "a/../../kubectl", content: "x"})), `it names "a/../../kubectl", which is outside of it: refused`},
		{"out of it by /", tarball(t, append(official(good), entry{name: "/tmp/kubectl", content: "x"})), `it names "/tmp/kubectl", which is outside of it: refused`},
		{"out of it by a link", tarball(t, append(files("", without("kubectl", good)), entry{name: "kubectl", link: "/usr/bin/kubectl"})), `kubectl in it is a link to "/usr/bin/kubectl": pack the file itself`},
		{"out of it by a hard link", tarball(t, append(files("", without("kubectl", good)), entry{name: "kubectl", link: "kube-apiserver", kind: tar.TypeLink})), `kubectl in it is a link to "kube-apiserver": pack the file itself`},
		{"a link to nothing", tarball(t, append(files("", without("kubectl", good)), entry{name: "kubectl", link: "kubernetes"})), "kubectl is missing"},
		{"a device", tarball(t, append(files("", without("kubectl", good)), entry{name: "kubectl", kind: tar.TypeChar})), "kubectl in it is no file"},
		{"one twice", tarball(t, append(official(good), entry{name: "kubernetes/server/bin/kubectl", content: "x"})), "it has kubectl twice in one folder"},
	}
}

func TestImportRefuses(t *testing.T) {
	for _, test := range badFiles(t) {
		t.Run(test.name, func(t *testing.T) {
			s, _ := newTestStore(t)
			_, err := importText(t, s, test.content)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got  %v\nwant %s", err, test.says)
			}
			if kept := everyFile(t, s.Dir); len(kept) != 1 || kept[0] != "import/.lock" {
				t.Errorf("kept %v", kept)
			}
		})
	}
}

// everyFile lists what is below a folder, but for folders.
func everyFile(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(dir, path)
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestImportReplaces(t *testing.T) {
	s, _ := newTestStore(t)
	for _, comment := range []string{"# one\n", "# two\n"} {
		entries, err := importText(t, s, tarball(t, official(with("kubectl", programs(kube1363)["kubectl"]+comment, programs(kube1363)))))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(entries[0].Dir, "kubectl"))
		if err != nil || !strings.HasSuffix(string(text), comment) {
			t.Errorf("got %q, %v, want %q", text, err, comment)
		}
	}
}

// What one machine built and exported, another imports.
func TestExport(t *testing.T) {
	newFakeGo(t)
	from, _ := newTestStore(t)
	artefacts := append(Pinned(), kube1363)
	for _, a := range artefacts {
		if _, err := get(t, from, a); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "export.tar.gz")
	if entries, err := from.Export(file, artefacts); err != nil || len(entries) != 3 {
		t.Fatalf("%v, %v", entries, err)
	}
	noGo(t)
	to, _ := newTestStore(t)
	entries, err := to.Import(t.Context(), file)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, a := range artefacts {
		dir, err := get(t, to, a)
		if err != nil {
			t.Fatal(err)
		}
		origin, _ := from.find(a)
		want, got := everyFile(t, origin.Dir), everyFile(t, dir)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestExportKeepsNothingOnError(t *testing.T) {
	newFakeGo(t)
	s, _ := newTestStore(t)
	dir, err := get(t, s, kube1363)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "a-folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	if _, err := s.Export(filepath.Join(target, "file"), []Artefact{kube1363}); err == nil {
		t.Error("a folder was packed like a file")
	}
	if left := everyFile(t, target); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	_, err = s.Export(filepath.Join(target, "file"), []Artefact{{Kwok, "v0.8.0"}})
	if err == nil || !strings.Contains(err.Error(), "export kwok v0.8.0: it is not in "+s.Dir) {
		t.Errorf("got %v", err)
	}
}

func TestImportChecksTheDisk(t *testing.T) {
	s, _ := newTestStore(t)
	s.freeSpace = func(string) (uint64, error) { return 0, nil }
	_, err := importText(t, s, tarball(t, official(programs(kube1363))))
	if full := (*spaceError)(nil); !errors.As(err, &full) {
		t.Errorf("got %v", err)
	}
	if kept := everyFile(t, s.Dir); len(kept) > 0 {
		t.Errorf("kept %v", kept)
	}
}
