package hub

import (
	"fmt"
	"net"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// An entry is a way in for one user that needs no other file.
type entry struct {
	user      string
	pair      pair
	server    string
	ca        []byte
	namespace string
}

// writeKubeconfig gives AdminUser a way in. It is written at every start, for the port and the certificates may be new.
func (p pki) writeKubeconfig(path, namespace string, address net.Addr) error {
	way := entry{user: AdminUser, pair: p.admin, server: "https://" + address.String(), ca: p.ca.pem, namespace: namespace}
	data, err := way.kubeconfig()
	if err != nil {
		return err
	}
	return writeFile(path, data)
}

func (e entry) kubeconfig() ([]byte, error) {
	const name = "refit"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: e.server, CertificateAuthorityData: e.ca}
	config.AuthInfos[e.user] = &clientcmdapi.AuthInfo{ClientCertificateData: e.pair.cert, ClientKeyData: e.pair.key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: e.user, Namespace: e.namespace}
	config.CurrentContext = name
	data, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("write the kubeconfig of %s: %w", e.user, err)
	}
	return data, nil
}
