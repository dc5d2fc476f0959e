package local

import (
	"context"
	"fmt"
	"time"

	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/process"
)

// Summary is one line about a member.
type Summary struct {
	Name string
	// Version is what the API server says, or else what the member is to run.
	Version string
	Nodes   int
	// Status is a word or a few.
	Status string
	// PID is the supervisor's; 0 where none lives.
	PID     int
	Created time.Time
	Labels  map[string]string
}

// List tells how every member is.
func (m Members) List(ctx context.Context) ([]Summary, error) {
	names, err := m.Names()
	if err != nil {
		return nil, err
	}
	var all []Summary
	for _, name := range names {
		all = append(all, m.summary(ctx, name))
	}
	return all, nil
}

// Declared are the names and labels of the members whose creation got so far as
// to say what they are.
func (m Members) Declared() (map[string]map[string]string, error) {
	names, err := m.Names()
	if err != nil {
		return nil, err
	}
	declared := map[string]map[string]string{}
	for _, name := range names {
		if d, err := folder(m.Folder(name)).load(); err == nil { // what is damaged is for "local list" to tell
			declared[name] = d.Labels
		}
	}
	return declared, nil
}

// summary never fails: what is wrong with a member is its status.
func (m Members) summary(ctx context.Context, name string) Summary {
	f := folder(m.Folder(name))
	s := Summary{Name: name}
	if holder, alive := process.Holder(f.lock()); alive {
		s.PID = holder.PID
	}
	if halfMade(f) {
		s.Status = "half made"
		return s
	}
	d, err := f.load()
	if err != nil {
		s.Status = err.Error()
		return s
	}
	s.Version, s.Created, s.Labels = d.Version, d.Created, d.Labels
	var status memberStatus
	err = call(ctx, f, "GET", "/v1/status", nil, &status)
	switch {
	case err == nil:
		s.Version, s.Nodes, s.Status = status.ControlPlane.Version, len(status.Machines), describe(f, status)
	case s.PID != 0:
		s.Status = "supervisor does not answer"
	case exists(f.stopped()):
		s.Status = "stopped"
	default:
		s.Status = "not supervised"
	}
	return s
}

func describe(f folder, status memberStatus) string {
	if n := len(status.ControlPlane.Upgrades); n > 0 {
		if last := status.ControlPlane.Upgrades[n-1]; last.Phase == controlplane.Running {
			return fmt.Sprintf("upgrading to %s", last.To)
		}
	}
	if exists(f.creating()) {
		return "being created"
	}
	for _, part := range status.ControlPlane.Parts {
		if !part.Healthy {
			return fmt.Sprintf("%s: %s", part.Part, part.Message)
		}
	}
	return "running"
}
