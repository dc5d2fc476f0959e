package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"refit.dev/refit/internal/kube"
	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/process"
	"refit.dev/refit/internal/kube/controlplane/record"
)

// createTimeout is for a busy machine; an idle one takes some 8 s for 20 nodes.
const createTimeout = 5 * time.Minute

// cleanupTimeout is how long an interrupted creation may take to clean up.
const cleanupTimeout = time.Minute

// Create makes a member and starts it, says what it is busy with, and returns
// when the control plane serves and every node is Ready. If it fails, or ctx
// ends, nothing is left.
func (m Members) Create(ctx context.Context, spec Spec, report func(string)) (err error) {
	if err := process.Supported(); err != nil {
		return err
	}
	if err := spec.Validate(); err != nil {
		return err
	}
	f := folder(m.Folder(spec.Name))
	if err := m.clearHalfMade(ctx, f, spec.Name); err != nil {
		return err
	}
	if err := m.fetch(ctx, spec, report); err != nil {
		return err
	}
	making, err := m.reserve(f)
	if err != nil {
		return fmt.Errorf("create %s: %w", spec.Name, err)
	}
	if err = m.declare(ctx, f, spec); err == nil {
		err = m.startNew(ctx, f, spec, report)
	}
	if err == nil {
		err = os.Remove(f.creating())
	}
	if err != nil {
		err = m.abandon(ctx, f, spec.Name, err)
	}
	return errors.Join(err, making.Release())
}

// abandon removes what a failed creation made, and says why it failed: its logs
// go with it.
func (m Members) abandon(ctx context.Context, f folder, name string, why error) error {
	err := fmt.Errorf("create %s: %w", name, why)
	if said := process.Tail(f.log(), 5); said != "" && ctx.Err() == nil {
		err = fmt.Errorf("%w; its supervisor's last words:\n%s", err, said)
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	return errors.Join(err, m.Delete(clean, name))
}

// clearHalfMade makes way where a creation was killed, and for nothing else.
func (m Members) clearHalfMade(ctx context.Context, f folder, name string) error {
	switch {
	case !exists(string(f)):
		return nil
	case halfMade(f):
		return m.Delete(ctx, name)
	default:
		return fmt.Errorf("there is a local member %q already; choose another name, or delete it with: refit local delete %s", name, name)
	}
}

// fetch gets all binaries before anything is made: it takes minutes where they
// have to be built, and is what fails most.
func (m Members) fetch(ctx context.Context, spec Spec, report func(string)) error {
	for _, artefact := range append(kube.Pinned(), kube.Artefact{Name: kube.Kubernetes, Version: spec.Version.String()}) {
		if _, err := m.Get(ctx, artefact.Name, artefact.Version, report); err != nil {
			return err
		}
	}
	return nil
}

// reserve makes the folder, marked as half made by the lock that it returns.
func (m Members) reserve(f folder) (*process.Lock, error) {
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return nil, err
	}
	if err := os.Mkdir(string(f), 0o700); err != nil { // of two creators one fails here
		return nil, err
	}
	return process.TakeLock(f.creating())
}

// declare writes down what the member is to be. It holds the lock of all
// members meanwhile, so that no two choose one port.
func (m Members) declare(ctx context.Context, f folder, spec Spec) (err error) {
	all, err := takeLock(ctx, filepath.Join(filepath.Dir(string(f)), ".lock"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Release()) }()
	taken, err := m.takenPorts()
	if err != nil {
		return err
	}
	ports, err := controlplane.ChoosePorts(string(f), taken)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	if err := record.Save(f.machines(), newCloud(spec, now)); err != nil {
		return err
	}
	return record.Save(f.declaration(), declared{
		Name: spec.Name, UID: uuid.NewString(), Created: now, Version: spec.Version.String(),
		Etcd: kube.EtcdVersion, Kwok: kube.KwokVersion, Ports: ports, Labels: spec.Labels, AuditLog: spec.AuditLog,
	})
}

// takeLock waits for its turn; a turn takes a moment.
func takeLock(ctx context.Context, path string) (*process.Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, launchTimeout)
	defer cancel()
	for {
		lock, err := process.TakeLock(path)
		if held := (*process.HeldError)(nil); !errors.As(err, &held) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// takenPorts are those of all members, stopped ones too.
func (m Members) takenPorts() ([]controlplane.Ports, error) {
	names, err := m.Names()
	if err != nil {
		return nil, err
	}
	var taken []controlplane.Ports
	for _, name := range names {
		var d declared
		if err := record.Load(folder(m.Folder(name)).declaration(), &d); err != nil {
			return nil, err
		}
		recorded, err := controlplane.RecordedPorts(m.Folder(name))
		if err != nil {
			return nil, err
		}
		taken = append(taken, d.Ports, recorded)
	}
	return taken, nil
}

func (m Members) startNew(ctx context.Context, f folder, spec Spec, report func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	if err := m.launch(ctx, f); err != nil || spec.NoWait {
		return err
	}
	nodes := 0
	for _, pool := range spec.Pools {
		nodes += pool.Size
	}
	last := ""
	for {
		text, done := progress(ctx, f, nodes)
		if text != last {
			report(text)
			last = text
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w while %s", ctx.Err(), text)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// progress says how far a new member has come.
func progress(ctx context.Context, f folder, nodes int) (text string, done bool) {
	var status memberStatus
	if err := call(ctx, f, "GET", "/v1/status", nil, &status); err != nil {
		return err.Error(), false
	}
	var missing []string
	for _, part := range status.ControlPlane.Parts {
		if !part.Healthy {
			missing = append(missing, string(part.Part))
		}
	}
	if !status.ControlPlane.Healthy(controlplane.APIServer) {
		return "starting " + strings.Join(missing, ", "), false
	}
	ready, err := readyNodes(ctx, f)
	switch {
	case err != nil:
		return "listing nodes", false
	case ready < nodes || len(missing) > 0:
		return fmt.Sprintf("%d of %d nodes are Ready%s", ready, nodes, alsoStarting(missing)), false
	}
	return fmt.Sprintf("%d nodes are Ready", ready), true
}

func alsoStarting(missing []string) string {
	if len(missing) == 0 {
		return ""
	}
	return "; starting " + strings.Join(missing, ", ")
}

func readyNodes(ctx context.Context, f folder) (int, error) {
	client, err := nodeClient(string(f))
	if err != nil {
		return 0, err
	}
	nodes, err := listNodes(ctx, client)
	ready := 0
	for _, node := range nodes {
		if isReady(node) {
			ready++
		}
	}
	return ready, err
}
