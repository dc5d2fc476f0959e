package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Token names one change: equal parts give an equal token, however often the
// change is planned, so that asking twice is asking once. Parts are quoted, so
// that a slash within one is no border between two. It is 32 hexadecimal digits,
// short enough for every cloud's idempotency token.
func Token(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:16])
}
