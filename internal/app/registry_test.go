package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/provider/local"
)

// TestForget: of local members that are not on this machine the MemberClusters go,
// unless nobody can tell, or the hub was restored from elsewhere: then they are
// where it came from, until a person says that this hub takes the other's place.
func TestForget(t *testing.T) {
	all, left := []string{"cloud", "here", "there"}, []string{"cloud", "here"}
	for _, test := range []struct {
		name   string
		folder bool
		// madeBy is the hub that made the upgrade it holds.
		madeBy   string
		approved bool
		want     []string
	}{
		{name: "a member that was deleted", folder: true, madeBy: "uid-of-this", want: left},
		{name: "no folder to look into", madeBy: "uid-of-this", want: all},
		{name: "a restored hub", folder: true, madeBy: "uid-of-another", want: all},
		{name: "a restored hub that takes over", folder: true, madeBy: "uid-of-another", approved: true, want: left},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if test.folder {
				if err := os.MkdirAll(filepath.Join(dir, "local", "here"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			scheme, err := newScheme()
			if err != nil {
				t.Fatal(err)
			}
			meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "refit", Name: name} }
			objects := []client.Object{
				&v1.MemberCluster{ObjectMeta: meta("cloud"), Spec: v1.MemberClusterSpec{Provider: v1.MemberProvider{Fake: &v1.FakeProvider{}}}},
				&v1.ClusterUpgrade{ObjectMeta: meta("here.1"), Spec: v1.ClusterUpgradeSpec{Member: "here", Hub: test.madeBy}},
			}
			for _, name := range []string{"here", "there"} {
				spec := v1.MemberClusterSpec{Provider: v1.MemberProvider{Local: &v1.LocalProvider{Name: name}}}
				objects = append(objects, &v1.MemberCluster{ObjectMeta: meta(name), Spec: spec})
			}
			if test.approved {
				objects = append(objects, &v1.Approval{ObjectMeta: meta("yes"), Spec: v1.ApprovalSpec{
					Subject: v1.SubjectTakeOver, Hub: "uid-of-this", Name: test.madeBy,
				}})
			}
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
			r := &registry{client: c, namespace: "refit", members: local.Members{Dir: dir}, alone: true, uid: "uid-of-this"}
			if err := r.forget(t.Context()); err != nil {
				t.Fatal(err)
			}
			var members v1.MemberClusterList
			if err := c.List(t.Context(), &members); err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, mc := range members.Items {
				names = append(names, mc.Name)
			}
			if diff := cmp.Diff(test.want, names); diff != "" {
				t.Errorf("members left (-want +got):\n%s", diff)
			}
		})
	}
}
