package hub

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
)

// issuer is the data directory of a hub that does not run.
func newIssuer(t *testing.T, now time.Time) dataDir {
	t.Helper()
	dir := dataDir{root: t.TempDir()}
	write(t, dir.path(pkiDir+"/.keep"), "")
	p, err := openPKI(dir, "127.0.0.1", now)
	if err != nil {
		t.Fatal(err)
	}
	way := entry{user: AdminUser, pair: p.admin, server: "https://127.0.0.1:20001", ca: p.ca.pem, namespace: "refit"}
	data, err := way.kubeconfig()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir.path(kubeconfigFile), string(data))
	return dir
}

// TestIssue reads what is issued with the standard library: whose it is, until when and what for.
func TestIssue(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	dir := newIssuer(t, now)
	ann := Person{Name: "ann@example.com", Group: "refit:operator:1", Namespace: "fleets", Until: now.Add(24 * time.Hour)}
	text, err := Issue(dir.root, ann, now)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(text)
	if err != nil {
		t.Fatal(err)
	}
	context := config.Contexts[config.CurrentContext]
	cluster, user := config.Clusters[context.Cluster], config.AuthInfos[context.AuthInfo]
	if context.Namespace != "fleets" || cluster.Server != "https://127.0.0.1:20001" || cluster.CertificateAuthority+user.ClientCertificate+user.ClientKey != "" {
		t.Errorf("it leads to %+v, %+v", context, cluster)
	}
	cert := parse(t, user.ClientCertificateData)
	got := []string{cert.Subject.CommonName, strings.Join(cert.Subject.Organization, " "), cert.NotAfter.String()}
	if diff := cmp.Diff([]string{"ann@example.com", "refit:operator:1", "2026-11-02 00:00:00 +0000 UTC"}, got); diff != "" {
		t.Errorf("the certificate (-want +got):\n%s", diff)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parse(t, cluster.CertificateAuthorityData))
	for usage, want := range map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageClientAuth: true, x509.ExtKeyUsageServerAuth: false} {
		_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
		if (err == nil) != want {
			t.Errorf("for usage %v it is %v", usage, err)
		}
	}
	again, err := Issue(dir.root, ann, now)
	if err != nil || bytes.Equal(again, text) {
		t.Errorf("a second one is the same, or %v", err)
	}
	if block, _ := pem.Decode(user.ClientKeyData); block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		t.Error("there is no key in it")
	}
}

// TestIssueRefuses: no authority is made, mended or replaced for it.
func TestIssueRefuses(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name string
		harm func(dataDir)
		want string
	}{
		{"no hub", func(dir dataDir) { remove(t, dir.path(caKeyFile)) }, "issue a certificate for ann: data directory \"DIR\" holds no hub: start one with refit up, or name another directory with --data-dir"},
		{"damaged key", func(dir dataDir) { write(t, dir.path(caKeyFile), "") }, "issue a certificate for ann: DIR/pki/ca.key is damaged"},
		{"damaged certificate", func(dir dataDir) { write(t, dir.path(caCertFile), "") }, "issue a certificate for ann: DIR/pki/ca.crt is damaged: start the hub again, which makes it anew"},
		{"never started", func(dir dataDir) { remove(t, dir.path(kubeconfigFile)) }, "learn the hub's address: stat DIR/kubeconfig: no such file or directory"},
	} {
		dir := newIssuer(t, now)
		test.harm(dir)
		_, err := Issue(dir.root, Person{Name: "ann", Group: "g", Until: now.Add(time.Hour)}, now)
		if err == nil || !strings.HasPrefix(strings.ReplaceAll(err.Error(), dir.root, "DIR"), test.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", test.name, err, test.want)
		}
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
