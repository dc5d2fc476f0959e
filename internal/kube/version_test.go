package kube

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	newFakeGo(t)
	s, _ := newTestStore(t)
	for _, test := range []struct {
		artefact Artefact
		want     string
	}{
		{kube1363, ""},
		{Artefact{Etcd, "v3.7.0"}, ""},
		{Artefact{Kwok, "v0.8.0"}, ""},
		{Artefact{Kubernetes, "v1.36.99"}, ""}, // the form is right; whether there is one only a server knows
		{Artefact{Kubernetes, "1.36.3"}, `kubernetes version "1.36.3": write it as v1.36.3`},
		{Artefact{Kubernetes, "v1.36.03"}, `kubernetes version "v1.36.03": write it as v1.36.3`},
		{Artefact{Kubernetes, "v1.36"}, `kubernetes version "v1.36": write it with three numbers; the newest known one is v1.36.3`},
		{Artefact{Kubernetes, "1.37"}, `kubernetes version "1.37": write it with three numbers; the newest known one is v1.37.2`},
		{Artefact{Kubernetes, "v1.99"}, `kubernetes version "v1.99": write it with three numbers, like v1.36.3`},
		{Artefact{Kubernetes, "v1.36.3-gke.1200"}, `kubernetes version "v1.36.3-gke.1200": only upstream releases can be had, like v1.36.3`},
		{Artefact{Kubernetes, "v1.37.0-rc.1"}, `kubernetes version "v1.37.0-rc.1": only upstream releases can be had, like v1.37.0`},
		{Artefact{Kubernetes, "latest"}, `kubernetes version "latest": write it with three numbers, like v1.36.3`},
		{Artefact{Kubernetes, ""}, `kubernetes version "": write it with three numbers, like v1.36.3`},
		{Artefact{Kubernetes, "v1.36.3/../.."}, `kubernetes version "v1.36.3/../..": write it with three numbers, like v1.36.3`},
		{Artefact{Kubernetes, "v1.36.3\n"}, `kubernetes version "v1.36.3\n": write it with three numbers, like v1.36.3`},
		{Artefact{"kubelet", "v1.36.3"}, `artefact "kubelet": there are kubernetes, etcd and kwok`},
	} {
		got := ""
		if err := s.Check(t.Context(), test.artefact); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.artefact, got, test.want)
		}
	}
}

func TestKnownVersions(t *testing.T) {
	newFakeGo(t)
	s, _ := newTestStore(t)
	if _, err := importText(t, s, tarball(t, official(programs(Artefact{Kubernetes, "v1.30.7"})))); err != nil {
		t.Fatal(err)
	}
	want := []string{"v1.30.7", "v1.35.4", "v1.36.1", "v1.36.3", "v1.37.0", "v1.37.1", "v1.37.2"}
	if diff := cmp.Diff(want, s.known(t.Context(), kube1363)); diff != "" {
		t.Errorf("of the proxy, the store and the list: %s", diff)
	}
	noGo(t)
	if diff := cmp.Diff(want, s.known(t.Context(), kube1363)); diff != "" {
		t.Errorf("without a proxy: %s", diff)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"v1.34.0", "v1.35.4", "v1.36.1", "v1.36.3", "v1.37.0", "v1.37.2"}
	for _, test := range []struct {
		to   string
		want []string
	}{
		{"v1.36.2", []string{"v1.36.1", "v1.36.3", "v1.37.2"}},
		{"v1.36.9", []string{"v1.36.3", "v1.36.1", "v1.35.4"}},
		{"v1.38.0", []string{"v1.37.0", "v1.37.2", "v1.36.1"}},
		{"v1.2.3", []string{"v1.34.0", "v1.35.4", "v1.36.3"}},
	} {
		if diff := cmp.Diff(test.want, nearest(known, test.to, 3)); diff != "" {
			t.Errorf("%s: %s", test.to, diff)
		}
	}
	if got := nearest(nil, "v1.36.3", 3); len(got) > 0 {
		t.Errorf("of none: %v", got)
	}
}
