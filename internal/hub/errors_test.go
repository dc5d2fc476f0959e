package hub

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write testdata anew")

// A refusal is a state of the world in which a hub does not start. Its text is part of the product.
type refusal struct {
	name    string
	arrange func(t *testing.T, dir string, opts *Options) // dir is there and empty
	keeps   string                                        // a file in dir that must be as it was
}

var refusals = []refusal{
	{name: "no data directory", arrange: func(_ *testing.T, _ string, o *Options) { o.DataDir = "" }},
	{name: "bind address of the world", arrange: func(_ *testing.T, _ string, o *Options) { o.BindAddress = "0.0.0.0" }},
	{name: "bind address that is a name", arrange: func(_ *testing.T, _ string, o *Options) { o.BindAddress = "localhost" }},
	{name: "port too high", arrange: func(_ *testing.T, _ string, o *Options) { o.Port = 65536 }},
	{name: "audit without a policy", arrange: func(_ *testing.T, _ string, o *Options) { o.Audit.Log = "audit.log" }},
	{name: "data directory is a file", arrange: func(t *testing.T, dir string, o *Options) {
		o.DataDir = filepath.Join(dir, "file")
		write(t, o.DataDir, "something")
	}, keeps: "file"},
	{name: "data directory in a file", arrange: func(t *testing.T, dir string, o *Options) {
		o.DataDir = filepath.Join(dir, "file", "data")
		write(t, filepath.Join(dir, "file"), "something")
	}, keeps: "file"},
	{name: "somebody else's", arrange: func(_ *testing.T, _ string, o *Options) { o.machine.user = os.Geteuid() + 1 }},
	{name: "mode forbids writing", arrange: func(_ *testing.T, _ string, o *Options) {
		o.machine.access = func(string) error { return unix.EACCES }
	}},
	{name: "read-only file system", arrange: func(_ *testing.T, _ string, o *Options) {
		o.machine.access = func(string) error { return unix.EROFS }
	}},
	{name: "disk nearly full", arrange: func(_ *testing.T, _ string, o *Options) {
		o.machine.freeBytes = func(string) (uint64, error) { return 12 << 20, nil }
	}},
	{name: "somebody's documents", arrange: func(t *testing.T, dir string, _ *Options) {
		write(t, filepath.Join(dir, "thesis.tex"), "something")
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}, keeps: "thesis.tex"},
	{name: "newer data", arrange: func(t *testing.T, dir string, _ *Options) {
		write(t, filepath.Join(dir, versionFile), `{"schema":2,"writtenBy":"v9.9.9"}`)
	}, keeps: versionFile},
	{name: "damaged version", arrange: func(t *testing.T, dir string, _ *Options) {
		write(t, filepath.Join(dir, versionFile), "{")
	}, keeps: versionFile},
	{name: "version without a schema", arrange: func(t *testing.T, dir string, _ *Options) {
		write(t, filepath.Join(dir, versionFile), "{}")
	}, keeps: versionFile},
	{name: "in use", arrange: func(t *testing.T, dir string, _ *Options) {
		lock, err := takeLock(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { lock.Close() })
	}},
	{name: "port in use", arrange: func(t *testing.T, _ string, o *Options) { o.Port = occupy(t) }},
	{name: "port of the last start in use", arrange: func(t *testing.T, dir string, _ *Options) {
		write(t, filepath.Join(dir, portFile), strconv.Itoa(occupy(t)))
	}},
	{name: "damaged port", arrange: func(t *testing.T, dir string, _ *Options) {
		write(t, filepath.Join(dir, portFile), "http")
	}, keeps: portFile},
	{name: "damaged key of the authority", arrange: func(t *testing.T, dir string, _ *Options) {
		write(t, filepath.Join(dir, caKeyFile), "")
	}, keeps: caKeyFile},
	{name: "damaged key of service accounts", arrange: func(t *testing.T, dir string, _ *Options) {
		write(t, filepath.Join(dir, serviceAccountFile), "")
	}, keeps: serviceAccountFile},
	{name: "lost key of the secrets", arrange: func(t *testing.T, dir string, _ *Options) {
		write(t, filepath.Join(dir, etcdDir, "member", "wal"), "something")
	}, keeps: etcdDir + "/member/wal"},
}

func TestRefusals(t *testing.T) {
	var texts strings.Builder
	for _, refusal := range refusals {
		t.Run(refusal.name, func(t *testing.T) {
			fmt.Fprintf(&texts, "# %s\n%s\n\n", refusal.name, refusal.provoke(t))
		})
	}
	const golden = "testdata/errors.golden"
	if *update {
		write(t, golden, texts.String())
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), texts.String()); diff != "" {
		t.Errorf("error texts; if they are better now, run with -update (-%s +got):\n%s", golden, diff)
	}
}

// provoke returns the error with placeholders for what differs between runs.
func (r refusal) provoke(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	opts := Options{DataDir: dir}.withDefaults()
	r.arrange(t, dir, &opts)
	kept := r.read(t, dir)
	h, err := Start(t.Context(), opts)
	if err == nil {
		h.Stop()
		t.Fatal("the hub started")
	}
	if got := r.read(t, dir); got != kept {
		t.Errorf("%s was %q and is %q", r.keeps, kept, got)
	}
	if pid, err := Holder(dir); r.name != "in use" && (pid != 0 || err != nil) {
		t.Errorf("Holder after a start that failed = %d, %v", pid, err)
	}
	return placeholders(dir, opts).Replace(err.Error())
}

func (r refusal) read(t *testing.T, dir string) string {
	t.Helper()
	if r.keeps == "" {
		return ""
	}
	data, err := os.ReadFile(filepath.Join(dir, r.keeps))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func placeholders(dir string, opts Options) *strings.Replacer {
	replace := []string{
		dir, "DIR",
		"process " + strconv.Itoa(os.Getpid()), "process PID",
		"user " + strconv.Itoa(os.Geteuid()+1), "user OTHER",
		"user " + strconv.Itoa(os.Geteuid()), "user OWNER",
	}
	port := strconv.Itoa(opts.Port)
	if remembered, err := os.ReadFile(filepath.Join(dir, portFile)); err == nil && opts.Port == 0 {
		port = string(remembered)
	}
	if opts.Port <= 65535 {
		replace = append(replace, "port "+port, "port PORT")
	}
	return strings.NewReplacer(replace...)
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// occupy listens on a port until the test ends.
func occupy(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}

// TestNewerDataIsLeftAlone looks at more than the one file: a newer Refit's directory gets no new ones either.
func TestNewerDataIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, versionFile), `{"schema":2,"writtenBy":"v9.9.9"}`)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{DataDir: dir}); err == nil {
		t.Fatal("the hub started")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v, want its version alone", entries, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the directory is %v, %v, want the mode that it had", info, err)
	}
}

// TestStartIsCancelled gives up in the middle and leaves the directory free.
func TestStartIsCancelled(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Options{DataDir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("Start = %v, want Canceled", err)
	}
	if pid, err := Holder(dir); pid != 0 || err != nil {
		t.Errorf("Holder = %d, %v, want 0", pid, err)
	}
}
