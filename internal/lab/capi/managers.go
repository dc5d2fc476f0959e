package capi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

// Managers are Cluster API's, as processes of this machine.
type Managers struct {
	// Binaries is the folder that tools/capi/build prints.
	Binaries string
	// Dir is where their certificates and logs are kept.
	Dir string
	// Kubeconfig of the management cluster.
	Kubeconfig string

	running []*manager
}

// manager is one of them.
type manager struct {
	name    string
	config  string // the folder with its kinds and webhooks
	port    int    // of its webhooks
	health  int
	bundle  []byte // the certificate that its webhooks show, which vouches for itself
	command *exec.Cmd
	ended   chan struct{}
}

func (m *manager) clientConfig(path string) map[string]any {
	return map[string]any{
		"url": fmt.Sprintf("https://127.0.0.1:%d%s", m.port, path), "caBundle": base64.StdEncoding.EncodeToString(m.bundle),
	}
}

// Start installs Cluster API and runs its managers until Stop, which is to be
// called whatever Start returns.
func (s *Managers) Start(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 100, 200
	management, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	var all []*manager
	for _, name := range []string{"core", "bootstrap", "controlplane"} {
		m, err := s.prepare(name)
		if err != nil {
			return fmt.Errorf("prepare manager %s: %w", name, err)
		}
		all = append(all, m)
	}
	if err := installKinds(ctx, management, all); err != nil {
		return err
	}
	for _, m := range all {
		if err := s.start(m); err != nil {
			return fmt.Errorf("start manager %s: %w", m.name, err)
		}
	}
	for _, m := range all {
		if err := m.awaitReady(ctx); err != nil {
			return fmt.Errorf("manager %s, whose log is in %s: %w", m.name, s.Dir, err)
		}
	}
	return installWebhooks(ctx, management, all)
}

// Stop ends the managers.
func (s *Managers) Stop() {
	for _, m := range s.running {
		_ = m.command.Process.Signal(syscall.SIGTERM) // one that has ended is what is wanted
	}
	for _, m := range s.running {
		select {
		case <-m.ended:
		case <-time.After(10 * time.Second):
			_ = m.command.Process.Kill()
			<-m.ended
		}
	}
}

func (s *Managers) prepare(name string) (*manager, error) {
	m := &manager{name: name, config: filepath.Join(s.Binaries, "config", name), ended: make(chan struct{})}
	for _, port := range []*int{&m.port, &m.health} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		*port = l.Addr().(*net.TCPAddr).Port
		defer func() { _ = l.Close() }() // the manager listens there next
	}
	var err error
	m.bundle, err = writeCertificate(filepath.Join(s.Dir, name))
	return m, err
}

// writeCertificate makes one for 127.0.0.1, and its key.
func writeCertificate(dir string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return certificate, errors.Join(
		os.MkdirAll(dir, 0o700),
		os.WriteFile(filepath.Join(dir, "tls.crt"), certificate, 0o600),
		os.WriteFile(filepath.Join(dir, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600),
	)
}

func (s *Managers) start(m *manager) error {
	log, err := os.Create(filepath.Join(s.Dir, m.name+".log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own
	m.command = exec.CommandContext(context.Background(), filepath.Join(s.Binaries, m.name),
		"--kubeconfig="+s.Kubeconfig,
		"--webhook-port="+strconv.Itoa(m.port),
		"--webhook-cert-dir="+filepath.Join(s.Dir, m.name),
		"--health-addr=127.0.0.1:"+strconv.Itoa(m.health),
		"--diagnostics-address=127.0.0.1:0", "--insecure-diagnostics",
		"--feature-gates=ClusterTopology=true",
		"--v=2",
	)
	m.command.Stdout, m.command.Stderr = log, log
	m.command.Env = []string{"HOME=" + s.Dir, "TMPDIR=" + s.Dir, "PATH=" + os.Getenv("PATH"), "POD_NAMESPACE=default"}
	if err := m.command.Start(); err != nil {
		return err
	}
	s.running = append(s.running, m)
	go func() {
		_ = m.command.Wait() // how it ended is in its log
		close(m.ended)
	}()
	return nil
}

func (m *manager) awaitReady(ctx context.Context) error {
	return wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		select {
		case <-m.ended:
			return false, errors.New("it ended")
		default:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/readyz", m.health), nil)
		if err != nil {
			return false, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, nil //nolint:nilerr // it does not listen yet
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
}
