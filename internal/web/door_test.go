package web

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"refit.dev/refit/internal/view"
)

// dashboard is one of a made-up hub, that is not served but asked.
func dashboard(t *testing.T, look func() (view.Picture, error)) *Dashboard {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	d, err := New(listener, Options{Now: clock, Every: every, Look: func(context.Context) (view.Picture, error) { return look() }})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func quiet() (view.Picture, error) { return seen(rolling(0)), nil }

// ask asks as a browser does that was told the address.
func ask(d *Dashboard, method, target string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = d.door.hosts[0]
	maps.Copy(r.Header, header)
	if host := header.Get("Host"); host != "" {
		r.Host = host
	}
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, r)
	return w
}

func (d *Dashboard) link() string { return "/?token=" + d.door.token }

// enter uses the link; the header is what the browser sends from then on.
func enter(t *testing.T, d *Dashboard) http.Header {
	t.Helper()
	w := ask(d, http.MethodGet, d.link(), nil)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusOK || len(cookies) != 1 {
		t.Fatalf("the link: %d, cookies %v", w.Code, cookies)
	}
	return http.Header{"Cookie": {cookies[0].Name + "=" + cookies[0].Value}}
}

func TestLinkWorksOnce(t *testing.T) {
	d := dashboard(t, quiet)
	if w := ask(d, http.MethodGet, "/", nil); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `Run "refit dashboard" again`) {
		t.Errorf("without the link: %d %s", w.Code, w.Body)
	}
	for what, target := range map[string]string{
		"another token": "/?token=" + secret(), "none": "/?token=", "a part": "/?token=" + d.door.token[:42],
	} {
		if w := ask(d, http.MethodGet, target, nil); w.Code != http.StatusForbidden || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v", what, w.Code, w.Header())
		}
	}
	if w := ask(d, http.MethodHead, d.link(), nil); w.Code != http.StatusForbidden {
		t.Errorf("who only looks what the link is: %d", w.Code)
	}
	if w := ask(d, http.MethodGet, "/", http.Header{"Cookie": {d.door.cookie + "=" + d.door.session}}); w.Code != http.StatusForbidden {
		t.Errorf("a session that nobody was given: %d", w.Code)
	}
	w := ask(d, http.MethodGet, d.link(), nil)
	cookie := w.Result().Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Domain != "" || cookie.Value == d.door.token || len(cookie.Value) < 43 {
		t.Errorf("cookie %+v", cookie)
	}
	if strings.Contains(w.Body.String(), d.door.token) {
		t.Error("the answer has the token")
	}
	inside := http.Header{"Cookie": {cookie.Name + "=" + cookie.Value}}
	for _, target := range []string{"/", "/members/eu-2", "/assets/refit.css"} {
		if w := ask(d, http.MethodGet, target, inside); w.Code != http.StatusOK {
			t.Errorf("%s with the session: %d %s", target, w.Code, w.Body)
		}
	}
	if w := ask(d, http.MethodGet, d.link(), inside); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "was used before") {
		t.Errorf("the link again: %d %s", w.Code, w.Body)
	}
	if w := ask(d, http.MethodGet, "/", http.Header{"Cookie": {cookie.Name + "=" + d.door.token}}); w.Code != http.StatusForbidden {
		t.Errorf("the token as a session: %d", w.Code)
	}
}

// Of many who use the link at once, one is let in.
func TestLinkWorksOnceAtOnce(t *testing.T) {
	d := dashboard(t, quiet)
	var wait sync.WaitGroup
	answers := make([]int, 64)
	for i := range answers {
		wait.Go(func() { answers[i] = ask(d, http.MethodGet, d.link(), nil).Code })
	}
	wait.Wait()
	let := 0
	for _, code := range answers {
		switch code {
		case http.StatusOK:
			let++
		case http.StatusForbidden:
		default:
			t.Errorf("answered %d", code)
		}
	}
	if let != 1 {
		t.Errorf("%d were let in, want 1", let)
	}
}

// Two dashboards have nothing in common.
func TestSecretsDiffer(t *testing.T) {
	one, other := dashboard(t, quiet).door, dashboard(t, quiet).door
	all := map[string]bool{one.token: true, one.session: true, other.token: true, other.session: true, one.cookie: true, other.cookie: true}
	if len(all) != 6 {
		t.Errorf("the same twice: %v %v", one, other)
	}
}

func TestDoor(t *testing.T) {
	d := dashboard(t, quiet)
	inside := enter(t, d)
	self := "http://" + d.door.hosts[0]
	_, port, _ := net.SplitHostPort(d.door.hosts[0])
	for _, test := range []struct {
		what, method string
		header       http.Header
		want         int
	}{
		{"a person's own", "GET", http.Header{"Sec-Fetch-Site": {"none"}}, http.StatusOK},
		{"localhost", "GET", http.Header{"Host": {"localhost:" + port}}, http.StatusOK},
		{"its own page", "GET", http.Header{"Origin": {self}, "Sec-Fetch-Site": {"same-origin"}}, http.StatusOK},
		{"head", "HEAD", nil, http.StatusOK},
		{"a name that was bound to loopback", "GET", http.Header{"Host": {"rebind.example:" + port}}, http.StatusForbidden},
		{"another port", "GET", http.Header{"Host": {"127.0.0.1:1"}}, http.StatusForbidden},
		{"no port", "GET", http.Header{"Host": {"127.0.0.1"}}, http.StatusForbidden},
		{"a suffix", "GET", http.Header{"Host": {d.door.hosts[0] + ".example"}}, http.StatusForbidden},
		{"another site's page", "GET", http.Header{"Origin": {"https://evil.example"}}, http.StatusForbidden},
		{"no origin to speak of", "GET", http.Header{"Origin": {"null"}}, http.StatusForbidden},
		{"another port's page", "GET", http.Header{"Origin": {"http://127.0.0.1:1"}}, http.StatusForbidden},
		{"another scheme", "GET", http.Header{"Origin": {"https://" + d.door.hosts[0]}}, http.StatusForbidden},
		{"an image on another port", "GET", http.Header{"Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"no-cors"}}, http.StatusForbidden},
		{"a frame of another site", "GET", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}}, http.StatusForbidden},
		{"a link on another site", "GET", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}, http.StatusOK},
		{"post", "POST", nil, http.StatusMethodNotAllowed},
		{"put", "PUT", nil, http.StatusMethodNotAllowed},
		{"delete", "DELETE", nil, http.StatusMethodNotAllowed},
		{"options", "OPTIONS", nil, http.StatusMethodNotAllowed},
	} {
		header := inside.Clone()
		maps.Copy(header, test.header)
		w := ask(d, test.method, "/", header)
		if w.Code != test.want {
			t.Errorf("%s: %d, want %d", test.what, w.Code, test.want)
		}
		if w.Code != http.StatusOK && strings.Contains(w.Body.String(), "eu-1") {
			t.Errorf("%s: is told of a member", test.what)
		}
	}
}

// A foreign Host or Origin does not use the link up, either.
func TestStrangersDoNotUseTheLink(t *testing.T) {
	d := dashboard(t, quiet)
	ask(d, http.MethodGet, d.link(), http.Header{"Host": {"rebind.example"}})
	ask(d, http.MethodGet, d.link(), http.Header{"Origin": {"https://evil.example"}})
	ask(d, http.MethodPost, d.link(), nil)
	enter(t, d)
}

func TestHeaders(t *testing.T) {
	d := dashboard(t, quiet)
	refused := ask(d, http.MethodGet, "/", nil)
	inside := enter(t, d)
	for what, w := range map[string]*httptest.ResponseRecorder{
		"refused": refused, "page": ask(d, http.MethodGet, "/", inside), "asset": ask(d, http.MethodGet, "/assets/refit.js", inside),
		"missing": ask(d, http.MethodGet, "/members/nobody", inside), "nothing": ask(d, http.MethodGet, "/assets/page.html", inside),
	} {
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
			"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
			"Access-Control-Allow-Origin": "",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s %q, want %q", what, name, got, want)
			}
		}
	}
	for target, want := range map[string]int{"/members/nobody": 404, "/assets/page.html": 404, "/assets/../web.go": 307, "/else": 404} {
		if w := ask(d, http.MethodGet, target, inside); w.Code != want {
			t.Errorf("%s: %d, want %d", target, w.Code, want)
		}
	}
}

// What is not on loopback is not served, whoever asks for it.
func TestOnLoopbackOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", "[::]:0"} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(listener, Options{}); err == nil || !strings.Contains(err.Error(), "is not on loopback") {
			t.Errorf("%s: %v", address, err)
		}
		_ = listener.Close()
	}
}
