package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Hash names what is bundled: equal bundles have equal hashes. It is twelve
// hexadecimal digits of the SHA-256 of the bundle's JSON, whose keys encoding/json
// sorts.
func (b Bundle) Hash() string {
	text, err := json.Marshal(b)
	if err != nil {
		panic(fmt.Sprintf("a bundle of strings cannot be written as JSON: %v", err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}
