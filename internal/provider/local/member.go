package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/kube/controlplane"
	"refit.dev/refit/internal/kube/controlplane/record"
)

// Spec says what member to create.
type Spec struct {
	Name    string
	Version fleet.Version
	// Pools are made of nodes of Version.
	Pools  []PoolSpec
	Labels map[string]string
	// AuditLog makes the API server write who asked for what to logs/audit.log.
	AuditLog bool
	// NoWait makes Create return when the member's supervisor answers.
	NoWait bool
}

// PoolSpec is a pool to create.
type PoolSpec struct {
	Name string
	Size int
}

// The bounds of a Spec.
const (
	// A ClusterUpgrade is named after its member, with a number behind it.
	maxName = 50
	// A node is named after its pool, and its name is a label's value.
	maxPoolName = 40
	// MaxNodes is what a control plane and kwok carry on a small machine.
	MaxNodes = 500
	maxPools = 20
)

// A SpecError says what is wrong with one field of a Spec.
type SpecError struct {
	Field string // Name, Version, Pools or Labels
	Err   error
}

// Error names the value and the fix.
func (e *SpecError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *SpecError) Unwrap() error { return e.Err }

// Validate answers with a *SpecError for the first thing wrong.
func (s Spec) Validate() error {
	for _, check := range []struct {
		field string
		err   error
	}{
		{"Name", checkName("name", s.Name, maxName)},
		{"Version", s.checkVersion()},
		{"Pools", s.checkPools()},
		{"Labels", checkLabels(s.Labels)},
	} {
		if check.err != nil {
			return &SpecError{Field: check.field, Err: check.err}
		}
	}
	return nil
}

func (s Spec) checkVersion() error {
	if s.Version.IsZero() {
		return errors.New("a member needs a version, such as v1.36.3")
	}
	return nil
}

func (s Spec) checkPools() error {
	if len(s.Pools) > maxPools {
		return fmt.Errorf("%d pools are too many; a local member has at most %d", len(s.Pools), maxPools)
	}
	nodes, seen := 0, map[string]bool{}
	for _, pool := range s.Pools {
		if err := checkName("pool", pool.Name, maxPoolName); err != nil {
			return err
		}
		if seen[pool.Name] {
			return fmt.Errorf("pool %q is named twice; give each pool a name of its own", pool.Name)
		}
		if pool.Size < 0 {
			return fmt.Errorf("pool %q has %d nodes; give it 0 or more", pool.Name, pool.Size)
		}
		seen[pool.Name] = true
		nodes += pool.Size
	}
	if nodes > MaxNodes {
		return fmt.Errorf("%d nodes are too many for a member on one machine; ask for at most %d", nodes, MaxNodes)
	}
	return nil
}

func checkName(what, name string, longest int) error {
	if len(name) > longest {
		return fmt.Errorf("%s %q has %d characters; use at most %d", what, name, len(name), longest)
	}
	if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
		return fmt.Errorf("%s %q is no DNS label; use lower-case letters, digits and inner hyphens, such as team-a-1", what, name)
	}
	return nil
}

func checkLabels(labels map[string]string) error {
	for key, value := range labels {
		if problems := validation.IsQualifiedName(key); len(problems) > 0 {
			return fmt.Errorf("label key %q is not valid: %s", key, problems[0])
		}
		if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
			return fmt.Errorf("label %s=%q has a value that is not valid: %s", key, value, problems[0])
		}
	}
	return nil
}

// declared is what cluster.json holds: what the member was created as. It never
// changes; what runs by now is in the control plane's and the cloud's records.
type declared struct {
	Name     string             `json:"name"`
	UID      string             `json:"uid"`
	Created  time.Time          `json:"created"`
	Version  string             `json:"version"`
	Etcd     string             `json:"etcd"`
	Kwok     string             `json:"kwok"`
	Ports    controlplane.Ports `json:"ports"`
	Labels   map[string]string  `json:"labels,omitempty"`
	AuditLog bool               `json:"auditLog,omitempty"`
}

// A folder is the place of one member. The files in it, beside those of the
// control plane:
type folder string

func (f folder) declaration() string { return filepath.Join(string(f), "cluster.json") }
func (f folder) machines() string    { return filepath.Join(string(f), "machines.json") }

// lock is held by the supervisor.
func (f folder) lock() string   { return filepath.Join(string(f), "lock") }
func (f folder) socket() string { return filepath.Join(string(f), "supervisor.sock") }
func (f folder) log() string    { return filepath.Join(string(f), "logs", "supervisor.log") }

// creating is there, and held, until the member was created in full: a member
// with one that nobody holds is half made.
func (f folder) creating() string { return filepath.Join(string(f), "creating") }

// stopped is there while the member is stopped on purpose.
func (f folder) stopped() string { return filepath.Join(string(f), "stopped") }

func (f folder) mark() string { return string(f) + " " }

func (f folder) load() (declared, error) {
	var d declared
	if !exists(f.declaration()) {
		return d, fmt.Errorf("%s is no folder of a local member: it has no cluster.json", f)
	}
	return d, record.Load(f.declaration(), &d)
}

// config is the control plane that the member was declared with.
func (d declared) config(f folder) controlplane.Config {
	return controlplane.Config{
		Dir: string(f), Name: d.Name, Version: d.Version, EtcdVersion: d.Etcd, KwokVersion: d.Kwok,
		Ports: d.Ports, AuditLog: d.AuditLog,
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// ParsePool reads "a=10".
func ParsePool(text string) (PoolSpec, error) {
	name, count, ok := strings.Cut(text, "=")
	size, err := strconv.Atoi(count)
	if !ok || err != nil {
		return PoolSpec{}, fmt.Errorf("pool %q is not of the form NAME=NODES, such as a=10", text)
	}
	return PoolSpec{Name: name, Size: size}, nil
}
