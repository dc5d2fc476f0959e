//go:build e2e

package e2e

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "refit.dev/refit/api/v1alpha1"
)

// gated is a fleet of two waves, of which the first soaks and has a gate.
const gated = `
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: "2026.11"}
spec: {bundle: {kubernetes: v1.36.3}}
---
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: "2026.12"}
spec: {bundle: {kubernetes: v1.37.2}}
---
apiVersion: refit.dev/v1alpha1
kind: Fleet
metadata: {name: main}
spec:
  selector: {}
  release: "2026.11"
  settle: 1s
  bake: 1s
  nodes: {maxSurge: 1}
  waves:
  - name: canary
    selector: {matchLabels: {wave: canary}}
    soak: 20s
    gates:
    - name: errors
      interval: 2s
      failures: 30
      prometheus: {url: "http://%s", query: scene_errors, max: "0"}
  - name: rest
`

// What the fleet above says, and how long its gate has when there is no Prometheus.
// Until then, and after it, it has a minute: a machine that is busy is no failure.
const (
	gateSoak     = 20 * time.Second
	gatePatience = 2 * 2 * time.Second
)

// patience sets after how many intervals of 2 s the gate fails.
func patience(u *user, failures int) {
	u.t.Helper()
	u.mustKube("", "patch", "fleet", "main", "--type=json", "-p", fmt.Sprintf(`[{"op":"replace","path":"/spec/waves/0/gates/0/failures","value":%d}]`, failures))
}

// The second wave opens when a real Prometheus has said yes after the soak of the
// first. Killed during the soak, it halts the fleet, also across a restart of
// Refit; what it said before is not read again. When it is back and a person says
// so, the fleet goes on.
func TestGate(t *testing.T) {
	u := newUser(t)
	p := newPrometheus(t)
	p.start()
	refit := u.up("--gate-host", p.address)
	for _, member := range []string{"one", "two"} {
		u.must("local", "create", member, "--version", v135, "--nodes", "1", "--label", "wave="+map[string]string{"one": "canary", "two": "rest"}[member])
	}
	seen := watchUpgrades(t, u)

	u.mustKube(fmt.Sprintf(gated, p.address), "apply", "-f", "-")
	opened := p.passes(u, seen, 1)
	t.Logf("with good answers the second wave starts %s after the soak", opened)

	// Another release; and Prometheus is killed while the canary soaks.
	u.mustKube("", "patch", "fleet", "main", "--type=merge", "-p", `{"spec":{"release":"2026.12"}}`)
	done := awaitDone(t, u, "one.2")
	awaitAsked(t, p, done)
	patience(u, 2)
	p.kill()
	killed := time.Now()
	halted := eventually(t, max(30*time.Second, 10*gatePatience), "the fleet is halted", isHalted(u))
	t.Logf("Prometheus was killed; the fleet is halted after %s (interval x failures is %s)", halted.Round(10*time.Millisecond), gatePatience)
	p.reasons(u)

	// The end of the soak opens nothing; nor does a restart, nor Prometheus itself.
	eventually(t, time.Minute, "the soak is over", func() (bool, string) { return time.Since(done) > gateSoak+gatePatience, "" })
	if err := u.end(refit); err != nil {
		t.Fatal(err)
	}
	p.start()
	u.up("--gate-host", p.address)
	awaitAsked(t, p, time.Now().Add(gatePatience))
	if is, said := isHalted(u)(); !is {
		t.Errorf("after a restart, with good answers again, the fleet is %s; want halted", said)
	}
	if started, early := seen.at("two.2"); early {
		t.Fatalf("the second wave started %s after Prometheus was killed, without a word of anybody", started.Sub(killed))
	}

	patience(u, 30)
	resumed := time.Now()
	u.must("resume", "main", "--reason", "Prometheus is back")
	took := eventually(t, time.Minute, "the second wave starts", func() (bool, string) {
		_, started := seen.at("two.2")
		return started, u.must("status")
	})
	t.Logf("the second wave starts %s after the fleet was resumed", took.Round(10*time.Millisecond))
	if started, _ := seen.at("two.2"); started.Before(resumed) {
		t.Errorf("the second wave started %s before the fleet was resumed", resumed.Sub(started))
	}
	awaitDone(t, u, "two.2")
	if names := seen.names(); !slices.Equal(names, []string{"one.1", "one.2", "two.1", "two.2"}) {
		t.Errorf("upgrades seen are %v, want two of each member", names)
	}
}

// passes waits for the nth upgrade of the second wave, and judges by what was seen
// of it and by what Prometheus logged of queries: it starts after the soak, and
// after Prometheus was asked once more. It returns how long after the soak.
func (p *prometheus) passes(u *user, seen *sightings, n int) time.Duration {
	p.t.Helper()
	done := awaitDone(p.t, u, fmt.Sprintf("one.%d", n))
	eventually(p.t, 2*time.Minute, "the second wave starts", func() (bool, string) {
		_, started := seen.at(fmt.Sprintf("two.%d", n))
		return started, u.must("status")
	})
	started, _ := seen.at(fmt.Sprintf("two.%d", n))
	soaked := done.Add(gateSoak)
	if started.Before(soaked) {
		p.t.Errorf("the second wave started %s before the soak was over", soaked.Sub(started))
	}
	asked := p.asked()
	if !slices.ContainsFunc(asked, func(at time.Time) bool { return !at.Before(soaked) && at.Before(started) }) {
		p.t.Errorf("the soak was over at %s, the second wave started at %s, and Prometheus was asked at %v only", soaked, started, asked)
	}
	awaitDone(p.t, u, fmt.Sprintf("two.%d", n))
	return started.Sub(soaked).Round(10 * time.Millisecond)
}

// reasons: people are told which gate it is, and why there is no answer.
func (p *prometheus) reasons(u *user) {
	p.t.Helper()
	status, why := u.must("status"), u.must("why", "two")
	p.t.Logf("refit status\n%s\nrefit why two\n%s", status, why)
	for _, want := range []string{"halted: gate errors of wave canary has not said yes since", "connection refused"} {
		for what, text := range map[string]string{"status": status, "why two": why} {
			want := strings.TrimPrefix(want, "halted: ")
			if what == "status" && want != "connection refused" {
				want = "halted: " + want
			}
			if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
				p.t.Errorf("refit %s does not say %q:\n%s", what, want, text)
			}
		}
	}
	if !strings.Contains(strings.Join(strings.Fields(why), " "), "refit resume main") {
		p.t.Errorf("refit why two does not say what to do:\n%s", why)
	}
}

func isHalted(u *user) func() (bool, string) {
	return func() (bool, string) {
		said := u.mustKube("", "get", "fleet", "main", "-o", `jsonpath={.status.conditions[?(@.type=="Stalled")].status} {.status.conditions[?(@.type=="Stalled")].reason}`)
		return said == "True GateFailed", said
	}
}

// awaitDone waits for the end of an upgrade, and returns when that was.
func awaitDone(t *testing.T, u *user, name string) time.Time {
	t.Helper()
	up := awaitUpgrade(t, u.hub(), name, 5*time.Minute)
	if endedAs(up) != "Done" {
		t.Fatalf("upgrade %s ended %s", name, endedAs(up))
	}
	return meta.FindStatusCondition(up.Status.Conditions, v1.ConditionEnded).LastTransitionTime.Time
}

// awaitAsked waits until Prometheus was asked after a time.
func awaitAsked(t *testing.T, p *prometheus, after time.Time) {
	t.Helper()
	eventually(t, time.Minute, "Prometheus is asked", func() (bool, string) {
		asked := p.asked()
		return slices.ContainsFunc(asked, after.Before), fmt.Sprint(asked)
	})
}

// sightings are when upgrades were first seen by a watch of the hub.
type sightings struct {
	mu    sync.Mutex
	first map[string]time.Time
}

func (s *sightings) at(name string) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.first[name]
	return at, found
}

func (s *sightings) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.first))
}

func (s *sightings) see(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.first[name]; !known {
		s.first[name] = time.Now()
	}
}

// watchUpgrades watches the upgrades of a hub until the test ends. While the hub is
// away it tries again.
func watchUpgrades(t *testing.T, u *user) *sightings {
	t.Helper()
	log.SetLogger(logr.Discard())
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", u.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	s := &sightings{first: map[string]time.Time{}}
	ended := make(chan struct{})
	t.Cleanup(func() { <-ended })
	go func() {
		defer close(ended)
		for t.Context().Err() == nil {
			if w, err := c.Watch(t.Context(), &v1.ClusterUpgradeList{}, client.InNamespace(namespace)); err == nil {
				for event := range w.ResultChan() {
					if up, is := event.Object.(*v1.ClusterUpgrade); is {
						s.see(up.Name)
					}
				}
			}
			select {
			case <-t.Context().Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return s
}

// prometheus is a real one, with a folder of its own, which looks every second at
// what the test says.
type prometheus struct {
	t       *testing.T
	folder  string
	address string
	cmd     *exec.Cmd
}

func newPrometheus(t *testing.T) *prometheus {
	t.Helper()
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "# TYPE scene_errors gauge\nscene_errors 0\n")
	}))
	t.Cleanup(metrics.Close)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &prometheus{t: t, folder: t.TempDir(), address: free.Addr().String()}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
global: {scrape_interval: 1s, query_log_file: %s}
scrape_configs:
- job_name: scene
  static_configs: [{targets: [%q]}]
`, p.queries(), strings.TrimPrefix(metrics.URL, "http://"))
	if err := os.WriteFile(filepath.Join(p.folder, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

func (p *prometheus) queries() string { return filepath.Join(p.folder, "queries.jsonl") }

// start starts it, and waits until it answers.
func (p *prometheus) start() {
	p.t.Helper()
	output, err := os.OpenFile(filepath.Join(cmp.Or(os.Getenv("REFIT_E2E_LOGS"), p.folder), "TestGate-prometheus.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = output.Close() }()
	p.cmd = exec.Command("/usr/bin/prometheus", //nolint:noctx // ended by kill
		"--config.file="+filepath.Join(p.folder, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(p.folder, "data"),
		"--web.listen-address="+p.address)
	p.cmd.Stdout, p.cmd.Stderr = output, output
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("%v; install Debian's package prometheus", err)
	}
	eventually(p.t, time.Minute, "Prometheus has data", func() (bool, string) {
		response, err := http.Get("http://" + p.address + "/api/v1/query?query=scene_errors")
		if err != nil {
			return false, err.Error()
		}
		defer func() { _ = response.Body.Close() }()
		text, _ := io.ReadAll(response.Body)
		return strings.Contains(string(text), `"value":`), string(text)
	})
}

// kill ends it as a machine does that is switched off.
func (p *prometheus) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// asked is when Prometheus was asked the gate's question, by its own log. The test
// asks by GET, the gate by POST.
func (p *prometheus) asked() []time.Time {
	file, err := os.Open(p.queries())
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var all []time.Time
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var line struct {
			TS          time.Time
			HTTPRequest struct{ Method string }
			Params      struct{ Query string }
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Params.Query == "scene_errors" && line.HTTPRequest.Method == http.MethodPost {
			all = append(all, line.TS)
		}
	}
	return all
}
