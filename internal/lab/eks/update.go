package eks

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"time"

	"refit.dev/refit/internal/fleet"
)

// The states of an update (https://docs.aws.amazon.com/eks/latest/APIReference/API_Update.html).
const (
	inProgress = "InProgress"
	successful = "Successful"
	failed     = "Failed"
)

// The kinds of updates, their parameters and their errors.
const (
	versionUpdate = "VersionUpdate"
	addonUpdate   = "AddonUpdate"
	configUpdate  = "LoggingUpdate"

	paramVersion         = "Version"
	paramPlatformVersion = "PlatformVersion"
	paramReleaseVersion  = "ReleaseVersion"
	paramAddonVersion    = "AddonVersion"
	paramLogging         = "ClusterLogging"

	errorUnknown             = "Unknown"
	errorPodEvictionFailure  = "PodEvictionFailure"
	errorNodeCreationFailure = "NodeCreationFailure"
)

// update is a change under way, or one that has ended.
type update struct {
	id, token    string
	kind         string
	group, addOn string // at most one; none for the cluster itself
	status       string
	params       []param
	errors       []problem
	created      time.Time
	force        bool
	// from and to are versions of the backing.
	from, to fleet.Version
	// asked is the request, to be compared with another of the same token.
	asked string
	// doomed updates are to fail.
	doomed bool
	// draining is since when a node is drained.
	draining map[string]time.Time
}

type param struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type problem struct {
	Code    string   `json:"errorCode"`
	Message string   `json:"errorMessage"`
	IDs     []string `json:"resourceIds,omitempty"`
}

func (u *update) of() string {
	switch {
	case u.group != "":
		return "node group " + u.group
	case u.addOn != "":
		return "add-on " + u.addOn
	default:
		return "cluster"
	}
}

func (u *update) param(kind string) string {
	for _, p := range u.params {
		if p.Type == kind {
			return p.Value
		}
	}
	return ""
}

func (u *update) fail(code, message string, ids ...string) {
	u.status = failed
	u.errors = []problem{{Code: code, Message: message, IDs: ids}}
}

// of are the updates of one part of a cluster.
func (c *cluster) of(group, addOn string) []*update {
	var list []*update
	for _, u := range c.updates {
		if u.group == group && u.addOn == addOn {
			list = append(list, u)
		}
	}
	return list
}

// running is the update of a part that is under way; nil where none is.
func (c *cluster) running(group, addOn string) *update {
	for _, u := range c.of(group, addOn) {
		if u.status == inProgress {
			return u
		}
	}
	return nil
}

// known finds the update that was begun with the same token; nil where none was.
// The same token with another request is refused.
func (c *cluster) known(u *update) (*update, *refusal) {
	for _, known := range c.updates {
		if u.token == "" || known.token != u.token {
			continue
		}
		if known.asked != u.asked || known.group != u.group || known.addOn != u.addOn {
			return nil, refuse(http.StatusBadRequest, "InvalidParameterException", "the client request token was used with other parameters")
		}
		return known, nil
	}
	return nil, nil
}

// add records an update that is begun.
func (c *cluster) add(u *update, now time.Time) *update {
	u.id, u.status, u.created, u.draining = newID(), inProgress, now, map[string]time.Time{}
	c.updates = append(c.updates, u)
	return u
}

// newID is a UUID, as the ids of updates are.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it is the kernel's
	text := hex.EncodeToString(b[:])
	return fmt.Sprintf("%s-%s-%s-%s-%s", text[:8], text[8:12], text[12:16], text[16:20], text[20:])
}

// oldestGroup is the lowest version of a node group; zero where there is none.
func (c *cluster) oldestGroup() fleet.Version {
	var versions []fleet.Version
	for _, g := range c.groups {
		versions = append(versions, g.version)
	}
	if len(versions) == 0 {
		return fleet.Version{}
	}
	return slices.MinFunc(versions, fleet.Version.Compare)
}
