package eks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"refit.dev/refit/internal/provider"
)

// entrance is the endpoint of one cluster: it lets in who has a token of the
// account for this very cluster, as an administrator.
type entrance struct {
	url    string
	cert   []byte // PEM
	server *http.Server
}

func openEntrance(l *Lab, name string, ref provider.Ref) (*entrance, error) {
	pair, err := selfSigned()
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	e := &entrance{url: "https://" + listener.Addr().String(), cert: cert}
	e.server = &http.Server{
		Handler: l.proxy(name, ref), ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
	}
	go func() { _ = e.server.ServeTLS(listener, "", "") }() // ends with close
	return e, nil
}

func (e *entrance) close() error { return e.server.Close() }

// authority is the cluster's certificate authority, as DescribeCluster has it.
func (e *entrance) authority() string { return base64.StdEncoding.EncodeToString(e.cert) }

// proxy hands requests to the API server that the cluster is made of.
func (l *Lab) proxy(name string, ref provider.Ref) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if err := l.checkToken(r.Context(), token, name); err != nil {
			refuseKubernetes(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, err.Error())
			return
		}
		config, err := l.Backing.Connect(r.Context(), ref)
		if err != nil {
			refuseKubernetes(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, err.Error())
			return
		}
		forward(w, r, config)
	})
}

func forward(w http.ResponseWriter, r *http.Request, config *rest.Config) {
	target, _, err := rest.DefaultServerUrlFor(config)
	if err == nil {
		var transport http.RoundTripper
		if transport, err = rest.TransportFor(config); err == nil {
			proxy := &httputil.ReverseProxy{
				Rewrite: func(p *httputil.ProxyRequest) {
					p.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host})
					p.Out.Header.Del("Authorization")
				},
				Transport: transport, FlushInterval: -1, // watches are read as they come
				ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
					refuseKubernetes(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, err.Error())
				},
			}
			proxy.ServeHTTP(w, r)
			return
		}
	}
	refuseKubernetes(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, err.Error())
}

func refuseKubernetes(w http.ResponseWriter, code int32, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(code))
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Message: message, Reason: reason, Code: code,
	})
}

// certificateLife is longer than any lab.
const certificateLife = 30 * 24 * time.Hour

// selfSigned is a certificate for this machine, its own authority.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "lab"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
