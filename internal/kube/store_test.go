package kube

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets the test binary play the part of another process.
func TestMain(m *testing.M) {
	if dir := os.Getenv("KUBE_TEST_STORE"); dir != "" {
		s := NewStore(dir, os.Stdout)
		s.Sources = Sources{}
		if _, err := s.Get(context.Background(), kube1363); err != nil {
			panic(err)
		}
		return
	}
	flag.Bool("update", false, "write the golden files anew")
	m.Run()
}

// anotherProcess gets Kubernetes v1.36.3 into a store.
func anotherProcess(t *testing.T, s *Store) (*exec.Cmd, *transcript) {
	t.Helper()
	out := &transcript{}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "KUBE_TEST_STORE="+s.Dir)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, out
}

func TestGetBuildsWhatItCannotDownload(t *testing.T) {
	g := newFakeGo(t)
	for _, a := range append(Pinned(), kube1363) {
		s, out := newTestStore(t)
		dir, err := get(t, s, a)
		if err != nil {
			t.Fatal(err)
		}
		want := filepath.Join(s.Dir, a.product().folder, a.Version, platform(), recipe(a, "go1.26.8"))
		if dir != want {
			t.Errorf("%s is in %s, want %s", a, dir, want)
		}
		for _, command := range a.product().commands {
			version, err := askVersion(context.Background(), filepath.Join(dir, command), t.TempDir())
			if err != nil || version != a.Version {
				t.Errorf("%s says %q, %v", command, version, err)
			}
		}
		if !strings.Contains(out.String(), a.String()+": not downloaded: no server publishes it with a checksum; building it") {
			t.Errorf("told:\n%s", out)
		}
		if _, err := os.Stat(filepath.Join(s.home(a), ".partial")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the workshop is still there: %v", err)
		}
		if again, err := get(t, s, a); err != nil || again != dir {
			t.Errorf("the second time: %s, %v", again, err)
		}
	}
	if want := "build v3.7.0\nbuilt v3.7.0\nbuild v0.8.0\nbuilt v0.8.0\nbuild v1.36.3\nbuilt v1.36.3\n"; g.log() != want {
		t.Errorf("go was told:\n%s", g.log())
	}
}

// What is complete is found without asking anybody.
func TestGetPrefersOfficialThenImportedThenBuilt(t *testing.T) {
	noGo(t)
	s, _ := newTestStore(t)
	built := newManifest(kube1363, Built)
	built.Recipe, built.Module = "0123", moduleHash(kube1363)
	newer := built
	newer.Recipe, newer.Since = "4567", built.Since.Add(time.Hour)
	other := newer
	other.Recipe, other.Module, other.Since = "89ab", "of another module", newer.Since.Add(time.Hour)

	if dir, err := get(t, s, kube1363); err == nil {
		t.Fatalf("an empty store has %s", dir)
	}
	for _, m := range []manifest{built, other, newer, newManifest(kube1363, Imported), newManifest(kube1363, Official)} {
		shop, err := s.open(context.Background(), s.home(kube1363), "test")
		if err != nil {
			t.Fatal(err)
		}
		writeFiles(t, shop.into, programs(kube1363))
		if _, err := shop.publish(m); err != nil {
			t.Fatal(err)
		}
		shop.close()
		want := m.folder()
		if m == other {
			want = built.Recipe // the module has changed since: not to be used
		}
		dir, err := get(t, s, kube1363)
		if err != nil || filepath.Base(dir) != want {
			t.Errorf("with %s: got %s, %v, want %s", m.folder(), dir, err, want)
		}
	}
}

func TestGetRepairsADamagedFolder(t *testing.T) {
	g := newFakeGo(t)
	s, _ := newTestStore(t)
	dir, err := get(t, s, kube1363)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "kubernetes")); err != nil {
		t.Fatal(err)
	}
	again, err := get(t, s, kube1363)
	if err != nil || again != dir {
		t.Fatalf("got %s, %v", again, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "kube-apiserver")); err != nil {
		t.Error(err)
	}
	if n := strings.Count(g.log(), "built"); n != 2 {
		t.Errorf("built %d times", n)
	}
}

func TestTwoCallersBuildOnce(t *testing.T) {
	g := newFakeGo(t)
	g.hold(t)
	s, out := newTestStore(t)
	dirs := make([]string, 2)
	var callers sync.WaitGroup
	for i := range dirs {
		callers.Go(func() { dirs[i], _ = get(t, s, kube1363) })
	}
	waitFor(t, "one to build and one to wait", func() bool {
		return g.log() != "" && strings.Contains(out.String(), "waiting for process "+strconv.Itoa(os.Getpid())+", which is at it already")
	})
	if err := g.letGo(); err != nil {
		t.Fatal(err)
	}
	callers.Wait()
	if dirs[0] == "" || dirs[0] != dirs[1] {
		t.Errorf("got %q", dirs)
	}
	if n := strings.Count(g.log(), "built"); n != 1 {
		t.Errorf("built %d times", n)
	}
}

func TestTwoProcessesBuildOnce(t *testing.T) {
	g := newFakeGo(t)
	g.hold(t)
	s, _ := newTestStore(t)
	one, first := anotherProcess(t, s)
	waitFor(t, "the first to build", func() bool { return g.log() != "" })
	two, second := anotherProcess(t, s)
	waitFor(t, "the second to wait", func() bool {
		return strings.Contains(second.String(), "waiting for process "+strconv.Itoa(one.Process.Pid)+", which is at it already")
	})
	if entries, err := s.List(); err != nil || len(entries) > 0 {
		t.Errorf("half a build is listed: %v, %v", entries, err)
	}
	if err := g.letGo(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(one.Wait(), two.Wait()); err != nil {
		t.Fatalf("%v\nfirst:\n%s\nsecond:\n%s", err, first, second)
	}
	if n := strings.Count(g.log(), "built"); n != 1 {
		t.Errorf("built %d times", n)
	}
}

// A killed process takes its compiler with it, and leaves nothing that is
// mistaken for a build.
func TestHalfABuildIsNeverSeen(t *testing.T) {
	g := newFakeGo(t)
	g.hold(t)
	s, _ := newTestStore(t)
	child, _ := anotherProcess(t, s)
	waitFor(t, "the build", func() bool { return g.log() != "" })
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()

	left := filepath.Join(s.home(kube1363), ".partial", "scratch", "module", "go.mod")
	if _, err := os.Stat(left); err != nil {
		t.Fatalf("the killed build has left nothing to be removed: %v", err)
	}
	if e, ok := s.find(kube1363); ok {
		t.Fatalf("half a build is found: %+v", e)
	}
	if err := g.letGo(); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, s, kube1363); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what it left is still there: %v", err)
	}
	if want := "build v1.36.3\nbuild v1.36.3\nbuilt v1.36.3\n"; g.log() != want {
		t.Errorf("go was told:\n%swant:\n%s", g.log(), want)
	}
}

func TestGetCanBeGivenUp(t *testing.T) {
	g := newFakeGo(t)
	g.hold(t)
	s, _ := newTestStore(t)
	builder, giveUpBuilding := context.WithCancel(context.Background())
	waiter, giveUpWaiting := context.WithCancel(context.Background())
	built, waited := make(chan error, 1), make(chan error, 1)
	go func() { _, err := s.Get(builder, kube1363); built <- err }()
	waitFor(t, "the build", func() bool { return g.log() != "" })
	go func() { _, err := s.Get(waiter, kube1363); waited <- err }()
	giveUpWaiting()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("waiting: %v", err)
	}
	giveUpBuilding()
	if err := <-built; !errors.Is(err, context.Canceled) {
		t.Errorf("building: %v", err)
	}
	left, err := os.ReadDir(s.home(kube1363))
	if err != nil || len(left) != 1 || left[0].Name() != ".lock" {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestList(t *testing.T) {
	newFakeGo(t)
	s, _ := newTestStore(t)
	if entries, err := s.List(); err != nil || len(entries) > 0 {
		t.Errorf("an empty store has %v, %v", entries, err)
	}
	for _, a := range []Artefact{{Kwok, "v0.8.0"}, {Kubernetes, "v1.36.1"}, kube1363, {Etcd, "v3.7.0"}} {
		if _, err := get(t, s, a); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, strings.Join([]string{e.String(), e.Origin, e.Platform}, " "))
		if e.Size < 20 || time.Since(e.Since) > time.Minute {
			t.Errorf("%+v", e)
		}
	}
	want := []string{
		"kubernetes v1.36.3 built " + platform(), "kubernetes v1.36.1 built " + platform(),
		"etcd v3.7.0 built " + platform(), "kwok v0.8.0 built " + platform(),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUserStore(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/cache")
	t.Setenv(BaseURLVariable, "")
	s, err := UserStore(nil)
	if err != nil || s.Dir != "/cache/refit" || s.Sources != OfficialSources() {
		t.Errorf("got %+v, %v", s, err)
	}
	t.Setenv(BaseURLVariable, "http://mirror.example/release/")
	s, err = UserStore(nil)
	want := Sources{
		Kubernetes: "http://mirror.example/release",
		Etcd:       "http://mirror.example/release/etcd",
		Kwok:       "http://mirror.example/release/kwok",
	}
	if err != nil || s.Sources != want {
		t.Errorf("got %+v, %v", s, err)
	}
	t.Setenv(BaseURLVariable, "mirror.example")
	if _, err = UserStore(nil); err == nil || !strings.Contains(err.Error(), `REFIT_KUBE_BASE_URL: base URL "mirror.example"`) {
		t.Errorf("got %v", err)
	}
}
