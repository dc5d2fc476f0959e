package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Hash names what is bundled: equal bundles have equal hashes. It is twelve
// hexadecimal digits of the SHA-256 of the bundle's JSON, whose keys encoding/json
// sorts; those of values as well.
func (b Bundle) Hash() string {
	bundle := b.DeepCopy()
	for i := range bundle.AddOns {
		if values := bundle.AddOns[i].Helm.Values; values != nil {
			values.Raw = []byte(bundle.AddOns[i].Helm.CanonicalValues())
		}
	}
	text, err := json.Marshal(bundle)
	if err != nil {
		panic(fmt.Sprintf("a bundle of strings cannot be written as JSON: %v", err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// CanonicalValues are the values as JSON whose keys are sorted; {} where there are
// none.
func (h HelmRelease) CanonicalValues() string {
	if h.Values == nil || len(h.Values.Raw) == 0 {
		return "{}"
	}
	values := map[string]any{}
	if err := json.Unmarshal(h.Values.Raw, &values); err != nil {
		return string(h.Values.Raw) // no API server has seen it
	}
	text, err := json.Marshal(values)
	if err != nil {
		panic(fmt.Sprintf("what was read as JSON cannot be written as such: %v", err))
	}
	return string(text)
}
