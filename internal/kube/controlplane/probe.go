package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"refit.dev/refit/internal/kube/controlplane/socket"
)

// A prober asks parts over HTTP how they are.
type prober struct {
	tcp, unix *http.Client
}

// A probe that takes longer finds the part not healthy; it is asked again soon.
const probeTimeout = 2 * time.Second

func newProber(c Config) (*prober, error) {
	pem, err := os.ReadFile(filepath.Join(c.pki(), authority+".crt"))
	if err != nil {
		return nil, fmt.Errorf("read the authority of %s: %w", c.Name, err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	identity, err := tls.LoadX509KeyPair(filepath.Join(c.pki(), "refit.crt"), filepath.Join(c.pki(), "refit.key"))
	if err != nil {
		return nil, fmt.Errorf("read the client certificate for %s: %w", c.Name, err)
	}
	toEtcd := func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.Dial(ctx, c.path(etcdSocket)) }
	return &prober{
		tcp:  &http.Client{Transport: &http.Transport{IdleConnTimeout: time.Minute, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{identity}}}},
		unix: &http.Client{Transport: &http.Transport{IdleConnTimeout: time.Minute, DialContext: toEtcd}},
	}, nil
}

// ask asks one part how it is: no error means healthy. kwok has nothing to ask:
// it is healthy while it runs.
func (p *prober) ask(ctx context.Context, part Part, ports Ports) error {
	client, url := p.tcp, ""
	switch part {
	case Etcd:
		client, url = p.unix, "http://etcd/health"
	case APIServer:
		url = fmt.Sprintf("https://127.0.0.1:%d/readyz", ports.APIServer)
	case ControllerManager:
		url = fmt.Sprintf("https://127.0.0.1:%d/healthz", ports.ControllerManager)
	case Scheduler:
		url = fmt.Sprintf("https://127.0.0.1:%d/readyz", ports.Scheduler)
	case Kwok:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return do(ctx, client, http.MethodGet, url)
}

// releaseNodes deletes the leases by which a kwok that is dead still holds the
// nodes: its successor has another name and would wait for them to expire.
func (p *prober) releaseNodes(ctx context.Context, ports Ports) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	url := fmt.Sprintf("https://127.0.0.1:%d/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", ports.APIServer)
	return do(ctx, p.tcp, http.MethodDelete, url)
}

func do(ctx context.Context, client *http.Client, method, url string) error {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	// Read to its end, so that the connection serves the next one as well.
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode == http.StatusOK {
		return err
	}
	if open := openChecks(string(answer)); len(open) > 0 {
		return fmt.Errorf("not ready yet: %s", strings.Join(open, ", "))
	}
	return fmt.Errorf("%s %s: %s", method, url, response.Status)
}

// openChecks are the checks that a part says are not passed, one a line that
// begins with [-] (https://kubernetes.io/docs/reference/using-api/health-checks/).
func openChecks(answer string) []string {
	var open []string
	for line := range strings.Lines(answer) {
		if check, ok := strings.CutPrefix(line, "[-]"); ok {
			name, _, _ := strings.Cut(strings.TrimSpace(check), " ")
			open = append(open, name)
		}
	}
	return open
}

// ServedVersion is what the API server says that it is.
func (c *ControlPlane) ServedVersion(ctx context.Context) (string, error) {
	c.mu.Lock()
	ports := c.state.Ports
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/version", ports.APIServer), nil)
	if err != nil {
		return "", err
	}
	response, err := c.prober.tcp.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask kube-apiserver for its version: %w", err)
	}
	defer response.Body.Close()
	var info struct{ GitVersion string }
	if err := json.NewDecoder(response.Body).Decode(&info); err != nil {
		return "", fmt.Errorf("ask kube-apiserver for its version: %w", err)
	}
	return info.GitVersion, nil
}
