package cli

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A kubeScene is a user with an empty cache, no Go, and a mirror of the
// releases on loopback.
type kubeScene struct {
	cache  string
	mirror *httptest.Server
}

func newKubeScene(t *testing.T) kubeScene {
	t.Helper()
	s := kubeScene{cache: t.TempDir(), mirror: httptest.NewServer(http.HandlerFunc(serveKubeRelease))}
	t.Cleanup(s.mirror.Close)
	t.Setenv("XDG_CACHE_HOME", s.cache)
	t.Setenv("PATH", t.TempDir())
	t.Setenv("REFIT_KUBE_BASE_URL", s.mirror.URL)
	return s
}

// serveKubeRelease serves v1.36.3 and v1.37.2, and the etcd and kwok that go with them.
func serveKubeRelease(w http.ResponseWriter, r *http.Request) {
	content := kubeReleaseFile(strings.TrimSuffix(r.URL.Path, ".sha256"))
	switch {
	case strings.HasSuffix(r.URL.Path, "/SHA256SUMS"):
		file := "etcd-v3.7.0-" + runtime.GOOS + "-" + runtime.GOARCH + ".tar.gz"
		fmt.Fprintf(w, "%x  %s\n", sha256.Sum256([]byte(kubeReleaseFile("/etcd/v3.7.0/"+file))), file)
	case content == "":
		http.NotFound(w, r)
	case strings.HasSuffix(r.URL.Path, ".sha256"):
		fmt.Fprintf(w, "%x", sha256.Sum256([]byte(content)))
	default:
		_, _ = io.WriteString(w, content)
	}
}

func kubeReleaseFile(path string) string {
	platform := runtime.GOOS + "-" + runtime.GOARCH
	switch {
	case path == "/kwok/v0.8.0/kwok-"+platform:
		return "#!/bin/sh\necho kwok version v0.8.0\n"
	case path == "/etcd/v3.7.0/etcd-v3.7.0-"+platform+".tar.gz":
		return kubeTar(map[string]string{"etcd-v3.7.0/etcd": "#!/bin/sh\necho etcd Version: 3.7.0\n"})
	}
	for _, version := range []string{"v1.36.3", "v1.37.2"} {
		if strings.HasPrefix(path, "/"+version+"/bin/"+runtime.GOOS+"/"+runtime.GOARCH+"/kube") {
			return "#!/bin/sh\necho Kubernetes " + version + "\n"
		}
	}
	return ""
}

func kubeTar(files map[string]string) string {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for name, content := range files {
		_ = archive.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o755})
		_, _ = io.WriteString(archive, content)
	}
	_ = archive.Close()
	return out.String()
}

// refitKube runs "refit kube ARGS" and returns what it prints.
func refitKube(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, told bytes.Buffer
	cmd := newKubeCommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&told)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), told.String(), err
}

// Get, list, export, forget, import, list.
func TestKubeJourney(t *testing.T) {
	s := newKubeScene(t)
	out, _, err := refitKube(t, "list")
	if err != nil || !strings.HasPrefix(out, "There are none in "+filepath.Join(s.cache, "refit")+". Get some with: refit kube get") {
		t.Errorf("list: %q, %v", out, err)
	}

	out, told, err := refitKube(t, "get", "v1.36.3", "v1.37.2")
	if err != nil {
		t.Fatalf("%v\n%s", err, told)
	}
	platform := runtime.GOOS + "-" + runtime.GOARCH
	for _, want := range []string{
		"etcd v3.7.0\t" + filepath.Join(s.cache, "refit/etcd/v3.7.0", platform, "official"),
		"kwok v0.8.0\t" + filepath.Join(s.cache, "refit/kwok/v0.8.0", platform, "official"),
		"kubernetes v1.36.3\t" + filepath.Join(s.cache, "refit/kube/v1.36.3", platform, "official"),
		"kubernetes v1.37.2\t" + filepath.Join(s.cache, "refit/kube/v1.37.2", platform, "official"),
	} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("get printed:\n%swant:\n%s", out, want)
		}
	}
	listed := []string{"kubernetes v1.37.2 official", "kubernetes v1.36.3 official", "etcd v3.7.0 official", "kwok v0.8.0 official"}
	wantListed(t, listed)

	file := filepath.Join(t.TempDir(), "refit-kube.tar.gz")
	if _, _, err := refitKube(t, "export", "v1.36.3", "-o", file); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("REFIT_KUBE_BASE_URL", "")
	if out, _, err := refitKube(t, "import", file); err != nil || !strings.HasPrefix(out, "NAME ") {
		t.Fatalf("import: %q, %v", out, err)
	}
	wantListed(t, []string{"kubernetes v1.36.3 imported", "etcd v3.7.0 imported", "kwok v0.8.0 imported"})
}

// wantListed compares the columns NAME, VERSION and FROM.
func wantListed(t *testing.T, want []string) {
	t.Helper()
	out, _, err := refitKube(t, "list")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
		columns := strings.Fields(line)
		got = append(got, strings.Join([]string{columns[0], columns[1], columns[3]}, " "))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("list:\n%s\nwant %q", out, want)
	}
}

func TestKubeGetByFlag(t *testing.T) {
	s := newKubeScene(t)
	t.Setenv("REFIT_KUBE_BASE_URL", "http://127.0.0.1:1")
	if out, told, err := refitKube(t, "get", "v1.36.3", "--base-url", s.mirror.URL+"/"); err != nil || !strings.Contains(out, "official") {
		t.Errorf("%q, %v\n%s", out, err, told)
	}
}

// Whatever is wrong is said before anything is brought.
func TestKubeBadInput(t *testing.T) {
	s := newKubeScene(t)
	folder := t.TempDir()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"get"}, "name a version, like: refit kube get v1.36.3"},
		{[]string{"get", "v1.36.3", "latest"}, `kubernetes version "latest": write it with three numbers, like v1.36.3`},
		{[]string{"get", "1.36.3"}, `kubernetes version "1.36.3": write it as v1.36.3`},
		{[]string{"get", "v1.36.3", "--base-url", "mirror.example"}, `--base-url: base URL "mirror.example": write it like https://mirror.example/release`},
		{[]string{"get", "v1.36.3", "--base-url="}, `--base-url: base URL "": write it like https://mirror.example/release`},
		{[]string{"get", "v1.36.3", "--nonsense"}, "unknown flag: --nonsense"},
		{[]string{"import"}, "name one file, like: refit kube import refit-kube.tar.gz"},
		{[]string{"import", "a", "b"}, "name one file, like: refit kube import refit-kube.tar.gz"},
		{[]string{"import", folder}, "import " + folder + ": it is no file; pack the commands with tar"},
		{[]string{"export", "-o", "x"}, "name a version, like: refit kube export v1.36.3"},
		{[]string{"export", "v1.36.3"}, "-o: name the file to write, like: -o refit-kube.tar.gz"},
		{[]string{"export", "v1.36", "-o", folder + "/x"}, `kubernetes version "v1.36": write it with three numbers; the newest known one is v1.36.3`},
		{[]string{"export", "v1.36.3", "-o", folder + "/x"}, "export etcd v3.7.0: it is not in " + filepath.Join(s.cache, "refit") + ": get it first, with refit kube get"},
		{[]string{"list", "v1.36.3"}, `unknown command "v1.36.3" for "kube list"`},
		{[]string{"fetch"}, `unknown command "fetch" for "kube"`},
	} {
		_, _, err := refitKube(t, test.args...)
		if err == nil || err.Error() != test.want {
			t.Errorf("%q:\ngot  %v\nwant %s", test.args, err, test.want)
		}
	}
	if left, err := os.ReadDir(s.cache); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	t.Setenv("REFIT_KUBE_BASE_URL", "nonsense")
	if _, _, err := refitKube(t, "list"); err == nil || !strings.HasPrefix(err.Error(), `REFIT_KUBE_BASE_URL: base URL "nonsense"`) {
		t.Errorf("got %v", err)
	}
}

func TestKubeHelp(t *testing.T) {
	for _, command := range newKubeCommand().Commands() {
		out, _, err := refitKube(t, command.Name(), "--help")
		if err != nil || !strings.Contains(out, "Examples:\n  refit kube "+command.Name()) {
			t.Errorf("%s --help has no example: %v\n%s", command.Name(), err, out)
		}
	}
}
