// Package preflight decides whether a cluster may be changed at all: a chain
// of questions over what was observed, each answered with evidence and a fix.
package preflight

import (
	"cmp"
	"fmt"
	"slices"

	"refit.dev/refit/internal/fleet"
)

// Input is everything the checks look at.
type Input struct {
	Cluster fleet.Cluster
	// To is the version the control plane is about to go to.
	To fleet.Version
	// AddOns are those of the release.
	AddOns []fleet.WantedAddOn
	// Upgrade is the UID of the upgrade that asks: what is its own does not
	// stand in its way.
	Upgrade string
	// OwnToken is the token of the operation the upgrade itself started.
	OwnToken string
}

// Finding is one answer that stands in the way.
type Finding struct {
	Check    string
	Message  string
	Evidence string
	Fix      string
}

// check is one question; a nil finding is a yes.
type check struct {
	name string
	ask  func(Input) *Finding
}

// checks are asked in this order, and all of them: who fixes one wants to know
// of the next.
var checks = []check{
	{"Reachable", reachable},
	{"Ready", ready},
	{"NothingUnderWay", nothingUnderWay},
	{"Skew", skew},
	{"NodesHealthy", nodesHealthy},
	{"PoolsRolled", poolsRolled},
	{"AddOnsDistinct", addOnsDistinct},
	{"SourceWritable", sourceWritable},
}

// Findings are the answers that stand in the way; none means go.
func Findings(in Input) []Finding {
	var findings []Finding
	for _, c := range checks {
		if finding := c.ask(in); finding != nil {
			finding.Check = c.name
			findings = append(findings, *finding)
		}
	}
	return findings
}

// Checks are the names of all, in order.
func Checks() []string {
	var names []string
	for _, c := range checks {
		names = append(names, c.name)
	}
	return names
}

// MaxNodeSkew is how many minors a kubelet may be older than the API server:
// three, and two for kubelets before 1.25
// (https://kubernetes.io/releases/version-skew-policy/#kubelet), or less where
// the provider says so.
func MaxNodeSkew(c fleet.Cluster, kubelet fleet.Version) int {
	upstream := 3
	if kubelet.Less(fleet.Version{Major: 1, Minor: 25}) {
		upstream = 2
	}
	if c.MaxNodeSkew > 0 {
		return min(upstream, c.MaxNodeSkew)
	}
	return upstream
}

func reachable(in Input) *Finding {
	if in.Cluster.ControlPlane.Oldest.IsZero() {
		return &Finding{
			Message:  "the version of the control plane is not known",
			Evidence: in.Cluster.ControlPlane.Message,
			Fix:      "see that the provider and the API server answer",
		}
	}
	return nil
}

func ready(in Input) *Finding {
	if in.Cluster.ControlPlane.Ready {
		return nil
	}
	return &Finding{
		Message:  "the control plane is not ready",
		Evidence: in.Cluster.ControlPlane.Message,
		Fix:      "repair the control plane; nothing was changed yet",
	}
}

func nothingUnderWay(in Input) *Finding {
	for _, op := range in.Cluster.Operations {
		if op.Phase == fleet.Running && op.Token != in.OwnToken {
			return &Finding{
				Message:  fmt.Sprintf("operation %s is under way", op.ID),
				Evidence: fmt.Sprintf("to %s, started %s", op.To, op.Started.UTC().Format("2006-01-02 15:04:05Z07:00")),
				Fix:      "wait for it to end",
			}
		}
	}
	for _, node := range in.Cluster.Nodes() {
		if node.CordonedBy != "" && node.CordonedBy != in.Upgrade {
			return &Finding{
				Message:  fmt.Sprintf("node %s is still cordoned by another upgrade", node.Name),
				Evidence: "annotation refit.dev/undo names upgrade " + node.CordonedBy,
				Fix:      fmt.Sprintf("kubectl uncordon %s, and remove its annotation refit.dev/undo", node.Name),
			}
		}
	}
	return nil
}

func skew(in Input) *Finding {
	if in.Cluster.ControlPlane.Oldest.IsZero() {
		return nil // is another check's answer
	}
	for _, pool := range in.Cluster.Pools {
		if pool.Template.Minor > max(in.To.Minor, in.Cluster.ControlPlane.Oldest.Minor) {
			return &Finding{
				Message:  fmt.Sprintf("the next node of pool %s would be newer than a control plane at %s", pool.Name, in.To),
				Evidence: fmt.Sprintf("the pool's template is at %s", pool.Template),
				Fix:      "set the pool's template to the control plane's minor",
			}
		}
	}
	for _, node := range in.Cluster.Nodes() {
		if node.UID == "" {
			continue
		}
		if in.Cluster.ControlPlane.Oldest.Minor < node.Version.Minor {
			return &Finding{
				Message:  fmt.Sprintf("kubelet of node %s is newer than the oldest API server", node.Name),
				Evidence: fmt.Sprintf("%s > %s", node.Version, in.Cluster.ControlPlane.Oldest),
				Fix:      "replace the node by one of the control plane's minor",
			}
		}
		if behind := in.To.Minor - node.Version.Minor; behind > MaxNodeSkew(in.Cluster, node.Version) {
			return &Finding{
				Message:  fmt.Sprintf("kubelet of node %s is too old for a control plane at %s", node.Name, in.To),
				Evidence: fmt.Sprintf("%s is %d minors behind; %d are allowed", node.Version, behind, MaxNodeSkew(in.Cluster, node.Version)),
				Fix:      "replace the node by one of the control plane's present minor",
			}
		}
	}
	return nil
}

func nodesHealthy(in Input) *Finding {
	sick, first := 0, fleet.Node{}
	for _, node := range in.Cluster.Nodes() {
		if !node.Ready {
			if sick == 0 {
				first = node
			}
			sick++
		}
	}
	if sick == 0 {
		return nil
	}
	return &Finding{
		Message:  fmt.Sprintf("%d of %d nodes are not Ready, first %s", sick, len(in.Cluster.Nodes()), first.Name),
		Evidence: first.Message,
		Fix:      "repair or remove them; nothing was changed yet",
	}
}

func poolsRolled(in Input) *Finding {
	driven := []fleet.RolledBy{fleet.ByRefit, fleet.ByProvider, fleet.WithControlPlane}
	for _, pool := range in.Cluster.Pools {
		if !slices.Contains(driven, pool.RolledBy) {
			return &Finding{
				Message:  fmt.Sprintf("pool %s is rolled by %s, which Refit cannot drive yet", pool.Name, pool.RolledBy),
				Evidence: "reported by the provider",
				Fix:      "take the member out of the fleet",
			}
		}
	}
	return nil
}

// addOnsDistinct: each of two that are the same Helm release would undo the other.
func addOnsDistinct(in Input) *Finding {
	names := map[string]string{}
	for _, want := range in.AddOns {
		place := want.Helm.Namespace + "/" + want.Helm.Release
		if other, taken := names[place]; taken {
			return &Finding{
				Message:  fmt.Sprintf("add-ons %s and %s are the same Helm release, %s", other, want.Name, place),
				Evidence: "named by the release",
				Fix:      "create a release that gives one of them another name, Helm release or namespace, and set the fleet's spec.release to it",
			}
		}
		names[place] = want.Name
	}
	return nil
}

// sourceWritable: that the source will not follow is better known before.
func sourceWritable(in Input) *Finding {
	seen := in.Cluster.Source
	if seen.Mode != fleet.WriteBack {
		return nil
	}
	why := seen.Why
	if why.IsZero() {
		_, why = seen.Wants(in.To)
	}
	if why.IsZero() {
		return nil
	}
	return &Finding{
		Message:  "the new version could not be written back: " + why.Message,
		Evidence: why.Object,
		Fix:      cmp.Or(why.Fix, "wait for it to be read, or see that the repository answers"),
	}
}
