package gate_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/gate"
)

func vector(samples ...string) string {
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(samples, ",") + `]}}`
}

func sample(instance, value string) string {
	return fmt.Sprintf(`{"metric":{"instance":%q},"value":[1,%q]}`, instance, value)
}

// question asks a server for what is to be 0.1 to 0.5.
func question(server string) fleet.Question {
	return fleet.Question{
		URL: server, Query: "errors / calls", Min: fleet.Bound{Number: 0.1, Text: "0.1"}, Max: fleet.Bound{Number: 0.5, Text: "0.50"},
		Interval: time.Second,
	}
}

// patient is one that may be answered as late as a busy machine does.
func patient(server string) fleet.Question {
	q := question(server)
	q.Interval = 30 * time.Second
	return q
}

// serve serves what a handler answers, on loopback, and gates may call it.
func serve(t *testing.T, handler http.HandlerFunc) (url, host string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL, strings.TrimPrefix(server.URL, "http://")
}

// first is the first answer to a question.
func first(t *testing.T, q fleet.Question, hosts ...string) fleet.Heard {
	t.Helper()
	listed, err := gate.ParseHosts(hosts)
	if err != nil {
		t.Fatal(err)
	}
	a := gate.New(listed, clock.RealClock{})
	t.Cleanup(func() { a.Ask(nil) })
	answered := make(chan struct{}, 1)
	a.OnAnswer(func() {
		select {
		case answered <- struct{}{}:
		default:
		}
	})
	a.Ask([]fleet.Question{q})
	select {
	case <-answered:
	case <-time.After(time.Minute):
		t.Fatal("no answer within a minute")
	}
	return a.Heard()[q]
}

// TestAnswers: a yes is a number at least, and all of them within the bounds; what
// is anything else is no yes.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   fleet.Answer
		said   string
		fix    string
	}{
		{"a number within", 200, vector(sample("a", "0.3")), fleet.Yes, `0.3 of {instance="a"}; 0.1 to 0.50 is good`, ""},
		{"the bounds themselves", 200, vector(sample("a", "0.1"), sample("b", "0.5")), fleet.Yes, `0.1 of {instance="a"}; 0.1 to 0.50 is good`, ""},
		{"a number below", 200, vector(sample("a", "0.09")), fleet.No, `0.09 of {instance="a"}; 0.1 to 0.50 is good`, ""},
		{"one of several above", 200, vector(sample("a", "0.3"), sample("b", "0.51")), fleet.No, `0.51 of {instance="b"}; 0.1 to 0.50 is good`, ""},
		{"infinity", 200, vector(sample("a", "+Inf")), fleet.No, `+Inf of {instance="a"}; 0.1 to 0.50 is good`, ""},
		{"no data", 200, vector(), fleet.Unknown, "no data", "see that what the query asks for is measured"},
		{"no number", 200, vector(sample("a", "NaN")), fleet.Unknown, `no number: NaN of {instance="a"}; 0.1 to 0.50 is good`, "see that what the query divides by is not 0"},
		{"one of several is no number", 200, vector(sample("a", "0.3"), sample("b", "NaN")), fleet.Unknown, `no number: NaN of {instance="b"}; 0.1 to 0.50 is good`, "see that what the query divides by is not 0"},
		{"one bad, one no number", 200, vector(sample("a", "NaN"), sample("b", "9")), fleet.No, `9 of {instance="b"}; 0.1 to 0.50 is good`, ""},
		{"a scalar within", 200, `{"status":"success","data":{"resultType":"scalar","result":[1,"0.3"]}}`, fleet.Yes, "0.3; 0.1 to 0.50 is good", ""},
		{"a scalar above", 200, `{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}`, fleet.No, "1; 0.1 to 0.50 is good", ""},
		{"a scalar that is no number", 200, `{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}`, fleet.Unknown, "no number: NaN; 0.1 to 0.50 is good", "see that what the query divides by is not 0"},
		{"a matrix", 200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"0.3"]]}]}}`, fleet.Unknown, "a matrix is no number", "let the gate's query give numbers"},
		{"a text", 200, `{"status":"success","data":{"resultType":"string","result":[1,"0.3"]}}`, fleet.Unknown, `this is no answer of Prometheus: unmarshalerDecoder: unexpected value type "string"`, "see that URL answers"},
		{"a histogram", 200, vector(`{"metric":{},"histogram":[1,{"count":"1","sum":"0.3","buckets":[]}]}`), fleet.Unknown, "a histogram is no number", "let the gate's query give numbers"},
		{"good, and a warning", 200, strings.Replace(vector(sample("a", "0.3")), `{"status"`, `{"warnings":["store eu-2 does not answer"],"status"`, 1), fleet.Unknown, "an answer that may lack something: store eu-2 does not answer", ""},
		{"good, and a word on style", 200, strings.Replace(vector(sample("a", "0.3")), `{"status"`, `{"warnings":["PromQL info: metric might not be a counter"],"status"`, 1), fleet.Yes, `0.3 of {instance="a"}; 0.1 to 0.50 is good`, ""},
		{"bad, and a warning", 200, strings.Replace(vector(sample("a", "3")), `{"status"`, `{"warnings":["store eu-2 does not answer"],"status"`, 1), fleet.No, `3 of {instance="a"}; 0.1 to 0.50 is good`, ""},
		{"nothing but a warning", 200, strings.Replace(vector(), `{"status"`, `{"warnings":["store eu-2 does not answer"],"status"`, 1), fleet.Unknown, "no data, and a warning: store eu-2 does not answer", ""},
		{"a query that is none", 400, `{"status":"error","errorType":"bad_data","error":"1:3: parse error"}`, fleet.Unknown, "bad_data: 1:3: parse error", "correct the gate's query"},
		{"a query that takes too long there", 503, `{"status":"error","errorType":"timeout","error":"query timed out"}`, fleet.Unknown, "server_error: server error: 503", "see that URL answers"},
		{"an error with data", 200, strings.Replace(vector(sample("a", "0.3")), "success", "error", 1), fleet.Unknown, ":", "see that URL answers"},
		{"a login page", 401, "<html>who are you?</html>", fleet.Unknown, "client_error: client error: 401", "see that URL answers"},
		{"a broken gateway", 502, "<html>oops</html>", fleet.Unknown, "server_error: server error: 502", "see that URL answers"},
		{"something else that is well", 200, "<html>welcome</html>", fleet.Unknown, "this is no answer of Prometheus: bad_response: readObjectStart: expect { or n, but found <", "see that URL answers"},
		{"nothing at all", 200, "{}", fleet.Unknown, "this is no answer of Prometheus: Skip: do not know how to skip: 0", "see that URL answers"},
		{"no content", 204, "", fleet.Unknown, "this is no answer of Prometheus: Skip: do not know how to skip: 0", "see that URL answers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			url, host := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.FormValue("query") != "errors / calls" || r.FormValue("time") != "" || r.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("asked is %s, %v, %v", r.URL, r.Form, r.Header)
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			got := first(t, patient(url), host)
			want := fleet.Heard{Answer: test.want, Said: test.said, Fix: strings.ReplaceAll(test.fix, "URL", url), AskedAt: got.AskedAt}
			if test.want == fleet.Yes {
				want.YesAt = got.AskedAt
			}
			if diff := cmp.Diff(want, got); diff != "" || got.AskedAt.IsZero() {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoAnswer: whoever is not reached, or does not answer as a Prometheus does, has
// said nothing.
func TestNoAnswer(t *testing.T) {
	good := vector(sample("a", "0.3"))
	other, otherHost := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the host that was redirected to is called") })
	for _, test := range []struct {
		name      string
		handler   http.HandlerFunc
		said, fix string
	}{
		{"redirected elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other+r.URL.Path, http.StatusTemporaryRedirect)
		}, "redirected to " + other + "/api/v1/query", "give the gate the URL that answers itself: no redirect is followed"},
		{"redirected to itself", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/login", http.StatusFound)
		}, "redirected to http://HOST/login", "give the gate the URL that answers itself: no redirect is followed"},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(" ", 1<<20)+good)
		}, "the response is longer than 1 MiB", "let the query give fewer numbers"},
		{"slow", func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			_, _ = io.WriteString(w, good)
		}, "no answer within 1s", "see that http://HOST answers"},
		{"slow in the middle", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, good[:len(good)/2])
			w.(http.Flusher).Flush()
			_, _ = io.ReadAll(r.Body)
			<-r.Context().Done()
		}, "no answer within 1s", "see that http://HOST answers"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, good)
		}, "this is no answer of Prometheus: unexpected EOF", "see that http://HOST answers"},
		{"from a cache", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Age", "30")
			_, _ = io.WriteString(w, good)
		}, "the answer is from a cache", "see that http://HOST answers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			url, host := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				test.handler(w, r)
			})
			q := patient(url)
			if strings.Contains(test.said, "within 1s") {
				q = question(url)
			}
			got := first(t, q, host, otherHost)
			want := fleet.Heard{
				Answer: fleet.Unknown, Said: strings.ReplaceAll(test.said, "HOST", host), Fix: strings.ReplaceAll(test.fix, "HOST", host), AskedAt: got.AskedAt,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("gone", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		got := first(t, patient(server.URL), strings.TrimPrefix(server.URL, "http://"))
		if got.Answer != fleet.Unknown || !strings.HasSuffix(got.Said, "connection refused") {
			t.Errorf("heard is %+v", got)
		}
	})
}

// TestHosts: only those that are listed are called, and of a host without a port only
// the port of the scheme.
func TestHosts(t *testing.T) {
	url, host := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a host that is not listed is called") })
	port := host[strings.LastIndex(host, ":"):]
	for name, listed := range map[string][]string{
		"none": nil, "another port": {"127.0.0.1:1"}, "the usual ports": {"127.0.0.1"}, "another name of it": {"localhost" + port},
	} {
		t.Run(name, func(t *testing.T) {
			got := first(t, patient(url), listed...)
			want := fleet.Heard{
				Answer: fleet.Unknown, Said: "gates may not call that host: " + host, Fix: "start refit up with --gate-host " + host, AskedAt: got.AskedAt,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseHosts(t *testing.T) {
	hosts, err := gate.ParseHosts([]string{"Prometheus.example", "[::1]:9090", "thanos:443"})
	want := gate.Hosts{"prometheus.example:80": {}, "prometheus.example:443": {}, "[::1]:9090": {}, "thanos:443": {}}
	if diff := cmp.Diff(want, hosts); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{"", ":9090", "a:", "a:b", "http://a", "a/b", "u@a", "a b", "a?b", "::1"} {
		if hosts, err := gate.ParseHosts([]string{text}); err == nil || !strings.Contains(err.Error(), "write HOST or HOST:PORT") {
			t.Errorf("%q: %v, %v", text, hosts, err)
		}
	}
}
