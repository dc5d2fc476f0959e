package source

import (
	"errors"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
)

// TestAnswer: a push is refused where the server says so of the branch; whatever else
// it says, or leaves out, is worth another try.
func TestAnswer(t *testing.T) {
	broken := errors.New("the connection broke")
	status := func(statuses ...string) *packp.ReportStatus {
		report := &packp.ReportStatus{UnpackStatus: "ok"}
		for _, said := range statuses {
			report.CommandStatuses = append(report.CommandStatuses, &packp.CommandStatus{ReferenceName: "refs/heads/main", Status: said})
		}
		return report
	}
	for name, test := range map[string]struct {
		report *packp.ReportStatus
		err    error
		want   error
	}{
		"taken":                           {status("ok"), nil, nil},
		"no report":                       {nil, nil, nil},
		"no report, and an error":         {nil, broken, broken},
		"taken, and the connection broke": {status("ok"), broken, broken},
		"nothing of the branch":           {status(), broken, broken},
		"the branch is protected":         {status("protected branch hook declined"), broken, errRefused},
		"the objects are not taken":       {&packp.ReportStatus{UnpackStatus: "no room"}, broken, broken},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot{branch: plumbing.NewBranchReferenceName("main")}
			if got := s.answer(test.report, test.err); !errors.Is(got, test.want) || (got == nil) != (test.want == nil) {
				t.Errorf("answer = %v, want %v", got, test.want)
			}
		})
	}
}
