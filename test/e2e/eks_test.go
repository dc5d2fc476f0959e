//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"refit.dev/refit/internal/witness"
)

// TestEKS: a cluster of the lab goes to the next minor: its API server is really
// replaced, and its node groups are rolled by who runs them.
func TestEKS(t *testing.T) {
	u := newUser(t)
	l := startLab(t, u, "--clusters", "1", "--nodes", "4")
	u.env = l.env
	u.up()
	c, config := l.behind(t, u, "lab-1")
	for _, name := range []string{"app-0", "app-1"} {
		startDeployment(t, c, name, 4, 3)
	}
	awaitDeployments(t, c, 2)
	before, sentinel := nodeUIDs(t, c), makeSentinel(t, c)
	watching, err := witness.Watch(t.Context(), l.folder("lab-1"))
	if err != nil {
		t.Fatal(err)
	}
	probe, err := witness.StartProbe(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	u.mustKube(l.manifest, "apply", "-f", "-")
	u.mustKube(strings.ReplaceAll(oneMinor, "BAKE", "1s"), "apply", "-f", "-")
	up := awaitUpgrade(t, u.hub(), "lab-1.1", labPatience)
	probed, seen := probe.Stop(), watching.Stop()
	if endedAs(up) != "Done" {
		t.Errorf("upgrade ended %s, want Done", endedAs(up))
	}
	if want := []string{v136, v137}; strings.Join(probed.Versions, " ") != strings.Join(want, " ") {
		t.Errorf("versions that /version told: %v, want %v", probed.Versions, want)
	}
	judge(t, seen, before, v137)
	if kept := getSentinel(t, c); kept.UID != sentinel.UID {
		t.Errorf("sentinel = %s, want %s", kept.UID, sentinel.UID)
	}
	nothingCordoned(t, c)
	if out := u.must("status"); !strings.Contains(out, "lab-1") {
		t.Errorf("refit status:\n%s", out)
	}
}
