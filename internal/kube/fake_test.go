package kube

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// program is an executable that tells a version and does nothing else.
func program(says string) string { return "#!/bin/sh\necho '" + says + "'\n" }

// programs are the commands of an artefact, as upstream's tell their version.
func programs(a Artefact) map[string]string {
	switch a.Name {
	case Etcd:
		return map[string]string{"etcd": program("etcd Version: " + strings.TrimPrefix(a.Version, "v"))}
	case Kwok:
		return map[string]string{"kwok": program("kwok version " + a.Version + " go1.26.8 (linux/amd64)")}
	}
	kubernetes := program("Kubernetes " + a.Version)
	return map[string]string{
		"kube-apiserver": kubernetes, "kube-controller-manager": kubernetes, "kube-scheduler": kubernetes,
		"kubectl": program("Client Version: " + a.Version + "\nKustomize Version: v5.8.1"),
	}
}

var kube1363 = Artefact{Kubernetes, "v1.36.3"}

// newTestStore has no sources, no network and much patience.
func newTestStore(t *testing.T) (*Store, *transcript) {
	t.Helper()
	out := &transcript{}
	s := NewStore(t.TempDir(), out)
	s.Sources = Sources{}
	s.fetch = fetcher{answer: time.Minute, stall: time.Minute}
	return s, out
}

// A transcript is a console's output, safe to read while it grows.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// A fakeGo is a go command that is as good as the real one for a store: it
// knows v1.36.1 and v1.36.3 of everything, and "compiles" a script.
type fakeGo struct{ dir string }

const fakeGoScript = `#!/bin/sh
log() { echo "$1" >> "$FAKE_GO/log"; }
version() { sed -n 's/.*\(k8s.io\/kubernetes\|etcd\/server\/v3\|kwok\) \(v[0-9.]*\)$/\2/p' go.mod | head -n 1; }
case "$1 $2" in
"env -json")
	echo '{"GOVERSION": "go1.26.8", "GOMODCACHE": "/nowhere/mod", "GOCACHE": "/nowhere/cache"}' ;;
"list -m")
	if [ "$3" = -versions ]; then echo "$4 v1.35.4 v1.36.0-rc.1 v1.36.1 v1.36.3"; exit; fi
	case "$4" in
	*@v1.36.1 | *@v1.36.3 | *@v3.7.0 | *@v0.8.0) echo '{"GoMod": "/nowhere/go.mod"}' ;;
	*) echo "go: $4: unknown revision ${4#*@}" >&2; exit 1 ;;
	esac ;;
"mod edit")
	echo '{"Go": "1.26.0", "GoDebug": [{"Key": "default", "Value": "go1.26"}]}' ;;
"list -deps")
	echo 'go: downloading k8s.io/api v0.36.3' >&2
	cat "$FAKE_GO/packages" 2>/dev/null || printf 'standard\nstale\nstale\n' ;;
"build -v")
	echo "$GOCACHE" > "$FAKE_GO/cache"
	log "build $(version)"
	while [ -e "$FAKE_GO/hold" ]; do sleep 0.02; done
	if [ -e "$FAKE_GO/broken" ]; then echo "./main.go:1:1: syntax error" >&2; exit 1; fi
	printf 'a\nb\nc\n' >&2
	printf '#!/bin/sh\necho "it is v%s"\n' "$(version | tr -d v)" > "$4"
	chmod +x "$4"
	log "built $(version)" ;;
*)
	echo "go $*: unknown command" >&2; exit 2 ;;
esac
`

// newFakeGo puts a fake go first on the PATH.
func newFakeGo(t *testing.T) fakeGo {
	t.Helper()
	g := fakeGo{t.TempDir()}
	writeFiles(t, filepath.Join(g.dir, "bin"), map[string]string{"go": fakeGoScript})
	t.Setenv("FAKE_GO", g.dir)
	t.Setenv("PATH", filepath.Join(g.dir, "bin")+":"+os.Getenv("PATH"))
	return g
}

// noGo leaves a PATH without any go.
func noGo(t *testing.T) {
	t.Helper()
	t.Setenv("PATH", t.TempDir())
}

// hold makes every build wait for letGo.
func (g fakeGo) hold(t *testing.T) {
	t.Helper()
	writeFiles(t, g.dir, map[string]string{"hold": ""})
}

func (g fakeGo) letGo() error { return os.Remove(filepath.Join(g.dir, "hold")) }

// breakBuild makes every build fail.
func (g fakeGo) breakBuild(t *testing.T) {
	t.Helper()
	writeFiles(t, g.dir, map[string]string{"broken": ""})
}

func (g fakeGo) log() string {
	text, _ := os.ReadFile(filepath.Join(g.dir, "log"))
	return string(text)
}

// waitFor waits until something outside this goroutine has happened.
func waitFor(t *testing.T, what string, happened func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for deadline := time.After(time.Minute); ; {
		select {
		case <-deadline:
			t.Fatalf("waited a minute for %s", what)
		case <-look.C:
			if happened() {
				return
			}
		}
	}
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// A releaseServer serves files, and misbehaves where told to.
type releaseServer struct {
	*httptest.Server
	files map[string]string           // by path
	odd   map[string]http.HandlerFunc // instead of a file
}

func newReleaseServer(t *testing.T) *releaseServer {
	t.Helper()
	s := &releaseServer{files: map[string]string{}, odd: map[string]http.HandlerFunc{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := s.files[r.URL.Path]
		switch odd := s.odd[r.URL.Path]; {
		case odd != nil:
			odd(w, r)
		case !ok:
			http.NotFound(w, r)
		default:
			_, _ = io.WriteString(w, content)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// release publishes an artefact the way upstream does.
func (s *releaseServer) release(t *testing.T, a Artefact) {
	t.Helper()
	switch a.Name {
	case Kubernetes:
		for name, content := range programs(a) {
			path := "/" + a.Version + "/bin/" + strings.ReplaceAll(platform(), "-", "/") + "/" + name
			s.files[path], s.files[path+".sha256"] = content, sum(content)
		}
	case Etcd:
		folder := "etcd-" + a.Version + "-" + platform()
		archive := tarball(t, []entry{
			{name: folder + "/README.md", content: "read me"},
			{name: folder + "/etcd", content: programs(a)["etcd"]},
			{name: folder + "/etcdctl", content: program("etcdctl version: 3.7.0")},
		})
		s.files["/etcd/"+a.Version+"/"+folder+".tar.gz"] = archive
		s.files["/etcd/"+a.Version+"/SHA256SUMS"] = sum("another file") + "  etcd-" + a.Version + "-plan9-mips.tar.gz\n" +
			sum(archive) + "  " + folder + ".tar.gz\n"
	case Kwok:
		path := "/kwok/" + a.Version + "/kwok-" + platform()
		s.files[path], s.files[path+".sha256"] = programs(a)["kwok"], sum(programs(a)["kwok"])+"  kwok-"+platform()+"\n"
	}
}

// sources are those of a mirror at the server.
func (s *releaseServer) sources(t *testing.T) Sources {
	t.Helper()
	sources, err := MirrorSources(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

func sum(content string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(content))) }

// An entry is one of a tar file.
type entry struct {
	name, content string
	link          string
	kind          byte // default: a file, or a symlink if there is a link
}

// tarball is a gzipped tar file.
func tarball(t *testing.T, entries []entry) string {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	if _, err := zipped.Write([]byte(plainTar(t, entries))); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func plainTar(t *testing.T, entries []entry) string {
	t.Helper()
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Mode: 0o755, Size: int64(len(e.content)), Linkname: e.link, Typeflag: e.kind}
		if e.kind == 0 && e.link != "" {
			header.Typeflag = tar.TypeSymlink
		}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// get is Get, with a limit on how long a test may hang.
func get(t *testing.T, s *Store, a Artefact) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return s.Get(ctx, a)
}
