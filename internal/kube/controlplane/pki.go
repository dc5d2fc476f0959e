package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"refit.dev/refit/internal/kube/controlplane/record"
)

// A certificate is what one part of the control plane is known by.
type certificate struct {
	file   string // without .crt and .key
	name   string
	groups []string
	server bool
}

// The names of the certificate authority and of the serving certificate.
const (
	authority = "ca"
	serving   = "serving"
)

// certificates lists what the authority signs. The names and groups are those
// that Kubernetes' own RBAC rules grant rights to.
func certificates() []certificate {
	return []certificate{
		{file: serving, name: "kube-apiserver", server: true},
		{file: "refit", name: "refit", groups: []string{"system:masters"}},
		{file: string(ControllerManager), name: "system:kube-controller-manager"},
		{file: string(Scheduler), name: "system:kube-scheduler"},
		// kwok acts for every node and its pods, which no one node's rights allow.
		{file: string(Kwok), name: "kwok", groups: []string{"system:masters"}},
	}
}

const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 365 * 24 * time.Hour
	// A certificate is made anew when less than this is left of it. Members
	// that run for 11 months without a start are not what this is for.
	renewBefore = 30 * 24 * time.Hour
	// Clocks of one machine agree, but a certificate that begins in the very
	// second it is used has been refused before.
	backdate = time.Minute
)

// ensurePKI makes what is missing in the folder, and makes anew what ends soon.
// An authority that is renewed keeps its key, so what it signed stays good.
func ensurePKI(folder string, now time.Time) error {
	ca, err := ensureAuthority(folder, now)
	if err != nil {
		return fmt.Errorf("make the certificate authority: %w", err)
	}
	for _, c := range certificates() {
		if ca.vouchesFor(filepath.Join(folder, c.file), now) {
			continue
		}
		if err := ca.issue(folder, c, now); err != nil {
			return fmt.Errorf("make the certificate of %s: %w", c.name, err)
		}
	}
	// The key that signs service account tokens has no certificate: the API
	// server checks tokens with the key itself.
	_, err = ensureKey(filepath.Join(folder, "service-account.key"))
	return err
}

// signer is a certificate authority.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func ensureAuthority(folder string, now time.Time) (signer, error) {
	base := filepath.Join(folder, authority)
	key, err := ensureKey(base + ".key")
	if err != nil {
		return signer{}, err
	}
	if cert, err := readCertificate(base + ".crt"); err == nil && fresh(cert, now) && matches(cert, key) {
		return signer{cert: cert, key: key}, nil
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "refit-local"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	cert, err := sign(base+".crt", template, template, key.Public(), key)
	return signer{cert: cert, key: key}, err
}

// vouchesFor tells whether the certificate is there, ours, and lasts a while.
func (s signer) vouchesFor(base string, now time.Time) bool {
	cert, err := readCertificate(base + ".crt")
	if err != nil || !fresh(cert, now) || cert.CheckSignatureFrom(s.cert) != nil {
		return false
	}
	key, err := readKey(base + ".key")
	return err == nil && matches(cert, key)
}

func (s signer) issue(folder string, c certificate, now time.Time) error {
	base := filepath.Join(folder, c.file)
	// A key is made with its certificate: whoever got hold of the old one has
	// nothing.
	if err := os.Remove(base + ".key"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	key, err := ensureKey(base + ".key")
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: c.name, Organization: c.groups},
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.Add(certificateLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if c.server {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), firstServiceIP()}
		template.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	}
	_, err = sign(base+".crt", template, s.cert, key.Public(), s.key)
	return err
}

func sign(path string, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	if err := record.SaveText(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func fresh(cert *x509.Certificate, now time.Time) bool {
	return now.After(cert.NotBefore) && now.Add(renewBefore).Before(cert.NotAfter)
}

func matches(cert *x509.Certificate, key crypto.Signer) bool {
	public, ok := key.Public().(*ecdsa.PublicKey)
	return ok && public.Equal(cert.PublicKey)
}

// ensureKey reads a key, or makes it if there is none that can be read.
func ensureKey(path string) (crypto.Signer, error) {
	if key, err := readKey(path); err == nil {
		return key, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, record.SaveText(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

func readKey(path string) (crypto.Signer, error) {
	der, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	return x509.ParseECPrivateKey(der)
}

func readCertificate(path string) (*x509.Certificate, error) {
	der, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func readPEM(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", path)
	}
	return block.Bytes, nil
}
