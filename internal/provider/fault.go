package provider

import (
	"errors"
	"fmt"
	"time"

	"refit.dev/refit/internal/fleet"
)

// Class says what to do about a fault.
type Class string

// The classes of faults.
const (
	// Retry: back off and repeat the same call with the same token.
	Retry Class = "Retry"
	// Wait: something else is in progress; look again after Fault.After.
	Wait Class = "Wait"
	// Stop: it will not get better by itself; a person must act.
	Stop Class = "Stop"
)

// The codes of faults that callers tell apart.
const (
	CodeUnknownCluster = "UnknownCluster"
	CodeUnreachable    = "Unreachable"
	CodeChanged        = "Changed"
	CodeNotOffered     = "NotOffered"
	CodeInProgress     = "InProgress"
	CodeInvalid        = "Invalid"
	CodeThrottled      = "Throttled"
	CodeUnauthorized   = "Unauthorized"
)

// Fault is an error of the outside world, classed once, at the port.
type Fault struct {
	Class Class
	Code  string
	// After is when it is worth looking again; 0 leaves it to the caller.
	After time.Duration
	// Why tells people more than that the provider refused, where it is not the
	// provider that has; zero elsewhere.
	Why fleet.Reason
	Err error
}

// Error is the fault's code and cause.
func (f *Fault) Error() string { return fmt.Sprintf("%s: %v", f.Code, f.Err) }

// Unwrap is the cause.
func (f *Fault) Unwrap() error { return f.Err }

// maxToken is what the port promises to providers: see Change.Token.
const maxToken = 64

// CheckToken refuses a token that is longer than the port allows: cut off, it
// would no longer be one change's own.
func CheckToken(token string) error {
	if len(token) <= maxToken {
		return nil
	}
	return &Fault{
		Class: Stop, Code: CodeInvalid,
		Err: fmt.Errorf("a token of %d characters: a token has at most %d; hash it", len(token), maxToken),
	}
}

// AsFault finds the fault in an error; an error that nobody classed is one to
// retry, since unknown is neither done nor final.
func AsFault(err error) *Fault {
	if fault := (*Fault)(nil); errors.As(err, &fault) {
		return fault
	}
	return &Fault{Class: Retry, Code: CodeUnreachable, Err: err}
}
