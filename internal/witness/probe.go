package witness

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// probeEvery is how exactly an outage is measured.
const probeEvery = 20 * time.Millisecond

// Probe asks an API server for its version, again and again, as somebody who
// uses the cluster would.
type Probe struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	seen   Probed
	// last is when the last answer came, first failure when answers ceased.
	last, failing time.Time
	why           error
}

// Probed is what a probe saw.
type Probed struct {
	// Versions that answered, in order, each named when it changes.
	Versions []string
	Outages  []Outage
}

// Outage is a time without an answer, from the last one before it to the first
// one after it.
type Outage struct {
	For time.Duration
	// Before and After are the versions that answered last before it and first
	// after it; empty where there was no such answer.
	Before, After string
	// Why the first request of it failed.
	Why error
}

// String is the outage in words.
func (o Outage) String() string {
	return fmt.Sprintf("%s → %s %s (%v)", cmp.Or(o.Before, "?"), cmp.Or(o.After, "?"), o.For.Round(time.Millisecond), o.Why)
}

// StartProbe begins to ask. Every request makes a connection of its own, so
// that none outlives the server that it was made to.
func StartProbe(ctx context.Context, config *rest.Config) (*Probe, error) {
	config = rest.CopyConfig(config)
	config.Timeout = time.Second
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("probe %s: %w", config.Host, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &Probe{cancel: cancel}
	p.done.Go(func() { p.run(ctx, client, config.Host+"/version") })
	return p, nil
}

func (p *Probe) run(ctx context.Context, client *http.Client, url string) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		version, err := ask(ctx, client, url)
		if ctx.Err() == nil {
			p.note(time.Now(), version, err)
		}
	}
}

func ask(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Close = true
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // it was read, or is of no use
	if response.StatusCode != http.StatusOK {
		return "", errors.New(response.Status)
	}
	var info struct{ GitVersion string }
	err = json.NewDecoder(response.Body).Decode(&info)
	return info.GitVersion, err
}

func (p *Probe) note(now time.Time, version string, err error) {
	if err != nil {
		if p.failing.IsZero() {
			p.failing, p.why = now, err
			if !p.last.IsZero() {
				p.failing = p.last
			}
		}
		return
	}
	if !p.failing.IsZero() {
		p.seen.Outages = append(p.seen.Outages, Outage{For: now.Sub(p.failing), Before: p.version(), After: version, Why: p.why})
		p.failing = time.Time{}
	}
	p.last = now
	if n := len(p.seen.Versions); n == 0 || p.seen.Versions[n-1] != version {
		p.seen.Versions = append(p.seen.Versions, version)
	}
}

// Stop ends the probe, and is what it saw. An outage that has not ended by then
// counts up to the end.
func (p *Probe) Stop() Probed {
	p.cancel()
	p.done.Wait()
	if !p.failing.IsZero() {
		p.seen.Outages = append(p.seen.Outages, Outage{For: time.Since(p.failing), Before: p.version(), Why: p.why})
	}
	return p.seen
}

// version is the one that answered last.
func (p *Probe) version() string {
	if n := len(p.seen.Versions); n > 0 {
		return p.seen.Versions[n-1]
	}
	return ""
}
