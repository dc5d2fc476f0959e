// Package fleet holds the nouns: clusters, pools, nodes, versions, reasons.
//
// It is data and arithmetic. Nothing here has a context, a client, a clock, a
// log or an error: texts were parsed before they got here (by package observe),
// so that the planners, which use these nouns, can be total functions.
package fleet

// RolledBy names who replaces the nodes of a pool when its template changes.
type RolledBy string

// The ones who roll pools.
const (
	// ByRefit: the template is set, then Refit replaces node by node.
	ByRefit RolledBy = "Refit"
	// ByProvider: the provider rolls the pool as one operation.
	ByProvider RolledBy = "Provider"
	// WithControlPlane: they go along when the control plane's version is changed,
	// and are not asked for.
	WithControlPlane RolledBy = "ControlPlane"
	// ByNobody: nodes that no provider answers for.
	ByNobody RolledBy = "Nobody"
	// InMember: a controller in the cluster does it (Karpenter, Cluster API).
	InMember RolledBy = "InMember"
)
