package hub

import (
	"maps"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/openapi"
)

// documents are what an API server serves; a test adds to them.
type documents map[string]openapi.GroupVersion

func (d documents) Paths() (map[string]openapi.GroupVersion, error) {
	return maps.Clone(d), nil
}

type document string

func (d document) Schema(string) ([]byte, error) { return []byte(d), nil }
func (d document) ServerRelativeURL() string     { return "/openapi/v3/" + string(d) }

// TestPrimedList: a group is in the list before it is served, its document is found once it is, and the next list has
// the document itself, under an address that differs.
func TestPrimedList(t *testing.T) {
	served := documents{"apis/apps/v1": document("apps")}
	client := primedOpenAPI{Client: served, kinds: []schema.GroupVersion{{Group: "refit.dev", Version: "v1alpha1"}}}
	before, err := client.Paths()
	if err != nil || len(before) != 2 || before["apis/apps/v1"] != document("apps") {
		t.Fatalf("the list is %v, %v", before, err)
	}
	early := before["apis/refit.dev/v1alpha1"]
	if text, err := early.Schema("application/json"); err == nil || err.Error() != "apis/refit.dev/v1alpha1 has no OpenAPI document yet" {
		t.Errorf("before it is served: %s, %v", text, err)
	}
	served["apis/refit.dev/v1alpha1"] = document("refit")
	if text, err := early.Schema("application/json"); err != nil || string(text) != "refit" {
		t.Errorf("once it is served: %s, %v", text, err)
	}
	after, err := client.Paths()
	if late := after["apis/refit.dev/v1alpha1"]; err != nil || late != document("refit") || late.ServerRelativeURL() == early.ServerRelativeURL() {
		t.Errorf("the next list has %v, %v", late, err)
	}
}
