package hub

import (
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/component-base/compatibility"
)

// kubernetesVersion is the k8s.io/kubernetes of go.mod; a test compares the two.
const kubernetesVersion = "v1.37.2"

// A linkedVersion tells clients which Kubernetes this is. Kubernetes' own builds write that into the binary; elsewhere
// there is a placeholder that kubectl cannot read.
type linkedVersion struct{ compatibility.EffectiveVersion }

func (v linkedVersion) Info() *apiversion.Info {
	info := v.EffectiveVersion.Info()
	info.GitVersion, info.GitCommit = kubernetesVersion, ""
	return info
}
