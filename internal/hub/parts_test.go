package hub

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"k8s.io/klog/v2"
)

const year = 365 * 24 * time.Hour

// parse reads the first certificate with nothing but the standard library.
func parse(t *testing.T, data []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("no PEM in %q", data)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestCertificatesAreRenewed opens one data directory's certificates through the years. Each line is judged by whom
// people who hold the certificates of the lines before can still talk to.
func TestCertificatesAreRenewed(t *testing.T) {
	dir := dataDir{root: t.TempDir()}
	write(t, dir.path(pkiDir+"/.keep"), "")
	begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	open := func(after time.Duration) pki {
		p, err := openPKI(dir, "127.0.0.1", begin.Add(after))
		if err != nil {
			t.Fatalf("open after %s: %v", after, err)
		}
		return p
	}
	before := open(0)
	tests := []struct {
		after              time.Duration
		newLeafs, newRoots bool
	}{
		{after: time.Hour},
		{after: year / 2},
		{after: year * 4 / 5, newLeafs: true},
		{after: year * 5 / 2, newLeafs: true}, // was switched off for long
		{after: year * 17 / 2, newLeafs: true, newRoots: true},
		{after: year * 17 / 2},
	}
	for _, test := range tests {
		now := begin.Add(test.after)
		p := open(test.after)
		if got := string(p.serving.cert) != string(before.serving.cert); got != test.newLeafs {
			t.Errorf("after %s: new serving certificate %v, want %v", test.after, got, test.newLeafs)
		}
		if got := string(p.admin.cert) != string(before.admin.cert); got != test.newLeafs {
			t.Errorf("after %s: new admin certificate %v, want %v", test.after, got, test.newLeafs)
		}
		if got := string(p.ca.pem) != string(before.ca.pem); got != test.newRoots {
			t.Errorf("after %s: new authority %v, want %v", test.after, got, test.newRoots)
		}
		for name, ca := range map[string][]byte{"old": before.ca.pem, "new": p.ca.pem} {
			roots := x509.NewCertPool()
			roots.AddCert(parse(t, ca))
			for _, host := range []string{"127.0.0.1", "localhost"} {
				options := x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now.Add(leafLife / 5), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
				if _, err := parse(t, p.serving.cert).Verify(options); err != nil {
					t.Errorf("after %s: the %s authority and the server as %s: %v", test.after, name, host, err)
				}
			}
		}
		before = p
	}
}

func TestCertificatesAreRepaired(t *testing.T) {
	tests := []struct{ name, file string }{
		{"damaged authority", caCertFile},
		{"damaged certificate", servingCertFile},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := dataDir{root: t.TempDir()}
			write(t, dir.path(test.file), "-----BEGIN CERTIFICATE-----\n")
			p, err := openPKI(dir, "127.0.0.1", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if err := parse(t, p.serving.cert).CheckSignatureFrom(parse(t, p.ca.pem)); err != nil {
				t.Errorf("serving certificate: %v", err)
			}
		})
	}
	t.Run("another address", func(t *testing.T) {
		dir := dataDir{root: t.TempDir()}
		write(t, dir.path(pkiDir+"/.keep"), "")
		for _, address := range []string{"127.0.0.1", "127.0.0.9"} {
			p, err := openPKI(dir, address, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if err := parse(t, p.serving.cert).VerifyHostname(address); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, content := range []string{"old", "new"} {
		if err := writeFile(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("read %q, %v, want %q", got, err, content)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file is %v, %v, want mode 0600", info, err)
	}
	if err := writeFile(filepath.Join(path, "below"), nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("write below a file: %v, want an error that names it", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestPortIsKept(t *testing.T) {
	dir := dataDir{root: t.TempDir()}
	portOf := func(asked int) int {
		listener, err := listen(dir, "127.0.0.1", asked)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		return listener.Addr().(*net.TCPAddr).Port
	}
	picked := portOf(0)
	if picked < firstPort || picked > lastPort {
		t.Errorf("picked port %d", picked)
	}
	if again := portOf(0); again != picked {
		t.Errorf("port %d at the second start, want %d", again, picked)
	}
	asked := portOf(occupyAndFree(t))
	if again := portOf(0); again != asked {
		t.Errorf("port %d after one was asked for, want %d", again, asked)
	}
}

func occupyAndFree(t *testing.T) int {
	t.Helper()
	listener, err := listenAnywhere("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func TestSocketDir(t *testing.T) {
	dir := t.TempDir()
	private, foreign, link := filepath.Join(dir, "private"), filepath.Join(dir, "foreign"), filepath.Join(dir, "link")
	if err := os.Mkdir(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(private, link); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"first", "after a crash"} {
		if err := makeSocketDir(private); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	for _, path := range []string{foreign, link} {
		if err := makeSocketDir(path); err == nil || !strings.Contains(err.Error(), path+" is not a private directory of ours") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestStackUnwinds(t *testing.T) {
	var stopped []string
	var s stack
	for _, name := range []string{"first", "second", "third"} {
		s.push(name, func(context.Context) error {
			stopped = append(stopped, name)
			if name == "second" {
				return errors.New("stuck")
			}
			return nil
		})
	}
	err := s.unwind(deadline)
	if got := strings.Join(stopped, " "); got != "third second first" {
		t.Errorf("stopped %s", got)
	}
	if err == nil || err.Error() != "stop second of the hub: stuck" {
		t.Errorf("unwind = %v", err)
	}
	if err := s.unwind(deadline); err != nil || len(stopped) != 3 {
		t.Errorf("a second unwind stopped %q, %v", stopped, err)
	}
}

func TestStackGivesUp(t *testing.T) {
	hangs := func(context.Context) error { select {} }
	stopped := false
	var s stack
	s.push("lower", func(context.Context) error { stopped = true; return nil })
	s.run(t.Context(), "upper", hangs, func(error) {})
	err := s.unwind(time.Millisecond)
	if !stopped || err == nil || err.Error() != "stop upper of the hub: still running after 1ms" {
		t.Errorf("unwind = %v; the part below was stopped: %v", err, stopped)
	}
}

// TestFatalEndsTheHub lets etcd and the API server give up. Neither may take the process along.
func TestFatalEndsTheHub(t *testing.T) {
	full := errors.New("no space left on device")
	var log strings.Builder
	failed := make(chan error, 1)
	fail := func(err error) { failed <- err }
	giveUp := map[string]func(){
		"etcd":       func() { newEtcdLogger(&log, fail).Fatal("failed to save", zap.Error(full)) },
		"API server": func() { klog.OsExit(255) },
	}
	if err := captureKlog(&log, fail); err != nil {
		t.Fatal(err)
	}
	for name, call := range giveUp {
		returned := false
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			call()
			returned = true
		}()
		<-ended
		if returned {
			t.Errorf("%s: the one who gave up goes on", name)
		}
		if err := <-failed; err == nil || (name == "etcd") != errors.Is(err, full) {
			t.Errorf("%s: the hub ends with %v", name, err)
		}
	}
}
