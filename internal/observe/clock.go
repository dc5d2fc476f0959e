package observe

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

// clockTimeout bounds the question: what took longer tells little of the time.
const clockTimeout = 10 * time.Second

// ClockSkew is how far our clock is ahead of that of the hub's API server,
// behind it where it is negative. It goes by the Date of an answer, which is in
// whole seconds, and takes it for written half-way between question and answer:
// it is right to half a second and half the time that this took.
func ClockSkew(ctx context.Context, hub *rest.Config, ours clock.PassiveClock) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	client, err := rest.HTTPClientFor(hub)
	if err != nil {
		return 0, fmt.Errorf("compare clocks with the hub: %w", err)
	}
	url, _, err := rest.DefaultServerUrlFor(hub)
	if err != nil {
		return 0, fmt.Errorf("compare clocks with the hub: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url.JoinPath("version").String(), nil)
	if err != nil {
		return 0, fmt.Errorf("compare clocks with the hub: %w", err)
	}
	asked := ours.Now()
	answer, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("compare clocks with the hub: %w", err)
	}
	took := ours.Since(asked)
	_ = answer.Body.Close() // only its head matters, be it a refusal's
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return 0, fmt.Errorf("compare clocks with the hub: its answer has no Date: %w; see that no proxy takes it away", err)
	}
	return asked.Add(took / 2).Sub(date.Add(time.Second / 2)), nil
}
