//go:build !linux

package cli

import (
	"strings"
	"testing"
)

// Where there is no Linux, local members say so before anything is fetched or
// written.
func TestLocalMembersAreLinuxOnly(t *testing.T) {
	for _, args := range [][]string{
		{"local", "create", "dev", "--version", "v1.36.3", "--data-dir", t.TempDir()},
		{"demo"},
		{"lab", "eks"},
	} {
		_, err := refit(t, unreached(t), args...)
		if err == nil || !strings.Contains(err.Error(), "local members are Linux only: ") {
			t.Errorf("refit %s: %v", strings.Join(args, " "), err)
		}
	}
}
