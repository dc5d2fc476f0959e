package fleet_test

import (
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"refit.dev/refit/internal/fleet"
)

// nodes are joined, Ready nodes of the versions; "?" is a machine that has not
// joined, "" a kubelet of unknown version.
func nodes(t *testing.T, versions ...string) []fleet.Node {
	t.Helper()
	var list []fleet.Node
	for i, text := range versions {
		node := fleet.Node{Name: string(rune('a' + i)), UID: "uid-" + string(rune('a'+i)), Ready: true}
		switch text {
		case "?":
			node.UID, node.Ready = "", false
		case "":
		default:
			node.Version = version(t, text)
		}
		list = append(list, node)
	}
	return list
}

func TestOldestNode(t *testing.T) {
	for _, test := range []struct {
		name  string
		nodes []string
		want  fleet.Version
	}{
		{name: "no node"},
		{name: "the oldest, wherever it stands", nodes: []string{"v1.36.1", "v1.35.2", "v1.37.0"}, want: fleet.Version{Major: 1, Minor: 35, Patch: 2}},
		{name: "a machine that has not joined has no say", nodes: []string{"?", "v1.36.1"}, want: fleet.Version{Major: 1, Minor: 36, Patch: 1}},
		{name: "an unknown kubelet is older than all", nodes: []string{"v1.36.1", "", "v1.35.1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			list := nodes(t, test.nodes...)
			c := fleet.Cluster{Pools: []fleet.Pool{{Nodes: list[:len(list)/2]}, {Nodes: list[len(list)/2:]}}}
			if got := c.OldestNode(); got != test.want {
				t.Errorf("OldestNode() = %v; want %v", got, test.want)
			}
		})
	}
}

func TestReached(t *testing.T) {
	for _, test := range []struct {
		name         string
		controlPlane string
		nodes        []string
		want         string
		picksPatch   bool
		reached      bool
	}{
		{name: "every part", controlPlane: "v1.37.2", nodes: []string{"v1.37.2", "v1.37.2"}, want: "v1.37.2", reached: true},
		{name: "no nodes", controlPlane: "v1.37.2", want: "v1.37.2", reached: true},
		{name: "ahead counts as there", controlPlane: "v1.38.0", nodes: []string{"v1.37.9"}, want: "v1.37.2", reached: true},
		{name: "a vendor's build of the version", controlPlane: "v1.37.2-gke.900", nodes: []string{"v1.37.2+k3s1"}, want: "v1.37.2", reached: true},
		{name: "control plane behind", controlPlane: "v1.37.1", nodes: []string{"v1.37.2"}, want: "v1.37.2"},
		{name: "one node behind", controlPlane: "v1.37.2", nodes: []string{"v1.37.2", "v1.37.1"}, want: "v1.37.2"},
		{name: "one node not joined", controlPlane: "v1.37.2", nodes: []string{"v1.37.2", "?"}, want: "v1.37.2"},
		{name: "a kubelet unknown", controlPlane: "v1.37.2", nodes: []string{""}, want: "v1.37.2"},
		{name: "a pre-release is not there", controlPlane: "v1.37.0-rc.1", want: "1.37"},
		{name: "an older build of the vendor", controlPlane: "v1.37.2-gke.900", want: "v1.37.2-gke.1200"},
		{name: "a provider that picks patches: the minor counts", controlPlane: "1.37", nodes: []string{"v1.37.0-eks-3a1b2c"}, want: "v1.37.2", picksPatch: true, reached: true},
		{name: "and no vendor's build", controlPlane: "1.37", want: "v1.37.2-gke.900", picksPatch: true, reached: true},
		{name: "and it alone", controlPlane: "1.36", want: "v1.37.2", picksPatch: true},
		{name: "its pre-release is not there either", controlPlane: "v1.37.0-rc.1", want: "v1.37.2-gke.1", picksPatch: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := fleet.Cluster{
				ControlPlane: fleet.ControlPlane{Oldest: version(t, test.controlPlane)},
				Pools:        []fleet.Pool{{Nodes: nodes(t, test.nodes...)}},
				PicksPatch:   test.picksPatch,
			}
			if got := c.Reached(version(t, test.want)); got != test.reached {
				t.Errorf("Reached(%s) = %t; want %t", test.want, got, test.reached)
			}
		})
	}
}

func TestReachedIsFalseForTheUnknown(t *testing.T) {
	if (fleet.Cluster{}).Reached(version(t, "v1.37.2")) {
		t.Error("a cluster that nobody has seen is said to be there")
	}
}

func TestSick(t *testing.T) {
	ready := fleet.ControlPlane{Ready: true}
	for _, test := range []struct {
		name    string
		cluster fleet.Cluster
		want    fleet.Reason
	}{
		{name: "healthy", cluster: fleet.Cluster{ControlPlane: ready, Pools: []fleet.Pool{{Nodes: nodes(t, "v1.36.0")}}}},
		{
			name: "control plane first",
			cluster: fleet.Cluster{
				Name: "eu-1", ControlPlane: fleet.ControlPlane{Message: "connection refused", Fix: "mend it"},
				Pools: []fleet.Pool{{Nodes: nodes(t, "?")}},
			},
			want: fleet.Reason{Code: fleet.Unhealthy, Message: "control plane is not ready: connection refused", Object: "cluster eu-1", Fix: "mend it"},
		},
		{
			name: "then the first node that is not Ready",
			cluster: fleet.Cluster{ControlPlane: ready, Pools: []fleet.Pool{
				{Nodes: nodes(t, "v1.36.0")},
				{Nodes: []fleet.Node{{Name: "sick", Message: "kubelet stopped posting node status"}, {Name: "sicker"}}},
			}},
			want: fleet.Reason{
				Code: fleet.Unhealthy, Message: "node sick is not Ready: kubelet stopped posting node status", Object: "node sick",
				Fix: "repair or remove the node; the upgrade goes on by itself",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.cluster.Sick()
			if diff := gocmp.Diff(test.want, got); diff != "" {
				t.Errorf("Sick() (-want +got):\n%s", diff)
			}
			if got.IsZero() != (test.want.Code == "") {
				t.Errorf("IsZero() = %t of %v", got.IsZero(), got)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	if got := (fleet.Budget{Namespace: "shop", Name: "cart"}).Key(); got != "shop/cart" {
		t.Errorf("a budget's key is %q", got)
	}
	if got := (fleet.Pod{Namespace: "shop", Name: "cart-1"}).Key(); got != "shop/cart-1" {
		t.Errorf("a pod's key is %q", got)
	}
}

// TestToken: equal changes have equal tokens, and no two changes share one.
// The form is what the strictest of the clouds' idempotency tokens allow.
func TestToken(t *testing.T) {
	if got, want := fleet.Token("cluster", "upgrade", "pool/a/template"), fleet.Token("cluster", "upgrade", "pool/a/template"); got != want {
		t.Errorf("equal parts give %s and %s", got, want)
	}
	part := rapid.SampledFrom([]string{"", "a", "/", "a/", "/a", "a/a", `"`, `","`, "\xff", "�"})
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.SliceOfN(part, 0, 4).Draw(t, "a"), rapid.SliceOfN(part, 0, 4).Draw(t, "b")
		same := gocmp.Equal(a, b)
		if got := fleet.Token(a...) == fleet.Token(b...); got != same {
			t.Errorf("tokens of %q and %q are equal: %t", a, b, got)
		}
		if token := fleet.Token(a...); len(token) != 32 || strings.Trim(token, "0123456789abcdef") != "" {
			t.Errorf("token %q is not 32 hexadecimal digits", token)
		}
	})
}

func TestReasonIsZero(t *testing.T) {
	if !(fleet.Reason{Message: "a message is no reason", Since: time.Unix(1, 0)}).IsZero() {
		t.Error("a reason without a code is one")
	}
	if (fleet.Reason{Code: fleet.Baking}).IsZero() {
		t.Error("a reason with a code is none")
	}
}
