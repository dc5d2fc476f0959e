package hub

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// A Person is who a kubeconfig is issued to.
type Person struct {
	Name      string    // that admission policies and the audit log see
	Group     string    // that what they may do is bound to
	Namespace string    // that their kubeconfig begins in
	Until     time.Time // the end of their certificate
}

// Issue signs a certificate for a person and returns the kubeconfig that holds it, with its key, which is kept nowhere
// else. It reads the data directory and changes nothing in it, so that the hub may run meanwhile.
func Issue(root string, who Person, now time.Time) ([]byte, error) {
	dir := dataDir{root: root}
	ca, err := readAuthority(dir)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", who.Name, err)
	}
	hub, err := clientcmd.BuildConfigFromFlags("", dir.path(kubeconfigFile))
	if err != nil {
		return nil, fmt.Errorf("learn the hub's address: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	owner := leaf{name: who.Name, groups: []string{who.Group}, usage: x509.ExtKeyUsageClientAuth}
	cert, err := ca.issue(owner, key.Public(), now, who.Until)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", who.Name, err)
	}
	made, err := makePair(cert, key)
	if err != nil {
		return nil, err
	}
	return entry{user: who.Name, pair: made, server: hub.Host, ca: ca.pem, namespace: who.Namespace}.kubeconfig()
}

// readAuthority makes nothing anew, as openAuthority does: that is for the hub itself.
func readAuthority(dir dataDir) (authority, error) {
	text, err := os.ReadFile(dir.path(caKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return authority{}, fmt.Errorf("data directory %q holds no hub: start one with refit up, %s", dir.root, elsewhere)
	}
	if err != nil {
		return authority{}, err
	}
	key, err := parseKey(dir.path(caKeyFile), text)
	if err != nil {
		return authority{}, err
	}
	cert, pem := readCert(dir.path(caCertFile))
	if cert == nil || !matches(cert, key) {
		return authority{}, fmt.Errorf("%s is damaged: start the hub again, which makes it anew", dir.path(caCertFile))
	}
	return authority{cert: cert, key: key, pem: pem}, nil
}
