package hub

import (
	"fmt"
	"net"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// writeKubeconfig gives AdminUser a way in that needs no other file. It is written at every start, for the port and the
// certificates may be new.
func (p pki) writeKubeconfig(path, namespace string, address net.Addr) error {
	const name = "refit"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{
		Server:                   "https://" + address.String(),
		CertificateAuthorityData: p.ca.pem,
	}
	config.AuthInfos[AdminUser] = &clientcmdapi.AuthInfo{
		ClientCertificateData: p.admin.cert,
		ClientKeyData:         p.admin.key,
	}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: AdminUser, Namespace: namespace}
	config.CurrentContext = name
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return writeFile(path, data)
}
