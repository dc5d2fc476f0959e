package controlplane

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// files reads what a folder holds.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string]string{}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		contents[entry.Name()] = string(text)
		if info, _ := entry.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", entry.Name(), info.Mode())
		}
	}
	return contents
}

// changed lists the files that are not as they were.
func changed(before, after map[string]string) []string {
	var names []string
	for _, name := range []string{"ca.crt", "ca.key", "kwok.crt", "kwok.key", "refit.crt", "serving.crt", "service-account.key"} {
		if before[name] != after[name] {
			names = append(names, name)
		}
	}
	return names
}

func TestCertificatesAreRenewed(t *testing.T) {
	const day = 24 * time.Hour
	born := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	leaves := []string{"kwok.crt", "kwok.key", "refit.crt", "serving.crt"}
	tests := map[string]struct {
		later time.Duration
		spoil func(t *testing.T, dir string)
		want  []string
	}{
		"a start later on the day":    {time.Hour, nil, nil},
		"335 days old, less a moment": {335*day - time.Minute, nil, nil},
		"335 days old":                {335 * day, nil, leaves},
		"long over":                   {800 * day, nil, leaves},
		"the authority ends soon":     {3630 * day, nil, append([]string{"ca.crt"}, leaves...)},
		"a key is lost":               {time.Hour, remove("kwok.key"), []string{"kwok.crt", "kwok.key"}},
		"a certificate is half there": {time.Hour, cut("refit.crt"), []string{"refit.crt"}},
		"the authority is lost":       {time.Hour, remove("ca.key"), append([]string{"ca.crt", "ca.key"}, leaves...)},
		"the tokens' key is lost":     {time.Hour, remove("service-account.key"), []string{"service-account.key"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := ensurePKI(dir, born); err != nil {
				t.Fatal(err)
			}
			before := files(t, dir)
			if test.spoil != nil {
				test.spoil(t, dir)
			}
			if err := ensurePKI(dir, born.Add(test.later)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, changed(before, files(t, dir))); diff != "" {
				t.Errorf("made anew (-want +got):\n%s", diff)
			}
			verify(t, dir, born.Add(test.later+29*day))
		})
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func cut(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Truncate(filepath.Join(dir, name), 100); err != nil {
			t.Fatal(err)
		}
	}
}

// verify judges the certificates as a server and its clients would.
func verify(t *testing.T, dir string, when time.Time) {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for file, usage := range map[string]x509.ExtKeyUsage{
		"serving": x509.ExtKeyUsageServerAuth, "refit": x509.ExtKeyUsageClientAuth, "kwok": x509.ExtKeyUsageClientAuth,
		"kube-controller-manager": x509.ExtKeyUsageClientAuth, "kube-scheduler": x509.ExtKeyUsageClientAuth,
	} {
		cert, err := readCertificate(filepath.Join(dir, file+".crt"))
		if err != nil {
			t.Fatal(err)
		}
		options := x509.VerifyOptions{Roots: roots, CurrentTime: when, KeyUsages: []x509.ExtKeyUsage{usage}}
		if file == "serving" {
			options.DNSName = "127.0.0.1"
		}
		if _, err := cert.Verify(options); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
