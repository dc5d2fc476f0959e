package controlplane

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"refit.dev/refit/internal/kube/controlplane/record"
)

// writeKubeconfigs writes one for each part that talks to the API server, and
// one for people and Refit. They embed what they need, so that each can be
// copied elsewhere.
func (c Config) writeKubeconfigs(ports Ports) error {
	paths := map[string]string{
		string(ControllerManager): c.kubeconfig(ControllerManager),
		string(Scheduler):         c.kubeconfig(Scheduler),
		string(Kwok):              c.kubeconfig(Kwok),
		"refit":                   Kubeconfig(c.Dir),
	}
	for identity, path := range paths {
		text, err := c.renderKubeconfig(identity, ports)
		if err != nil {
			return fmt.Errorf("write the kubeconfig of %s: %w", identity, err)
		}
		if err := record.SaveText(path, text); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) renderKubeconfig(identity string, ports Ports) ([]byte, error) {
	var contents [3][]byte
	for i, file := range []string{authority + ".crt", identity + ".crt", identity + ".key"} {
		text, err := os.ReadFile(filepath.Join(c.pki(), file))
		if err != nil {
			return nil, err
		}
		contents[i] = text
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[c.Name] = &clientcmdapi.Cluster{
		Server: fmt.Sprintf("https://127.0.0.1:%d", ports.APIServer), CertificateAuthorityData: contents[0],
	}
	config.AuthInfos[identity] = &clientcmdapi.AuthInfo{ClientCertificateData: contents[1], ClientKeyData: contents[2]}
	config.Contexts[c.Name] = &clientcmdapi.Context{Cluster: c.Name, AuthInfo: identity}
	config.CurrentContext = c.Name
	return clientcmd.Write(*config)
}

// Kubeconfig is the administrator's kubeconfig of the control plane in a folder.
func Kubeconfig(dir string) string { return filepath.Join(dir, "kubeconfig") }

func (c Config) kubeconfig(part Part) string {
	return filepath.Join(c.pki(), string(part)+".kubeconfig")
}
