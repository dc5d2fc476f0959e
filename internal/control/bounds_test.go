package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	clientfake "sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/plan"
	"refit.dev/refit/internal/plan/preflight"
	"refit.dev/refit/internal/plan/upgrade"
)

// How long a status may be, and more text than anything has room for. The worst
// letters take six bytes each.
const (
	memberBound  = 8 << 10
	upgradeBound = 32 << 10
	fleetBound   = 80 << 10
)

var (
	endless = map[string]string{
		"letters": strings.Repeat("no space left on device; ", 1000), "quotes": strings.Repeat(`"`, 20_000),
		"signs": strings.Repeat("<", 20_000), "any script": strings.Repeat("Ж🎄", 10_000),
	}
	vendors = fleet.Version{Major: 1, Minor: 36, Patch: 12, Suffix: "-eks-1a2b3c4d5e"}
	ten     = time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC)
)

// TestBoundOfAnUpgrade fills the status of an upgrade: more of everything than
// is kept, at once, though in life no step has all of it.
func TestBoundOfAnUpgrade(t *testing.T) {
	for name, text := range endless {
		t.Run(name, func(t *testing.T) {
			reason := fleet.Reason{Code: fleet.ProviderFault, Message: text, Object: text, Fix: text}
			step := upgrade.Step{Name: upgrade.ControlPlane, Hop: vendors, Why: reason}
			step.Memory.From = vendors
			for range 200 {
				step.Memory.Records = append(step.Memory.Records, upgrade.Record{Hop: vendors, Step: upgrade.ControlPlane, Entered: ten, Finished: ten})
				step.Findings = append(step.Findings, preflight.Finding{Check: "PoolsRolled", Message: text, Evidence: text, Fix: text})
				step.Path = append(step.Path, vendors)
				step.Actions = append(step.Actions, plan.AddNode{Pool: text, Replaces: text, Token: fleet.Token("x")})
			}
			up := &v1.ClusterUpgrade{ObjectMeta: metav1.ObjectMeta{Namespace: "refit", Name: "eu-1.1"}}
			scheme := runtime.NewScheme()
			if err := v1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			memory := clientfake.NewClientBuilder().WithScheme(scheme).WithObjects(up).WithStatusSubresource(up).Build()
			u := &Upgrades{Client: memory, Clock: clocktesting.NewFakePassiveClock(ten), Log: slog.New(slog.DiscardHandler)}
			up.Status.Refused = whyOf(reason, metav1.NewTime(ten))
			in := upgrade.Input{Target: vendors, Cluster: fleet.Cluster{ControlPlane: fleet.ControlPlane{Ready: true}}}
			if err := u.record(t.Context(), up, in, step); err != nil {
				t.Fatal(err)
			}
			s := up.Status
			if len(s.Steps) != 64 || len(s.Findings) != 20 || len(s.Intents) != 32 || len(s.Conditions) != 4 || len(s.Path) != 8 {
				t.Errorf("kept are %d steps, %d findings, %d intents, %d conditions, a path of %d; want 64, 20, 32, 4, 8",
					len(s.Steps), len(s.Findings), len(s.Intents), len(s.Conditions), len(s.Path))
			}
			judgeSize(t, s, upgradeBound)
		})
	}
}

// TestStepsKept are the newest: what is under way is remembered.
func TestStepsKept(t *testing.T) {
	var memory upgrade.Memory
	for minor := range 100 {
		memory.Records = append(memory.Records, upgrade.Record{Hop: fleet.Version{Major: 1, Minor: minor}, Step: upgrade.Nodes, Entered: ten})
	}
	if steps := stepsOf(memory); steps[0].Hop != "v1.36.0" || steps[len(steps)-1].Hop != "v1.99.0" {
		t.Errorf("kept are hops %s to %s", steps[0].Hop, steps[len(steps)-1].Hop)
	}
}

// TestBoundOfAMember fills the status of a member. Pools that are not listed are
// counted all the same.
func TestBoundOfAMember(t *testing.T) {
	for letters, want := range map[int]int{8: 64, 63: 45} { // a pool's name, and how many such pools are listed
		var cluster fleet.Cluster
		cluster.UID = strings.Repeat("u", 128)
		cluster.ControlPlane = fleet.ControlPlane{Oldest: vendors, Newest: fleet.Version{Major: 1, Minor: 37, Suffix: vendors.Suffix}, Ready: true}
		for i := range 100 {
			pool := fleet.Pool{Name: fmt.Sprintf("%0*d", letters, i)}
			for range 50 {
				pool.Nodes = append(pool.Nodes, fleet.Node{UID: "x", Version: vendors, Ready: true})
			}
			cluster.Pools = append(cluster.Pools, pool)
		}
		for name, text := range endless {
			t.Run(fmt.Sprintf("%s, pools named with %d", name, letters), func(t *testing.T) {
				mc := &v1.MemberCluster{}
				cluster.Source = fleet.Source{
					SourceRef: fleet.SourceRef{File: strings.Repeat("f", 256), URL: strings.Repeat("u", 512)}, Mode: fleet.WriteBack,
					Says: fleet.Declared("1.36.1-" + strings.Repeat("9", 200)), Line: 1 << 40, Commit: strings.Repeat("c", 64),
				}
				setSource(mc, cluster, ten)
				setSeen(&mc.Status, cluster)
				setMemberReady(mc, cluster, errors.New(text), ten)
				for range 9 {
					addForeign(&mc.Status, move{part: "pool " + text, from: vendors, to: vendors}, ten)
				}
				mc.Status.ObservedAt = metav1.NewTime(ten)
				if n := len(mc.Status.Pools); n < want || n > 64 {
					t.Errorf("%d pools are listed, want %d", n, want)
				}
				if mc.Status.Nodes.Total != 5000 {
					t.Errorf("%d nodes are counted, want those of all pools", mc.Status.Nodes.Total)
				}
				judgeSize(t, mc.Status, memberBound)
			})
		}
	}
}

// judgeSize: within the bound, and not so far below it that much was given away.
func judgeSize(t *testing.T, status any, bound int) {
	t.Helper()
	text, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d bytes", len(text), bound)
	if len(text) > bound {
		t.Errorf("the status takes %d bytes, the bound is %d", len(text), bound)
	}
}

func TestClip(t *testing.T) {
	for _, test := range []struct {
		text string
		room int
		want string
	}{
		{"", 10, ""},
		{"ten letter", 10, "ten letter"},
		{"ten letters", 10, "ten let…"},
		{`a "b" c d e`, 10, `a "b"…`},
		{"ЖЖЖЖЖЖ", 10, "ЖЖЖ…"},
		{"a<b>c", 10, "a<…"},
	} {
		got := clip(test.text, test.room)
		encoded, _ := json.Marshal(got)
		if got != test.want || len(encoded)-2 > test.room || !utf8.ValidString(got) {
			t.Errorf("%q in %d is %q, %d bytes; want %q", test.text, test.room, got, len(encoded)-2, test.want)
		}
	}
}
