package addon_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	kubefake "helm.sh/helm/v4/pkg/kube/fake"
	rcommon "helm.sh/helm/v4/pkg/release/common"
	helm "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/client-go/rest"

	"refit.dev/refit/internal/addon"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/member"
)

const (
	us     = "0a1b2c3d-0000-4000-8000-000000000001"
	before = "0a1b2c3d-0000-4000-8000-000000000000"
)

// bench is a member whose API server takes everything, or refuses what is changed.
// What a real one does with releases is shown in the journeys.
type bench struct {
	*testing.T
	addon.Helm

	kube     kubefake.FailingKubeClient
	releases *storage.Storage
	what     fleet.Helm
}

func newBench(t *testing.T, versions ...string) *bench {
	b := &bench{T: t, releases: storage.Init(driver.NewMemory())}
	b.kube.PrintingKubeClient = kubefake.PrintingKubeClient{Out: io.Discard}
	b.what = fleet.Helm{Repository: newRepository(t, versions...).URL, Chart: "dns", Namespace: "kube-system", Release: "coredns", Values: `{"replicas":2}`}
	b.Configure = func(*rest.Config, string) (*action.Configuration, error) {
		return &action.Configuration{Releases: b.releases, KubeClient: &b.kube, Capabilities: common.DefaultCapabilities}, nil
	}
	return b
}

// upgrade has an upgrade take the release to a version.
func (b *bench) upgrade(version, upgrade string, after int) {
	b.Helper()
	if err := b.Upgrade(b.Context(), nil, b.what, version, upgrade, after); err != nil {
		b.Fatal(err)
	}
}

// wants judges what is seen, but for when and in which words.
func (b *bench) wants(want fleet.AddOn) {
	b.Helper()
	want.Name = "dns"
	seen := b.Observe(b.Context(), nil, []fleet.WantedAddOn{{Name: "dns", Helm: b.what}})
	if diff := cmp.Diff([]fleet.AddOn{want}, seen, cmpopts.IgnoreFields(fleet.AddOn{}, "Since", "Message")); diff != "" {
		b.Errorf("seen (-want +got):\n%s", diff)
	}
}

// last is the newest revision.
func (b *bench) last() *helm.Release {
	b.Helper()
	found, err := b.releases.Last("coredns")
	if err != nil {
		b.Fatal(err)
	}
	return found.(*helm.Release)
}

func version(t *testing.T, text string) fleet.Version {
	t.Helper()
	v, ok := fleet.ParseVersion(text)
	if !ok {
		t.Fatalf("%q is no version", text)
	}
	return v
}

// TestUpgradeAndTakeBack: a release is installed, upgraded, and taken back; what is
// seen says by whom each time.
func TestUpgradeAndTakeBack(t *testing.T) {
	b := newBench(t, "1.11.0", "1.12.0")
	old, fresh := version(t, "1.11.0"), version(t, "1.12.0")
	values := b.what.Values
	b.wants(fleet.AddOn{Phase: fleet.Absent})
	b.upgrade("1.11.0", before, 0)
	b.wants(fleet.AddOn{Phase: fleet.Deployed, Version: old, Values: values, Revision: 1, By: before})
	b.upgrade("1.12.0", us, 1)
	b.wants(fleet.AddOn{Phase: fleet.Deployed, Version: fresh, Values: values, Revision: 2, By: us, Tried: []string{before}, Back: old})
	if err := b.TakeBack(nil, b.what, us, 2); err != nil {
		t.Fatal(err)
	}
	b.wants(fleet.AddOn{
		Phase: fleet.Deployed, Version: old, Values: values, Revision: 3, By: us, TakenBack: true, Tried: []string{before, us}, Back: old,
	})
	b.what.Values = `{"replicas":3}`
	b.upgrade("1.12.0", before, 3)
	b.wants(fleet.AddOn{Phase: fleet.Deployed, Version: fresh, Values: b.what.Values, Revision: 4, By: before, Tried: []string{before, us, us}, Back: old})
}

// TestChangesByOthers are not taken for Refit's, though Helm copies its labels to
// them.
func TestChangesByOthers(t *testing.T) {
	b := newBench(t, "1.11.0", "1.12.0")
	b.upgrade("1.11.0", us, 0)
	configuration, _ := b.Configure(nil, "")
	chart, err := b.Charts.Fetch(t.Context(), addon.Chart{Repository: b.what.Repository, Name: "dns", Version: "1.12.0"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := action.NewUpgrade(configuration).RunWithContext(t.Context(), "coredns", chart, nil); err != nil {
		t.Fatal(err)
	}
	b.wants(fleet.AddOn{Phase: fleet.Deployed, Version: version(t, "1.12.0"), Values: b.what.Values, Revision: 2, Tried: []string{us}})
}

// TestRefusedByTheMember: what was begun and refused is told by the release, not by
// an error; and can be taken back.
func TestRefusedByTheMember(t *testing.T) {
	b := newBench(t, "1.11.0", "1.12.0")
	b.upgrade("1.11.0", before, 0)
	b.kube.UpdateError = errors.New("admission webhook says no")
	b.upgrade("1.12.0", us, 1)
	want := fleet.AddOn{
		Phase: fleet.Broken, Version: version(t, "1.12.0"), Values: b.what.Values, Revision: 2, By: us, Tried: []string{before}, Back: version(t, "1.11.0"),
	}
	b.wants(want)
	seen := b.Observe(t.Context(), nil, []fleet.WantedAddOn{{Name: "dns", Helm: b.what}})[0]
	if !strings.Contains(seen.Message, "admission webhook says no") {
		t.Errorf("message %q does not say why", seen.Message)
	}
	b.kube.UpdateError = nil
	if err := b.TakeBack(nil, b.what, us, 2); err != nil {
		t.Fatal(err)
	}
	b.wants(fleet.AddOn{
		Phase: fleet.Deployed, Version: version(t, "1.11.0"), Values: b.what.Values, Revision: 3, By: us, TakenBack: true,
		Tried: []string{before, us}, Back: version(t, "1.11.0"),
	})
}

// TestLeftPending: what a process left half done is pending, is ended, and can then be
// begun anew.
func TestLeftPending(t *testing.T) {
	for _, status := range []rcommon.Status{rcommon.StatusPendingUpgrade, rcommon.StatusPendingRollback} {
		t.Run(string(status), func(t *testing.T) {
			b := newBench(t, "1.11.0", "1.12.0")
			b.upgrade("1.11.0", before, 0)
			b.upgrade("1.12.0", us, 1)
			back := status == rcommon.StatusPendingRollback
			if back {
				if err := b.TakeBack(nil, b.what, us, 2); err != nil {
					t.Fatal(err)
				}
			}
			last := b.last()
			last.Info.Status = status
			if err := b.releases.Update(last); err != nil {
				t.Fatal(err)
			}
			want := fleet.AddOn{
				Phase: fleet.Pending, Version: version(t, last.Chart.Metadata.Version), Values: b.what.Values, Revision: last.Version,
				By: us, TakenBack: back, Tried: []string{before}, Back: version(t, "1.11.0"),
			}
			if back {
				want.Tried = append(want.Tried, us)
			}
			b.wants(want)
			if err := b.Unlock(nil, b.what, last.Version-1); !errors.Is(err, member.ErrChanged) {
				t.Errorf("another revision is unlocked: %v", err)
			}
			if err := b.Unlock(nil, b.what, last.Version); err != nil {
				t.Fatal(err)
			}
			want.Phase = fleet.Broken
			b.wants(want)
			if !back && !strings.HasPrefix(b.last().Info.Description, fleet.LeftPending) {
				t.Errorf("description %q", b.last().Info.Description)
			}
			if err := b.Unlock(nil, b.what, last.Version); !errors.Is(err, member.ErrChanged) {
				t.Errorf("unlocked twice: %v", err)
			}
			b.upgrade("1.12.0", us, last.Version)
		})
	}
}

// TestLateCallsDoNothing: who saw another revision is told so.
func TestLateCallsDoNothing(t *testing.T) {
	b := newBench(t, "1.11.0", "1.12.0")
	b.upgrade("1.11.0", us, 0)
	for name, err := range map[string]error{
		"upgrade":           b.Upgrade(t.Context(), nil, b.what, "1.12.0", us, 0),
		"take back":         b.TakeBack(nil, b.what, us, 0),
		"take back nothing": b.TakeBack(nil, b.what, us, 1),
		"unlock":            b.Unlock(nil, b.what, 1),
	} {
		if !errors.Is(err, member.ErrChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := b.last().Version; got != 1 {
		t.Errorf("revision %d", got)
	}
}
