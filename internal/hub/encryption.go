package hub

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"sigs.k8s.io/yaml"
)

// ensureEncryption makes the key under which secrets are stored, once. If it is gone later, the secrets are too: a new
// key would hide that until somebody reads one.
func ensureEncryption(dir dataDir) error {
	path := dir.path(encryptionFile)
	there, err := exists(path)
	if err != nil {
		return fmt.Errorf("look for the key of the hub's secrets: %w", err)
	}
	if there {
		return nil
	}
	stored, err := os.ReadDir(dir.path(etcdDir))
	if err != nil {
		return fmt.Errorf("look into the hub's etcd: %w", err)
	}
	if len(stored) > 0 {
		return fmt.Errorf("%s is missing and the secrets in data directory %q are encrypted with the key in it: put it back from a backup, %s", encryptionFile, dir.root, elsewhere)
	}
	data, err := newEncryption()
	if err != nil {
		return fmt.Errorf("make the key of the hub's secrets: %w", err)
	}
	return writeFile(path, data)
}

// newEncryption chooses secretbox: its nonces are long enough to be random for ever, where AES-GCM would want its key
// changed after some 200,000 writes. Nothing was ever stored in the clear, so reading that is not allowed either.
func newEncryption() ([]byte, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return yaml.Marshal(apiserverv1.EncryptionConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: apiserverv1.SchemeGroupVersion.String(), Kind: "EncryptionConfiguration"},
		Resources: []apiserverv1.ResourceConfiguration{{
			Resources: []string{"secrets"},
			Providers: []apiserverv1.ProviderConfiguration{{
				Secretbox: &apiserverv1.SecretboxConfiguration{
					Keys: []apiserverv1.Key{{Name: "key1", Secret: base64.StdEncoding.EncodeToString(key)}},
				},
			}},
		}},
	})
}
