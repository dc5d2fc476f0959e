//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// modelFile is Amazon's own description of the API, as Debian's awscli has it.
const modelFile = "/usr/lib/python3/dist-packages/awscli/botocore/data/eks/2017-11-01/service-2.json"

// TestAWSCLI: Amazon's own command drives the lab, waiters included, and whatever
// goes over the wire is as the model says that it came with.
func TestAWSCLI(t *testing.T) {
	u := newUser(t)
	l := startLab(t, u, "--clusters", "1", "--nodes", "2")
	model := readModel(t)
	env := map[string]string{}
	for _, line := range l.env {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	url := model.between(t, env["AWS_ENDPOINT_URL_EKS"])
	home := t.TempDir()
	aws := func(args ...string) (map[string]any, string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "/usr/bin/aws", append([]string{"--endpoint-url", url, "--output", "json", "eks"}, args...)...)
		cmd.Env = append(append(os.Environ(), l.env...), "HOME="+home, "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1")
		var errOut bytes.Buffer
		cmd.Stderr = &errOut
		out, err := cmd.Output()
		answer := map[string]any{}
		if len(out) > 0 {
			if err := json.Unmarshal(out, &answer); err != nil {
				t.Fatalf("aws eks %s: %v in %s", strings.Join(args, " "), err, out)
			}
		}
		return answer, errOut.String(), err
	}
	must := func(args ...string) map[string]any {
		t.Helper()
		answer, stderr, err := aws(args...)
		if err != nil {
			t.Fatalf("aws eks %s: %v\n%s", strings.Join(args, " "), err, stderr)
		}
		return answer
	}
	cluster := func() map[string]any { return must("describe-cluster", "--name", "lab-1")["cluster"].(map[string]any) }
	if got := cluster(); got["version"] != "1.36" || got["status"] != "ACTIVE" {
		t.Errorf("describe-cluster: %v", got)
	}
	if _, stderr, err := aws("update-cluster-version", "--name", "lab-1", "--kubernetes-version", "1.38"); err == nil || !strings.Contains(stderr, "InvalidParameterException") {
		t.Errorf("to skip a minor: %v, %s", err, stderr)
	}
	if _, stderr, err := aws("describe-cluster", "--name", "nobody"); err == nil || !strings.Contains(stderr, "ResourceNotFoundException") {
		t.Errorf("an unknown cluster: %v, %s", err, stderr)
	}
	update := must("update-cluster-version", "--name", "lab-1", "--kubernetes-version", "1.37")["update"].(map[string]any)
	if _, stderr, err := aws("update-cluster-version", "--name", "lab-1", "--kubernetes-version", "1.37"); err == nil || !strings.Contains(stderr, "ResourceInUseException") {
		t.Errorf("twice at once: %v, %s", err, stderr)
	}
	must("wait", "cluster-active", "--name", "lab-1")
	eventually(t, labPatience, "describe-update tells that it was successful", func() (bool, string) {
		seen := must("describe-update", "--name", "lab-1", "--update-id", update["id"].(string))["update"].(map[string]any)
		return seen["status"] == "Successful", fmt.Sprint(seen)
	})
	if got := cluster(); got["version"] != "1.37" {
		t.Errorf("describe-cluster: %v, want 1.37", got)
	}
	must("update-nodegroup-version", "--cluster-name", "lab-1", "--nodegroup-name", "a")
	must("wait", "nodegroup-active", "--cluster-name", "lab-1", "--nodegroup-name", "a")
	if got := must("describe-nodegroup", "--cluster-name", "lab-1", "--nodegroup-name", "a")["nodegroup"].(map[string]any); got["version"] != "1.37" {
		t.Errorf("describe-nodegroup: %v, want 1.37", got)
	}
	must("update-addon", "--cluster-name", "lab-1", "--addon-name", "coredns", "--addon-version", "v1.14.0-eksbuild.1")
	must("wait", "addon-active", "--cluster-name", "lab-1", "--addon-name", "coredns")
	must("update-cluster-config", "--name", "lab-1", "--logging", `{"clusterLogging":[{"types":["audit"],"enabled":true}]}`)
	for _, args := range [][]string{
		{"list-clusters"},
		{"list-updates", "--name", "lab-1"},
		{"list-nodegroups", "--cluster-name", "lab-1"},
		{"list-addons", "--cluster-name", "lab-1"},
		{"describe-addon", "--cluster-name", "lab-1", "--addon-name", "coredns"},
		{"describe-addon-versions", "--kubernetes-version", "1.37"},
	} {
		must(args...)
	}
	t.Logf("compared with the model: %v", model.seen)
	if len(model.seen) < 13 {
		t.Errorf("%d operations were compared with the model, want 13", len(model.seen))
	}
}

// model is the description of an API.
type model struct {
	Operations map[string]struct {
		Name          string
		HTTP          struct{ Method, RequestURI string }
		Input, Output struct{ Shape string }
	}
	Shapes map[string]shape

	mu   sync.Mutex
	seen map[string]int
}

type shape struct {
	Type     string
	Required []string
	Members  map[string]struct{ Shape, Location, LocationName string }
	Member   struct{ Shape string }
	Value    struct{ Shape string }
}

func readModel(t *testing.T) *model {
	t.Helper()
	text, err := os.ReadFile(modelFile)
	if err != nil {
		t.Fatalf("%v; it is part of Debian's awscli", err)
	}
	m := &model{seen: map[string]int{}}
	if err := json.Unmarshal(text, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// between puts a proxy in front of a URL, which compares what goes through it with
// the model.
func (m *model) between(t *testing.T, target string) string {
	t.Helper()
	at, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(at)
		p.Out.Host = p.In.Host // which is signed
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		recorded := httptest.NewRecorder()
		proxy.ServeHTTP(recorded, r)
		for _, problem := range m.compare(r, body, recorded) {
			t.Error(problem)
		}
		maps.Copy(w.Header(), recorded.Header())
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(recorded.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func (m *model) compare(r *http.Request, body []byte, answered *httptest.ResponseRecorder) []string {
	for name, op := range m.Operations {
		if op.HTTP.Method != r.Method || !samePath(op.HTTP.RequestURI, r.URL.Path) {
			continue
		}
		var problems []string
		if len(body) > 0 {
			problems = append(problems, m.document(op.Input.Shape, body)...)
		}
		if answered.Code == http.StatusOK {
			problems = append(problems, m.document(op.Output.Shape, answered.Body.Bytes())...)
			m.mu.Lock()
			m.seen[name]++
			m.mu.Unlock()
		}
		return problems
	}
	return []string{fmt.Sprintf("%s %s is no operation of the model", r.Method, r.URL.Path)}
}

func samePath(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, got, func(want, got string) bool { return strings.HasPrefix(want, "{") || want == got })
}

func (m *model) document(name string, text []byte) []string {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return []string{fmt.Sprintf("%s: %v in %s", name, err, text)}
	}
	return m.differ(name, value, name)
}

// differ is what a value has that its shape does not, or in another type.
func (m *model) differ(name string, value any, at string) []string {
	s, ok := m.Shapes[name], false
	var problems []string
	switch s.Type {
	case "structure":
		var fields map[string]any
		if fields, ok = value.(map[string]any); ok {
			problems = m.differFields(s, fields, at)
		}
	case "list":
		var list []any
		list, ok = value.([]any)
		for i, item := range list {
			problems = append(problems, m.differ(s.Member.Shape, item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case "map":
		var fields map[string]any
		fields, ok = value.(map[string]any)
		for key, item := range fields {
			problems = append(problems, m.differ(s.Value.Shape, item, at+"."+key)...)
		}
	case "string":
		_, ok = value.(string) // of which new ones are added in time
	case "boolean":
		_, ok = value.(bool)
	default: // numbers, and times, which are numbers here
		_, ok = value.(float64)
	}
	if !ok {
		return []string{fmt.Sprintf("%s is %T (%v), the model has %s", at, value, value, s.Type)}
	}
	return problems
}

func (m *model) differFields(s shape, fields map[string]any, at string) []string {
	var problems []string
	for name, value := range fields {
		member, known := s.Members[name]
		if !known {
			problems = append(problems, fmt.Sprintf("the model has no %s.%s", at, name))
			continue
		}
		problems = append(problems, m.differ(member.Shape, value, at+"."+name)...)
	}
	for _, name := range s.Required {
		if _, there := fields[name]; !there && s.Members[name].Location == "" {
			problems = append(problems, fmt.Sprintf("%s lacks %s, which the model requires", at, name))
		}
	}
	return problems
}
