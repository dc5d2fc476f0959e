//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// twoWaves is a fleet at rest, and the release that it is to go to.
const twoWaves = `
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: "2026.10"}
spec: {bundle: {kubernetes: v1.36.3}}
---
apiVersion: refit.dev/v1alpha1
kind: Release
metadata: {name: "2026.11"}
spec: {bundle: {kubernetes: v1.37.2}}
---
apiVersion: refit.dev/v1alpha1
kind: Fleet
metadata: {name: main}
spec:
  selector: {}
  release: "2026.10"
  settle: 2s
  bake: 2s
  waves:
  - {name: canary, selector: {matchLabels: {wave: canary}}, soak: 3s}
  - {name: most}
`

// TestDashboard: a browser has both pages open while two members go to the next
// minor. It sees each of them change without a reload, as the hub's objects do; and
// nobody else sees anything.
func TestDashboard(t *testing.T) {
	u := newUser(t)
	u.up()
	u.must("local", "create", "one", "--version", v136, "--nodes", "2", "--label", "wave=canary")
	u.must("local", "create", "two", "--version", v136, "--nodes", "2", "--label", "wave=most")
	u.mustKube(twoWaves, "apply", "-f", "-")
	eventually(t, time.Minute, "the fleet is at rest", func() (bool, string) {
		out := u.must("status")
		return strings.Contains(out, "2 of 2 done"), out
	})
	history := watchMembers(t, u)
	link := u.dashboard(t)
	b := openBrowser(t)
	fleets := b.open(link)
	fleets.do(chromedp.WaitVisible(chromedp.CSS(`#link[data-link="live"]`)))
	cluster := b.open(origin(link) + "/members/one")
	cluster.do(chromedp.WaitVisible(chromedp.CSS(`#link[data-link="live"]`)))
	for _, p := range []*tab{fleets, cluster} {
		p.do(chromedp.Evaluate[chromedp.Void](`window.opened = 'once'`))
	}
	fleets.do(chromedp.Focus(chromedp.CSS(`[data-member="two"]`)))
	for _, s := range append(fleets.shown(), cluster.shown()...) {
		if s.State != "Done" || s.Version != v136 {
			t.Errorf("before anything moves a page shows %+v", s)
		}
	}

	u.mustKube("", "patch", "fleet", "main", "--type=merge", "-p", `{"spec":{"release":"2026.11"}}`)
	seen := follow(t, fleets, cluster)
	history.judge(t, seen)
	for _, member := range []string{"one", "two"} {
		t.Logf("%s was seen as %v", member, seen.course(member))
		for _, want := range []string{"Waiting", "Running ControlPlane", "Running Nodes", "Done"} {
			if member == "two" && !slices.Contains(seen.course(member), want) {
				t.Errorf("%s was not seen as %s, but as %v", member, want, seen.course(member))
			}
		}
	}
	for _, p := range []*tab{fleets, cluster} {
		if opened, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`window.opened || 'again'`)); err != nil || opened != "once" {
			t.Errorf("%s was opened %s, %v", p.url, opened, err)
		}
	}
	if focused, err := chromedp.Run(fleets.ctx, chromedp.Evaluate[string](`document.activeElement.dataset.member || 'nothing'`)); err != nil || focused != "two" {
		t.Errorf("focused after all changes is %s, %v, want two", focused, err)
	}
	fleets.shoot("fleets-done", 1400, 700, "light")
	cluster.shoot("cluster-done", 1400, 1000, "dark")
	fleets.clean()
	cluster.clean()
	b.strangers(link)
}

// dashboard starts "refit dashboard" as somebody who may only look, until the
// test ends, and returns the link that it prints.
func (u *user) dashboard(t *testing.T) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "ann.kubeconfig")
	u.must("user", "add", "ann", "--role", "viewer", "--reason", "looks", "--out", config)
	cmd := u.command(context.Background(), "dashboard", "--kubeconfig", config)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		t.Fatalf("refit dashboard ended: %s%s", line, errOut.String())
	}
	t.Cleanup(func() {
		if err := u.end(cmd); err != nil || errOut.Len() > 0 {
			t.Errorf("refit dashboard, interrupted: %v\n%s", err, errOut.String())
		}
	})
	return strings.TrimSpace(line)
}

func origin(link string) string {
	at, _, _ := strings.Cut(link, "/?")
	return at
}

// follow samples both pages until they show both members at the new version; on
// the way it takes pictures.
func follow(t *testing.T, fleets, cluster *tab) samples {
	t.Helper()
	var all samples
	pictured := false
	eventually(t, 8*time.Minute, "both members are there", func() (bool, string) {
		all = append(append(all, fleets.shown()...), cluster.shown()...)
		now := all[max(0, len(all)-3):]
		if !pictured && slices.ContainsFunc(now, func(s sample) bool { return s.State == "Running" && s.Step == "Nodes" }) {
			pictured = true
			fleets.shoot("fleets-rolling", 1400, 700, "dark")
			cluster.shoot("cluster-rolling", 1400, 1000, "light")
		}
		there := !slices.ContainsFunc(now, func(s sample) bool { return s.State != "Done" || s.Version != v137 })
		return there, strings.Join(now.texts(), "; ")
	})
	return all
}

// A browser is Chromium, without a head and without anything to talk to but
// loopback.
type browser struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // what chromedp knows a browser by
}

// chromiumPath is where Debian's chromium is.
const chromiumPath = "/usr/bin/chromium"

func openBrowser(t *testing.T) *browser {
	t.Helper()
	if _, err := os.Stat(chromiumPath); err != nil {
		t.Fatalf("%v; install it with: apt-get install chromium", err)
	}
	home := t.TempDir()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(chromiumPath), chromedp.UserDataDir(filepath.Join(home, "profile")),
		chromedp.NoSandbox, // which refuses root
		chromedp.Flag("disable-component-update", true), chromedp.Flag("no-pings", true),
		chromedp.Flag("host-resolver-rules", "MAP rebind.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Env("HOME="+home, "TMPDIR="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home, "XDG_DATA_HOME="+home),
	)
	allocated, release := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, leave := chromedp.NewContext(allocated, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("close the browser: %v", err)
		}
		leave()
		release()
	})
	if err := chromedp.Do(ctx); err != nil { // the browser is there, and its first tab
		t.Fatalf("start chromium: %v", err)
	}
	return &browser{t: t, ctx: ctx}
}

// strangers are refused: who has the link from elsewhere, and pages of others.
func (b *browser) strangers(link string) {
	t := b.t
	for what, to := range map[string]string{
		"the link, again, in another window": link,
		"a link that is none":                origin(link) + "/?token=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"no link":                            origin(link) + "/",
		"a name that is bound to loopback":   strings.Replace(link, "127.0.0.1", "rebind.example", 1),
	} {
		private, leave := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
		response, err := chromedp.Run(private, chromedp.NavigateResponse(to))
		if err != nil || response == nil || response.Status != http.StatusForbidden {
			t.Errorf("%s: %+v, %v, want 403", what, response, err)
		}
		leave()
	}
	b.foreignHeaders(link)
	b.foreignPage(link)
}

// foreignHeaders: a session that works is of no use under another Host or Origin.
func (b *browser) foreignHeaders(link string) {
	t := b.t
	cookies, err := chromedp.CallBrowser(b.ctx, storage.GetCookies, storage.GetCookiesParams{})
	if err != nil || len(cookies.Cookies) != 1 {
		t.Fatalf("cookies: %+v, %v", cookies, err)
	}
	cookie := cookies.Cookies[0]
	if !cookie.HTTPOnly || cookie.SameSite != network.CookieSameSiteStrict {
		t.Errorf("cookie: %+v", cookie)
	}
	for _, test := range []struct {
		what, host, origin string
		want               int
	}{
		{"itself", "", "", http.StatusOK},
		{"its own page", "", origin(link), http.StatusOK},
		{"another host", "rebind.example", "", http.StatusForbidden},
		{"another origin", "", "https://evil.example", http.StatusForbidden},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin(link)+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = test.host
		request.Header.Set("Cookie", cookie.Name+"="+cookie.Value)
		if test.origin != "" {
			request.Header.Set("Origin", test.origin)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != test.want || (test.want != http.StatusOK && bytes.Contains(text, []byte("two"))) {
			t.Errorf("%s: %s, %v\n%s", test.what, response.Status, err, text)
		}
	}
}

// foreignPage: another port of this machine is the same site, to which a browser
// sends the cookie; its pages read nothing all the same.
func (b *browser) foreignPage(link string) {
	t := b.t
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<p>another page</p>")
	}))
	defer other.Close()
	p := b.open(other.URL)
	for _, mode := range []string{"cors", "no-cors"} {
		script := `fetch('` + origin(link) + `/', {credentials: 'include', mode: '` + mode + `'}).then(r => r.text()).then(text => 'read ' + text, error => 'refused')`
		read, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
		if err != nil || strings.Contains(read, "Refit") || strings.Contains(read, "two") {
			t.Errorf("a page of another port, %s: %s, %v", mode, read, err)
		}
	}
	var statuses []int64
	eventually(t, time.Minute, "the browser tells how its requests were answered", func() (bool, string) {
		statuses = p.statuses(origin(link))
		return len(statuses) >= 2, fmt.Sprint(statuses)
	})
	if slices.ContainsFunc(statuses, func(status int64) bool { return status != http.StatusForbidden }) {
		t.Errorf("a page of another port was answered %v, want 403 each time", statuses)
	}
}

// shoot writes a picture of the page to where the run keeps its logs.
func (p *tab) shoot(name string, width, height int64, scheme string) {
	t := p.t
	t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.EmulateViewport(width, height))
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	folder := os.Getenv("REFIT_E2E_LOGS")
	if folder == "" {
		folder = t.TempDir()
	}
	path := filepath.Join(folder, t.Name()+"-"+name+".png")
	if err := os.WriteFile(path, picture, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d KiB in %s", len(picture)>>10, path)
}

// onLoopback tells whether a request stays on this machine, or is none.
func onLoopback(text string) bool {
	at, err := url.Parse(text)
	return err == nil && (at.Hostname() == "127.0.0.1" || at.Scheme == "data" || at.Scheme == "about")
}
