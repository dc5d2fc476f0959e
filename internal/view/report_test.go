package view_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/observe"
	"refit.dev/refit/internal/view"
)

// counted is a busy fleet that rolls its second revision: what people did about both,
// what Refit did, and what others changed meanwhile.
func counted() observe.Hub {
	hub := busy()
	at := func(d time.Duration) *metav1.Time { return new(ago(d)) }
	hub.Fleets[0].Status.Members = v1.MemberCounts{Total: 4, Done: 1, Running: 3}
	hub.Fleets[0].Status.Effort = &v1.FleetEffort{
		Since: ago(72 * time.Hour), Uncounted: 2,
		Revisions: []v1.RevisionEffort{
			{
				Revision: 0, Release: "2026.10", Reached: at(50 * time.Hour), Ended: at(2 * time.Hour), Began: at(72 * time.Hour), Members: 3, Done: 3,
				People:  []v1.PersonEffort{{By: "system:serviceaccount:flux-system:kustomize-controller", Acts: map[v1.Act]int32{v1.ActRelease: 1}}},
				Others:  map[v1.Act]int32{v1.ActSkip: 2},
				Unknown: map[v1.Act]int32{v1.ActTakeBack: 1, v1.ActEdit: 3},
				Pruned:  v1.Work{Done: 3, Failed: 1, Superseded: 1, ControlPlanes: 4, Nodes: 60, AddOns: 1},
			},
			{
				Revision: 1, Release: "2026.11", Began: at(2 * time.Hour),
				People: []v1.PersonEffort{
					{By: "ann", Acts: map[v1.Act]int32{v1.ActRelease: 1, v1.ActResume: 1}},
					{By: "ben", Acts: map[v1.Act]int32{v1.ActRetry: 2}},
				},
			},
		},
	}
	for i := range hub.Upgrades {
		hub.Upgrades[i].Status.Nodes.Replaced = 3
	}
	hub.Members[0].Status.Foreign = &v1.ForeignChanges{Count: 5, Last: []v1.ForeignChange{
		{At: ago(3 * time.Hour), What: "control plane v1.36.3 → v1.36.4"}, {At: ago(time.Hour), What: "pool a v1.37.2 → v1.36.4"},
	}}
	return hub
}

func TestReport(t *testing.T) {
	empty := observe.Hub{Fleets: []v1.Fleet{fleet("main", "2026.11")}}
	for name, report := range map[string]view.Report{
		"report-counted": view.ReportOf(counted(), "", ""), "report-release": view.ReportOf(counted(), "main", "2026.10"),
		"report-uncounted": view.ReportOf(empty, "", ""), "report-empty": view.ReportOf(observe.Hub{}, "", ""),
	} {
		golden(t, name+".golden", report.Text(view.Style{Now: now}))
		text, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", string(text)+"\n")
	}
	golden(t, "report-counted-60.golden", view.ReportOf(counted(), "", "").Text(view.Style{Now: now, Width: 60}))
}

// TestReportOfPruned: the work of an upgrade that was added up already, and is not
// deleted yet, is not told twice.
func TestReportOfPruned(t *testing.T) {
	hub := counted()
	before := view.ReportOf(hub, "main", "2026.11").Fleets[0].Revisions[0].Refit
	up := &hub.Upgrades[0]
	up.UID = "uid-of-the-first"
	effort := hub.Fleets[0].Status.Effort
	effort.Counted = observe.Packed([]observe.Thing{observe.Pruned(up)})
	effort.Revisions[1].Pruned = observe.WorkOf(up)
	after := view.ReportOf(hub, "main", "2026.11").Fleets[0].Revisions[0].Refit
	if before.Running > after.Running { // one under way is never pruned; here it is the numbers that count
		after.Running = before.Running
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("work (-before +after):\n%s", diff)
	}
}
