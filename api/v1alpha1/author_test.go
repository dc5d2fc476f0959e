package v1alpha1_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/deploy/chart"
	"refit.dev/refit/internal/hub"
)

const wantAnn = `the annotation refit.dev/by says who said so and never changes: it would have to be "ann"`

// TestAuthor: who created a Freeze or an Approval is written on it, and whoever
// says otherwise is refused or overruled.
func TestAuthor(t *testing.T) {
	config := startHub(t)
	ann, ben := as(t, config, "ann", "system:masters"), as(t, config, "ben", "system:masters")
	policies, err := chart.Policies()
	if err != nil {
		t.Fatal(err)
	}

	// Before v1.36 an API server has no policies that write.
	refusing := slices.DeleteFunc(slices.Clone(policies), func(policy *unstructured.Unstructured) bool {
		return strings.HasPrefix(policy.GetKind(), "Mutating")
	})
	if len(refusing) != 2 || len(policies) != 4 {
		t.Fatalf("%d policies, %d of them refuse; want 4, and 2", len(policies), len(refusing))
	}
	if err := hub.InstallPolicies(t.Context(), config, refusing); err != nil {
		t.Fatal(err)
	}
	eventually(t, "who is not true is refused", func() error {
		err := ann.Create(t.Context(), by(t, goodFreeze, "ben"), client.DryRunAll)
		if err == nil {
			return errors.New("it is admitted")
		}
		return nil
	})
	for _, good := range []string{goodFreeze, goodApproval} {
		t.Run("refused "+parse(t, good).GetKind(), func(t *testing.T) {
			judgeRefusal(t, ann.Create(t.Context(), by(t, good, "ben")), wantAnn)
			judgeRefusal(t, ann.Create(t.Context(), by(t, good, "")), wantAnn)
			judgeRefusal(t, ann.Create(t.Context(), parse(t, good)), wantAnn)
			object := by(t, good, "ann")
			judgeRefusal(t, ann.Create(t.Context(), object), "")
			stays(t, object, ann, ben)
			judgeRefusal(t, ben.Delete(t.Context(), object), "")
		})
	}

	for _, good := range []string{goodFleet, goodRelease} {
		t.Run("refused "+parse(t, good).GetKind(), func(t *testing.T) { specRefused(t, good, ann, ben) })
	}

	if err := hub.InstallPolicies(t.Context(), config, policies); err != nil {
		t.Fatal(err)
	}
	eventually(t, "who is not true is overruled", func() error {
		return ann.Create(t.Context(), by(t, goodFreeze, "ben"), client.DryRunAll)
	})
	for _, good := range []string{goodFreeze, goodApproval} {
		t.Run("overruled "+parse(t, good).GetKind(), func(t *testing.T) {
			for _, object := range []*unstructured.Unstructured{by(t, good, "ben"), by(t, good, ""), parse(t, good), by(t, good, "ann")} {
				object.SetAnnotations(merged(object.GetAnnotations(), "ticket", "4711"))
				judgeRefusal(t, ann.Create(t.Context(), object), "")
				if got := object.GetAnnotations(); got[v1.ByAnnotation] != "ann" || got["ticket"] != "4711" {
					t.Errorf("annotations are %q, want ann's name, and what was there", got)
				}
				stays(t, object, ann, ben)
				judgeRefusal(t, ann.Delete(t.Context(), object), "")
			}
			bare := parse(t, good)
			judgeRefusal(t, ben.Create(t.Context(), bare), "")
			if got := bare.GetAnnotations(); len(got) != 1 || got[v1.ByAnnotation] != "ben" {
				t.Errorf("annotations of what had none are %q, want ben's name", got)
			}
		})
	}
	for good, change := range map[string][2]string{goodFleet: {"spec.bake", "3m"}, goodRelease: {"spec.withdrawn", "{reason: broken}"}} {
		t.Run("overruled "+parse(t, good).GetKind(), func(t *testing.T) { specOverruled(t, good, change, ann, ben) })
	}
	t.Run("a member that is forgotten", func(t *testing.T) { forgottenBy(t, ann, ben) })
	t.Run("the end of an upgrade", func(t *testing.T) { endedBy(t, ann, ben) })
	if err := hub.InstallPolicies(t.Context(), config, policies); err != nil {
		t.Errorf("install once more: %v", err)
	}
}

// specRefused: on an API server that writes nothing, the author of a spec may be left
// out, and is not another.
func specRefused(t *testing.T, good string, ann, ben client.Client) {
	judgeRefusal(t, ann.Create(t.Context(), by(t, good, "ben")), wantAnn)
	object := parse(t, good)
	judgeRefusal(t, ann.Create(t.Context(), object), "")
	object.SetAnnotations(map[string]string{v1.ByAnnotation: "ben"})
	judgeRefusal(t, ben.Update(t.Context(), object), `it would have to be ""`)
	judgeRefusal(t, ben.Delete(t.Context(), parse(t, good)), "")
}

// specOverruled: whoever changes a spec is written on it; whoever changes anything
// else is not, and neither changes nor loses who did.
func specOverruled(t *testing.T, good string, change [2]string, ann, ben client.Client) {
	judge := func(object *unstructured.Unstructured, want string) {
		t.Helper()
		if got := object.GetAnnotations()[v1.ByAnnotation]; got != want {
			t.Errorf("it is %q's, want %q's", got, want)
		}
	}
	object := by(t, good, "ben")
	judgeRefusal(t, ann.Create(t.Context(), object), "")
	judge(object, "ann")
	object.SetLabels(map[string]string{"seen": "yes"})
	judgeRefusal(t, ben.Update(t.Context(), object), "")
	judge(object, "ann")
	object.SetAnnotations(nil)
	judgeRefusal(t, ben.Update(t.Context(), object), "")
	judge(object, "ann")
	object.SetAnnotations(map[string]string{v1.ByAnnotation: "ben"})
	judgeRefusal(t, ben.Update(t.Context(), object), "")
	judge(object, "ann")
	object.SetAnnotations(map[string]string{v1.ByAnnotation: "ann"})
	setPath(t, object, change[0], change[1])
	judgeRefusal(t, ben.Update(t.Context(), object), "")
	judge(object, "ben")
	judgeRefusal(t, ben.Delete(t.Context(), object), "")
}

// forgottenBy: who has a member forgotten is written on it, and nobody else.
func forgottenBy(t *testing.T, ann, ben client.Client) {
	object := parse(t, goodMember)
	judgeRefusal(t, ann.Create(t.Context(), object), "")
	object.SetAnnotations(map[string]string{"ticket": "4711"})
	judgeRefusal(t, ann.Update(t.Context(), object), "")
	if got := object.GetAnnotations()[v1.ByAnnotation]; got != "" {
		t.Errorf("a member that stays is %q's", got)
	}
	claimed := object.DeepCopy()
	claimed.SetAnnotations(map[string]string{v1.ByAnnotation: "ann"})
	judgeRefusal(t, ann.Update(t.Context(), claimed), `it would have to be ""`)
	object.SetAnnotations(map[string]string{v1.ForgetAnnotation: "the account is closed", v1.ByAnnotation: "ann"})
	judgeRefusal(t, ben.Update(t.Context(), object), "")
	if got := object.GetAnnotations()[v1.ByAnnotation]; got != "ben" {
		t.Errorf("forgotten by %q, want ben", got)
	}
	judgeRefusal(t, ann.Delete(t.Context(), object), "")
}

// endedBy: who ends an upgrade is written on it, whoever they say they are; who
// writes anything else on it is not, and changes nothing of that.
func endedBy(t *testing.T, ann, ben client.Client) {
	judgeRefusal(t, ann.Create(t.Context(), by(t, goodUpgrade, "ben")), `it would have to be ""`)
	object := parse(t, goodUpgrade)
	judgeRefusal(t, ann.Create(t.Context(), object), "")
	object.SetLabels(map[string]string{"seen": "yes"})
	judgeRefusal(t, ann.Update(t.Context(), object), "")
	if got := object.GetAnnotations()[v1.ByAnnotation]; got != "" {
		t.Errorf("an upgrade that goes on is %s's", got)
	}
	claimed := object.DeepCopy()
	claimed.SetAnnotations(map[string]string{v1.ByAnnotation: "ann"})
	judgeRefusal(t, ann.Update(t.Context(), claimed), `it would have to be ""`)

	object.SetAnnotations(map[string]string{v1.ByAnnotation: "ann"})
	setPath(t, object, "spec.end", "Abort")
	setPath(t, object, "spec.endReason", "wrong night")
	judgeRefusal(t, ben.Update(t.Context(), object), "")
	if got := object.GetAnnotations()[v1.ByAnnotation]; got != "ben" {
		t.Errorf("ended by %q, want ben", got)
	}
	object.SetAnnotations(map[string]string{v1.ByAnnotation: "ann"})
	judgeRefusal(t, ann.Update(t.Context(), object), `it would have to be "ben"`)
}

// stays: nobody changes that ann created it, nor takes that out; all else may change.
func stays(t *testing.T, object *unstructured.Unstructured, people ...client.Client) {
	t.Helper()
	for _, person := range people {
		for _, name := range []string{"ben", ""} {
			changed := object.DeepCopy()
			changed.SetAnnotations(merged(object.GetAnnotations(), v1.ByAnnotation, name))
			judgeRefusal(t, person.Update(t.Context(), changed), wantAnn)
		}
		bare := object.DeepCopy()
		bare.SetAnnotations(nil)
		judgeRefusal(t, person.Update(t.Context(), bare), wantAnn)
		changed := object.DeepCopy()
		changed.SetAnnotations(merged(object.GetAnnotations(), "seen", "yes"))
		judgeRefusal(t, person.Update(t.Context(), changed, client.DryRunAll), "")
	}
}

// by is an object that claims to be somebody's.
func by(t *testing.T, text, name string) *unstructured.Unstructured {
	t.Helper()
	object := parse(t, text)
	object.SetAnnotations(map[string]string{v1.ByAnnotation: name})
	return object
}

func merged(annotations map[string]string, key, value string) map[string]string {
	all := map[string]string{key: value}
	for k, v := range annotations {
		if k != key {
			all[k] = v
		}
	}
	return all
}

// eventually waits for a policy, which an API server heeds a moment after it
// was installed.
func eventually(t *testing.T, what string, condition func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within a minute: %v", what, err)
		}
	}
}
