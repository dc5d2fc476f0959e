package kube

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestGetDownloads(t *testing.T) {
	noGo(t)
	server := newReleaseServer(t)
	for _, a := range append(Pinned(), kube1363) {
		server.release(t, a)
		s, out := newTestStore(t)
		s.Sources = server.sources(t)
		dir, err := get(t, s, a)
		if err != nil {
			t.Errorf("%s: %v", a, err)
			continue
		}
		if want := filepath.Join(s.home(a), "official"); dir != want {
			t.Errorf("%s is in %s, want %s", a, dir, want)
		}
		for name, content := range programs(a) {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != content {
				t.Errorf("%s has %q, %v", name, got, err)
			}
		}
		if told := out.String(); !strings.HasPrefix(told, a.String()+": official, after ") || !strings.HasSuffix(told, ": "+dir+"\n") {
			t.Errorf("told:\n%s", out)
		}
	}
}

// The URLs are a contract with servers that no test reaches.
func TestOfficialSources(t *testing.T) {
	os, arch, _ := strings.Cut(platform(), "-")
	want := map[Artefact][]string{
		kube1363: {
			"https://dl.k8s.io/release/v1.36.3/bin/" + os + "/" + arch + "/kube-apiserver",
			"https://dl.k8s.io/release/v1.36.3/bin/" + os + "/" + arch + "/kube-controller-manager",
			"https://dl.k8s.io/release/v1.36.3/bin/" + os + "/" + arch + "/kube-scheduler",
			"https://dl.k8s.io/release/v1.36.3/bin/" + os + "/" + arch + "/kubectl",
		},
		{Etcd, "v3.7.0"}: {"https://github.com/etcd-io/etcd/releases/download/v3.7.0/etcd-v3.7.0-" + os + "-" + arch + ".tar.gz"},
		{Kwok, "v0.8.0"}: nil,
	}
	for a, urls := range want {
		parcels := OfficialSources().parcels(a)
		if len(parcels) != len(urls) {
			t.Errorf("%s: %+v", a, parcels)
			continue
		}
		for i, p := range parcels {
			checksum := p.url + ".sha256"
			if a.Name == Etcd {
				checksum = "https://github.com/etcd-io/etcd/releases/download/v3.7.0/SHA256SUMS"
			}
			if p.url != urls[i] || p.checksum != checksum {
				t.Errorf("%s: %+v", a, p)
			}
		}
	}
}

// A server that is silent is given up after three seconds, by the stores that
// users have.
func TestPatienceWithServers(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	s, err := UserStore(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if s.fetch.answer != 3*time.Second {
		t.Errorf("waits %s for a server, want 3s", s.fetch.answer)
	}
}

// A badServer is a release server on which something is wrong with the
// scheduler, after the API server came through well.
type badServer struct {
	name     string
	behave   http.HandlerFunc
	checksum string // published instead of the right one
	patience fetcher
	says     string // the reason given for building
}

func badServers() []badServer {
	patient := fetcher{answer: time.Minute, stall: time.Minute}
	return []badServer{
		{
			name: "wrong in its checksum", patience: patient, behave: send(program("Kubernetes v6.6.6")),
			says: "WARNING: not downloaded: URL has the checksum ",
		},
		{
			name: "truncated", patience: patient, behave: announce(1<<20, 3000, closeConnection),
			says: "not downloaded: URL: the connection ended early: unexpected EOF (after 3 kB of 1 MB)",
		},
		{
			name: "404", patience: patient, behave: http.NotFound,
			says: "not downloaded: URL: the server says 404 Not Found",
		},
		{
			name: "503", patience: patient,
			behave: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "busy", http.StatusServiceUnavailable) },
			says:   "not downloaded: URL: the server says 503 Service Unavailable",
		},
		{
			name: "stalled", patience: fetcher{answer: time.Minute, stall: 100 * time.Millisecond},
			behave: announce(1<<20, 3000, hang),
			says:   "not downloaded: URL: nothing came for 100ms (after 3 kB of 1 MB)",
		},
		{
			name: "silent", patience: fetcher{answer: 300 * time.Millisecond, stall: time.Minute}, behave: hang,
			says: "not downloaded: URL: no answer within 300ms",
		},
		{
			name: "redirecting for ever", patience: patient,
			behave: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
			says:   "not downloaded: URL: too many redirects",
		},
		{
			name: "without a checksum", patience: patient, checksum: "<html>not a checksum</html>",
			says: "not downloaded: URL.sha256: has no SHA-256 checksum of kube-scheduler",
		},
	}
}

func send(content string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, content) }
}

// announce promises more than it sends before something happens.
func announce(promised, sent int, then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(promised))
		_, _ = io.WriteString(w, strings.Repeat("x", sent))
		w.(http.Flusher).Flush()
		then(w, r)
	}
}

func closeConnection(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// hang says nothing more until the client has gone.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// prepare makes a server that releases v1.36.3, but for this.
func (b badServer) prepare(t *testing.T) (server *releaseServer, schedulerURL string) {
	t.Helper()
	server = newReleaseServer(t)
	server.release(t, kube1363)
	path := "/v1.36.3/bin/" + strings.ReplaceAll(platform(), "-", "/") + "/kube-scheduler"
	if b.behave != nil {
		server.odd[path] = b.behave
	}
	if b.checksum != "" {
		server.files[path+".sha256"] = b.checksum
	}
	return server, server.URL + path
}

func TestGetBuildsWhenTheServerIsBad(t *testing.T) {
	for _, b := range badServers() {
		t.Run(b.name, func(t *testing.T) {
			newFakeGo(t)
			server, url := b.prepare(t)
			s, out := newTestStore(t)
			s.Sources, s.fetch = server.sources(t), b.patience
			dir, err := get(t, s, kube1363)
			if err != nil {
				t.Fatal(err)
			}
			if want := recipe(kube1363, "go1.26.8"); filepath.Base(dir) != want {
				t.Errorf("it is in %s, want a build", dir)
			}
			if want := kube1363.String() + ": " + strings.ReplaceAll(b.says, "URL", url); !strings.HasPrefix(out.String(), want) {
				t.Errorf("told:\n%s\nwant:\n%s", out, want)
			}
			if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != 6 {
				t.Errorf("it holds %v, %v", files, err) // and nothing of the download
			}
		})
	}
}

// A file can be what its publisher meant and still not be what was asked for.
func TestDownloadsThatLieAreRefused(t *testing.T) {
	noGo(t)
	server := newReleaseServer(t)
	server.release(t, kube1363)
	path := "/v1.36.3/bin/" + strings.ReplaceAll(platform(), "-", "/") + "/kubectl"
	other := programs(Artefact{Kubernetes, "v1.36.30"})["kubectl"]
	server.files[path], server.files[path+".sha256"] = other, sum(other)
	s, _ := newTestStore(t)
	s.Sources = server.sources(t)
	_, err := get(t, s, kube1363)
	if err == nil || err.Error() != "get kubernetes v1.36.3: kubectl of kubernetes v1.36.3 says it is v1.36.30" {
		t.Errorf("got %v", err)
	}
	if _, ok := s.find(kube1363); ok {
		t.Error("it was kept")
	}
}

func TestRedirectsStayEncrypted(t *testing.T) {
	plain := newReleaseServer(t)
	plain.files["/file"] = "content"
	encrypted := httptest.NewTLSServer(http.RedirectHandler(plain.URL+"/file", http.StatusFound))
	t.Cleanup(encrypted.Close)
	f := fetcher{answer: time.Minute, stall: time.Minute, transport: encrypted.Client().Transport}
	err := f.get(t.Context(), encrypted.URL+"/file", io.Discard, func(int64, int64) {})
	if err == nil || !strings.Contains(err.Error(), "redirected to "+plain.URL+"/file, which is not https") {
		t.Errorf("got %v", err)
	}
}

func TestFindChecksum(t *testing.T) {
	right, other := sum("right"), sum("other")
	for _, test := range []struct{ name, text, want string }{
		{"alone", right, right},
		{"alone with a line end", right + "\n", right},
		{"in capitals", strings.ToUpper(right), right},
		{"with its name", right + "  file", right},
		{"of a binary", right + " *file", right},
		{"in a folder", right + "  ./release/file", right},
		{"among others", other + "  other\n" + right + "  file\n", right},
		{"only of others", other + "  file.asc\n", ""},
		{"too short", right[:40] + "  file\n", ""},
		{"not hexadecimal", strings.Repeat("z", 64), ""},
		{"nothing", "", ""},
	} {
		got, err := findChecksum(test.text, "file")
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: got %q, %v", test.name, got, err)
		}
	}
}

func TestMirrorSourcesRefusesWhatIsNoURL(t *testing.T) {
	for _, base := range []string{"", "mirror.example", "ftp://mirror.example", "file:///tmp", "http://", "http://a b/", "://"} {
		if got, err := MirrorSources(base); err == nil {
			t.Errorf("%q: %+v", base, got)
		}
	}
}
