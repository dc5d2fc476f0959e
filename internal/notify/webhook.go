package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/protocol"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	v1 "refit.dev/refit/api/v1alpha1"
)

// answerWithin is how long a webhook may take to answer.
const answerWithin = 10 * time.Second

// Webhook tells by CloudEvents, posted to an address: of what a person may want to be
// woken by, and that a wave or a fleet is there. One that was told again has the same
// id.
type Webhook struct {
	client cloudevents.Client
	source string
}

// WebhookOptions say where a webhook is.
type WebhookOptions struct {
	// URL that is posted to. It may be as good as a password, and is told nobody.
	URL string
	// Token is sent as a bearer's, where there is one.
	Token string
	// Hub is the UID of the hub that speaks, and Namespace that of its objects.
	Hub, Namespace string
}

// fileRoom is more than any URL and token take.
const fileRoom = 16 << 10

// ReadWebhook reads where a webhook is: a file with its URL and, on a second line, a
// token. What is in the file is told nobody.
func ReadWebhook(path string) (WebhookOptions, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return WebhookOptions{}, err
	}
	address, token, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	options := WebhookOptions{URL: strings.TrimSpace(address), Token: strings.TrimSpace(token)}
	if err := checkURL(options.URL); err != nil {
		return WebhookOptions{}, fmt.Errorf("the first line of %s: %w", path, err)
	}
	if len(text) > fileRoom || strings.ContainsAny(options.Token, "\r\n") {
		return WebhookOptions{}, fmt.Errorf("%s has more in it than a URL and a token, each on a line of its own", path)
	}
	return options, nil
}

func checkURL(address string) error {
	parsed, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("it is no URL; give one such as https://hooks.example.com/refit")
	case parsed.Scheme != "https" && parsed.Scheme != "http", parsed.Host == "":
		return errors.New("it is no http or https URL; give one such as https://hooks.example.com/refit")
	case parsed.User != nil:
		return errors.New("it has a user in it; put a token on the second line instead")
	}
	return nil
}

// NewWebhook makes a webhook.
func NewWebhook(options WebhookOptions) (*Webhook, error) {
	// A redirect would take the token to somebody else.
	answerer := http.Client{
		Timeout:       answerWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	settings := []cehttp.Option{cloudevents.WithTarget(options.URL), cehttp.WithClient(answerer)}
	if options.Token != "" {
		settings = append(settings, cloudevents.WithHeader("Authorization", "Bearer "+options.Token))
	}
	client, err := cloudevents.NewClientHTTP(settings...)
	if err != nil {
		return nil, errors.New("make the webhook: its URL or token is not usable")
	}
	return &Webhook{client: client, source: "/hubs/" + options.Hub + "/namespaces/" + options.Namespace}, nil
}

// Name is for the log.
func (w *Webhook) Name() string { return "webhook" }

// told is what an event carries.
type told struct {
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	Fleet   string `json:"fleet"`
	Release string `json:"release,omitempty"`
	Member  string `json:"member,omitempty"`
}

// types are those of the events; of other notices the webhook is not told.
func types() map[Kind]string {
	return map[Kind]string{
		FleetStalled:   "dev.refit.fleet.stalled",
		FleetReady:     "dev.refit.fleet.ready",
		WavePassed:     "dev.refit.wave.passed",
		UpgradeEnded:   "dev.refit.upgrade.failed",
		UpgradeStalled: "dev.refit.upgrade.stalled",
	}
}

// Tell posts an event.
func (w *Webhook) Tell(ctx context.Context, notice Notice) error {
	kind := types()[notice.Kind]
	if kind == "" || notice.Kind == UpgradeEnded && !notice.Warning {
		return nil
	}
	event := cloudevents.NewEvent()
	event.SetID(notice.ID)
	event.SetSource(w.source)
	event.SetType(kind)
	event.SetTime(notice.At)
	event.SetSubject(notice.About.GetName())
	data := told{Code: notice.Code, Message: notice.Message}
	switch about := notice.About.(type) {
	case *v1.Fleet:
		data.Fleet, data.Release = about.Name, about.Spec.Release
	case *v1.ClusterUpgrade:
		data.Fleet, data.Release, data.Member = about.Spec.Fleet, about.Spec.Release.Name, about.Spec.Member
	}
	if err := event.SetData(cloudevents.ApplicationJSON, data); err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	return delivered(w.client.Send(cloudevents.WithEncodingStructured(ctx), event))
}

// delivered is why an event was not taken, without the address that it was sent to.
func delivered(result protocol.Result) error {
	if cloudevents.IsACK(result) {
		return nil
	}
	var answer *cehttp.Result
	if cloudevents.ResultAs(result, &answer) {
		return fmt.Errorf("the webhook answers %d", answer.StatusCode)
	}
	if failed, ok := errors.AsType[*url.Error](result); ok {
		return fmt.Errorf("reach the webhook: %w", failed.Err)
	}
	return errors.New("the webhook did not take the event")
}
