package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"refit.dev/refit/internal/kube/controlplane/socket"
	"refit.dev/refit/internal/provider"
)

// callTimeout: a supervisor answers from memory, and asks its API server once.
const callTimeout = 10 * time.Second

// call asks the supervisor of the member in a folder. Its errors are faults.
func call(ctx context.Context, f folder, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return fmt.Errorf("write the request to the supervisor: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, &body)
	if err != nil {
		return fmt.Errorf("write the request to the supervisor: %w", err)
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.Dial(ctx, f.socket()) }
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return unreachable(f, err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		err = json.NewDecoder(response.Body).Decode(out)
		if err != nil {
			return unreachable(f, err)
		}
		return nil
	}
	var fault wireFault
	if err := json.NewDecoder(response.Body).Decode(&fault); err != nil {
		return unreachable(f, fmt.Errorf("%s: %w", response.Status, err))
	}
	return fault.fault()
}

// unreachable says what is wrong where no supervisor answers: one stopped on
// purpose is waited for, any other is about to be started again.
func unreachable(f folder, err error) error {
	switch {
	case !exists(f.declaration()):
		return stop(provider.CodeUnknownCluster, "there is no local member in %s", f)
	case exists(f.stopped()):
		return &provider.Fault{Class: provider.Wait, Code: provider.CodeUnreachable, After: 10 * time.Second, Err: fmt.Errorf("the member is stopped; start it with: refit local start %s", filepath.Base(string(f)))}
	default:
		return retryLater(provider.CodeUnreachable, fmt.Errorf("the member's supervisor does not answer: %w", err))
	}
}
