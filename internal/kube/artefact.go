package kube

import (
	"runtime"
	"slices"
	"strings"
)

// The names of what the store keeps.
const (
	Kubernetes = "kubernetes" // kube-apiserver, kube-controller-manager, kube-scheduler and kubectl
	Etcd       = "etcd"
	Kwok       = "kwok"
)

// Of etcd and kwok one version serves every Kubernetes version in reach.
const (
	EtcdVersion = "v3.7.0"
	KwokVersion = "v0.8.0"
)

// An Artefact is a set of commands of one version.
type Artefact struct {
	Name    string `json:"name"`    // Kubernetes, Etcd or Kwok
	Version string `json:"version"` // with its v: v1.36.3
}

func (a Artefact) String() string { return a.Name + " " + a.Version }

// Pinned lists what a member needs besides Kubernetes.
func Pinned() []Artefact {
	return []Artefact{{Etcd, EtcdVersion}, {Kwok, KwokVersion}}
}

// A product is what the store knows of an artefact, whatever its version.
type product struct {
	name     string
	folder   string   // in the cache
	commands []string // what a complete folder holds
	module   string   // the Go module it is published as
	target   string   // the package to build; for kubernetes one is written
	space    uint64   // what building it may occupy, in bytes
}

func products() []product {
	return []product{
		{
			name: Kubernetes, folder: "kube",
			commands: []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"},
			module:   "k8s.io/kubernetes", target: ".",
			space: 9e9, // v1.37.2 was seen to need 8.2 GB, half of it the compiler's cache
		},
		{
			name: Etcd, folder: "etcd", commands: []string{"etcd"},
			module: "go.etcd.io/etcd/server/v3", target: "go.etcd.io/etcd/server/v3", space: 2e9,
		},
		{
			name: Kwok, folder: "kwok", commands: []string{"kwok"},
			module: "sigs.k8s.io/kwok", target: "sigs.k8s.io/kwok/cmd/kwok", space: 2e9, // 1.6 GB
		},
	}
}

// product is the zero product if the name is none of ours; Check refuses such.
func (a Artefact) product() product {
	all := products()
	if i := slices.IndexFunc(all, func(p product) bool { return p.name == a.Name }); i >= 0 {
		return all[i]
	}
	return product{}
}

// linkerVars are the variables that make a built command tell its version.
func (a Artefact) linkerVars() []string {
	if a.Name != Kubernetes {
		return nil // etcd and kwok carry theirs in their source
	}
	major, minor, _ := strings.Cut(strings.TrimPrefix(a.Version, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	var vars []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		vars = append(vars,
			pkg+".gitVersion="+a.Version,
			pkg+".gitMajor="+major,
			pkg+".gitMinor="+minor,
			// A published module is an archive and knows no commit; "archive" is upstream's own word for that.
			pkg+".gitTreeState=archive",
			pkg+".gitCommit=",
			// Fixed, so that one recipe makes the same bytes on any day.
			pkg+".buildDate=1970-01-01T00:00:00Z",
		)
	}
	return vars
}

// platform is what the cache and most release servers call this machine.
func platform() string { return runtime.GOOS + "-" + runtime.GOARCH }
