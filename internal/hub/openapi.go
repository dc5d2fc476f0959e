package hub

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	mutatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/openapi"
)

// The admission of policies that write refuses every object (503) of a group whose OpenAPI document it has not seen in
// the list of all documents, and it reads that list at its start and then every five seconds: a kind that is installed
// meanwhile can be served for as long, and none of its objects be made. So what it reads has the groups of
// Options.Kinds in it from the beginning, and their documents are looked up when an object is admitted.

// A primer is the initializer that gives such a list to the admission of policies that write, and to nothing else.
type primer struct {
	client kubernetes.Interface
	kinds  []schema.GroupVersion
}

var _ admission.PluginInitializer = primer{}

func (p primer) Initialize(plugin admission.Interface) {
	if policies, ok := plugin.(*mutatingpolicy.Plugin); ok {
		policies.SetExternalKubeClientSet(primedClient{Interface: p.client, kinds: p.kinds})
	}
}

type primedClient struct {
	kubernetes.Interface

	kinds []schema.GroupVersion
}

func (c primedClient) Discovery() discovery.DiscoveryInterfaces {
	return primedDiscovery{DiscoveryInterfaces: c.Interface.Discovery(), kinds: c.kinds}
}

type primedDiscovery struct {
	discovery.DiscoveryInterfaces

	kinds []schema.GroupVersion
}

func (d primedDiscovery) OpenAPIV3() openapi.Client {
	return primedOpenAPI{Client: d.DiscoveryInterfaces.OpenAPIV3(), kinds: d.kinds}
}

type primedOpenAPI struct {
	openapi.Client

	kinds []schema.GroupVersion
}

// Paths is the list.
func (o primedOpenAPI) Paths() (map[string]openapi.GroupVersion, error) {
	paths, err := o.Client.Paths()
	if err != nil {
		return nil, err
	}
	for _, kind := range o.kinds {
		if path := "apis/" + kind.String(); paths[path] == nil {
			paths[path] = laterDocument{client: o.Client, path: path}
		}
	}
	return paths, nil
}

// A laterDocument is one that was not in the list when that was read. The next list has it by its own address, which
// tells the reader that it is another one.
type laterDocument struct {
	client openapi.Client
	path   string
}

func (d laterDocument) Schema(contentType string) ([]byte, error) {
	paths, err := d.client.Paths()
	if err != nil {
		return nil, err
	}
	document, ok := paths[d.path]
	if !ok {
		return nil, fmt.Errorf("%s has no OpenAPI document yet", d.path)
	}
	return document.Schema(contentType)
}

func (d laterDocument) ServerRelativeURL() string { return "" }
