package object_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/object"
)

// TestKubeconfigs: whoever writes one makes Refit neither run a program nor read a
// file, nor call who it should not; and what is refused is not quoted.
func TestKubeconfigs(t *testing.T) {
	const secret = "hunter2"
	for _, c := range []struct {
		name   string
		change func(*clientcmdapi.Cluster, *clientcmdapi.AuthInfo)
		want   string // part of the error; empty where it is taken
	}{
		{"a token", func(*clientcmdapi.Cluster, *clientcmdapi.AuthInfo) {}, ""},
		{"by name", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.Server = "https://api.example:6443" }, ""},
		{"exec", func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) {
			u.Exec = &clientcmdapi.ExecConfig{APIVersion: "client.authentication.k8s.io/v1", Command: "sh", InteractiveMode: clientcmdapi.NeverExecInteractiveMode}
		}, "user has exec"},
		{"auth provider", func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) {
			u.AuthProvider = &clientcmdapi.AuthProviderConfig{Name: "oidc"}
		}, "user has auth-provider"},
		{"token file", func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.Token, u.TokenFile = "", "/etc/passwd" }, "user names a file"},
		{"certificate file", func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.ClientCertificate = "/etc/passwd" }, "user names a file"},
		{"key file", func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.ClientKey = "/etc/passwd" }, "user names a file"},
		{"authority file", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) {
			c.CertificateAuthority, c.CertificateAuthorityData = "/etc/passwd", nil
		}, "cluster names a file"},
		{"impersonation", func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.Impersonate = "root" }, "user impersonates another"},
		{"impersonation of a group", func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) {
			u.ImpersonateGroups = []string{"system:masters"}
		}, "user impersonates another"},
		{"password", func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.Username, u.Password = "ann", secret }, "user has a password"},
		{"no verification", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) {
			c.InsecureSkipTLSVerify, c.CertificateAuthorityData = true, nil
		}, "cluster has insecure-skip-tls-verify"},
		{"proxy", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.ProxyURL = "http://proxy.example" }, "cluster has proxy-url"},
		{"no TLS", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.Server = "http://192.0.2.1" }, "is no https URL"},
		{"metadata of a cloud", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.Server = "https://169.254.169.254" }, "link-local"},
		{"link-local, in IPv6", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.Server = "https://[fe80::1]" }, "link-local"},
		{"every address", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.Server = "https://0.0.0.0" }, "link-local"},
		{"loopback", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.Server = "https://127.0.0.1:6443" }, "on the machine that Refit runs on"},
		{"loopback, in IPv6", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.Server = "https://[::1]:6443" }, "on the machine that Refit runs on"},
		{"loopback, by another notation", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.Server = "https://[::ffff:127.0.0.1]" }, "on the machine that Refit runs on"},
		{"loopback, by name", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.Server = "https://LOCALHOST.:6443" }, "on the machine that Refit runs on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &object.Provider{Hub: &rest.Config{Host: "https://10.96.0.1"}}
			cluster := &clientcmdapi.Cluster{Server: "https://192.0.2.1:6443"}
			user := &clientcmdapi.AuthInfo{Token: secret}
			c.change(cluster, user)
			config, err := p.Restricted(kubeconfig(t, cluster, user))
			switch {
			case c.want == "" && (err != nil || config.Host != cluster.Server || config.BearerToken != secret):
				t.Errorf("config = %v, error = %v; want that it is taken", config, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret)):
				t.Errorf("error = %v, want one that says %q, and no secret", err, c.want)
			}
		})
	}
}

// TestKubeconfigOnOneMachine: where the hub is on this machine, clusters may be.
func TestKubeconfigOnOneMachine(t *testing.T) {
	p := &object.Provider{Hub: &rest.Config{Host: "https://127.0.0.1:7443"}}
	config, err := p.Restricted(kubeconfig(t, &clientcmdapi.Cluster{Server: "https://127.0.0.1:6443"}, &clientcmdapi.AuthInfo{Token: "t"}))
	if err != nil || config.Host != "https://127.0.0.1:6443" {
		t.Errorf("config = %v, error = %v; want that it is taken", config, err)
	}
	if _, err := p.Restricted(kubeconfig(t, &clientcmdapi.Cluster{Server: "https://169.254.169.254"}, &clientcmdapi.AuthInfo{Token: "t"})); err == nil {
		t.Error("a link-local address is taken")
	}
}

func TestKubeconfigThatIsNone(t *testing.T) {
	p := &object.Provider{Hub: &rest.Config{Host: "https://10.96.0.1"}}
	for _, text := range []string{"", "hunter2: [", "apiVersion: v1\nkind: Config\n"} {
		if _, err := p.Restricted([]byte(text)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error = %v of %q, want one that quotes nothing", err, text)
		}
	}
}

func kubeconfig(t *testing.T, cluster *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) []byte {
	t.Helper()
	made := clientcmdapi.NewConfig()
	made.Clusters["c"], made.AuthInfos["c"] = cluster, user
	made.Contexts["c"], made.CurrentContext = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c"}, "c"
	text, err := clientcmd.Write(*made)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestManagementElsewhere: the objects are in the cluster that a Secret of the hub
// leads to, and in no other.
func TestManagementElsewhere(t *testing.T) {
	w, m := newWorldOf(t, false)
	ref := w.Cluster("one")
	hub := newManagement(t, nil)
	hub.put(at(secrets, "refit", "management"), map[string]any{
		"apiVersion": "v1", "kind": "Secret", "data": map[string]any{
			"value": base64.StdEncoding.EncodeToString(kubeconfig(t,
				&clientcmdapi.Cluster{Server: m.config().Host, CertificateAuthorityData: m.config().CAData}, &clientcmdapi.AuthInfo{Token: "t"})),
			"empty": "",
		},
	})
	p := &object.Provider{Hub: hub.config()}
	if _, err := p.Observe(t.Context(), ref); codeOf(err) != provider.CodeUnknownCluster {
		t.Errorf("in the hub itself: %v, want %s", err, provider.CodeUnknownCluster)
	}
	ref.Object.Kubeconfig = provider.SecretKey{Namespace: "refit", Name: "management", Key: "value"}
	if seen, err := p.Observe(t.Context(), ref); err != nil || seen.ControlPlane.Oldest != w.Versions.Old {
		t.Errorf("by the Secret: %+v, %v, want %s", seen.ControlPlane, err, w.Versions.Old)
	}
	for _, missing := range []provider.SecretKey{{Namespace: "refit", Name: "none", Key: "value"}, {Namespace: "refit", Name: "management", Key: "none"}, {Namespace: "refit", Name: "management", Key: "empty"}} {
		ref.Object.Kubeconfig = missing
		if _, err := p.Observe(t.Context(), ref); codeOf(err) != provider.CodeUnauthorized || !strings.Contains(err.Error(), missing.Name) {
			t.Errorf("by %v: %v, want %s that names it", missing, err, provider.CodeUnauthorized)
		}
	}
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return provider.AsFault(err).Code
}
