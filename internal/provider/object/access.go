package object

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"refit.dev/refit/internal/provider"
)

// management reaches the cluster that the objects are in: the hub itself, or what
// a Secret of the hub leads to.
func (p *Provider) management(ctx context.Context, ref provider.Ref) (api, error) {
	hub, err := newAPI(p.Hub)
	if err != nil {
		return api{}, retry(provider.CodeUnreachable, fmt.Errorf("reach the hub: %w", err))
	}
	secret := ref.Object.Kubeconfig
	if secret == (provider.SecretKey{}) {
		return hub, nil
	}
	config, err := p.kubeconfig(ctx, hub, secret)
	if err != nil {
		return api{}, err
	}
	management, err := newAPI(config)
	if err != nil {
		return api{}, stop(provider.CodeInvalid, "kubeconfig in Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return management, nil
}

// Connect gives what Cluster API itself made for the cluster.
func (p *Provider) Connect(ctx context.Context, ref provider.Ref) (*rest.Config, error) {
	profile, err := profileOf(ref)
	if err != nil {
		return nil, err
	}
	management, err := p.management(ctx, ref)
	if err != nil {
		return nil, err
	}
	if _, err := management.get(ctx, profile.cluster, ref.Object.Namespace, ref.Name, provider.CodeUnknownCluster); err != nil {
		return nil, err
	}
	return p.kubeconfig(ctx, management, provider.SecretKey{Namespace: ref.Object.Namespace, Name: ref.Name + profile.kubeconfig, Key: profile.kubeconfigKey})
}

// kubeconfig reads one from a Secret.
func (p *Provider) kubeconfig(ctx context.Context, from api, secret provider.SecretKey) (*rest.Config, error) {
	doing := fmt.Sprintf("kubeconfig in Secret %s/%s, key %s", secret.Namespace, secret.Name, secret.Key)
	o, err := from.get(ctx, kind{version: "v1", resource: "secrets"}, secret.Namespace, secret.Name, provider.CodeUnauthorized)
	if err != nil {
		return nil, err
	}
	content, err := base64.StdEncoding.DecodeString(text(o, "data", secret.Key))
	if err != nil || len(content) == 0 {
		return nil, stop(provider.CodeUnauthorized, "%s: there is none; put it there", doing)
	}
	config, err := p.restricted(content)
	if err != nil {
		return nil, stop(provider.CodeUnauthorized, "%s: %w", doing, err)
	}
	return config, nil
}

// restricted reads a kubeconfig that has a server, what it is known by, and a
// token or a certificate, and nothing else: it was written by somebody who is to
// make Refit neither run a program nor read a file, nor call who it should not.
func (p *Provider) restricted(content []byte) (*rest.Config, error) {
	config, err := clientcmd.Load(content)
	if err != nil {
		return nil, errors.New("it cannot be read") // what a parser says may quote what it could not read: a key
	}
	current := config.Contexts[config.CurrentContext]
	if current == nil || config.Clusters[current.Cluster] == nil || config.AuthInfos[current.AuthInfo] == nil {
		return nil, fmt.Errorf("its current-context %q names no cluster and user of it", config.CurrentContext)
	}
	server, user := config.Clusters[current.Cluster], config.AuthInfos[current.AuthInfo]
	for _, refused := range []struct {
		is   bool
		what string
	}{
		{user.Exec != nil, "user has exec: Refit runs no program for it; use a token or a client certificate"},
		{user.AuthProvider != nil, "user has auth-provider; use a token or a client certificate"},
		{user.TokenFile != "" || user.ClientCertificate != "" || user.ClientKey != "", "user names a file; put the content in: client-certificate-data, client-key-data or token"},
		{user.Impersonate != "" || user.ImpersonateUID != "" || len(user.ImpersonateGroups)+len(user.ImpersonateUserExtra) > 0, "user impersonates another; use that one's own token or certificate"},
		{user.Username != "" || user.Password != "", "user has a password; use a token or a client certificate"},
		{server.CertificateAuthority != "", "cluster names a file; put the content in: certificate-authority-data"},
		{server.InsecureSkipTLSVerify, "cluster has insecure-skip-tls-verify; put in certificate-authority-data"},
		{server.ProxyURL != "", "cluster has proxy-url, which is not followed"},
	} {
		if refused.is {
			return nil, fmt.Errorf("its %s", refused.what)
		}
	}
	if err := p.allowed(server); err != nil {
		return nil, err
	}
	return clientcmd.NewNonInteractiveClientConfig(*config, config.CurrentContext, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
}

// allowed refuses servers that are none of a cluster: what is on this machine,
// save where the hub is too, and on its link, where clouds have their metadata.
func (p *Provider) allowed(server *clientcmdapi.Cluster) error {
	address, err := url.Parse(server.Server)
	if err != nil || address.Scheme != "https" || address.Hostname() == "" {
		return fmt.Errorf("its server %q is no https URL", server.Server)
	}
	switch ip := net.ParseIP(address.Hostname()); {
	case ip != nil && (ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast()):
		return fmt.Errorf("its server %q is a link-local address; name the cluster's own", server.Server)
	case onThisMachine(address) && !p.hubIsHere():
		return fmt.Errorf("its server %q is on the machine that Refit runs on; name the cluster's own address", server.Server)
	}
	return nil
}

// hubIsHere tells that Refit and its hub are on one person's machine, where
// clusters may be as well.
func (p *Provider) hubIsHere() bool {
	address, err := url.Parse(p.Hub.Host)
	return err == nil && onThisMachine(address)
}

func onThisMachine(address *url.URL) bool {
	name := strings.TrimSuffix(strings.ToLower(address.Hostname()), ".")
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}
