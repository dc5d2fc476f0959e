package eks

import (
	"context"
	"fmt"
	"net/http"

	"refit.dev/refit/internal/fleet"
)

// refusal is an error as the service answers it.
type refusal struct {
	status        int
	kind, message string
	// after is what Retry-After says, in seconds; 0 for none.
	after int
}

func refuse(status int, kind, format string, args ...any) *refusal {
	return &refusal{status: status, kind: kind, message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *refusal {
	return refuse(http.StatusNotFound, "ResourceNotFoundException", format, args...)
}

func invalid(format string, args ...any) *refusal {
	return refuse(http.StatusBadRequest, "InvalidParameterException", format, args...)
}

func inUse(format string, args ...any) *refusal {
	return refuse(http.StatusConflict, "ResourceInUseException", format, args...)
}

func unreachable(err error) *refusal {
	return refuse(http.StatusServiceUnavailable, "ServiceUnavailableException", "what this cluster is made of does not answer: %v", err)
}

// nodesBehind is how many minors the nodes of a cluster may be behind its control
// plane (https://docs.aws.amazon.com/eks/latest/userguide/update-cluster.html).
const nodesBehind = 3

// mayUpdate tells what is in the way of an update of a cluster's version: one
// minor at a time, nothing else under way, and node groups that can follow.
func (c *cluster) mayUpdate(to fleet.Version) *refusal {
	oldest := c.oldestGroup()
	switch running := c.running("", ""); {
	case running != nil:
		return inUse("Cluster %s currently has update %s in progress", c.name, running.id)
	case to.Minor != c.version.Minor+1 || to.Major != c.version.Major:
		return invalid("Unsupported Kubernetes minor version update from %s to %s", c.version.MinorName(), to.MinorName())
	case !oldest.IsZero() && to.Minor-oldest.Minor > nodesBehind:
		return refuse(http.StatusBadRequest, "InvalidRequestException", "Nodegroups are at %s, which %s does not support; update them first", oldest.MinorName(), to.MinorName())
	}
	for name := range c.groups {
		if running := c.running(name, ""); running != nil {
			return inUse("Cluster %s currently has update %s of nodegroup %s in progress", c.name, running.id, name)
		}
	}
	return nil
}

// mayUpdateGroup tells what is in the way of an update of a node group.
func (c *cluster) mayUpdateGroup(g *group, to fleet.Version) *refusal {
	switch {
	case c.running("", "") != nil:
		return inUse("Cluster %s is not ACTIVE: update %s is in progress", c.name, c.running("", "").id)
	case c.running(g.name, "") != nil:
		return inUse("Nodegroup %s currently has update %s in progress", g.name, c.running(g.name, "").id)
	case c.version.Less(to):
		return invalid("Requested Nodegroup Kubernetes version %s is newer than the cluster's, %s", to.MinorName(), c.version.MinorName())
	case to.Less(g.version):
		return invalid("Nodegroup Kubernetes version can not be decreased from %s to %s", g.version.MinorName(), to.MinorName())
	}
	return nil
}

// offer is the patch that an update to a minor installs, or why there is none.
func (l *Lab) offer(ctx context.Context, c *cluster, minor fleet.Version) (fleet.Version, *refusal) {
	patch, err := l.offered(ctx, c, minor)
	if err != nil {
		return fleet.Version{}, unreachable(err)
	}
	if patch.IsZero() {
		return fleet.Version{}, invalid("unsupported Kubernetes version %s", minor.MinorName())
	}
	return patch, nil
}
