package hub

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testListensOnLoopback asks the kernel which TCP sockets this process listens on.
func testListensOnLoopback(t *testing.T, h runningHub) {
	own := map[string]bool{}
	descriptors, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, descriptor := range descriptors {
		if target, err := os.Readlink(descriptor); err == nil {
			own[target] = true
		}
	}
	var got []string
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(table)
		if os.IsNotExist(err) {
			continue // a kernel without IPv6
		}
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if fields[3] == "0A" && own["socket:["+fields[9]+"]"] {
				got = append(got, fields[1])
			}
		}
	}
	host, err := url.Parse(h.Config().Host)
	if err != nil {
		t.Fatal(err)
	}
	port, err := net.LookupPort("tcp", host.Port())
	if err != nil {
		t.Fatal(err)
	}
	// The address is 127.0.0.1 as a little-endian machine prints it.
	if want := fmt.Sprintf("0100007F:%04X", port); len(got) != 1 || got[0] != want {
		t.Errorf("this process listens on %q, want only %s", got, want)
	}
}
