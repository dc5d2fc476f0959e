package controlplane

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"refit.dev/refit/internal/kube/controlplane/fakepart"
	"refit.dev/refit/internal/kube/controlplane/process"
)

// TestMain makes this binary the parts of the tests' control planes, and the
// supervisor that is killed.
func TestMain(m *testing.M) {
	if code, played := fakepart.Play(); played {
		os.Exit(code)
	}
	if len(os.Args) == 4 && os.Args[1] == "supervise" {
		limit, _ := strconv.Atoi(os.Args[3])
		if err := superviseUntil(os.Args[2], limit); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// testConfig is a control plane in a folder of its own.
func testConfig(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	ports, err := ChoosePorts(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endAll(t, dir) })
	return Config{Dir: dir, Name: "test", Version: old, EtcdVersion: etcdV, KwokVersion: kwokV, Ports: ports}
}

// endAll leaves no process of the folder.
func endAll(t *testing.T, dir string) {
	t.Helper()
	found, err := process.Find(dir + " ")
	if err != nil {
		t.Fatal(err)
	}
	for id := range found {
		p, err := process.Adopt(id)
		if errors.Is(err, os.ErrProcessDone) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Signal(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		<-p.Ended()
	}
}

func getFake(dir string) Get {
	return func(_ context.Context, artefact, version string, report func(string)) (string, error) {
		report("installing " + artefact)
		if version == "v1.36.97" {
			return "", errors.New("there is no v1.36.97; the newest is v1.36.3")
		}
		return fakepart.Install(filepath.Join(dir, "binaries"), artefact, version)
	}
}

// supervision is a control plane that is being run.
type supervision struct {
	*ControlPlane
	ended  chan error
	cancel context.CancelFunc
}

func supervise(t *testing.T, config Config) *supervision {
	t.Helper()
	c, err := Open(config, getFake(config.Dir), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &supervision{ControlPlane: c, ended: make(chan error, 1), cancel: cancel}
	t.Cleanup(cancel)
	go func() { s.ended <- c.Run(ctx) }()
	return s
}

// until waits for something to be so.
func (s *supervision) until(t *testing.T, what string, so func(Status) bool) Status {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		status := s.Status()
		if so(status) {
			return status
		}
		time.Sleep(5 * time.Millisecond) //nolint:forbidigo // Status is polled by its users too
	}
	t.Fatalf("not so within a minute: %s; %+v", what, s.Status())
	return Status{}
}

func allHealthy(s Status) bool {
	for _, part := range s.Parts {
		if !part.Healthy {
			return false
		}
	}
	return true
}

// notRunning tells whether the last upgrade ended.
func notRunning(s Status) bool {
	n := len(s.Upgrades)
	return n == 0 || s.Upgrades[n-1].Phase != Running
}

func (s *supervision) stop(t *testing.T) {
	t.Helper()
	s.Stop()
	select {
	case err := <-s.ended:
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatalf("not stopped within a minute: %+v", s.Status())
	}
}

func journal(t *testing.T, dir string) []process.Entry {
	t.Helper()
	text, err := os.ReadFile(Journal(dir))
	if err != nil {
		t.Fatal(err)
	}
	var entries []process.Entry
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		var entry process.Entry
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	return entries
}

// starts counts the starts of the parts of a version.
func starts(entries []process.Entry, version string) map[string]int {
	counts := map[string]int{}
	for _, entry := range entries {
		if entry.Event == process.Started && entry.Version == version {
			counts[entry.Part]++
		}
	}
	return counts
}

func onceEach() map[string]int {
	return map[string]int{string(APIServer): 1, string(ControllerManager): 1, string(Scheduler): 1}
}

func TestUpgradeInOrder(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	s := supervise(t, config)
	s.until(t, "all healthy", allHealthy)
	u, err := s.Upgrade(Request{Token: "t", From: old, To: newer})
	if err != nil || u.Phase != Running {
		t.Fatalf("Upgrade = %+v, %v", u, err)
	}
	status := s.until(t, "ended", notRunning)
	if done := status.Upgrades[0]; done.Phase != Succeeded || status.Version != newer {
		t.Fatalf("upgrade = %+v at %s", done, status.Version)
	}
	if served, err := s.ServedVersion(t.Context()); err != nil || served != newer {
		t.Errorf("served = %q, %v; want %s", served, err, newer)
	}
	if saved, _ := os.ReadFile(status.Upgrades[0].Snapshot); string(saved) != fakepart.Snapshot {
		t.Errorf("snapshot = %q", saved)
	}

	place := map[string]int{}
	for i, entry := range journal(t, config.Dir) {
		place[fmt.Sprintf("%s %s %s", entry.Part, entry.Version, entry.Event)] = i + 1
	}
	for _, order := range [][]string{
		{"kube-apiserver v1.36.3 ended", "kube-apiserver v1.37.2 started", "kube-controller-manager v1.36.3 ended", "kube-controller-manager v1.37.2 started"},
		{"kube-apiserver v1.37.2 started", "kube-scheduler v1.36.3 ended", "kube-scheduler v1.37.2 started"},
	} {
		for i := range order[1:] {
			if first, then := place[order[i]], place[order[i+1]]; first == 0 || then <= first {
				t.Errorf("%s is line %d, and %s line %d; want them in this order", order[i], first, order[i+1], then)
			}
		}
	}
	s.stop(t)
}

func TestUpgradeThatFails(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	s := supervise(t, config)
	s.until(t, "all healthy", allHealthy)
	log := Log(config.Dir, APIServer)
	tests := []struct{ to, code, message string }{
		{
			fakepart.ExitsAtOnce, ExitedAtOnce, "kube-apiserver " + fakepart.ExitsAtOnce + " ended before it was Ready: exit status 1; see " + log +
				", which ends: unknown flag: --that-was-removed; " + old + " serves again",
		},
		{
			fakepart.NeverReady, NeverReady, "kube-apiserver " + fakepart.NeverReady + " was not Ready within 1s: not ready yet: kms-providers; see " + log +
				"; " + old + " serves again",
		},
		{"v1.36.97", NoBinaries, "there is no v1.36.97; the newest is v1.36.3"},
	}
	for _, test := range tests {
		t.Run(test.code, func(t *testing.T) {
			if _, err := s.Upgrade(Request{Token: test.to, From: old, To: test.to, Limit: time.Second}); err != nil {
				t.Fatal(err)
			}
			status := s.until(t, "ended", notRunning)
			u := status.Upgrades[len(status.Upgrades)-1]
			if diff := cmp.Diff([]any{Failed, test.code, test.message}, []any{u.Phase, u.Code, u.Message}); diff != "" {
				t.Errorf("upgrade (-want +got):\n%s", diff)
			}
			status = s.until(t, "all healthy", allHealthy)
			if served, err := s.ServedVersion(t.Context()); err != nil || served != old || status.Version != old {
				t.Errorf("served = %q, %v; want the old version", served, err)
			}
			if n := starts(journal(t, config.Dir), test.to)[string(APIServer)]; n > 1 {
				t.Errorf("the API server that fails was started %d times, want once", n)
			}
		})
	}
	s.stop(t)
}

// superviseUntil runs the loop of a control plane in a process of its own, which
// kills itself after a number of actions; with 0 it ends when all is done.
func superviseUntil(dir string, limit int) error {
	text, err := os.ReadFile(filepath.Join(dir, "test.json"))
	if err != nil {
		return err
	}
	var job struct {
		Config  Config
		Request Request
	}
	if err := json.Unmarshal(text, &job); err != nil {
		return err
	}
	c, err := Open(job.Config, getFake(dir), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if _, err := c.Upgrade(job.Request); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for acts := 0; ctx.Err() == nil; {
		a := next(c.observe(ctx))
		if a.do != wait {
			if err := c.act(ctx, a); err != nil {
				return err
			}
			if acts++; acts == limit {
				return syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			continue
		}
		if status := c.Status(); notRunning(status) && allHealthy(status) {
			return nil
		}
		c.sleep(ctx, a.recheck)
	}
	return ctx.Err()
}

// An upgrade whose supervisor is killed after any one of its actions goes on
// where it was, and starts everything once.
func TestUpgradeSurvivesAKillAfterEveryAction(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	from := old
	for n := 1; ; n++ {
		to := fmt.Sprintf("v1.36.%d", 10+n)
		if n == 1 {
			to = old // to bring it up: the upgrade is done before it begins
		}
		text, err := json.Marshal(map[string]any{"Config": config, "Request": Request{Token: to, From: from, To: to}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(config.Dir, "test.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		killed := false
		if n > 1 {
			killed = runSupervisor(t, config.Dir, n-1)
		}
		if killed {
			runSupervisor(t, config.Dir, 0)
		} else if n == 1 {
			runSupervisor(t, config.Dir, 0)
		}
		if diff := cmp.Diff(onceEach(), starts(journal(t, config.Dir), to)); diff != "" {
			t.Fatalf("killed after action %d: starts (-want +got):\n%s", n-1, diff)
		}
		found, err := process.Find(config.Dir + " ")
		if err != nil || len(found) != len(Parts()) {
			t.Fatalf("killed after action %d: running = %v, %v", n-1, found, err)
		}
		if n > 1 && !killed {
			t.Logf("an upgrade has %d actions", n-2)
			if n < 10 {
				t.Errorf("that is too few for this test to mean anything")
			}
			return
		}
		from = to
	}
}

// runSupervisor runs one, and tells whether it was killed.
func runSupervisor(t *testing.T, dir string, limit int) (killed bool) {
	t.Helper()
	out, err := exec.Command(os.Args[0], "supervise", dir, strconv.Itoa(limit)).CombinedOutput()
	exit := (*exec.ExitError)(nil)
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("supervise: %v\n%s", err, out)
	}
	return false
}

// A process whose start never reached the journal is found by its mark.
func TestAdoptWithoutAJournal(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	s := supervise(t, config)
	before := s.until(t, "all healthy", allHealthy)
	s.cancel()
	if err := <-s.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	if err := os.Remove(Journal(config.Dir)); err != nil {
		t.Fatal(err)
	}
	again := supervise(t, config)
	after := again.until(t, "all healthy", allHealthy)
	for i := range before.Parts {
		if before.Parts[i].PID != after.Parts[i].PID {
			t.Errorf("%s is process %d, want %d", after.Parts[i].Part, after.Parts[i].PID, before.Parts[i].PID)
		}
	}
	if n := len(journal(t, config.Dir)); n != len(Parts()) {
		t.Errorf("the journal has %d lines, want one for each part", n)
	}
	again.stop(t)
}

// What ended with the machine is started, and is no failed start.
func TestAfterAReboot(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	lines := ""
	for i, part := range Parts() {
		// Pids that are sure to be given out again.
		entry := process.Entry{Time: time.Now(), Event: process.Started, Part: string(part), Version: old, ID: process.ID{PID: 1 + i, Ticks: 1, Boot: "before"}}
		text, err := json.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		lines += string(text) + "\n"
	}
	if err := os.WriteFile(Journal(config.Dir), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	s := supervise(t, config)
	s.until(t, "all healthy", allHealthy)
	s.stop(t)
	for _, entry := range journal(t, config.Dir)[len(Parts()) : 2*len(Parts())] {
		if entry.Event != process.Ended || entry.Reason != "ended with the machine" {
			t.Errorf("journal = %+v, want the ends of what ran before", entry)
		}
	}
}

// A port that someone else took while the control plane was stopped is replaced,
// and the kubeconfig with it.
func TestPortIsTaken(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	for _, port := range []int{config.Ports.APIServer, config.Ports.Scheduler} {
		busy, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer busy.Close()
	}
	s := supervise(t, config)
	status := s.until(t, "all healthy", allHealthy)
	if status.Ports.APIServer == config.Ports.APIServer || status.Ports.Scheduler == config.Ports.Scheduler {
		t.Errorf("ports = %+v after %+v, want the two that were taken replaced", status.Ports, config.Ports)
	}
	text, err := os.ReadFile(Kubeconfig(config.Dir))
	if err != nil || !strings.Contains(string(text), fmt.Sprintf(":%d\n", status.Ports.APIServer)) {
		t.Errorf("kubeconfig = %s, %v; want port %d", text, err, status.Ports.APIServer)
	}
	if recorded, err := RecordedPorts(config.Dir); err != nil || recorded != status.Ports {
		t.Errorf("RecordedPorts = %+v, %v; want %+v", recorded, err, status.Ports)
	}
	s.stop(t)
}

// A part that crashes is started again; a healthy control plane stays as it is.
func TestCrashedPartIsStartedAgain(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	s := supervise(t, config)
	before := s.until(t, "all healthy", allHealthy)
	victim := before.Parts[3]
	if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := s.until(t, "started again", func(s Status) bool { return allHealthy(s) && s.Parts[3].PID != victim.PID })
	for i := range before.Parts {
		if i != 3 && before.Parts[i].PID != after.Parts[i].PID {
			t.Errorf("%s was started again as well", after.Parts[i].Part)
		}
	}
	entries := journal(t, config.Dir)
	if last := entries[len(entries)-1]; last.Reason != "again, after: signal: killed" {
		t.Errorf("the journal says %q", last.Reason)
	}
	s.stop(t)
	ends := 0
	for _, entry := range journal(t, config.Dir) {
		if entry.Event == process.Ended && entry.Asked {
			ends++
		}
	}
	if ends != len(Parts()) {
		t.Errorf("%d parts ended as asked, want %d", ends, len(Parts()))
	}
}
