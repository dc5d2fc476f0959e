package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/provider"
)

// What goes over the supervisor's socket: JSON in requests and responses, and a
// wireFault with any status other than 200.

// memberStatus is how a member is, as its supervisor sees it.
type memberStatus struct {
	UID          string              `json:"uid"`
	ControlPlane controlplane.Status `json:"controlPlane"`
	// Served is the version that the API server itself answers with; empty
	// while it does not answer.
	Served   string           `json:"served,omitempty"`
	Pools    []pool           `json:"pools"`
	Machines []machine        `json:"machines"`
	Changes  []templateChange `json:"changes,omitempty"`
	At       time.Time        `json:"at"`
}

// additionRequest asks for a machine.
type additionRequest struct {
	Pool     string `json:"pool"`
	Replaces string `json:"replaces,omitempty"`
	Token    string `json:"token"`
}

// wireFault is a provider.Fault.
type wireFault struct {
	Class   provider.Class `json:"class"`
	Code    string         `json:"code"`
	After   time.Duration  `json:"after,omitempty"`
	Message string         `json:"message"`
}

func (w wireFault) fault() *provider.Fault {
	return &provider.Fault{Class: w.Class, Code: w.Code, After: w.After, Err: errors.New(w.Message)}
}

// classify makes a fault of any error of the supervisor.
func classify(err error) *provider.Fault {
	if refusal, ok := controlplane.AsRefusal(err); ok {
		switch refusal.Reason {
		case controlplane.InProgress:
			return &provider.Fault{Class: provider.Wait, Code: provider.CodeInProgress, After: time.Second, Err: refusal}
		case controlplane.Changed:
			return stop(provider.CodeChanged, "%w", refusal)
		case controlplane.Invalid:
			return stop(provider.CodeInvalid, "%w", refusal)
		}
	}
	return provider.AsFault(err)
}

// answer makes a handler of a function from a request's body to a response's.
func answer[In, Out any](serve func(*http.Request, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if r.Method == http.MethodPost {
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				writeFault(w, stop(provider.CodeInvalid, "read the request: %w", err))
				return
			}
		}
		out, err := serve(r, in)
		if err != nil {
			writeFault(w, classify(err))
			return
		}
		_ = json.NewEncoder(w).Encode(out) // the client is gone if it fails
	}
}

func writeFault(w http.ResponseWriter, fault *provider.Fault) {
	status := http.StatusConflict
	if fault.Class == provider.Retry {
		status = http.StatusServiceUnavailable
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(wireFault{Class: fault.Class, Code: fault.Code, After: fault.After, Message: fmt.Sprint(fault.Err)})
}
