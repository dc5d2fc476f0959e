package local

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/client-go/rest"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/provider"
)

// Provider implements the port over the supervisors of a data directory.
type Provider struct {
	// Dir is the data directory.
	Dir string
	// Offers lists the versions that can be had; those that run are added.
	Offers func() []fleet.Version
	// ReadyLimit is how long a new API server may take to become Ready before
	// the old one is taken back; 0 is controlplane.DefaultLimit.
	ReadyLimit time.Duration
}

var (
	_ provider.Provider     = (*Provider)(nil)
	_ provider.NodeReplacer = (*Provider)(nil)
)

func (p *Provider) folder(ref provider.Ref) (folder, error) {
	// A name comes from a MemberCluster and must not lead out of the folder.
	if err := checkName("name", ref.Name, maxName); err != nil {
		return "", stop(provider.CodeUnknownCluster, "%w", err)
	}
	f := folder(filepath.Join(p.Dir, membersFolder, ref.Name))
	if !exists(f.declaration()) {
		return "", stop(provider.CodeUnknownCluster, "there is no local member %q", ref.Name)
	}
	return f, nil
}

// Observe reads the member through its supervisor.
func (p *Provider) Observe(ctx context.Context, ref provider.Ref) (provider.Observation, error) {
	f, err := p.folder(ref)
	if err != nil {
		return provider.Observation{}, err
	}
	var status memberStatus
	if err := call(ctx, f, "GET", "/v1/status", nil, &status); err != nil {
		return provider.Observation{}, err
	}
	return p.observation(ref.Name, status), nil
}

func (p *Provider) observation(name string, s memberStatus) provider.Observation {
	o := provider.Observation{UID: s.UID, At: s.At, ControlPlane: observeControlPlane(name, s)}
	for _, pool := range s.Pools {
		o.Pools = append(o.Pools, observePool(pool, s.Machines))
	}
	o.Operations = operations(s)
	if p.Offers != nil {
		o.Offers = slices.Clone(p.Offers())
	}
	if running := version(s.ControlPlane.Version); !slices.Contains(o.Offers, running) {
		o.Offers = append(o.Offers, running)
	}
	slices.SortFunc(o.Offers, fleet.Version.Compare)
	return o
}

// observeControlPlane believes the API server about its version, not the record
// of what was asked for.
func observeControlPlane(name string, s memberStatus) provider.ControlPlane {
	served := version(s.Served)
	c := provider.ControlPlane{Oldest: served, Newest: served, Ready: true}
	for _, part := range s.ControlPlane.Parts {
		if part.Part == controlplane.Kwok || (part.Healthy && !part.Shaky) {
			continue // kwok is of the nodes: theirs tell when it fails
		}
		c.Ready, c.Message = false, fmt.Sprintf("%s: %s", part.Part, part.Message)
		if part.Shaky {
			c.Fix = mend(name, part.Part)
		}
		return c
	}
	if served.IsZero() {
		c.Ready, c.Message = false, "kube-apiserver does not tell its version"
	}
	return c
}

// mend is what a person can do about a part that does not stay up.
func mend(name string, part controlplane.Part) string {
	return fmt.Sprintf("find the cause in its log: refit local logs %s %s; where the program is at fault, put a good one in its place: refit kube import FILE; the part is started again by itself", name, part)
}

func observePool(p pool, machines []machine) provider.Pool {
	observed := provider.Pool{
		Name: p.Name, Size: p.Size, Template: provider.State{Version: version(p.Template)}, RolledBy: fleet.ByRefit,
	}
	for _, m := range machines {
		if m.Pool != p.Name {
			continue
		}
		observed.Instances = append(observed.Instances, provider.Instance{
			ID: m.ID, Node: m.ID, Replaces: m.Replaces, State: provider.State{Version: version(m.Version)},
		})
	}
	return observed
}

// operations are those that run, and the last ended one of each part; of a part
// the newest first.
func operations(s memberStatus) []provider.Operation {
	var all []provider.Operation
	for _, u := range slices.Backward(s.ControlPlane.Upgrades) {
		all = append(all, upgradeOperation(u))
		if u.Phase != controlplane.Running {
			break
		}
	}
	for _, p := range s.Pools {
		for _, change := range slices.Backward(s.Changes) {
			if change.Pool == p.Name {
				all = append(all, templateOperation(change))
				break
			}
		}
	}
	return all
}

func upgradeOperation(u controlplane.Upgrade) provider.Operation {
	phases := map[controlplane.Phase]provider.Phase{
		controlplane.Running: provider.Running, controlplane.Succeeded: provider.Succeeded, controlplane.Failed: provider.Failed,
	}
	return provider.Operation{
		ID: u.ID, Token: u.Token, Part: provider.Part{Kind: provider.PartControlPlane}, To: provider.State{Version: version(u.To)},
		Phase: phases[u.Phase], Code: u.Code, Message: u.Message, Started: u.Started, Foreign: u.Token == "",
	}
}

func templateOperation(c templateChange) provider.Operation {
	return provider.Operation{
		ID: c.ID, Token: c.Token, Part: provider.Part{Kind: provider.PartPool, Pool: c.Pool}, To: provider.State{Version: version(c.To)},
		Phase: provider.Succeeded, Started: c.At, Foreign: c.Token == "",
	}
}

// version is zero where the text is none, as it is of an API server that does
// not answer.
func version(text string) fleet.Version {
	v, _ := fleet.ParseVersion(text)
	return v
}

// Connect gives the client certificate that was made with the member.
func (p *Provider) Connect(_ context.Context, ref provider.Ref) (*rest.Config, error) {
	f, err := p.folder(ref)
	if err != nil {
		return nil, err
	}
	config, err := restConfig(string(f))
	if err != nil {
		return nil, retryLater(provider.CodeUnreachable, err)
	}
	return config, nil
}

// Ensure hands a change to the supervisor. A control plane's takes its time; a
// pool's is done at once, since only the template changes.
func (p *Provider) Ensure(ctx context.Context, ref provider.Ref, change provider.Change) (provider.Operation, error) {
	f, err := p.folder(ref)
	if err != nil {
		return provider.Operation{}, err
	}
	if err := provider.CheckToken(change.Token); err != nil {
		return provider.Operation{}, err
	}
	from, to := change.From.Version.String(), change.To.Version.String()
	if change.Part.Kind == provider.PartPool {
		wanted, done := templateChange{Token: change.Token, Pool: change.Part.Pool, From: from, To: to}, templateChange{}
		if err := call(ctx, f, "POST", "/v1/template", wanted, &done); err != nil {
			return provider.Operation{}, err
		}
		return templateOperation(done), nil
	}
	wanted, begun := controlplane.Request{Token: change.Token, From: from, To: to, Limit: p.ReadyLimit}, controlplane.Upgrade{}
	if err := call(ctx, f, "POST", "/v1/upgrade", wanted, &begun); err != nil {
		return provider.Operation{}, err
	}
	return upgradeOperation(begun), nil
}

// AddNode adds a machine from the pool's template.
func (p *Provider) AddNode(ctx context.Context, ref provider.Ref, add provider.NodeAddition) error {
	f, err := p.folder(ref)
	if err != nil {
		return err
	}
	if err := provider.CheckToken(add.Token); err != nil {
		return err
	}
	return call(ctx, f, "POST", "/v1/machines", additionRequest{Pool: add.Pool, Replaces: add.Replaces, Token: add.Token}, &struct{}{})
}

// RemoveNode removes a machine; its node goes with it.
func (p *Provider) RemoveNode(ctx context.Context, ref provider.Ref, removal provider.NodeRemoval) error {
	f, err := p.folder(ref)
	if err != nil {
		return err
	}
	path := fmt.Sprintf("/v1/pools/%s/machines/%s", url.PathEscape(removal.Pool), url.PathEscape(removal.Instance))
	return call(ctx, f, "DELETE", path, nil, &struct{}{})
}
