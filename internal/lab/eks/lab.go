// Package eks is a made-up Amazon EKS on loopback: the real wire protocol and the
// real rules, over clusters that are as real as what they are made of.
//
// An account of one region has clusters, and each of these is made of a cluster
// of a Backing: an update of its version really takes the API server of a local
// member to another one. What is checked, how long things take and what goes
// wrong is as Amazon describes it (https://docs.aws.amazon.com/eks/latest/APIReference/),
// as far as upgrades are concerned; clusters are not created through the API.
//
// Time passes in Tend, which takes everything that is under way a bit further,
// by what is observed.
package eks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"k8s.io/utils/clock"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// Backing is what the lab's clusters are made of. Its pools are their node groups.
type Backing interface {
	provider.Provider
	provider.NodeReplacer
}

// Options are what a lab is made of.
type Options struct {
	Region  string
	Backing Backing
	Clock   clock.PassiveClock
	Pace    Pace
	Log     *slog.Logger
}

// Pace is how long things may take.
type Pace struct {
	// Eviction is how long the pods of one node may take to go, before the update
	// of its node group has failed: 15 minutes at Amazon
	// (https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html).
	Eviction time.Duration
	// AddOn is how long the update of an add-on takes.
	AddOn time.Duration
	// Config is how long the update of a cluster's configuration takes.
	Config time.Duration
}

// account is the one that all labs are.
const account = "111122223333"

// Lab is a made-up account of one region.
type Lab struct {
	Options

	keys aws.Credentials

	mu       sync.Mutex
	clusters map[string]*cluster
	mishaps  mishaps
}

// mishaps is what goes wrong next.
type mishaps struct {
	throttled int           // as many changes of clusters are throttled
	after     time.Duration // by what the answer says
	expired   bool
	failing   map[string]bool // the clusters whose next update of the version fails
	lost      int             // the answers that nobody gets
	withdrawn []fleet.Version // minors that are not offered
}

// cluster is one of the account's.
type cluster struct {
	name     string
	ref      provider.Ref // of the backing
	created  time.Time
	version  fleet.Version // major and minor
	groups   map[string]*group
	addOns   map[string]*addOn
	updates  []*update // oldest first
	entrance *entrance
}

// group is a managed node group.
type group struct {
	name    string
	created time.Time
	version fleet.Version // of the last update that succeeded
	size    int
}

// addOn is a managed add-on.
type addOn struct {
	name    string
	created time.Time
	version string
}

// New makes an empty lab with keys of its own.
func New(o Options) *Lab {
	o.Region = cmp.Or(o.Region, "eu-west-1")
	o.Pace.Eviction = cmp.Or(o.Pace.Eviction, 15*time.Minute)
	return &Lab{Options: o, keys: newKeys(), clusters: map[string]*cluster{}, mishaps: mishaps{failing: map[string]bool{}}}
}

// Add makes a cluster of one of the backing's, which is at rest, and opens its
// endpoint. Its add-ons are those that the lab knows.
func (l *Lab) Add(ctx context.Context, name string, ref provider.Ref) error {
	seen, err := l.Backing.Observe(ctx, ref)
	if err != nil {
		return fmt.Errorf("make EKS cluster %s: %w", name, err)
	}
	in, err := openEntrance(l, name, ref)
	if err != nil {
		return fmt.Errorf("make EKS cluster %s: %w", name, err)
	}
	now := l.Clock.Now().UTC()
	c := &cluster{
		name: name, ref: ref, created: now, entrance: in, version: minorOf(seen.ControlPlane.Oldest),
		groups: map[string]*group{}, addOns: map[string]*addOn{},
	}
	for _, pool := range seen.Pools {
		c.groups[pool.Name] = &group{name: pool.Name, created: now, version: minorOf(pool.Template.Version), size: pool.Size}
	}
	for _, known := range catalogue() {
		c.addOns[known.name] = &addOn{name: known.name, created: now, version: known.versionFor(c.version)}
	}
	for _, g := range c.groups { // whose nodes bear their label from the start
		if _, err := l.lookAt(ctx, c, g, &update{}); err != nil {
			return errors.Join(fmt.Errorf("make EKS cluster %s: %w", name, err), in.close())
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clusters[name] = c
	return nil
}

// Close ends the endpoints.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, c := range l.clusters {
		errs = append(errs, c.entrance.close())
	}
	return errors.Join(errs...)
}

// Environment is what makes the tools of Amazon's and Refit use this lab, served
// at an address.
func (l *Lab) Environment(url string) map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL_EKS": url, "AWS_REGION": l.Region,
		"AWS_ACCESS_KEY_ID": l.keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": l.keys.SecretAccessKey,
	}
}

// Tend takes all that is under way further.
func (l *Lab) Tend(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(l.clusters)) {
		c := l.clusters[name]
		for _, u := range c.updates {
			if u.status != inProgress {
				continue
			}
			if err := l.further(ctx, c, u); err != nil {
				// The backing may be away for a while; the next look goes on.
				l.Log.Debug("update", "cluster", c.name, "update", u.id, "error", err)
			}
			if u.status != inProgress {
				l.Log.Info("update ended", "cluster", c.name, "update", u.id, "of", u.of(), "status", u.status, "errors", u.errors)
			}
		}
	}
}

// further takes one update further.
func (l *Lab) further(ctx context.Context, c *cluster, u *update) error {
	switch {
	case u.group != "":
		return l.rollGroup(ctx, c, c.groups[u.group], u)
	case u.addOn != "":
		if l.Clock.Since(u.created) >= l.Pace.AddOn {
			c.addOns[u.addOn].version = u.param(paramAddonVersion)
			u.status = successful
		}
		return nil
	case u.kind == configUpdate:
		if l.Clock.Since(u.created) >= l.Pace.Config {
			u.status = successful
		}
		return nil
	default:
		return l.changeVersion(ctx, c, u)
	}
}

// changeVersion takes the control plane further. One that fails is as it was.
func (l *Lab) changeVersion(ctx context.Context, c *cluster, u *update) error {
	if u.doomed {
		if l.Clock.Since(u.created) >= time.Second {
			u.fail(errorUnknown, "the control plane did not become healthy; it was taken back")
		}
		return nil
	}
	op, err := l.Backing.Ensure(ctx, c.ref, provider.Change{
		Part: provider.Part{Kind: provider.PartControlPlane}, Token: u.id,
		From: provider.State{Version: u.from}, To: provider.State{Version: u.to},
	})
	if fault := provider.AsFault(err); err != nil && fault.Class == provider.Stop {
		u.fail(errorUnknown, fault.Err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	switch op.Phase {
	case provider.Succeeded:
		c.version, u.status = minorOf(u.to), successful
	case provider.Failed:
		u.fail(errorUnknown, op.Message)
	case provider.Running:
	}
	return nil
}

// offered is the patch of a minor that the lab has; zero where it has none.
func (l *Lab) offered(ctx context.Context, c *cluster, minor fleet.Version) (fleet.Version, error) {
	if slices.ContainsFunc(l.mishaps.withdrawn, minor.SameMinor) {
		return fleet.Version{}, nil
	}
	seen, err := l.Backing.Observe(ctx, c.ref)
	if err != nil {
		return fleet.Version{}, err
	}
	newest := fleet.Version{}
	for _, v := range seen.Offers {
		if v.SameMinor(minor) && newest.Less(v) {
			newest = v
		}
	}
	return newest, nil
}

func minorOf(v fleet.Version) fleet.Version { return fleet.Version{Major: v.Major, Minor: v.Minor} }
