package hub

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

const (
	caCertFile         = pkiDir + "/ca.crt"
	caKeyFile          = pkiDir + "/ca.key"
	servingCertFile    = pkiDir + "/serving.crt"
	servingKeyFile     = pkiDir + "/serving.key"
	serviceAccountFile = pkiDir + "/service-account.key"
)

// A certificate is renewed at the first start in the last quarter of its year. The authority's is renewed with two
// years to go, so that it outlives whatever it signs.
const (
	authorityLife  = 10 * 365 * 24 * time.Hour
	authorityRenew = 2 * 365 * 24 * time.Hour
	leafLife       = 365 * 24 * time.Hour
	leafRenew      = leafLife / 4
	clockSkew      = 5 * time.Minute // a certificate is valid a little earlier than it was made
)

// administrators is the group that RBAC's bootstrap policy binds to cluster-admin.
const administrators = "system:masters"

// A pki is the hub's certificate authority and what it has signed for the hub itself.
type pki struct {
	dir     dataDir
	ca      authority
	serving pair
	admin   pair
}

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

// A pair is a certificate with its key, both PEM.
type pair struct{ cert, key []byte }

// A leaf is what a certificate says of its owner.
type leaf struct {
	name   string
	groups []string
	usage  x509.ExtKeyUsage
	hosts  []string
}

// openPKI reads the data directory's certificates and makes anew what is missing, damaged or near its end.
func openPKI(dir dataDir, bindAddress string, now time.Time) (pki, error) {
	if _, err := readOrCreateKey(dir.path(serviceAccountFile)); err != nil {
		return pki{}, fmt.Errorf("read the key of service accounts: %w", err)
	}
	ca, err := openAuthority(dir, now)
	if err != nil {
		return pki{}, fmt.Errorf("read the hub's certificate authority: %w", err)
	}
	p := pki{dir: dir, ca: ca}
	hosts := []string{bindAddress, "127.0.0.1", "localhost"}
	p.serving, err = p.ensure("serving", leaf{name: "refit-hub", usage: x509.ExtKeyUsageServerAuth, hosts: hosts}, now)
	if err != nil {
		return pki{}, err
	}
	p.admin, err = p.ensure("admin", leaf{name: AdminUser, groups: []string{administrators}, usage: x509.ExtKeyUsageClientAuth}, now)
	return p, err
}

// openAuthority keeps the key for good and renews the certificate under it, which leaves valid what it has signed.
func openAuthority(dir dataDir, now time.Time) (authority, error) {
	key, err := readOrCreateKey(dir.path(caKeyFile))
	if err != nil {
		return authority{}, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "refit-hub-ca"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	kept, keptPEM := readCert(dir.path(caCertFile))
	if kept != nil && kept.NotAfter.After(now.Add(authorityRenew)) && matches(kept, key) {
		return authority{cert: kept, key: key, pem: keptPEM}, nil
	}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return authority{}, err
	}
	pem, err := certutil.EncodeCertificates(cert)
	if err != nil {
		return authority{}, err
	}
	return authority{cert: cert, key: key, pem: pem}, writeFile(dir.path(caCertFile), pem)
}

// ensure returns the kept certificate if it is still good, and else a new one for the same key.
func (p pki) ensure(name string, want leaf, now time.Time) (pair, error) {
	certFile, keyFile := p.dir.path(pkiDir+"/"+name+".crt"), p.dir.path(pkiDir+"/"+name+".key")
	key, err := readOrCreateKey(keyFile)
	if err != nil {
		return pair{}, fmt.Errorf("read the key of the hub's %s certificate: %w", name, err)
	}
	if kept, keptPEM := readCert(certFile); p.ca.isGood(kept, want, key, now.Add(leafRenew)) {
		return makePair(keptPEM, key)
	}
	pem, err := p.ca.issue(want, key.Public(), now, now.Add(leafLife))
	if err != nil {
		return pair{}, fmt.Errorf("issue the hub's %s certificate: %w", name, err)
	}
	if err := writeFile(certFile, pem); err != nil {
		return pair{}, err
	}
	return makePair(pem, key)
}

// inProcessConfig is the way in for Refit's own loops. Its key is never written down.
func (p pki) inProcessConfig(address net.Addr, now time.Time) (*rest.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	me := leaf{name: ControllerUser, groups: []string{administrators}, usage: x509.ExtKeyUsageClientAuth}
	cert, err := p.ca.issue(me, key.Public(), now, p.ca.cert.NotAfter)
	if err != nil {
		return nil, fmt.Errorf("issue the certificate of user %s: %w", ControllerUser, err)
	}
	pair, err := makePair(cert, key)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            "https://" + address.String(),
		TLSClientConfig: rest.TLSClientConfig{CAData: p.ca.pem, CertData: pair.cert, KeyData: pair.key},
		QPS:             -1, // the API server limits what is in flight; a second limit in the same process only adds waiting
	}, nil
}

func (a authority) issue(l leaf, key crypto.PublicKey, now, end time.Time) ([]byte, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: l.name, Organization: l.groups},
		NotBefore:   now.Add(-clockSkew),
		NotAfter:    end,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{l.usage},
	}
	for _, host := range l.hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	cert, err := sign(template, a.cert, key, a.key)
	if err != nil {
		return nil, err
	}
	return certutil.EncodeCertificates(cert)
}

// isGood tells whether a certificate is this authority's, says what is wanted, and will still be valid at the time.
func (a authority) isGood(cert *x509.Certificate, want leaf, key crypto.Signer, at time.Time) bool {
	if cert == nil || !matches(cert, key) {
		return false
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{want.usage}})
	return err == nil && cert.Subject.CommonName == want.name && slices.Equal(cert.Subject.Organization, want.groups) &&
		!slices.ContainsFunc(want.hosts, func(host string) bool { return cert.VerifyHostname(host) != nil })
}

func sign(template, parent *x509.Certificate, subject crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, subject, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// readCert returns nil for what is not a certificate: it is then made anew.
func readCert(path string) (*x509.Certificate, []byte) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, nil
	}
	certs, err := certutil.ParseCertsPEM(pem)
	if err != nil {
		return nil, nil
	}
	return certs[0], pem
}

// readOrCreateKey refuses a damaged key rather than replacing it: what it signed would silently be worth nothing.
func readOrCreateKey(path string) (crypto.Signer, error) {
	pem, err := readOrCreate(path, func() ([]byte, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		return keyutil.MarshalPrivateKeyToPEM(key)
	})
	if err != nil {
		return nil, err
	}
	return parseKey(path, pem)
}

func parseKey(path string, pem []byte) (crypto.Signer, error) {
	parsed, err := keyutil.ParsePrivateKeyPEM(pem)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w: put it back from a backup, or remove it and have a new one made", path, err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds a key that cannot sign: put it back from a backup, or remove it and have a new one made", path)
	}
	return key, nil
}

func matches(cert *x509.Certificate, key crypto.Signer) bool {
	public, ok := key.Public().(interface {
		Equal(other crypto.PublicKey) bool
	})
	return ok && public.Equal(cert.PublicKey)
}

func makePair(cert []byte, key crypto.Signer) (pair, error) {
	pem, err := keyutil.MarshalPrivateKeyToPEM(key)
	return pair{cert: cert, key: pem}, err
}
