package hub

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// The hook that brings RBAC's default roles up to date sleeps for a second before it looks at them. At a restart they
// are there; at the first start there is only the administrator, who needs none.
const laterHook = "poststarthook/rbac/bootstrap-roles"

// waitReady returns when the API server says it is ready and the default namespace is there, which it makes later.
func waitReady(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("ask the hub whether it is ready: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("the hub is not ready after %s", readyTimeout))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := isReady(ctx, client)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

func isReady(ctx context.Context, client kubernetes.Interface) error {
	answer, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Param("exclude", laterHook).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("%w: %s", err, answer)
	}
	_, err = client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
	return err
}
