package eks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/eks/schemas"
	"github.com/aws/smithy-go"
	smithytraits "github.com/aws/smithy-go/traits"
)

// modelled is an operation as Amazon's published model has it.
type modelled struct{ operation, request, response *smithy.Schema }

func model() []modelled {
	return []modelled{
		{schemas.ListClusters, schemas.ListClustersRequest, schemas.ListClustersResponse},
		{schemas.DescribeCluster, schemas.DescribeClusterRequest, schemas.DescribeClusterResponse},
		{schemas.UpdateClusterVersion, schemas.UpdateClusterVersionRequest, schemas.UpdateClusterVersionResponse},
		{schemas.UpdateClusterConfig, schemas.UpdateClusterConfigRequest, schemas.UpdateClusterConfigResponse},
		{schemas.ListUpdates, schemas.ListUpdatesRequest, schemas.ListUpdatesResponse},
		{schemas.DescribeUpdate, schemas.DescribeUpdateRequest, schemas.DescribeUpdateResponse},
		{schemas.ListNodegroups, schemas.ListNodegroupsRequest, schemas.ListNodegroupsResponse},
		{schemas.DescribeNodegroup, schemas.DescribeNodegroupRequest, schemas.DescribeNodegroupResponse},
		{schemas.UpdateNodegroupVersion, schemas.UpdateNodegroupVersionRequest, schemas.UpdateNodegroupVersionResponse},
		{schemas.ListAddons, schemas.ListAddonsRequest, schemas.ListAddonsResponse},
		{schemas.DescribeAddon, schemas.DescribeAddonRequest, schemas.DescribeAddonResponse},
		{schemas.UpdateAddon, schemas.UpdateAddonRequest, schemas.UpdateAddonResponse},
		{schemas.DescribeAddonVersions, schemas.DescribeAddonVersionsRequest, schemas.DescribeAddonVersionsResponse},
		{schemas.DescribeClusterVersions, schemas.DescribeClusterVersionsRequest, schemas.DescribeClusterVersionsResponse},
	}
}

// judge compares what goes over the wire with the model, and counts it.
type judge struct {
	t    *testing.T
	next http.Handler

	mu   sync.Mutex
	seen map[string]int
}

func (j *judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		j.t.Errorf("read a request: %v", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	m, found := find(r)
	if !found {
		j.t.Errorf("%s %s is no operation of the model", r.Method, r.URL)
	}
	recorded := httptest.NewRecorder()
	j.next.ServeHTTP(recorded, r) // one that aborts, answers nothing
	if found {
		j.compare(m, r, body, recorded)
	}
	maps.Copy(w.Header(), recorded.Header())
	w.WriteHeader(recorded.Code)
	_, _ = w.Write(recorded.Body.Bytes())
}

func (j *judge) compare(m modelled, r *http.Request, body []byte, answered *httptest.ResponseRecorder) {
	name := m.operation.ID().Name
	if len(body) > 0 {
		for _, problem := range differs(m.request, body, name+"Request") {
			j.t.Error(problem)
		}
	}
	for key := range r.URL.Query() {
		if !queries(m.request, key) {
			j.t.Errorf("%s: the model has no query parameter %s", name, key)
		}
	}
	if answered.Code == http.StatusOK {
		for _, problem := range differs(m.response, answered.Body.Bytes(), name+"Response") {
			j.t.Error(problem)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seen[name]++
	if answered.Code != http.StatusOK {
		j.seen[answered.Header().Get("X-Amzn-Errortype")]++
	}
}

// find is the operation of a request, by its method and path.
func find(r *http.Request) (modelled, bool) {
	for _, m := range model() {
		trait, _ := smithy.SchemaTrait[*smithytraits.HTTP](m.operation)
		if trait.Method == r.Method && fits(trait.URI, r.URL.Path) {
			return m, true
		}
	}
	return modelled{}, false
}

func fits(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if !strings.HasPrefix(want[i], "{") && want[i] != got[i] {
			return false
		}
	}
	return true
}

func queries(request *smithy.Schema, key string) bool {
	for _, member := range request.Members() {
		if trait, ok := smithy.SchemaTrait[*smithytraits.HTTPQuery](member); ok && trait.Name == key {
			return true
		}
	}
	return false
}

// differs is what a JSON document has that the schema does not, or in another
// type.
func differs(schema *smithy.Schema, document []byte, at string) []string {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return []string{fmt.Sprintf("%s: %v in %s", at, err, document)}
	}
	return differ(schema, value, at)
}

func differ(schema *smithy.Schema, value any, at string) []string {
	wrong := []string{fmt.Sprintf("%s is %T (%v), the model has another type", at, value, value)}
	fits := false
	switch kind := schema.Type(); {
	case kind == smithy.ShapeTypeStructure || kind == smithy.ShapeTypeUnion:
		return differMembers(schema, value, at, wrong)
	case kind == smithy.ShapeTypeList || kind == smithy.ShapeTypeSet:
		list, ok := value.([]any)
		if !ok {
			return wrong
		}
		var problems []string
		for i, item := range list {
			problems = append(problems, differ(schema.ListMember(), item, fmt.Sprintf("%s[%d]", at, i))...)
		}
		return problems
	case kind == smithy.ShapeTypeMap:
		_, fits = value.(map[string]any)
	case kind == smithy.ShapeTypeString || kind == smithy.ShapeTypeEnum:
		_, fits = value.(string)
	case kind == smithy.ShapeTypeBoolean:
		_, fits = value.(bool)
	default: // numbers, and times, which are numbers here
		_, fits = value.(json.Number)
	}
	if fits {
		return nil
	}
	return wrong
}

func differMembers(schema *smithy.Schema, value any, at string, wrong []string) []string {
	fields, ok := value.(map[string]any)
	if !ok {
		return wrong
	}
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if member := schema.Member(name); member == nil {
			problems = append(problems, fmt.Sprintf("the model has no %s.%s", at, name))
		} else {
			problems = append(problems, differ(member, fields[name], at+"."+name)...)
		}
	}
	return problems
}
