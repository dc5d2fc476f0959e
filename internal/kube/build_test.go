package kube

import (
	"archive/zip"
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

func TestGenerate(t *testing.T) {
	var published upstream
	published.Go = "1.26.0"
	published.GoDebug = []struct{ Key, Value string }{{"default", "go1.26"}}
	for path, replacement := range map[string]string{
		"k8s.io/api":               "./staging/src/k8s.io/api",
		"k8s.io/client-go":         "./staging/src/k8s.io/client-go",
		"k8s.io/sample-controller": "./staging/src/k8s.io/sample-controller",
		"example.com/patched":      "example.com/fork",
	} {
		published.Replace = append(published.Replace, struct {
			Old struct{ Path string }
			New struct{ Path string }
		}{struct{ Path string }{path}, struct{ Path string }{replacement}})
	}
	got := generate(kube1363, published)
	want := `module refit.dev/built

go 1.26.0

godebug default=go1.26

require (
	k8s.io/api v0.36.3
	k8s.io/client-go v0.36.3
	k8s.io/kubernetes v1.36.3
)
`
	if diff := cmp.Diff(want, got.files["go.mod"]); diff != "" {
		t.Error(diff)
	}
	if len(got.files) != 2 || got.target != "." || got.output != "kubernetes" {
		t.Errorf("got %+v", got)
	}
	etcd := generate(Artefact{Etcd, "v3.7.0"}, upstream{Go: "1.26"})
	want = "module refit.dev/built\n\ngo 1.26\n\nrequire (\n\tgo.etcd.io/etcd/server/v3 v3.7.0\n)\n"
	if diff := cmp.Diff(want, etcd.files["go.mod"]); diff != "" || len(etcd.files) != 1 || etcd.output != "etcd" {
		t.Errorf("got %+v\n%s", etcd, diff)
	}
}

// A recipe must change with whatever changes the binaries, and with nothing else.
func TestRecipe(t *testing.T) {
	seen := map[string]string{}
	for _, a := range []Artefact{kube1363, {Kubernetes, "v1.36.1"}, {Etcd, "v3.7.0"}, {Etcd, "v3.7.1"}, {Kwok, "v0.8.0"}} {
		for _, version := range []string{"go1.26.8", "go1.26.9"} {
			r, what := recipe(a, version), a.String()+" by "+version
			if other, ok := seen[r]; ok {
				t.Errorf("%s and %s have one recipe", what, other)
			}
			seen[r] = what
			if again := recipe(a, version); again != r || len(r) != 12 {
				t.Errorf("%s: %q, then %q", what, r, again)
			}
		}
	}
	before := recipe(kube1363, "go1.26.8")
	t.Setenv("GOFLAGS", "-race")
	t.Setenv("CGO_ENABLED", "1")
	if recipe(kube1363, "go1.26.8") != before {
		t.Error("the caller's settings change the recipe")
	}
}

// The whole way with the real go, from a proxy in a folder that publishes a
// Kubernetes of a few lines, under settings that would break it.
func TestBuildWithTheRealGo(t *testing.T) {
	proxy, cache := t.TempDir(), t.TempDir()
	t.Cleanup(func() { makeWritable(cache) })
	publish(t, "testdata/published.txtar", proxy)
	for key, value := range map[string]string{
		"GOPROXY": "file://" + proxy, "GOSUMDB": "off", "GOMODCACHE": cache,
		"GOFLAGS": "-mod=vendor -race", "GO111MODULE": "off", "GOTOOLCHAIN": "go1.4", "GOWORK": "/nowhere/go.work",
		"GOOS": "plan9", "GOARCH": "mips", "CGO_ENABLED": "1", "GOCACHE": t.TempDir(), "GOEXPERIMENT": "nonsense",
	} {
		t.Setenv(key, value)
	}
	s, _ := newTestStore(t)
	s.freeSpace = func(string) (uint64, error) { return 1e12, nil }
	dir, err := s.Get(t.Context(), kube1363)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ command, want string }{
		{"kube-apiserver", "Kubernetes v1.36.3 1 36 archive 1970-01-01T00:00:00Z kube-apiserver [--version]"},
		{"kube-controller-manager", "Kubernetes v1.36.3 1 36 archive 1970-01-01T00:00:00Z kube-controller-manager [--version]"},
		{"kube-scheduler", "Kubernetes v1.36.3 1 36 archive 1970-01-01T00:00:00Z kube-scheduler [--version]"},
		{"kubectl", "Client Version: v1.36.3 kubectl [--version]"},
	} {
		byName, err := exec.Command(filepath.Join(dir, test.command), "--version").CombinedOutput()
		if err != nil || strings.TrimSpace(string(byName)) != test.want {
			t.Errorf("%s: %q, %v", test.command, byName, err)
		}
		byArgument, err := exec.Command(filepath.Join(dir, "kubernetes"), test.command, "--version").CombinedOutput()
		if err != nil || strings.TrimSpace(string(byArgument)) != test.want {
			t.Errorf("kubernetes %s: %q, %v", test.command, byArgument, err)
		}
	}
	out, err := exec.Command(filepath.Join(dir, "kubernetes"), "kubelet").CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "name one of kube-apiserver, ") {
		t.Errorf("kubernetes kubelet: %q, %v", out, err)
	}
}

// publish turns the files of modules into a module proxy in a folder.
func publish(t *testing.T, file, proxy string) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]map[string]string{}
	for _, f := range archive.Files {
		path, rest, _ := strings.Cut(f.Name, "@")
		version, name, _ := strings.Cut(rest, "/")
		module := path + "@" + version
		if modules[module] == nil {
			modules[module] = map[string]string{}
		}
		modules[module][name] = string(f.Data)
	}
	for module, files := range modules {
		publishModule(t, proxy, module, files)
	}
}

// publishModule writes what a module proxy serves of one version.
func publishModule(t *testing.T, proxy, module string, files map[string]string) {
	t.Helper()
	path, version, _ := strings.Cut(module, "@")
	var archive bytes.Buffer
	zipped := zip.NewWriter(&archive)
	for name, content := range files {
		w, err := zipped.Create(module + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, filepath.Join(proxy, path, "@v"), map[string]string{
		"list":            version + "\n",
		version + ".info": `{"Version": "` + version + `", "Time": "2026-07-22T18:07:38Z"}`,
		version + ".mod":  files["go.mod"],
		version + ".zip":  archive.String(),
	})
}

// makeWritable undoes what Go does to its module cache, so that it can be removed.
func makeWritable(dir string) {
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			_ = os.Chmod(path, 0o755)
		}
		return nil
	})
}

func TestBuildReportsItsProgress(t *testing.T) {
	newFakeGo(t)
	scratch, into := t.TempDir(), t.TempDir()
	lock, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	var reports []string
	err = compile(context.Background(), build{
		Artefact: kube1363, scratch: scratch, into: into, lock: lock,
		report: func(doing string) { reports = append(reports, doing) },
	})
	want := []string{
		"reading its modules", "fetching its modules, 1 so far",
		"compiling, 1 of 3 packages", "compiling, 2 of 3 packages", "compiling, 3 of 3 packages",
	}
	if diff := cmp.Diff(want, reports); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// The user's cache is used if it saves much, and only then.
func TestBuildChoosesACache(t *testing.T) {
	const stale, compiled, standard = "stale\n", "compiled\n", "standard\n"
	for _, test := range []struct {
		name, packages string
		users          bool
	}{
		{"nothing compiled yet", strings.Repeat(stale, 4) + standard, false},
		{"only Go's own", strings.Repeat(stale, 4) + strings.Repeat(standard, 9), false},
		{"a fifth", strings.Repeat(stale, 12) + strings.Repeat(compiled, 3), false},
		{"a third", strings.Repeat(stale, 12) + strings.Repeat(compiled, 6) + standard, true},
	} {
		g := newFakeGo(t)
		writeFiles(t, g.dir, map[string]string{"packages": test.packages})
		s, _ := newTestStore(t)
		if _, err := get(t, s, kube1363); err != nil {
			t.Fatal(err)
		}
		cache, err := os.ReadFile(filepath.Join(g.dir, "cache"))
		own := filepath.Join(s.home(kube1363), ".partial", "scratch", "gocache")
		if users := string(cache) == "/nowhere/cache\n"; err != nil || users != test.users || !users && string(cache) != own+"\n" {
			t.Errorf("%s: built with the cache %s, %v", test.name, cache, err)
		}
	}
}
