package gate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"refit.dev/refit/internal/fleet"
)

// most is how long a response may be: an answer is a few numbers.
const most = 1 << 20

// wordy is how much is told of what somebody else said.
const wordy = 160

var (
	errRedirected = errors.New("redirected")
	errCached     = errors.New("the answer is from a cache")
)

// prometheus is whatever speaks the API of Prometheus.
type prometheus struct {
	hosts  Hosts
	client *http.Client
}

func newPrometheus(hosts Hosts) *prometheus {
	p := &prometheus{hosts: hosts}
	// Without a proxy: it would be called, and call for us, though nobody listed it.
	transport := &http.Transport{ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: 2 * time.Minute, MaxResponseHeaderBytes: 64 << 10}
	p.client = &http.Client{
		Transport: guard{hosts: hosts, next: transport},
		CheckRedirect: func(to *http.Request, _ []*http.Request) error {
			return fmt.Errorf("%w to %s", errRedirected, to.URL.Redacted())
		},
	}
	return p
}

// guard stands before the network: no host that is not listed, no answer that is
// endless or was given to somebody else before.
type guard struct {
	hosts Hosts
	next  http.RoundTripper
}

func (g guard) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := g.hosts.check(request.URL); err != nil {
		return nil, err
	}
	request = request.Clone(request.Context())
	request.Header.Set("Cache-Control", "no-store")
	response, err := g.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if age := response.Header.Get("Age"); age != "" && age != "0" {
		_ = response.Body.Close()
		return nil, errCached
	}
	response.Body = http.MaxBytesReader(nil, response.Body, most)
	return response, nil
}

// ask asks once.
func (p *prometheus) ask(ctx context.Context, q fleet.Question) fleet.Heard {
	client, err := api.NewClient(api.Config{Address: q.URL, Client: p.client})
	if err != nil {
		return unknown(err, q)
	}
	value, warnings, err := v1.NewAPI(client).Query(ctx, q.Query, time.Time{})
	if err != nil {
		return unknown(err, q)
	}
	return judge(q, value, serious(warnings))
}

// unknown says why there is no answer.
func unknown(err error, q fleet.Question) fleet.Heard {
	heard := fleet.Heard{Answer: fleet.Unknown, Fix: "see that " + q.URL + " answers"}
	var call *url.Error
	var told *v1.Error
	var long *http.MaxBytesError
	switch {
	case errors.Is(err, errNotListed):
		u, _ := url.Parse(q.URL) // as it was when it was checked
		heard.Said, heard.Fix = errNotListed.Error()+": "+u.Host, "start refit up with --gate-host "+u.Host
	case errors.Is(err, errRedirected):
		heard.Said, heard.Fix = clip(errors.Unwrap(err).Error()), "give the gate the URL that answers itself: no redirect is followed"
	case errors.As(err, &long):
		heard.Said, heard.Fix = "the response is longer than 1 MiB", "let the query give fewer numbers"
	case errors.As(err, &told) && told.Type != v1.ErrBadResponse:
		heard.Said = clip(told.Error())
		if told.Type == v1.ErrBadData {
			heard.Fix = "correct the gate's query"
		}
	case errors.As(err, &call):
		heard.Said = clip(call.Err.Error())
	default: // where it goes wrong, without the text around it
		what, _, _ := strings.Cut(err.Error(), ", error found in")
		heard.Said = clip("this is no answer of Prometheus: " + what)
	}
	return heard
}

// serious are the warnings that say an answer may lack something. What Prometheus
// calls an info is about how a query is written.
func serious(warnings v1.Warnings) []string {
	var list []string
	for _, warning := range warnings {
		if !strings.HasPrefix(warning, "PromQL info:") {
			list = append(list, warning)
		}
	}
	return list
}

// judge finds the answer in a value: a yes needs a number at least, each within the
// bounds, and nobody who warns that there could be others.
func judge(q fleet.Question, value model.Value, warnings []string) fleet.Heard {
	numbers, why := numbersOf(value)
	for _, n := range numbers {
		if !q.Good(n.is) && !math.IsNaN(n.is) {
			return fleet.Heard{Answer: fleet.No, Said: n.text(q)}
		}
	}
	nan := slices.IndexFunc(numbers, func(n number) bool { return math.IsNaN(n.is) })
	switch {
	case why != "":
		return fleet.Heard{Answer: fleet.Unknown, Said: why, Fix: "let the gate's query give numbers"}
	case len(numbers) == 0 && len(warnings) > 0:
		return fleet.Heard{Answer: fleet.Unknown, Said: clip("no data, and a warning: " + warnings[0])}
	case len(numbers) == 0:
		return fleet.Heard{Answer: fleet.Unknown, Said: "no data", Fix: "see that what the query asks for is measured"}
	case nan >= 0:
		return fleet.Heard{Answer: fleet.Unknown, Said: "no number: " + numbers[nan].text(q), Fix: "see that what the query divides by is not 0"}
	case len(warnings) > 0:
		return fleet.Heard{Answer: fleet.Unknown, Said: clip("an answer that may lack something: " + warnings[0])}
	default:
		return fleet.Heard{Answer: fleet.Yes, Said: numbers[0].text(q)}
	}
}

// number is one of an answer, and what it is of.
type number struct {
	is float64
	of string
}

func (n number) text(q fleet.Question) string {
	return clip(strconv.FormatFloat(n.is, 'g', -1, 64)+n.of) + "; " + q.Bounds()
}

// numbersOf are those of an instant; or why there can be none.
func numbersOf(value model.Value) ([]number, string) {
	switch value := value.(type) {
	case *model.Scalar:
		return []number{{is: float64(value.Value)}}, ""
	case model.Vector:
		var list []number
		for _, sample := range value {
			if sample.Histogram != nil {
				return list, "a histogram is no number"
			}
			n := number{is: float64(sample.Value)}
			if len(sample.Metric) > 0 {
				n.of = " of " + sample.Metric.String()
			}
			list = append(list, n)
		}
		return list, ""
	case nil:
		return nil, "no value"
	default:
		return nil, fmt.Sprintf("a %s is no number", value.Type())
	}
}

// clip is the first of what somebody said, in one line.
func clip(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if letters := []rune(text); len(letters) > wordy {
		return string(letters[:wordy-1]) + "…"
	}
	return text
}
