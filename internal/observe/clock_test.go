package observe_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"refit.dev/refit/internal/observe"
)

func TestClockSkew(t *testing.T) {
	at := time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		date string
		took time.Duration
		want time.Duration
	}{
		{"the same time", "Tue, 03 Nov 2026 22:00:00 GMT", 0, -500 * time.Millisecond},
		{"ahead", "Tue, 03 Nov 2026 21:59:00 GMT", 0, 59500 * time.Millisecond},
		{"behind", "Tue, 03 Nov 2026 22:01:00 GMT", 0, -60500 * time.Millisecond},
		{"an answer that took long", "Tue, 03 Nov 2026 22:00:04 GMT", 8 * time.Second, -500 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			clock := clocktesting.NewFakeClock(at)
			config, asked := hubWithDate(t, clock, test.date, test.took)
			got, err := observe.ClockSkew(t.Context(), config, clock)
			if err != nil || got != test.want {
				t.Errorf("skew is %s, %v; want %s", got, err, test.want)
			}
			if *asked != "/prefix/version" {
				t.Errorf("asked for %s", *asked)
			}
		})
	}
	t.Run("no Date", func(t *testing.T) {
		clock := clocktesting.NewFakeClock(at)
		config, _ := hubWithDate(t, clock, "", 0)
		if _, err := observe.ClockSkew(t.Context(), config, clock); err == nil || !strings.Contains(err.Error(), "has no Date") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		if _, err := observe.ClockSkew(t.Context(), &rest.Config{Host: "http://127.0.0.1:1"}, clocktesting.NewFakeClock(at)); err == nil {
			t.Error("nobody answers, and the clocks are told to agree")
		}
	})
}

// hubWithDate is a hub below a path, whose answers say when it is, and take
// their time.
func hubWithDate(t *testing.T, clock *clocktesting.FakeClock, date string, took time.Duration) (*rest.Config, *string) {
	t.Helper()
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path
		clock.Step(took)
		w.Header()["Date"] = nil // else it would be this machine's
		if date != "" {
			w.Header().Set("Date", date)
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL + "/prefix"}, &asked
}
