package kube

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestErrorTexts(t *testing.T) {
	var out strings.Builder
	for _, c := range errorCases() {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newTestStore(t)
			text := "no error"
			if err := c.provoke(errorScene{t, s}); err != nil {
				text = strings.NewReplacer(s.Dir, "CACHE", platform(), "OS-ARCH", strings.ReplaceAll(platform(), "-", "/"), "OS/ARCH").Replace(err.Error())
			}
			fmt.Fprintf(&out, "-- %s --\n%s\n", c.name, text)
		})
	}
	const golden = "testdata/errors.golden"
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(out.String(), "\n")); diff != "" {
		t.Errorf("error texts have changed; look, and accept them with -update:\n%s", diff)
	}
}

// An errorCase is a way in which something goes wrong for a user.
type errorCase struct {
	name    string
	provoke func(errorScene) error
}

type errorScene struct {
	t *testing.T
	s *Store
}

func errorCases() []errorCase {
	return []errorCase{
		{"unknown version", func(e errorScene) error {
			newFakeGo(e.t)
			return e.get(Artefact{Kubernetes, "v1.36.99"})
		}},
		{"unknown version, and the server knows it neither", func(e errorScene) error {
			newFakeGo(e.t)
			return e.from(newReleaseServer(e.t), Artefact{Kubernetes, "v1.36.99"})
		}},
		{"only a minor", func(e errorScene) error {
			newFakeGo(e.t)
			return e.get(Artefact{Kubernetes, "v1.36"})
		}},
		{"no version", func(e errorScene) error { return e.get(Artefact{Kubernetes, "newest"}) }},
		{"neither network nor Go", func(e errorScene) error {
			noGo(e.t)
			server := newReleaseServer(e.t)
			url := server.URL
			server.Close()
			sources, err := MirrorSources(url)
			e.s.Sources = sources
			if err != nil {
				return err
			}
			return masked(e.get(kube1363), url)
		}},
		{"a silent server and no Go", func(e errorScene) error {
			noGo(e.t)
			e.s.fetch.answer = 100 * time.Millisecond
			server := newReleaseServer(e.t)
			server.release(e.t, kube1363)
			for path := range server.files {
				server.odd[path] = hang
			}
			return e.from(server, kube1363)
		}},
		{"a wrong checksum and no Go", func(e errorScene) error {
			noGo(e.t)
			server := newReleaseServer(e.t)
			server.release(e.t, kube1363)
			for path, content := range server.files {
				if !strings.HasSuffix(path, ".sha256") {
					server.files[path] = content + "tampered"
				}
			}
			return e.from(server, kube1363)
		}},
		{"no checksum and no Go", func(e errorScene) error {
			noGo(e.t)
			return e.get(Artefact{Kwok, KwokVersion})
		}},
		{"a build that fails", func(e errorScene) error {
			newFakeGo(e.t).breakBuild(e.t)
			return e.get(kube1363)
		}},
		{"no space to download", func(e errorScene) error {
			e.s.freeSpace = func(string) (uint64, error) { return 123e6, nil }
			return e.get(kube1363)
		}},
		{"no space to build", func(e errorScene) error {
			newFakeGo(e.t)
			e.s.freeSpace = func(string) (uint64, error) { return 3.21e9, nil }
			return e.get(kube1363)
		}},
		{"no space for the modules", func(e errorScene) error {
			newFakeGo(e.t)
			e.s.freeSpace = func(dir string) (uint64, error) {
				if strings.HasPrefix(dir, e.s.Dir) {
					return 1e12, nil
				}
				return 0, nil
			}
			return e.get(kube1363)
		}},
		{"the cache is a file", func(e errorScene) error {
			e.s.Dir = filepath.Join(e.s.Dir, "file")
			writeFiles(e.t, filepath.Dir(e.s.Dir), map[string]string{"file": ""})
			return e.get(kube1363)
		}},
		{"given up while another process is at it", func(e errorScene) error {
			shop, err := e.s.open(e.t.Context(), e.s.home(kube1363), "test")
			if err != nil {
				return err
			}
			defer shop.close()
			ctx, cancel := context.WithCancel(e.t.Context())
			cancel()
			_, err = e.s.Get(ctx, kube1363)
			return err
		}},
		{"import of nothing", func(e errorScene) error {
			_, err := e.s.Import(e.t.Context(), "/nowhere/file.tar")
			return err
		}},
		{"import of a folder", func(e errorScene) error {
			_, err := e.s.Import(e.t.Context(), "/")
			return err
		}},
		{"import of half a file", func(e errorScene) error {
			file := filepath.Join(e.t.TempDir(), "half.tar")
			whole := tarball(e.t, official(programs(kube1363)))
			writeFiles(e.t, filepath.Dir(file), map[string]string{"half.tar": whole[:len(whole)/2]})
			_, err := e.s.Import(e.t.Context(), file)
			return masked(err, filepath.Dir(file))
		}},
		{"export of what is not there", func(e errorScene) error {
			_, err := e.s.Export("/nowhere/file.tar", []Artefact{kube1363})
			return err
		}},
		{"base URL", func(errorScene) error {
			_, err := MirrorSources("mirror.example")
			return err
		}},
	}
}

func (e errorScene) get(a Artefact) error {
	_, err := get(e.t, e.s, a)
	return err
}

func (e errorScene) from(server *releaseServer, a Artefact) error {
	e.s.Sources = server.sources(e.t)
	return masked(e.get(a), server.URL)
}

// masked puts a word in the place of what differs from run to run.
func masked(err error, differs string) error {
	if err == nil {
		return nil
	}
	text := strings.ReplaceAll(err.Error(), differs, "SOMEWHERE")
	return fmt.Errorf("%s", strings.ReplaceAll(text, strings.TrimPrefix(differs, "http://"), "SOMEWHERE"))
}
