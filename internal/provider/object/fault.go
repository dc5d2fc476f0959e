package object

import (
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"refit.dev/refit/internal/provider"
)

// inProgressAfter is when another look at a rollout is worth it: a machine takes
// minutes.
const inProgressAfter = 5 * time.Second

// classify makes a fault of an API server's answer. What was not found is of the
// code missing.
func classify(doing string, err error, missing string) error {
	if known := (*provider.Fault)(nil); errors.As(err, &known) {
		return err
	}
	fault := provider.Fault{Class: provider.Retry, Code: provider.CodeUnreachable}
	switch {
	case apierrors.IsNotFound(err):
		fault = provider.Fault{Class: provider.Stop, Code: missing}
	case apierrors.IsConflict(err): // somebody has written it meanwhile: look again
		fault = provider.Fault{Class: provider.Retry, Code: provider.CodeInProgress}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), refusedByWebhook(err):
		fault = provider.Fault{Class: provider.Stop, Code: provider.CodeInvalid}
	case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err):
		fault = provider.Fault{Class: provider.Retry, Code: provider.CodeUnauthorized}
	case apierrors.IsTooManyRequests(err):
		fault = provider.Fault{Class: provider.Retry, Code: provider.CodeThrottled, After: time.Second}
	}
	if seconds, told := apierrors.SuggestsClientDelay(err); told {
		fault.After = time.Duration(seconds) * time.Second
	}
	fault.Err = fmt.Errorf("%s: %w", doing, err)
	return &fault
}

// refusedByWebhook tells the no of an admission webhook from that to a person
// without rights: both are Forbidden
// (https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#response).
func refusedByWebhook(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "admission webhook ")
}

func stop(code, format string, args ...any) error {
	return &provider.Fault{Class: provider.Stop, Code: code, Err: fmt.Errorf(format, args...)}
}

func wait(format string, args ...any) error {
	return &provider.Fault{Class: provider.Wait, Code: provider.CodeInProgress, After: inProgressAfter, Err: fmt.Errorf(format, args...)}
}

func retry(code string, err error) error {
	return &provider.Fault{Class: provider.Retry, Code: code, Err: err}
}
