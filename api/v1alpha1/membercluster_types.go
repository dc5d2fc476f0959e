package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MemberCluster is one cluster of the fleet: how to reach it, and what it was
// last seen to run.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=refit,shortName={member,members}
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.controlPlane.version`
// +kubebuilder:printcolumn:name="Nodes",type=string,JSONPath=`.status.nodes.oldest`,description="Oldest kubelet"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Observed",type=date,JSONPath=`.status.observedAt`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a member's name has at most 50 characters, lower-case letters, digits and hyphens: its upgrades are named <member>.<n>"
type MemberCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec MemberClusterSpec `json:"spec"`
	// +optional
	Status MemberClusterStatus `json:"status,omitzero"`
}

// MemberClusterSpec says how to reach a cluster.
type MemberClusterSpec struct {
	// provider names who runs the cluster, and the cluster's name there.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a member's provider cannot change: delete the MemberCluster (the cluster itself is not touched) and create it anew"
	Provider MemberProvider `json:"provider"`
	// source is where the cluster's version is declared as code.
	// +optional
	Source *MemberSource `json:"source,omitempty"`
}

// MemberSource is where a cluster's version is declared as code, and what Refit does
// about it.
type MemberSource struct {
	// mode is Report, to tell how the file differs from the cluster; or WriteBack, to
	// have the file follow as well: an upgrade is not done before it does.
	// +optional
	// +kubebuilder:default=Report
	// +kubebuilder:validation:Enum=Report;WriteBack
	Mode string `json:"mode,omitempty"`
	// git is the repository that the file is in.
	// +required
	Git GitSource `json:"git"`
	// terraform names the file and the attribute.
	// +required
	Terraform TerraformSource `json:"terraform"`
}

// GitSource is a branch of a Git repository.
type GitSource struct {
	// url of the repository: https, or a folder of the machine that Refit runs on. It
	// must be among those that "refit up --source-prefix" names.
	// +required
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https://[^/@?#[:space:]]+/|(file://)?/)[^@?#[:space:][:cntrl:]]+$') && !self.matches('(^|/)[.][.]?(/|$)')",message="url is https://host/path, or the absolute path of a folder; without user, password, query and .."
	URL string `json:"url"`
	// branch that is read, and written; that of the repository's HEAD by default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_][A-Za-z0-9_./-]*$') && !self.matches('[.][.]|//|/$|[.]lock$')",message="branch is the name of a branch, as in main or release/2026"
	Branch string `json:"branch,omitempty"`
}

// TerraformSource is an attribute of a Terraform file.
type TerraformSource struct {
	// file is its path in the repository.
	// +required
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^/[:cntrl:]][^[:cntrl:]]*[.](tf|tfvars|hcl)$') && !self.matches('(^|/)[.]{0,2}(/|$)')",message="file is a path in the repository that ends in .tf, .tfvars or .hcl, without a leading / and without .."
	File string `json:"file"`
	// attribute is the address of the value, as in
	// resource.aws_eks_cluster.main.version, module.payments.cluster_version or
	// locals.clusters["payments-eu-1"].version. The value is written out there, as a
	// text or a number: what is computed is refused.
	// +required
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_-]*([.][A-Za-z_][A-Za-z0-9_-]*|[[]\"[^\"$%[:cntrl:]]+\"[]])*$')",message="attribute is names with dots between them, and keys as in [\"a\"]"
	Attribute string `json:"attribute"`
}

// MemberProvider holds exactly one provider.
//
// +kubebuilder:validation:XValidation:rule="[has(self.eks), has(self.object), has(self.local), has(self.fake)].exists_one(named, named)",message="name exactly one provider: eks, object or local; or fake, to try Refit with"
type MemberProvider struct {
	// eks is a cluster of Amazon EKS.
	// +optional
	EKS *EKSProvider `json:"eks,omitempty"`
	// object is a cluster that is declared as objects in Kubernetes, as those of
	// Cluster API are.
	// +optional
	Object *ObjectProvider `json:"object,omitempty"`
	// local is a control plane on the machine that Refit runs on, made by
	// "refit local create".
	// +optional
	Local *LocalProvider `json:"local,omitempty"`
	// fake is a made-up cluster in the memory of Refit itself, of the member's
	// own name. It is for trying Refit and for tests, and is served by
	// "refit up --fake-provider" only.
	// +optional
	Fake *FakeProvider `json:"fake,omitempty"`
}

// Kind is the provider's name, as the field has it.
func (p MemberProvider) Kind() string {
	switch {
	case p.EKS != nil:
		return "eks"
	case p.Object != nil:
		return "object"
	case p.Fake != nil:
		return "fake"
	}
	return "local"
}

// FakeProvider asks for a made-up cluster; there is nothing to choose.
type FakeProvider struct{}

// EKSProvider names a cluster of the account that Refit's credentials are of.
type EKSProvider struct {
	// region that the cluster is in, such as eu-west-1.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z]{2}(-[a-z]+)+-[0-9]+$`
	// +kubebuilder:validation:MaxLength=32
	Region string `json:"region"`
	// name of the cluster in EKS.
	// +required
	// +kubebuilder:validation:Pattern=`^[0-9A-Za-z][A-Za-z0-9_-]*$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	Name string `json:"name"`
}

// ObjectProvider names the object that declares a cluster.
type ObjectProvider struct {
	// profile is the way that the cluster is declared: ClusterAPI, where control
	// plane and machine deployments have versions of their own, or
	// ClusterAPITopology, where they follow from the topology of the Cluster.
	// +required
	// +kubebuilder:validation:Enum=ClusterAPI;ClusterAPITopology
	Profile string `json:"profile"`
	// namespace of the Cluster in the management cluster.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// name of the Cluster.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// kubeconfig reaches the management cluster. Without it, that is the cluster
	// that this MemberCluster is in.
	// +optional
	Kubeconfig *SecretKey `json:"kubeconfig,omitempty"`
}

// SecretKey is an entry of a Secret in the same namespace.
type SecretKey struct {
	// secretName is the name of the Secret.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName"`
	// key of the entry.
	// +optional
	// +kubebuilder:default=value
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// LocalProvider names a local member.
type LocalProvider struct {
	// name of the local member, as in "refit local list".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	Name string `json:"name"`
}

// MemberClusterStatus is what the member was last seen to run. The Members
// loop is its only writer.
type MemberClusterStatus struct {
	// observedGeneration is the spec's generation that was observed with.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// uid is the cluster's own identity at its provider.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	UID string `json:"uid,omitempty"`
	// +optional
	ControlPlane ControlPlaneStatus `json:"controlPlane,omitzero"`
	// +optional
	Nodes NodesStatus `json:"nodes,omitzero"`
	// pools, at most 64.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Pools []PoolStatus `json:"pools,omitempty"`
	// source is what the file said that declares the version, when it was last read.
	// +optional
	Source SourceStatus `json:"source,omitzero"`
	// observedAt is when the cluster was last seen; it is written with a
	// change and at most every 10 minutes.
	// +optional
	ObservedAt metav1.Time `json:"observedAt,omitzero"`
	// foreign are changes of its versions that no upgrade of this hub made.
	// +optional
	Foreign *ForeignChanges `json:"foreign,omitempty"`
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// SourceStatus is what was read of the file that declares a version.
type SourceStatus struct {
	// declared is the value, as it is written.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Declared string `json:"declared,omitempty"`
	// file and line that it is in.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	File string `json:"file,omitempty"`
	// +optional
	Line int32 `json:"line,omitempty"`
	// commit that was read.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit,omitempty"`
}

// ControlPlaneStatus is the range of versions among the API servers.
type ControlPlaneStatus struct {
	// version of the oldest API server.
	// +optional
	Version string `json:"version,omitempty"`
	// newest API server, where it differs from the oldest.
	// +optional
	Newest string `json:"newest,omitempty"`
	// picksPatch tells that the provider chooses the patch: the cluster is at a
	// release when its minor is.
	// +optional
	PicksPatch bool `json:"picksPatch,omitempty"`
}

// NodesStatus counts all nodes of the cluster.
type NodesStatus struct {
	// +optional
	Total int32 `json:"total,omitempty"`
	// +optional
	Ready int32 `json:"ready,omitempty"`
	// oldest kubelet.
	// +optional
	Oldest string `json:"oldest,omitempty"`
}

// PoolStatus is one group of nodes that changes together.
type PoolStatus struct {
	// +required
	Name string `json:"name"`
	// version of the oldest kubelet in the pool.
	// +optional
	Version string `json:"version,omitempty"`
	// nodes in the pool.
	// +optional
	Nodes int32 `json:"nodes,omitempty"`
}

// MemberClusterList is a list of MemberClusters.
//
// +kubebuilder:object:root=true
type MemberClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MemberCluster `json:"items"`
}
