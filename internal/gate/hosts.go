package gate

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Hosts are those that gates may call, as host:port. Whoever writes a gate is not
// always who may reach all that Refit reaches.
type Hosts map[string]struct{}

// ports are those of a host that is named without one.
func ports() map[string]string { return map[string]string{"http": "80", "https": "443"} }

// ParseHosts reads hosts, each as HOST or HOST:PORT. Without a port it is that of
// the scheme of the gate's URL, and no other.
func ParseHosts(texts []string) (Hosts, error) {
	hosts := Hosts{}
	for _, text := range texts {
		u, err := url.Parse("http://" + text)
		if err != nil || u.Host != text || u.Hostname() == "" || strings.HasSuffix(text, ":") {
			return nil, fmt.Errorf("%q: is no host; write HOST or HOST:PORT, as in prometheus.monitoring:9090", text)
		}
		if u.Port() != "" {
			hosts[address(u, u.Port())] = struct{}{}
			continue
		}
		for _, port := range ports() {
			hosts[address(u, port)] = struct{}{}
		}
	}
	return hosts, nil
}

func address(u *url.URL, port string) string {
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// errNotListed is of a host that gates may not call.
var errNotListed = errors.New("gates may not call that host")

// check refuses a URL that gates may not call.
func (h Hosts) check(u *url.URL) error {
	port, known := ports()[u.Scheme]
	if !known || u.User != nil {
		return fmt.Errorf("%s is no URL of http or https without a user", u.Redacted())
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if _, listed := h[address(u, port)]; !listed {
		return fmt.Errorf("%w: %s", errNotListed, u.Host)
	}
	return nil
}
