package app_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/app"
	"refit.dev/refit/internal/cli"
)

// "refit up" takes a made-up member to its fleet's release where it was started
// with --fake-provider, and says what is missing where it was not.
func TestUpWithMadeUpMembers(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dataDir := t.TempDir()
	member := &v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "eu-1"},
		Spec:       v1.MemberClusterSpec{Provider: v1.MemberProvider{Fake: &v1.FakeProvider{}}},
	}
	ready := func(mc *v1.MemberCluster) *metav1.Condition {
		return meta.FindStatusCondition(mc.Status.Conditions, v1.ConditionReady)
	}

	runUp(t, cli.UpOptions{DataDir: dataDir}, func(c client.Client) {
		for _, object := range []client.Object{
			member,
			&v1.Release{ObjectMeta: metav1.ObjectMeta{Name: "2026.11"}, Spec: v1.ReleaseSpec{Bundle: v1.Bundle{Kubernetes: "v1.36.3"}}},
			&v1.Fleet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "main"}, Spec: v1.FleetSpec{
				Release: "2026.11", Waves: []v1.Wave{{Name: "all", MaxConcurrent: intstr.FromInt32(1), MinSuccess: intstr.FromString("100%")}},
				Settle: metav1.Duration{Duration: time.Second}, Bake: metav1.Duration{Duration: time.Second},
			}},
		} {
			if err := c.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}
		await(t, c, "eu-1", &v1.MemberCluster{}, func(mc *v1.MemberCluster) bool {
			return ready(mc) != nil && ready(mc).Status == metav1.ConditionUnknown && ready(mc).Reason == "Unreachable"
		})
	})
	runUp(t, cli.UpOptions{DataDir: dataDir, FakeProvider: true}, func(c client.Client) {
		await(t, c, "eu-1.1", &v1.ClusterUpgrade{}, func(up *v1.ClusterUpgrade) bool {
			ended := meta.FindStatusCondition(up.Status.Conditions, v1.ConditionEnded)
			return ended != nil && ended.Status == metav1.ConditionTrue && ended.Reason == "Done"
		})
		await(t, c, "eu-1", &v1.MemberCluster{}, func(mc *v1.MemberCluster) bool {
			return mc.Status.ControlPlane.Version == "v1.36.3" && mc.Status.Nodes == (v1.NodesStatus{Total: 3, Ready: 3, Oldest: "v1.36.3"})
		})
	})
}

// runUp runs "refit up" for as long as something is done with its hub.
func runUp(t *testing.T, options cli.UpOptions, do func(client.Client)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	up, ended := make(chan struct{}), make(chan error, 1)
	options.Namespace, options.Out, options.Ready = namespace, t.Output(), func() { close(up) }
	go func() { ended <- app.Up(ctx, options) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-up:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(options.DataDir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	do(c)
}

// await reads an object until it is as it should be.
func await[T client.Object](t *testing.T, c client.Client, name string, object T, met func(T) bool) {
	t.Helper()
	for begun := time.Now(); ; <-time.After(50 * time.Millisecond) {
		err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, object)
		if err == nil && met(object) {
			return
		}
		if time.Since(begun) > 2*time.Minute {
			t.Fatalf("%s is not so within two minutes: %v, %+v", name, err, object)
		}
	}
}
