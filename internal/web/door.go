package web

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
)

// A door lets in who has the link, once, and from then on the browser that used
// it. Who else is on this machine, and every page that this browser has open,
// stays outside.
type door struct {
	hosts   []string // what the dashboard is called, as Host headers have it
	token   string
	used    atomic.Bool
	cookie  string // its name: cookies are of a host, whatever the port
	session string
}

func newDoor(address *net.TCPAddr) *door {
	port := strconv.Itoa(address.Port)
	return &door{
		hosts:  []string{net.JoinHostPort(address.IP.String(), port), net.JoinHostPort("localhost", port)},
		cookie: "refit-" + port, token: secret(), session: secret(),
	}
}

// secret is one of 256 bits.
func secret() string {
	bits := make([]byte, 32)
	_, _ = rand.Read(bits) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(bits)
}

func (d *door) url() string { return "http://" + d.hosts[0] + "/?token=" + d.token }

// guard answers what is not let in, and lets the rest through.
func (d *door) guard(inside http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		harden(w.Header())
		switch {
		case !slices.Contains(d.hosts, r.Host):
			refuse(w, http.StatusForbidden, "This dashboard is opened by the address that \"refit dashboard\" prints, and by no other name.")
		case !d.ours(r):
			refuse(w, http.StatusForbidden, "This dashboard answers its own pages, and no other site's.")
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, "This dashboard shows, and changes nothing: it answers GET and HEAD.")
		case r.URL.Path == "/" && r.URL.Query().Has("token"):
			d.enter(w, r)
		case !d.known(r):
			refuse(w, http.StatusForbidden, "This browser is not known here. Run \"refit dashboard\" again, and open the link that it prints.")
		default:
			inside.ServeHTTP(w, r)
		}
	})
}

// harden sets what a browser is to keep to: nothing from elsewhere, in no frame,
// and nothing kept.
func harden(header http.Header) {
	for name, value := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Referrer-Policy":              "no-referrer",
		"Cache-Control":                "no-store",
	} {
		header.Set(name, value)
	}
}

// ours tells whether a request comes from a page of this dashboard, or from the
// person: a link may be followed from anywhere, for what is answered is read by
// nobody but them. Another port of this machine is the same site to a browser, so
// that a cookie alone does not tell.
func (d *door) ours(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin": // an old browser tells nothing
		return true
	}
	return r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// enter takes the link for a session, the first time.
func (d *door) enter(w http.ResponseWriter, r *http.Request) {
	if !same(r.URL.Query().Get("token"), d.token) || r.Method != http.MethodGet || !d.used.CompareAndSwap(false, true) {
		refuse(w, http.StatusForbidden, "This link was used before, or is of another dashboard. Run \"refit dashboard\" again, and open the link that it prints.")
		return
	}
	//nolint:gosec // not Secure: loopback has no TLS, and not every browser takes it for safe without
	http.SetCookie(w, &http.Cookie{Name: d.cookie, Value: d.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// No redirect: where the link was on another site's page, a browser would send no
	// strict cookie along. A page of ours goes on by itself, without the token.
	_, _ = io.WriteString(w, "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=\"0;url=/\"><link rel=icon href=/assets/icon.svg><title>Refit</title><p><a href=\"/\">to the dashboard</a>\n")
}

// known tells whether a browser has used the link.
func (d *door) known(r *http.Request) bool {
	for _, cookie := range r.CookiesNamed(d.cookie) {
		if d.used.Load() && same(cookie.Value, d.session) {
			return true
		}
	}
	return false
}

// same compares in a time that tells nothing of where they differ.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// refuse says what to do instead.
func refuse(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, sentence)
}
