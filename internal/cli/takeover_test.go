package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
)

// upgradeBy is an upgrade that a hub made, and what it waits for.
func upgradeBy(hub, code, object string, ended bool) v1.ClusterUpgrade {
	up := v1.ClusterUpgrade{ObjectMeta: metav1.ObjectMeta{Namespace: "refit", Name: "one.1"}, Spec: v1.ClusterUpgradeSpec{Member: "one", Hub: hub}}
	up.Status.Why = &v1.Why{Code: code, Object: object}
	if ended {
		up.Status.Conditions = []metav1.Condition{{Type: v1.ConditionEnded, Status: metav1.ConditionTrue}}
	}
	return up
}

// A take-over from a hub that stands in nobody's way is refused: somebody has
// misspelt something.
func TestTakeOver(t *testing.T) {
	const none = `nothing to take over: no hub "old" stands in the way of this one; there are: `
	for _, test := range []struct {
		name     string
		uid      string
		upgrades []v1.ClusterUpgrade
		want     string // empty where it is approved
	}{
		{"made what was restored", "me", []v1.ClusterUpgrade{upgradeBy("old", "Done", "", true)}, ""},
		{"has claimed a member", "me", []v1.ClusterUpgrade{upgradeBy("me", "ClaimedElsewhere", "hub old", false)}, ""},
		{"had claimed a member", "me", []v1.ClusterUpgrade{upgradeBy("me", "ClaimedElsewhere", "hub old", true)}, none + "none"},
		{"is spoken of otherwise", "me", []v1.ClusterUpgrade{upgradeBy("me", "Unhealthy", "hub old", false)}, none + "none"},
		{"is another", "me", []v1.ClusterUpgrade{upgradeBy("older", "ClaimedElsewhere", "hub oldest", false)}, none + "older, oldest"},
		{"is this one", "old", []v1.ClusterUpgrade{upgradeBy("old", "", "", true)}, none + "none"},
		{"is not there", "me", nil, none + "none"},
		{"of a hub that never ran", "", []v1.ClusterUpgrade{upgradeBy("old", "", "", true)}, `nothing to take over: the hub has not told yet who it is; see "refit up"`},
	} {
		spec, err := takeOver(sight{uid: test.uid, Hub: observe.Hub{Upgrades: test.upgrades}}, "old")
		if err != nil && err.Error() != test.want || err == nil && test.want != "" {
			t.Errorf("%s:\ngot  %v\nwant %s", test.name, err, test.want)
		}
		if want := (v1.ApprovalSpec{Subject: "TakeOver", Hub: "me", Name: "old"}); test.want == "" && spec != want {
			t.Errorf("%s: approved is %s", test.name, cmp.Diff(want, spec))
		}
	}
}

// TestLook: who a hub is it tells itself, and one that never did is not held.
func TestLook(t *testing.T) {
	s, err := scheme()
	if err != nil {
		t.Fatal(err)
	}
	up := upgradeBy("old", "", "", true)
	tells := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "refit", Name: "refit-hub"}, Data: map[string]string{"uid": "me"}}
	h := &hub{namespace: "refit", client: fake.NewClientBuilder().WithScheme(s).WithObjects(&up).Build()}
	if seen, err := h.look(t.Context()); err != nil || seen.uid != "" || !seen.held.IsZero() || len(seen.Upgrades) != 1 {
		t.Errorf("a hub that never ran is %+v, %v", seen, err)
	}
	h.client = fake.NewClientBuilder().WithScheme(s).WithObjects(&up, tells).Build()
	if seen, err := h.look(t.Context()); err != nil || seen.uid != "me" || seen.held.Code != "RestoredHub" || seen.held.Object != "hub old" {
		t.Errorf("a restored hub is %+v, %v", seen, err)
	}
}
