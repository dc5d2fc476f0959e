package eks

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"refit.dev/refit/internal/provider"
)

var errEmpty = errors.New("the answer is empty")

// classes are the errors of the API
// (https://docs.aws.amazon.com/eks/latest/APIReference/CommonErrors.html, and each
// operation's own), and what to do about each.
func classes() map[string]provider.Fault {
	retry := func(code string) provider.Fault { return provider.Fault{Class: provider.Retry, Code: code} }
	invalid := provider.Fault{Class: provider.Stop, Code: provider.CodeInvalid}
	return map[string]provider.Fault{
		"ResourceInUseException":               {Class: provider.Wait, Code: provider.CodeInProgress, After: inProgressAfter},
		"InvalidParameterException":            invalid,
		"InvalidRequestException":              invalid,
		"InvalidStateException":                {Class: provider.Wait, Code: provider.CodeInProgress, After: inProgressAfter},
		"ResourceLimitExceededException":       invalid,
		"UnsupportedAvailabilityZoneException": invalid,
		"ClientException":                      retry(provider.CodeUnauthorized),
		"AccessDeniedException":                retry(provider.CodeUnauthorized),
		"UnrecognizedClientException":          retry(provider.CodeUnauthorized),
		"ExpiredTokenException":                retry(provider.CodeUnauthorized),
		"ExpiredToken":                         retry(provider.CodeUnauthorized),
		"InvalidSignatureException":            retry(provider.CodeUnauthorized),
		"MissingAuthenticationTokenException":  retry(provider.CodeUnauthorized),
		"ThrottlingException":                  {Class: provider.Retry, Code: provider.CodeThrottled, After: throttledAfter},
		"TooManyRequestsException":             {Class: provider.Retry, Code: provider.CodeThrottled, After: throttledAfter},
		"ServerException":                      retry(provider.CodeUnreachable),
		"ServiceUnavailableException":          retry(provider.CodeUnreachable),
		"ResourcePropagationDelayException":    retry(provider.CodeUnreachable),
	}
}

// throttledAfter is when to come again, where EKS does not say.
const throttledAfter = 2 * time.Second

// classify makes a fault of an error of the API. What was not found is of the
// code missing: a cluster, or a part of one.
func classify(doing string, err error, missing string) error {
	if known := (*provider.Fault)(nil); errors.As(err, &known) {
		return err
	}
	fault := provider.Fault{Class: provider.Retry, Code: provider.CodeUnreachable}
	if answered, ok := errors.AsType[smithy.APIError](err); ok {
		switch known, found := classes()[answered.ErrorCode()]; {
		case answered.ErrorCode() == "ResourceNotFoundException":
			fault = provider.Fault{Class: provider.Stop, Code: missing}
		case found:
			fault = known
		}
	}
	if after := retryAfter(err); after > 0 {
		fault.After = after
	}
	fault.Err = fmt.Errorf("%s: %w", doing, err)
	return &fault
}

// retryAfter is what an answer says of when to come again, in seconds.
func retryAfter(err error) time.Duration {
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) || response.Response == nil {
		return 0
	}
	header := response.Response.Header
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

func stop(code, format string, args ...any) error {
	return &provider.Fault{Class: provider.Stop, Code: code, Err: fmt.Errorf(format, args...)}
}

func retry(code string, err error) error {
	return &provider.Fault{Class: provider.Retry, Code: code, Err: err}
}

func wait(err error) error {
	return &provider.Fault{Class: provider.Wait, Code: provider.CodeInProgress, After: inProgressAfter, Err: err}
}
