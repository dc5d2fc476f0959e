package notify_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	clientfake "sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "refit.dev/refit/api/v1alpha1"
	"refit.dev/refit/internal/notify"
)

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := errors.Join(v1.AddToScheme(s), corev1.AddToScheme(s)); err != nil {
		t.Fatal(err)
	}
	return s
}

func failure() notify.Notice {
	going := anUpgrade(condition(v1.ConditionEnded, metav1.ConditionFalse, "Baking"))
	return notify.Of(going, anUpgrade(condition(v1.ConditionStalled, metav1.ConditionTrue, "Failed"), condition(v1.ConditionEnded, metav1.ConditionTrue, "Failed")))[0]
}

// TestEventsAreThereOnce, however often they are told, and say what happened to what.
func TestEventsAreThereOnce(t *testing.T) {
	client := clientfake.NewClientBuilder().WithScheme(scheme(t)).Build()
	events := &notify.Events{Client: client}
	for range 2 {
		if err := events.Tell(t.Context(), failure()); err != nil {
			t.Fatal(err)
		}
	}
	long := failure()
	long.ID, long.Message = "long", strings.Repeat("→", 1000)
	if err := events.Tell(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	var seen corev1.EventList
	if err := client.List(t.Context(), &seen); err != nil {
		t.Fatal(err)
	}
	if len(seen.Items) != 2 {
		t.Fatalf("%d events, want 2", len(seen.Items))
	}
	e := seen.Items[0]
	got := []string{e.Namespace, e.InvolvedObject.APIVersion, e.InvolvedObject.Kind, e.InvolvedObject.Name, string(e.InvolvedObject.UID), e.Reason, e.Type, e.Message}
	want := []string{"refit", "refit.dev/v1alpha1", "ClusterUpgrade", "eu-1.7", "uid-of-eu-1.7", "UpgradeEnded", "Warning", "Failed: in words"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if said := seen.Items[1].Message; len(said) > 1024 || !strings.HasSuffix(said, "→…") {
		t.Errorf("a long message has %d bytes and ends in %q", len(said), said[len(said)-6:])
	}
}

// hook is a webhook that keeps what it is sent.
type hook struct {
	*httptest.Server

	mu     sync.Mutex
	events []cloudevents.Event
	bearer []string
	answer int
}

func newHook(t *testing.T, answer int) *hook {
	h := &hook{answer: answer}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		event, err := cloudevents.NewEventFromHTTPRequest(r)
		if err != nil {
			t.Errorf("what came is no event: %v", err)
			return
		}
		h.events, h.bearer = append(h.events, *event), append(h.bearer, r.Header.Get("Authorization"))
		w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
		w.WriteHeader(h.answer)
	}))
	t.Cleanup(h.Close)
	return h
}

func webhook(t *testing.T, url string) *notify.Webhook {
	t.Helper()
	w, err := notify.NewWebhook(notify.WebhookOptions{URL: url, Token: "s3cret", Hub: "uid-of-hub", Namespace: "refit"})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestWebhook: what is worth waking somebody for is posted as a CloudEvent, and
// nothing else is.
func TestWebhook(t *testing.T) {
	h := newHook(t, http.StatusAccepted)
	w := webhook(t, h.URL+"/T0K3N")
	quiet := failure()
	quiet.Warning = false
	for _, notice := range []notify.Notice{failure(), quiet, notify.Of(nil, aMember(metav1.ConditionFalse, "Unhealthy"))[0]} {
		if err := w.Tell(t.Context(), notice); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.events) != 1 {
		t.Fatalf("%d events came, want that of the failure: %v", len(h.events), h.events)
	}
	e := h.events[0]
	got := []string{e.ID(), e.Source(), e.Type(), e.Subject(), e.Time().UTC().Format(time.RFC3339), string(e.Data()), h.bearer[0]}
	want := []string{
		failure().ID, "/hubs/uid-of-hub/namespaces/refit", "dev.refit.upgrade.failed", "eu-1.7", "2026-11-03T22:10:00Z",
		`{"code":"Failed","message":"in words","fleet":"main","release":"2026.11","member":"eu-1"}`, "Bearer s3cret",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

// TestWebhookFails: an error tells what is wrong, and neither address nor token. A
// redirect is not followed: it would take the token to somebody else.
func TestWebhookFails(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	for want, url := range map[string]string{
		"the webhook answers 500":     newHook(t, http.StatusInternalServerError).URL,
		"the webhook answers 307":     newHook(t, http.StatusTemporaryRedirect).URL,
		"reach the webhook: dial tcp": gone.URL,
	} {
		err := webhook(t, url+"/T0K3N").Tell(t.Context(), failure())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "T0K3N") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error %q: want %q and no secret", err, want)
		}
	}
}

// TestReadWebhook: a file that is not as it should be is told so, with what to do,
// and nothing of it is repeated.
func TestReadWebhook(t *testing.T) {
	for text, want := range map[string]string{
		"https://hooks.example.com/T0K3N":             "",
		" http://127.0.0.1:9/T0K3N \r\n s3cret\r\n\n": "",
		"":                                   "no http or https URL",
		"ftp://hooks.example.com/T0K3N":      "no http or https URL",
		"https:///T0K3N":                     "no http or https URL",
		"hooks.example.com/T0K3N":            "no http or https URL",
		"https://u:T0K3N@hooks.example.com":  "second line",
		"https://hooks.example.com/T0K3N/%z": "no URL",
		"https://hooks.example.com/T0K3N\ns3cret\nT0": "more in it than a URL and a token",
	} {
		path := filepath.Join(t.TempDir(), "webhook")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		options, err := notify.ReadWebhook(path)
		switch {
		case want == "" && (err != nil || !strings.HasSuffix(options.URL, "/T0K3N")):
			t.Errorf("%q: %+v, %v", text, options, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "T0K3N") || strings.Contains(err.Error(), "s3cret")):
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	if _, err := notify.ReadWebhook("/nowhere/webhook"); err == nil || !strings.Contains(err.Error(), "/nowhere/webhook") {
		t.Errorf("of a file that is not there: %v", err)
	}
}

// TestMetrics: what happens is counted; what had happened before is another's.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := notify.NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	old := failure()
	old.Old = true
	for _, notice := range []notify.Notice{failure(), old} {
		if err := m.Tell(t.Context(), notice); err != nil {
			t.Fatal(err)
		}
	}
	const want = `
# HELP refit_notices_total What happened to fleets, upgrades and members, by kind.
# TYPE refit_notices_total counter
refit_notices_total{kind="UpgradeEnded"} 1
# HELP refit_upgrades_ended_total Upgrades that ended, by fleet and how they did.
# TYPE refit_upgrades_ended_total counter
refit_upgrades_ended_total{fleet="main",outcome="Failed"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "refit_notices_total", "refit_upgrades_ended_total"); err != nil {
		t.Error(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if took := family.GetMetric()[0].GetHistogram(); family.GetName() == "refit_upgrade_duration_seconds" && (took.GetSampleCount() != 1 || took.GetSampleSum() != 90) {
			t.Errorf("took %v, want one of 90 s", took)
		}
	}
}

// listening is a teller that keeps what it is told, after so many failures.
type listening struct {
	mu    sync.Mutex
	fails int
	heard []string
}

func (l *listening) Name() string { return "test" }

func (l *listening) Tell(_ context.Context, n notify.Notice) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fails > 0 {
		l.fails--
		return errors.New("not now")
	}
	l.heard = append(l.heard, line(n))
	return nil
}

// silent is one that takes for ever.
type silent struct{}

func (silent) Name() string { return "silent" }

func (silent) Tell(ctx context.Context, _ notify.Notice) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestNotifier: what happens is told in its order, also by one that fails at first
// and beside one that never answers; what is long past is not.
func TestNotifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		informers := &informertest.FakeInformers{Scheme: scheme(t)}
		failing, quick := &listening{fails: 3}, &listening{}
		ctx, cancel := context.WithCancel(t.Context())
		n := &notify.Notifier{
			Cache: informers, Clock: clock.RealClock{}, Tellers: []notify.Teller{silent{}, failing, quick},
			Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		}
		ended := make(chan error)
		go func() { ended <- n.Start(ctx) }()
		synctest.Wait()
		fleets, err := informers.FakeInformerFor(ctx, &v1.Fleet{})
		if err != nil {
			t.Fatal(err)
		}
		at := func(ago time.Duration) metav1.Time { return metav1.NewTime(time.Now().Add(-ago)) }
		before, after := aFleet(condition(v1.ConditionReady, metav1.ConditionTrue, "AtRelease")), aFleet(condition(v1.ConditionReady, metav1.ConditionTrue, "AtRelease"))
		before.Status.Waves[0].OpenedAt = new(at(61 * time.Minute))
		before.Status.Conditions[0].LastTransitionTime = at(59 * time.Minute)
		after.Status.Waves[0] = before.Status.Waves[0]
		after.Status.Waves[0].PassedAt = new(at(0))
		fleets.Add(before)
		fleets.Update(before, after)
		<-time.After(time.Minute) // of the bubble's own clock
		synctest.Wait()
		want := []string{"FleetReady AtRelease: in words", "WavePassed: wave canary of revision 3 has passed"}
		for name, teller := range map[string]*listening{"one that fails at first": failing, "one that is quick": quick} {
			if diff := cmp.Diff(want, teller.heard); diff != "" {
				t.Errorf("%s (-want +told):\n%s", name, diff)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
