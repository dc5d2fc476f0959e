//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ears hear what a webhook is sent.
type ears struct {
	mu    sync.Mutex
	heard []cloudevents.Event
}

func (e *ears) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	event, err := cloudevents.NewEventFromHTTPRequest(r)
	if err != nil || r.Header.Get("Authorization") != "Bearer s3cret" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, *event)
}

// ids of the events of a type.
func (e *ears) ids(kind string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ids []string
	for _, event := range e.heard {
		if event.Type() == kind {
			ids = append(ids, event.ID())
		}
	}
	return ids
}

// An upgrade of a real member is told by Events, by metrics and by a webhook; and
// after a crash what is told again is the same.
func TestTelling(t *testing.T) {
	u := newUser(t)
	listening := &ears{}
	server := httptest.NewServer(listening)
	t.Cleanup(server.Close)
	webhook := filepath.Join(t.TempDir(), "webhook")
	if err := os.WriteFile(webhook, []byte(server.URL+"/T0K3N\ns3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, address := u.upTelling(webhook)
	u.must("local", "create", "one", "--version", v136, "--nodes", "1", "--label", "env=dev")
	u.mustKube(strings.Replace(atRest, "bake: 1h", "bake: 1s", 1), "apply", "-f", "-")
	eventually(t, time.Minute, "the webhook hears that the fleet is at rest", func() (bool, string) {
		return len(listening.ids("dev.refit.fleet.ready")) == 1, fmt.Sprint(listening.heard)
	})
	u.mustKube("", "patch", "fleet", "main", "--type=merge", "-p", `{"spec":{"release":"2026.11"}}`)
	eventually(t, 5*time.Minute, "the webhook hears that the fleet is at the release", func() (bool, string) {
		return len(listening.ids("dev.refit.fleet.ready")) == 2, fmt.Sprint(listening.heard)
	})

	page := scrape(t, address)
	for _, want := range []string{
		`refit_fleet_members{fleet="main",state="Done",wave="all"} 1`, `refit_upgrades_ended_total{fleet="main",outcome="Done"} 1`,
		`refit_fleet_halted{fleet="main",reason=""} 0`, `refit_notices_total{kind="UpgradeBegan"} 1`,
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("metrics lack %s:\n%s", want, ours(page))
		}
	}
	if info := regexp.MustCompile(`refit_member_info\{.*member="one".*\} 1`).FindString(page); !strings.Contains(info, `version="`+v137+`"`) {
		t.Errorf("metrics say of the member: %s", info)
	}
	before := u.told()
	for _, want := range []string{"FleetReady fleet/main", "UpgradeBegan clusterupgrade/one.1", "UpgradeEnded clusterupgrade/one.1", "StepBegan clusterupgrade/one.1", "MemberReady membercluster/one", "WaveOpened fleet/main"} {
		if !slices.ContainsFunc(before, func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("no Event %q among:\n%s", want, strings.Join(before, "\n"))
		}
	}

	// Killed, and started again: it tells what it told, and nothing new.
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	known := listening.ids("dev.refit.fleet.ready")
	_, address = u.upTelling(webhook)
	eventually(t, time.Minute, "the webhook is told again", func() (bool, string) {
		return len(listening.ids("dev.refit.fleet.ready")) > len(known), fmt.Sprint(listening.heard)
	})
	for _, id := range listening.ids("dev.refit.fleet.ready") {
		if !slices.Contains(known, id) {
			t.Errorf("told again, it has the id %s; known are %v", id, known)
		}
	}
	if page := scrape(t, address); strings.Contains(page, `refit_notices_total{kind="UpgradeEnded"}`) {
		t.Errorf("what had happened before is counted again:\n%s", ours(page))
	}
	for _, line := range u.told() {
		if !slices.Contains(before, line) && !strings.HasPrefix(line, "Member") { // which was away with its hub
			t.Errorf("a new Event after a restart in which nothing happened: %s", line)
		}
	}
	for _, file := range []string{"logs/refit.log", "logs/up.log"} {
		if text, _ := os.ReadFile(filepath.Join(u.dataDir, file)); strings.Contains(string(text), "T0K3N") || strings.Contains(string(text), "s3cret") {
			t.Errorf("%s has the webhook's secret", file)
		}
	}
}

// upTelling starts "refit up" with metrics and a webhook, and returns when it is
// ready, and where its metrics are.
func (u *user) upTelling(webhook string) (*exec.Cmd, string) {
	u.t.Helper()
	cmd, more := u.upTalking("--metrics", "127.0.0.1:0", "--webhook", webhook)
	line, err := more.ReadString('\n')
	address, there := strings.CutPrefix(strings.TrimSpace(line), "metrics at ")
	if err != nil || !there {
		u.t.Fatalf("refit up says %q (%v), not where metrics are", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, more) }()
	return cmd, address
}

// told are the Events of the hub: kind, object, name and how often.
func (u *user) told() []string {
	u.t.Helper()
	var events corev1.EventList
	if err := u.hub().List(u.t.Context(), &events, client.InNamespace(namespace)); err != nil {
		u.t.Fatal(err)
	}
	var lines []string
	for _, e := range events.Items {
		lines = append(lines, fmt.Sprintf("%s %s/%s %s ×%d %s", e.Reason, strings.ToLower(e.InvolvedObject.Kind), e.InvolvedObject.Name, e.Name, e.Count, e.Message))
	}
	slices.Sort(lines)
	return lines
}

func scrape(t *testing.T, address string) string {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	page, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("metrics: %s, %v: %s", answer.Status, err, page)
	}
	return string(page)
}

// ours are the lines of a page that Refit itself is the source of.
func ours(page string) string {
	var lines []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "refit_") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
