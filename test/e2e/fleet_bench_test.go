//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
)

// BenchmarkFleet200 measures what "refit up" costs with 200 members: at rest,
// and with 50 of them in flight.
//
// The members are made up, and in the same process as hub and loops: all three
// are in every number. What they have of the goroutines is told by itself:
// none at rest, and in flight one for each watch that Refit has of a member.
func BenchmarkFleet200(b *testing.B) {
	const members, together = 200, 50
	u := newUserAlone(b)
	pid := u.up("--fake-provider").Process.Pid
	hub := u.hub()
	for i := range members {
		create(b, hub, &v1.MemberCluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("m-%03d", i)},
			Spec:       v1.MemberClusterSpec{Provider: v1.MemberProvider{Fake: &v1.FakeProvider{}}},
		})
	}
	took := eventually(b, 3*time.Minute, "all members were observed", func() (bool, string) {
		seen := observed(b, hub)
		return seen == members, fmt.Sprintf("%d of %d", seen, members)
	})
	b.ReportMetric(took.Seconds(), "s-to-observed")
	<-time.After(measured) // what is measured is rest
	for b.Loop() {
		measure(b, u, pid, "idle")
	}

	create(b, hub, &v1.Release{
		ObjectMeta: metav1.ObjectMeta{Name: "2026.11"},
		Spec:       v1.ReleaseSpec{Bundle: v1.Bundle{Kubernetes: v137, Hops: map[string]v1.HopVersion{"1.36": v136}}},
	})
	create(b, hub, &v1.Fleet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "main"}, Spec: v1.FleetSpec{
		Release: "2026.11", Waves: []v1.Wave{{Name: "all", MaxConcurrent: intstr.FromInt32(together), MinSuccess: intstr.FromString("100%")}},
		Settle: metav1.Duration{Duration: 2 * time.Second}, Bake: metav1.Duration{Duration: 2 * time.Second},
	}})
	begun := time.Now()
	eventually(b, time.Minute, "as many are in flight as may be", func() (bool, string) {
		counts := counted(b, hub)
		return counts.Running == together, fmt.Sprintf("%+v", counts)
	})
	measure(b, u, pid, "flying")
	counts := counted(b, hub)
	if counts.Running < together*9/10 || counts.Failed > 0 {
		b.Errorf("after that the fleet has %+v, want %d in flight", counts, together)
	}
	b.ReportMetric(float64(counts.Running*watchesOfMember), "flying-goroutines-made-up")
	eventually(b, 10*time.Minute, "all members come to the release", func() (bool, string) {
		counts := counted(b, hub)
		return counts.Done == members, fmt.Sprintf("%+v", counts)
	})
	b.ReportMetric(time.Since(begun).Seconds(), "s-to-done")
}

// measured is how long a state is measured.
const measured = 20 * time.Second

// watchesOfMember are those that an upgrade has of its member: of nodes, pods
// and budgets.
const watchesOfMember = 3

// measure tells what a hub costs in a state: CPU and writes over a time, and the
// rest at its end. Writes are those of whomever, by the revision of the hub's etcd.
func measure(b *testing.B, u *user, pid int, state string) {
	b.Helper()
	cpu, written := cpuSeconds(b, pid), revision(b, u)
	<-time.After(measured)
	b.ReportMetric((cpuSeconds(b, pid)-cpu)/measured.Seconds()*1000, state+"-millicores")
	b.ReportMetric((revision(b, u)-written)/measured.Seconds(), state+"-writes/s")
	b.ReportMetric(statusValue(b, pid, "VmRSS:")/1024, state+"-MiB")
	b.ReportMetric(goroutines(b, u), state+"-goroutines")
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(files)), state+"-files")
}

// revision is that of the hub's etcd, which counts all writes.
func revision(b *testing.B, u *user) float64 {
	b.Helper()
	var fleets v1.FleetList
	if err := u.hub().List(b.Context(), &fleets); err != nil {
		b.Fatal(err)
	}
	number, err := strconv.ParseFloat(fleets.ResourceVersion, 64)
	if err != nil {
		b.Fatal(err)
	}
	return number
}

func create(b *testing.B, hub client.Client, object client.Object) {
	b.Helper()
	if err := hub.Create(b.Context(), object); err != nil {
		b.Fatal(err)
	}
}

// observed is how many members were seen, and are well.
func observed(b *testing.B, hub client.Client) int {
	b.Helper()
	var members v1.MemberClusterList
	if err := hub.List(b.Context(), &members, client.InNamespace(namespace)); err != nil {
		b.Fatal(err)
	}
	seen := 0
	for _, mc := range members.Items {
		if !mc.Status.ObservedAt.IsZero() && mc.Status.Nodes.Ready == mc.Status.Nodes.Total {
			seen++
		}
	}
	return seen
}

// counted is how the fleet stands, by its status.
func counted(b *testing.B, hub client.Client) v1.MemberCounts {
	b.Helper()
	f := &v1.Fleet{}
	if err := hub.Get(b.Context(), client.ObjectKey{Namespace: namespace, Name: "main"}, f); err != nil {
		b.Fatal(err)
	}
	return f.Status.Members
}
