package local

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

var born = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func parse(t *testing.T, text string) fleet.Version {
	t.Helper()
	v, ok := fleet.ParseVersion(text)
	if !ok {
		t.Fatalf("%q is no version", text)
	}
	return v
}

// testCloud has the pools a, with four machines, and b, with one.
func testCloud(t *testing.T) cloud {
	t.Helper()
	return newCloud(Spec{Version: parse(t, "v1.36.3"), Pools: []PoolSpec{{"a", 4}, {"b", 1}}}, born)
}

// code is the fault's class and code, "" for no error.
func code(err error) string {
	if err == nil {
		return ""
	}
	fault := (*provider.Fault)(nil)
	if !errors.As(err, &fault) {
		return err.Error()
	}
	return fmt.Sprint(fault.Class, " ", fault.Code)
}

func TestNewCloudIsSpread(t *testing.T) {
	c := testCloud(t)
	var zones []string
	ids, addresses := map[string]bool{}, map[string]bool{}
	for _, m := range c.Machines {
		zones = append(zones, m.Pool+m.Zone)
		ids[m.ID], addresses[m.Address] = true, true
	}
	if diff := cmp.Diff([]string{"aa", "ab", "ac", "aa", "ba"}, zones); diff != "" {
		t.Errorf("pools and zones (-want +got):\n%s", diff)
	}
	if len(ids) != 5 || len(addresses) != 5 {
		t.Errorf("ids = %v, addresses = %v; want five of each", ids, addresses)
	}
}

func TestAddressesAreUnique(t *testing.T) {
	c := cloud{}
	seen := map[string]bool{}
	for range 2 * MaxNodes {
		c = c.make(machine{Pool: "a"})
		address := c.Machines[len(c.Machines)-1].Address
		if seen[address] {
			t.Fatalf("%s is given twice", address)
		}
		seen[address] = true
	}
}

func TestAddMachine(t *testing.T) {
	c := testCloud(t)
	replaced := c.Machines[2]
	added, err := c.add(provider.NodeAddition{Pool: "a", Replaces: replaced.ID, Token: "t1"}, born)
	if err != nil {
		t.Fatal(err)
	}
	last := added.Machines[5]
	if last.Zone != replaced.Zone || last.Replaces != replaced.ID || last.Version != "v1.36.3" || last.Pool != "a" {
		t.Errorf("added = %+v, want one like %+v", last, replaced)
	}
	gone, err := added.remove(provider.NodeRemoval{Pool: "a", Instance: last.ID})
	if err != nil {
		t.Fatal(err)
	}
	gone = gone.forget(last.ID)
	tests := map[string]struct {
		cloud    cloud
		addition provider.NodeAddition
		machines int
		want     string
	}{
		"another token":                     {added, provider.NodeAddition{Pool: "a", Token: "t2"}, 7, ""},
		"the same token":                    {added, provider.NodeAddition{Pool: "a", Token: "t1"}, 6, ""},
		"the same token, the machine gone":  {gone, provider.NodeAddition{Pool: "a", Token: "t1"}, 5, ""},
		"replaces one that is gone already": {gone, provider.NodeAddition{Pool: "a", Replaces: last.ID, Token: "t3"}, 6, ""},
		"no token":                          {added, provider.NodeAddition{Pool: "a"}, 6, "Stop Invalid"},
		"no such pool":                      {added, provider.NodeAddition{Pool: "c", Token: "t2"}, 6, "Stop Invalid"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			after, err := test.cloud.add(test.addition, born)
			if code(err) != test.want || len(after.Machines) != test.machines {
				t.Errorf("add = %d machines, %v; want %d, %q", len(after.Machines), err, test.machines, test.want)
			}
		})
	}
	if len(c.Machines) != 5 {
		t.Error("adding changed the cloud it began with")
	}
}

func TestRemoveMachine(t *testing.T) {
	c := testCloud(t)
	id := c.Machines[0].ID
	tests := map[string]struct {
		removal provider.NodeRemoval
		removed bool
		want    string
	}{
		"there":           {provider.NodeRemoval{Pool: "a", Instance: id}, true, ""},
		"gone":            {provider.NodeRemoval{Pool: "a", Instance: "a-never"}, false, ""},
		"of another pool": {provider.NodeRemoval{Pool: "b", Instance: id}, false, "Stop Invalid"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			after, err := c.remove(test.removal)
			if code(err) != test.want || after.find(id).Removed != test.removed {
				t.Errorf("remove = %+v, %v", after.find(id), err)
			}
			if c.find(id).Removed {
				t.Error("removing changed the cloud it began with")
			}
		})
	}
}

func TestSetTemplate(t *testing.T) {
	at := parse(t, "v1.36.5")
	first, err := testCloud(t).setTemplate(templateChange{Token: "t0", Pool: "a", From: "v1.36.3", To: "v1.36.4"}, at)
	if err != nil {
		t.Fatal(err)
	}
	begin := first.cloud
	tests := map[string]struct {
		change   templateChange
		template string
		want     string
	}{
		"forward":                         {templateChange{Token: "t1", Pool: "a", From: "v1.36.4", To: "v1.36.5"}, "v1.36.5", ""},
		"there already":                   {templateChange{Token: "t1", Pool: "a", From: "v1.36.3", To: "v1.36.4"}, "v1.36.4", ""},
		"the same token":                  {templateChange{Token: "t0", Pool: "a", From: "v1.36.3", To: "v1.36.4"}, "v1.36.4", ""},
		"from elsewhere":                  {templateChange{Token: "t1", Pool: "a", From: "v1.36.1", To: "v1.36.5"}, "", "Stop Changed"},
		"newer than the control plane":    {templateChange{Token: "t1", Pool: "a", From: "v1.36.4", To: "v1.36.6"}, "", "Stop Invalid"},
		"a minor newer than it":           {templateChange{Token: "t1", Pool: "a", From: "v1.36.4", To: "v1.37.0"}, "", "Stop Invalid"},
		"no such pool":                    {templateChange{Token: "t1", Pool: "c", From: "v1.36.4", To: "v1.36.5"}, "", "Stop Invalid"},
		"no version":                      {templateChange{Token: "t1", Pool: "a", From: "v1.36.4", To: "newest"}, "", "Stop Invalid"},
		"back, as a rollback asks for it": {templateChange{Token: "t1", Pool: "a", From: "v1.36.4", To: "v1.36.3"}, "v1.36.3", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			after, err := begin.setTemplate(test.change, at)
			if code(err) != test.want {
				t.Errorf("setTemplate = %v, want %q", err, test.want)
			}
			if err == nil && after.cloud.Pools[0].Template != test.template {
				t.Errorf("template = %s, want %s", after.cloud.Pools[0].Template, test.template)
			}
		})
	}
	if begin.Pools[0].Template != "v1.36.4" {
		t.Error("a change changed the cloud it began with")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := testCloud(t)
	for i := range tokensKept + 10 {
		var err error
		if c, err = c.add(provider.NodeAddition{Pool: "a", Token: fmt.Sprint(i)}, born); err != nil {
			t.Fatal(err)
		}
		c = c.forget(c.Machines[len(c.Machines)-1].ID)
	}
	if len(c.Spent) != tokensKept || c.Spent[tokensKept-1] != fmt.Sprint(tokensKept+9) {
		t.Errorf("%d spent tokens, want the newest %d", len(c.Spent), tokensKept)
	}
}

func TestCompare(t *testing.T) {
	m := machine{ID: "a-1", Pool: "a", Version: "v1.36.3"}
	removed := m
	removed.Removed = true
	node := *m.node("dev")
	deleting := node
	deleting.DeletionTimestamp = &metav1.Time{Time: born}
	stranger := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "real"}, Spec: corev1.NodeSpec{ProviderID: "kubeadm://real"}}
	tests := map[string]struct {
		machines []machine
		nodes    []corev1.Node
		want     string
	}{
		"as it should be":             {[]machine{m}, []corev1.Node{node}, "[] [] []"},
		"a new machine":               {[]machine{m}, nil, "[a-1] [] []"},
		"a removed machine":           {[]machine{removed}, []corev1.Node{node}, "[] [a-1] []"},
		"its node is being deleted":   {[]machine{removed}, []corev1.Node{deleting}, "[] [] []"},
		"its node is gone":            {[]machine{removed}, nil, "[] [] [a-1]"},
		"a node without a machine":    {nil, []corev1.Node{node}, "[] [a-1] []"},
		"a node that is none of ours": {nil, []corev1.Node{stranger}, "[] [] []"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := compare("dev", test.machines, test.nodes)
			create, remove := []string{}, []string{}
			for _, m := range c.create {
				create = append(create, m.ID)
			}
			for _, node := range c.remove {
				remove = append(remove, node.Name)
			}
			if got := fmt.Sprint(create, remove, c.forget); got != test.want {
				t.Errorf("create, remove, forget = %s, want %s", got, test.want)
			}
		})
	}
}
