package app

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestIdentify: a hub is the same at every start, and another one once its
// object was made anew from a backup, or its data lie beside another file.
func TestIdentify(t *testing.T) {
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	create := func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
		made++
		object.SetUID(types.UID(fmt.Sprintf("uid-%d", made))) // as an API server does, whatever is asked for
		return c.Create(ctx, object, opts...)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{Create: create}).Build()
	told := func() *corev1.ConfigMap {
		t.Helper()
		object := &corev1.ConfigMap{}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "refit", Name: "refit-hub"}, object); err != nil {
			t.Fatal(err)
		}
		return object
	}
	start := func(own, want string) {
		t.Helper()
		got, err := identify(t.Context(), c, "refit", own)
		if err != nil {
			t.Fatal(err)
		}
		if says := told().Data["uid"]; got != want || says != want {
			t.Errorf("it is %s and says %s, want %s", got, says, want)
		}
	}

	start("", "uid-1")
	start("", "uid-1")
	if label := told().Labels["velero.io/exclude-from-backup"]; label != "true" {
		t.Errorf("labels are %v: a backup takes it along", told().Labels)
	}
	backedUp := told()
	if err := c.Delete(t.Context(), backedUp); err != nil {
		t.Fatal(err)
	}
	backedUp.ResourceVersion = ""
	if err := c.Create(t.Context(), backedUp); err != nil { // by a tool that heeds no label
		t.Fatal(err)
	}
	start("", string(told().UID))
	if told().UID == "uid-1" {
		t.Error("what was restored has the UID of what was backed up")
	}

	start("uid-of-file", "uid-of-file")
	start("uid-of-another-file", "uid-of-another-file")
}

// TestIdentifyAtOnce: of two processes that begin at the same time both are told the
// same, though one of them writes before the other.
func TestIdentifyAtOnce(t *testing.T) {
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	others := ""
	first := true
	race := interceptor.Funcs{Update: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.UpdateOption) error {
		if first {
			first = false
			if others, err = identify(ctx, c, "refit", ""); err != nil { // by the other, between our reading and writing
				t.Error(err)
			}
		}
		return c.Update(ctx, object, opts...)
	}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(race).Build()
	object := &corev1.ConfigMap{}
	object.Namespace, object.Name, object.UID = "refit", "refit-hub", "uid-1"
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	got, err := identify(t.Context(), c, "refit", "")
	if err != nil || got != "uid-1" || others != "uid-1" {
		t.Errorf("one is told %q, %v, the other %q; want uid-1", got, err, others)
	}
}
