package kube

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestConsole(t *testing.T) {
	const what = "kubernetes v1.36.3"
	for _, test := range []struct {
		name     string
		terminal bool
		want     string
	}{
		{
			"on a terminal one line changes", true,
			`^\r\x1b\[Kkubernetes v1.36.3: not downloaded: 404\n(\r\x1b\[Kkubernetes v1.36.3: compiling, \d+s){2,}\r\x1b\[K$`,
		},
		{"elsewhere lines follow each other", false, `^kubernetes v1.36.3: not downloaded: 404\n(kubernetes v1.36.3: compiling, \d+s\n){2,}$`},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := &transcript{}
			c := newConsole(out)
			c.terminal, c.first, c.every = test.terminal, time.Millisecond, time.Millisecond
			j := c.begin(what)
			j.say("not downloaded: %d", 404)
			j.report("compiling")
			waitFor(t, "two progress lines", func() bool { return strings.Count(out.String(), "compiling") >= 2 })
			j.end()
			if !regexp.MustCompile(test.want).MatchString(out.String()) {
				t.Errorf("got %q", out)
			}
		})
	}
}

func TestConsoleIsQuietAtFirst(t *testing.T) {
	out := &transcript{}
	c := newConsole(out)
	c.first = time.Hour
	j := c.begin("kubernetes v1.36.3")
	j.report("compiling")
	j.end()
	if out.String() != "" {
		t.Errorf("got %q", out)
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 kB", 999_999: "999 kB", 126e6: "126 MB", 6.94e9: "6.9 GB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
