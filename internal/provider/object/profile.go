// Package object is the provider of clusters that are declared as objects in
// Kubernetes: whoever reads the objects, as Cluster API's managers do, makes them
// true.
//
// A change is one field of one object, and an annotation beside it, written
// together, that says whose it is. What became of it is in the statuses that the
// managers write.
package object

import (
	"slices"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
)

// path leads to a field of an object.
type path []string

// kind is where the objects of a kind are served.
type kind struct{ group, version, resource string }

// carrier is the object that the control plane's version is asked of.
type carrier string

const (
	cluster      carrier = "cluster"
	controlPlane carrier = "control plane"
)

// A profile is one way of declaring clusters: where in its objects is what the
// port asks for.
type profile struct {
	name string
	// cluster is the kind that people name.
	cluster kind
	// controlPlane is where the cluster names the object of its control plane, by
	// kind and name; controlPlanes are the kinds that are known.
	controlPlane  path
	controlPlanes map[string]kind
	// carrier has the control plane's version, at desired.
	carrier carrier
	desired path
	// settled are the carrier's conditions that are True, for its generation, once
	// it has made true what is desired.
	settled []string
	// pools are the kind of a group of nodes, whose version is at poolDesired.
	pools       kind
	poolDesired path
	// rolledBy is who is asked for the version of a pool.
	rolledBy fleet.RolledBy
	// machines are the kind of what is behind a node.
	machines kind
	// The labels that say whose a pool or a machine is: the cluster's name, the
	// pool's, and that it is of the control plane.
	clusterLabel, poolLabel, controlPlaneLabel string
	// owned is on an object whose fields follow from another's.
	owned string
	// paused stops the managers, on the cluster; pausedNote is an annotation that
	// does so on any object.
	paused     path
	pausedNote string
	// kubeconfig is what the name of a cluster's Secret ends in, and its key.
	kubeconfig, kubeconfigKey string
}

// Cluster API's kinds, by the contract v1beta2
// (https://cluster-api.sigs.k8s.io/developer/providers/contracts/control-plane).
const (
	clusterAPI     = "cluster.x-k8s.io"
	contract       = "v1beta2"
	topologyDomain = "topology." + clusterAPI
)

// profiles are all there are. What differs between those of Cluster API is who
// is asked for a version, and for whose.
func profiles() []profile {
	byMachines := profile{
		name: "ClusterAPI", cluster: kind{clusterAPI, contract, "clusters"}, controlPlane: path{"spec", "controlPlaneRef"},
		controlPlanes: map[string]kind{"KubeadmControlPlane": {"controlplane." + clusterAPI, contract, "kubeadmcontrolplanes"}},
		carrier:       controlPlane, desired: path{"spec", "version"},
		pools: kind{clusterAPI, contract, "machinedeployments"}, poolDesired: path{"spec", "template", "spec", "version"}, rolledBy: fleet.ByProvider,
		machines: kind{clusterAPI, contract, "machines"}, clusterLabel: clusterAPI + "/cluster-name",
		poolLabel: clusterAPI + "/deployment-name", controlPlaneLabel: clusterAPI + "/control-plane", owned: topologyDomain + "/owned",
		paused: path{"spec", "paused"}, pausedNote: clusterAPI + "/paused",
		kubeconfig: "-kubeconfig", kubeconfigKey: "value",
	}
	byTopology := byMachines
	byTopology.name, byTopology.carrier, byTopology.desired = "ClusterAPITopology", cluster, path{"spec", "topology", "version"}
	byTopology.settled = []string{"TopologyReconciled", "ControlPlaneMachinesUpToDate", "WorkerMachinesUpToDate"}
	byTopology.rolledBy = fleet.WithControlPlane
	return []profile{byMachines, byTopology}
}

func profileOf(ref provider.Ref) (profile, error) {
	all := profiles()
	i := slices.IndexFunc(all, func(p profile) bool { return p.name == ref.Object.Profile })
	if i < 0 {
		return profile{}, stop(provider.CodeUnknownCluster, "there is no profile %q", ref.Object.Profile)
	}
	return all[i], nil
}
