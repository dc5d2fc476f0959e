// Package addon runs what a cluster needs beside Kubernetes: Helm releases in
// members.
//
// Nothing is remembered here: what became of a change is read from the release's own
// history, which Helm keeps in the member, and from the objects of its manifest.
package addon

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"refit.dev/refit/internal/fleet"
)

const (
	// hookTimeout bounds each hook of a chart; nothing else of a release is waited for.
	hookTimeout = 5 * time.Minute
	// keptRevisions is how much of a release's history is kept, as Helm itself does.
	keptRevisions = 10
	// keptMembers is how many members' discovery is kept: far more than are in flight.
	keptMembers = 128
)

// Helm runs add-ons as Helm releases.
type Helm struct {
	Charts Charts
	// Configure is what actions of Helm's library begin with; nil is that of a member
	// that answers.
	Configure func(config *rest.Config, namespace string) (*action.Configuration, error)

	mu      sync.Mutex
	members map[*rest.Config]*reach
}

// Observe looks at add-ons. What cannot be seen is Unseen, and says why.
func (h *Helm) Observe(ctx context.Context, config *rest.Config, wanted []fleet.WantedAddOn) []fleet.AddOn {
	var seen []fleet.AddOn
	for _, want := range wanted {
		one, err := h.observe(ctx, config, want.Helm)
		if err != nil {
			one = fleet.AddOn{Message: err.Error()}
		}
		one.Name = want.Name
		seen = append(seen, one)
	}
	return seen
}

func (h *Helm) observe(ctx context.Context, config *rest.Config, what fleet.Helm) (fleet.AddOn, error) {
	r, err := h.open(config, what)
	if err != nil {
		return fleet.AddOn{}, err
	}
	history, err := r.history()
	if err != nil {
		return fleet.AddOn{}, err
	}
	seen := stateOf(history)
	if seen.Phase == fleet.Deployed {
		seen.Sick, err = r.sick(ctx, history[len(history)-1].Manifest)
	}
	return seen, err
}

// open is a release in a member.
func (h *Helm) open(config *rest.Config, what fleet.Helm) (*release, error) {
	configure := h.Configure
	if configure == nil {
		configure = h.configure
	}
	configuration, err := configure(config, what.Namespace)
	if err != nil {
		return nil, err
	}
	return &release{Helm: what, Configuration: configuration}, nil
}

func (h *Helm) configure(config *rest.Config, namespace string) (*action.Configuration, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m, known := h.members[config]
	if !known {
		var err error
		if m, err = dial(config); err != nil {
			return nil, err
		}
		if h.members == nil || len(h.members) >= keptMembers {
			h.members = map[*rest.Config]*reach{}
		}
		h.members[config] = m
	}
	configuration := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler)) // its caller is told
	if err := configuration.Init(scoped{reach: m, namespace: namespace}, namespace, "secret"); err != nil {
		return nil, fmt.Errorf("make Helm's client: %w", err)
	}
	return configuration, nil
}

// release is one Helm release in one member.
type release struct {
	fleet.Helm
	*action.Configuration
}

// String names it as people do.
func (r *release) String() string { return "Helm release " + r.Namespace + "/" + r.Release }

// reach is one member's own API, as Helm's library wants it.
type reach struct {
	config    *rest.Config
	discovery discovery.CachedDiscoveryInterface
	mapper    meta.RESTMapper
}

func dial(config *rest.Config) (*reach, error) {
	plain := rest.CopyConfig(config)
	plain.QPS, plain.Burst = 50, 100
	client, err := discovery.NewDiscoveryClientForConfig(plain)
	if err != nil {
		return nil, fmt.Errorf("make discovery client: %w", err)
	}
	cached := memory.NewMemCacheClient(client)
	return &reach{config: plain, discovery: cached, mapper: restmapper.NewDeferredDiscoveryRESTMapper(cached)}, nil
}

// scoped is a member, seen from one namespace.
type scoped struct {
	*reach

	namespace string
}

// ToRESTConfig gives a copy: the library sets fields of its own.
func (s scoped) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(s.config), nil }

// ToDiscoveryClient gives the one that is cached.
func (s scoped) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return s.discovery, nil
}

// ToRESTMapper gives the one that is cached.
func (s scoped) ToRESTMapper() (meta.RESTMapper, error) { return s.mapper, nil }

// ToRawKubeConfigLoader says which namespace is meant where an object names none.
func (s scoped) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: s.namespace}}
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), overrides)
}

// canonical is JSON with sorted keys.
func canonical(values map[string]any) string {
	if len(values) == 0 {
		return "{}"
	}
	text, err := json.Marshal(values)
	if err != nil {
		return err.Error() // equal to no values at all
	}
	return string(text)
}
