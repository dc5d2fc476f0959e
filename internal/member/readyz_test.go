package member

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOpenChecks(t *testing.T) {
	const answer = `[+]ping ok
[+]etcd ok
[-]poststarthook/rbac/bootstrap-roles failed: reason withheld
[-]shutdown failed: reason withheld
readyz check failed
`
	if diff := cmp.Diff([]string{"poststarthook/rbac/bootstrap-roles", "shutdown"}, openChecks(answer)); diff != "" {
		t.Errorf("open checks (-want +got):\n%s", diff)
	}
	if open := openChecks("ok"); len(open) > 0 {
		t.Errorf("open checks of ok are %v", open)
	}
}
