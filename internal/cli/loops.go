package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// loopFlags are the flags of whatever runs the control loops: whom they may call,
// and where they tell what happens.
type loopFlags struct {
	level                     logLevel
	metrics, webhook          string
	gateHosts, sourcePrefixes []string
}

func (f *loopFlags) add(cmd *cobra.Command) {
	f.level.add(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.gateHosts, "gate-host", nil, "host that gates may call, as HOST or HOST:PORT; may be repeated (default: none)")
	flags.StringArrayVar(&f.sourcePrefixes, "source-prefix", nil, "Git repository that members may have as their source, or the address of several; may be repeated (default: none)")
	flags.StringVar(&f.metrics, "metrics", "", "address to serve Prometheus metrics on, such as 127.0.0.1:9464, or :9464 for all (default: none)")
	flags.StringVar(&f.webhook, "webhook", "", "file with the URL of a webhook that is sent CloudEvents; on a second line, a token (default: none)")
}

// options are what the flags say, and those that every command has. What cannot work
// is refused at once.
func (f *loopFlags) options(cmd *cobra.Command) (UpOptions, error) {
	level, err := f.level.read()
	if err != nil {
		return UpOptions{}, err
	}
	err = errors.Join(checkHosts(f.gateHosts), checkPrefixes(f.sourcePrefixes), checkAddress(cmd, "metrics", "127.0.0.1:9464"), f.checkWebhook(cmd))
	return UpOptions{
		DataDir: flag(cmd, "data-dir"), Kubeconfig: flag(cmd, "kubeconfig"), Namespace: flag(cmd, "namespace"), LogLevel: level,
		GateHosts: f.gateHosts, SourcePrefixes: f.sourcePrefixes, Metrics: f.metrics, Webhook: f.webhook, Out: cmd.OutOrStdout(),
	}, err
}

func (f *loopFlags) checkWebhook(cmd *cobra.Command) error {
	if !cmd.Flags().Changed("webhook") {
		return nil
	}
	if info, err := os.Stat(f.webhook); err != nil || info.IsDir() {
		return fmt.Errorf("--webhook %q: is no file; name one with the URL of a webhook on its first line, or leave it out", f.webhook)
	}
	return nil
}

// checkHosts refuses what gates could not call.
func checkHosts(hosts []string) error {
	for _, host := range hosts {
		if u, err := url.Parse("http://" + host); err != nil || u.Host != host || u.Hostname() == "" || strings.HasSuffix(host, ":") {
			return fmt.Errorf("--gate-host %q: is no host; write HOST or HOST:PORT, as in prometheus.monitoring:9090", host)
		}
	}
	return nil
}

// checkPrefixes refuses what no repository is below.
func checkPrefixes(prefixes []string) error {
	for _, prefix := range prefixes {
		u, err := url.Parse(prefix)
		switch {
		case err != nil || u.User != nil || u.RawQuery != "" || slices.Contains(strings.Split(prefix, "/"), ".."):
			return errors.New("--source-prefix: an address has no \"..\", and neither user, password nor query")
		case u.Scheme == "https" && u.Host != "", u.Scheme == "file" && u.Host == "" && u.Path != "", strings.HasPrefix(prefix, "/"):
		default:
			return fmt.Errorf("--source-prefix %q: name an https address, or the absolute path of a folder", prefix)
		}
	}
	return nil
}

// checkAddress refuses what cannot be listened on. A port alone is that of all of
// the machine's addresses, of whatever family it has.
func checkAddress(cmd *cobra.Command, name, example string) error {
	if !cmd.Flags().Changed(name) {
		return nil
	}
	address := flag(cmd, name)
	whole := address
	if strings.HasPrefix(address, ":") {
		whole = "0.0.0.0" + address
	}
	if _, err := netip.ParseAddrPort(whole); err != nil {
		return fmt.Errorf("--%s %q: is no address and port; write it as %s, or leave it out", name, address, example)
	}
	return nil
}
