//go:build e2e

package local_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/local"
	"refit.dev/refit/internal/witness"
)

// A control plane goes through two minors in place: it keeps its data, starts
// each version of each part once, and is away for as long as is printed.
func TestLocalUpgradeKeepsData(t *testing.T) {
	w := newLocalWorld(t)
	client := w.create(t, "swap", v135, local.PoolSpec{Name: "a", Size: 2})
	sentinel, err := client.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "sentinel"}, Data: map[string]string{"made": "before"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config, err := w.provider.Connect(t.Context(), provider.Ref{Name: "swap"})
	if err != nil {
		t.Fatal(err)
	}
	for _, hop := range [][2]string{{v135, v136}, {v136, v137}} {
		begun := time.Now()
		probe, err := witness.StartProbe(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		w.upgrade(t, "swap", hop[0], hop[1])
		operation := w.ended(t, "swap")
		probed := probe.Stop()
		t.Logf("%s → %s in %s; the API was away %v", hop[0], hop[1], time.Since(begun).Round(time.Millisecond), probed.Outages)
		if operation.Phase != provider.Succeeded {
			t.Fatalf("operation = %+v, want it to succeed", operation)
		}
		if diff := cmp.Diff([]string{hop[0], hop[1]}, probed.Versions); diff != "" {
			t.Errorf("versions that answered (-want +got):\n%s", diff)
		}
		if o := w.observe(t, "swap"); o.ControlPlane.Oldest.String() != hop[1] || !o.ControlPlane.Ready {
			t.Errorf("observed control plane = %+v, want %s, ready", o.ControlPlane, hop[1])
		}
	}
	kept, err := client.CoreV1().ConfigMaps("default").Get(t.Context(), "sentinel", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if kept.UID != sentinel.UID || kept.Data["made"] != "before" {
		t.Errorf("sentinel = %s %v, want %s with its data", kept.UID, kept.Data, sentinel.UID)
	}
	entries := w.starts(t, "swap")
	for _, part := range []controlplane.Part{controlplane.APIServer, controlplane.ControllerManager, controlplane.Scheduler} {
		for _, version := range []string{v135, v136, v137} {
			if n := started(entries, part, version); n != 1 {
				t.Errorf("%s %s was started %d times, want once", part, version, n)
			}
		}
	}
	if snapshots, _ := filepath.Glob(filepath.Join(w.Folder("swap"), "snapshots", "*.db")); len(snapshots) != 2 {
		t.Errorf("snapshots = %v, want one of each hop", snapshots)
	}
}
