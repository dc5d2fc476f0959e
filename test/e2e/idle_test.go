//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// BenchmarkIdle measures what "refit up" costs with three members at rest: the
// time until it is ready, the first time with nothing and then with members that
// run, memory, CPU and goroutines, and the binary's size.
func BenchmarkIdle(b *testing.B) {
	const rest = 30 * time.Second
	u := newUser(b)
	first, firstReady := timedUp(u)
	for i := range 3 {
		u.must("local", "create", fmt.Sprintf("idle-%d", i), "--version", v136, "--nodes", "6")
	}
	if err := u.end(first); err != nil {
		b.Fatal(err)
	}
	again, ready := timedUp(u)
	pid := again.Process.Pid
	<-time.After(rest) // what is measured is rest
	for b.Loop() {
		before := cpuSeconds(b, pid)
		<-time.After(rest)
		b.ReportMetric((cpuSeconds(b, pid)-before)/rest.Seconds()*1000, "millicores")
	}
	b.ReportMetric(firstReady.Seconds(), "s-to-first-ready")
	b.ReportMetric(ready.Seconds(), "s-to-ready")
	b.ReportMetric(statusValue(b, pid, "VmRSS:")/1024, "MiB-RSS")
	b.ReportMetric(goroutines(b, u), "goroutines")
	info, err := os.Stat(u.binary)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/(1<<20), "MiB-binary")
}

// timedUp starts a hub, and tells how long it took until that was ready.
func timedUp(u *user) (*exec.Cmd, time.Duration) {
	begun := time.Now()
	process := u.up()
	return process, time.Since(begun)
}

func cpuSeconds(tb testing.TB, pid int) float64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100 // proc(5): in ticks, of which Linux has 100 a second
}

func statusValue(tb testing.TB, pid int, name string) float64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[0] == name {
			value, _ := strconv.ParseFloat(fields[1], 64)
			return value
		}
	}
	tb.Fatalf("/proc/%d/status has no %s", pid, name)
	return 0
}

// goroutines are the hub's own account: API server and loops are one process.
func goroutines(tb testing.TB, u *user) float64 {
	tb.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", u.kubeconfig())
	if err != nil {
		tb.Fatal(err)
	}
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := c.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "go_goroutines "); found {
			count, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return count
		}
	}
	tb.Fatal("the hub's metrics have no go_goroutines")
	return 0
}
