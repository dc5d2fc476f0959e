package local

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/provider"
)

// A control plane is ready while every part is healthy and stays up. What a
// person can do is told of one that does not.
func TestObserveControlPlane(t *testing.T) {
	const mend = "find the cause in its log: refit local logs dev kube-apiserver; where the program is at fault, put a good one in its place: refit kube import FILE; the part is started again by itself"
	well := controlplane.PartStatus{Healthy: true}
	for _, test := range []struct {
		name         string
		server, kwok controlplane.PartStatus
		silent       bool
		want         provider.ControlPlane
	}{
		{name: "all is well", server: well, kwok: well, want: provider.ControlPlane{Ready: true}},
		{name: "kwok is of the nodes", server: well, kwok: controlplane.PartStatus{Shaky: true, Message: "ended"}, want: provider.ControlPlane{Ready: true}},
		{
			name: "a part is not healthy", server: controlplane.PartStatus{Message: "starting"}, kwok: well,
			want: provider.ControlPlane{Message: "kube-apiserver: starting"},
		},
		{
			name: "a part died", server: controlplane.PartStatus{Shaky: true, Message: "died"}, kwok: well, silent: true,
			want: provider.ControlPlane{Message: "kube-apiserver: died", Fix: mend},
		},
		{
			name: "a part died, and is healthy again", server: controlplane.PartStatus{Healthy: true, Shaky: true, Message: "died"}, kwok: well,
			want: provider.ControlPlane{Message: "kube-apiserver: died", Fix: mend},
		},
		{
			name: "no version is told", server: well, kwok: well, silent: true,
			want: provider.ControlPlane{Message: "kube-apiserver does not tell its version"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.server.Part, test.kwok.Part = controlplane.APIServer, controlplane.Kwok
			s := memberStatus{Served: older, ControlPlane: controlplane.Status{Parts: []controlplane.PartStatus{test.server, test.kwok}}}
			test.want.Oldest, test.want.Newest = parse(t, older), parse(t, older)
			if test.silent {
				s.Served, test.want.Oldest, test.want.Newest = "", version(""), version("")
			}
			if diff := cmp.Diff(test.want, observeControlPlane("dev", s)); diff != "" {
				t.Errorf("control plane (-want +got):\n%s", diff)
			}
		})
	}
}
