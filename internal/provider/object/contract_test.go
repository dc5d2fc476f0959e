package object_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clocktesting "k8s.io/utils/clock/testing"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/contract"
	"refit.dev/refit/internal/provider/fake"
	"refit.dev/refit/internal/provider/object"
)

// TestContract runs against made-up managers; test/e2e has the real ones.
func TestContract(t *testing.T) {
	contract.Run(t, contract.Subject{
		Name: "object", Limits: provider.Limits{AnyVersion: true},
		Lacks: contract.Lacks{
			OneVersion:   "machines of both versions are there while a control plane is rolled",
			PartialPools: "machines are made by Cluster API alone",
			Nodes:        "Cluster API rolls its machines itself",
			Failure:      "a rollout of Cluster API goes on until it succeeds or somebody changes what is asked for",
			Catalogue:    "Cluster API takes any version, and does not know which there are machine images for",
		},
		Make: newWorld,
	})
}

func parse(t *testing.T, text string) fleet.Version {
	t.Helper()
	v, ok := fleet.ParseVersion(text)
	if !ok {
		t.Fatalf("%q is no version", text)
	}
	return v
}

func pemOf(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}

// encoded is a kubeconfig as a Secret has it.
func encoded(t *testing.T, config *rest.Config) string {
	t.Helper()
	made := clientcmdapi.NewConfig()
	made.Clusters["c"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	made.AuthInfos["c"] = &clientcmdapi.AuthInfo{Token: config.BearerToken, ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	made.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c"}
	made.CurrentContext = "c"
	text, err := clientcmd.Write(*made)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(text)
}

func newWorld(t *testing.T) contract.World {
	t.Helper()
	w, _ := newWorldOf(t, false)
	return w
}

// newWorldOf is a management cluster, whose clusters have a topology or not, and
// time that passes by seconds when the case says so.
func newWorldOf(t *testing.T, topology bool) (contract.World, *management) {
	t.Helper()
	version := func(text string) fleet.Version { return parse(t, text) }
	clock := clocktesting.NewFakeClock(time.Date(2026, time.November, 3, 22, 0, 0, 0, time.UTC))
	cloud := &fake.Cloud{Clock: clock}
	m := newManagement(t, cloud)
	m.topology = topology
	versions := contract.Versions{
		Old: version("v1.36.3"), Next: version("v1.37.2"), Elsewhere: version("v1.36.6"), Skipping: version("v1.38.0"), Back: version("v1.35.4"),
	}
	profile := "ClusterAPI"
	if topology {
		profile = "ClusterAPITopology"
	}
	return contract.World{
		Provider: &object.Provider{Hub: m.config()},
		Versions: versions,
		Cluster: func(name string) provider.Ref {
			cloud.Add(name, fake.Shape{
				Version: versions.Old, Offers: []fleet.Version{versions.Old, versions.Elsewhere, versions.Next},
				Pools: []fake.PoolShape{{Name: "a", Size: 3}, {Name: "b", Size: 1}},
			})
			m.add(t, name, versions.Old.String())
			for range 2 { // what follows from a topology is told in the round after
				if err := m.tend(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			return provider.Ref{Name: name, Object: provider.Object{Profile: profile, Namespace: name}}
		},
		Pass: func() {
			clock.Step(time.Second)
			if err := m.tend(t.Context()); err != nil {
				t.Error(err)
			}
		},
		Foreign:  func(ref provider.Ref, to fleet.Version) { m.ask(ref.Name, to.String()) },
		Lose:     func(provider.Ref, contract.Call) { m.do(func() { m.lose = true }) },
		Throttle: func(provider.Ref) { m.do(func() { m.throttle = true }) },
		Expire:   func(provider.Ref) { m.do(func() { m.expired = true }) },
		Renew:    func(provider.Ref) { m.do(func() { m.expired = false }) },
	}, m
}
