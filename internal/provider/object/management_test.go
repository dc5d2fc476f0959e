package object_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"refit.dev/refit/internal/fleet"
	"refit.dev/refit/internal/provider"
	"refit.dev/refit/internal/provider/fake"
)

// management is a management cluster in memory: the API as far as it is used, and
// what Cluster API's managers do, over made-up clusters.
type management struct {
	backing *fake.Cloud
	server  *httptest.Server

	mu       sync.Mutex
	objects  map[string]*unstructured.Unstructured // by the path they are served at
	written  int
	writes   []string // the paths that were written by others than the managers
	writer   string   // who wrote last, by what it calls itself
	topology bool     // clusters have one

	lose, throttle, expired bool
	meanwhile               func() // is done between the next read and the next write
	refusal                 string // of every write
	refusedWith             int
}

// The kinds that are served. Each cluster has a namespace of its own name.
const (
	clusters           = "clusters"
	controlPlanes      = "kubeadmcontrolplanes"
	machineDeployments = "machinedeployments"
	machines           = "machines"
	secrets            = "secrets"
)

const (
	controlPlaneLabel = "cluster.x-k8s.io/control-plane"
	deploymentLabel   = "cluster.x-k8s.io/deployment-name"
)

// at is where an object is served.
func at(kind, namespace, name string) string {
	root := "/apis/cluster.x-k8s.io/v1beta2"
	switch kind {
	case controlPlanes:
		root = "/apis/controlplane.cluster.x-k8s.io/v1beta2"
	case secrets:
		root = "/api/v1"
	}
	return root + "/namespaces/" + namespace + "/" + kind + "/" + name
}

func newManagement(t *testing.T, backing *fake.Cloud) *management {
	t.Helper()
	m := &management{backing: backing, objects: map[string]*unstructured.Unstructured{}}
	m.server = httptest.NewTLSServer(m)
	t.Cleanup(m.server.Close)
	return m
}

// config reaches it.
func (m *management) config() *rest.Config {
	config := &rest.Config{Host: m.server.URL}
	config.CAData = pemOf(m.server.Certificate())
	return config
}

// put writes an object as its managers, or the API server itself, do.
func (m *management) put(path string, object map[string]any) {
	m.written++
	o := &unstructured.Unstructured{Object: object}
	o.SetResourceVersion(fmt.Sprint(m.written))
	if o.GetUID() == "" {
		o.SetUID(types.UID(fmt.Sprintf("uid-%d", m.written)))
	}
	parts := strings.Split(path, "/")
	o.SetName(parts[len(parts)-1])
	o.SetNamespace(parts[len(parts)-3])
	if o.GetGeneration() == 0 {
		o.SetGeneration(1)
	}
	m.objects[path] = o
}

// status writes an object's.
func (m *management) status(o *unstructured.Unstructured, status map[string]any) {
	m.written++
	o.SetResourceVersion(fmt.Sprint(m.written))
	o.Object["status"] = status
}

// ServeHTTP is the API.
func (m *management) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.expired {
		answer(w, http.StatusUnauthorized, "Unauthorized", nil)
		return
	}
	switch o := m.objects[r.URL.Path]; {
	case r.Method == http.MethodGet && o != nil:
		write(w, http.StatusOK, o.Object)
	case r.Method == http.MethodGet && r.URL.Query().Has("labelSelector"):
		m.list(w, r)
	case o == nil:
		answer(w, http.StatusNotFound, "NotFound", nil)
	case r.Method == http.MethodPatch && m.throttle:
		m.throttle = false
		w.Header().Set("Retry-After", "60")
		answer(w, http.StatusTooManyRequests, "TooManyRequests", map[string]any{"retryAfterSeconds": 60})
	case r.Method == http.MethodPatch && m.refusal != "":
		answer(w, m.refusedWith, m.refusal, nil)
	case r.Method == http.MethodPatch:
		if m.meanwhile != nil {
			m.meanwhile()
			o = m.objects[r.URL.Path]
		}
		m.patch(w, r, o)
	default:
		answer(w, http.StatusMethodNotAllowed, "MethodNotAllowed", nil)
	}
}

func (m *management) list(w http.ResponseWriter, r *http.Request) {
	key, value, _ := strings.Cut(r.URL.Query().Get("labelSelector"), "=")
	items := []any{}
	for _, path := range slices.Sorted(maps.Keys(m.objects)) {
		if o := m.objects[path]; strings.HasPrefix(path, r.URL.Path+"/") && o.GetLabels()[key] == value {
			items = append(items, o.Object)
		}
	}
	write(w, http.StatusOK, map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
}

// patch is a merge patch; a new spec is a new generation.
func (m *management) patch(w http.ResponseWriter, r *http.Request, o *unstructured.Unstructured) {
	body, err := io.ReadAll(r.Body)
	asked := &unstructured.Unstructured{}
	if err != nil || json.Unmarshal(body, &asked.Object) != nil || r.Header.Get("Content-Type") != "application/merge-patch+json" {
		answer(w, http.StatusBadRequest, "BadRequest", nil)
		return
	}
	if read := asked.GetResourceVersion(); read != "" && read != o.GetResourceVersion() {
		answer(w, http.StatusConflict, "Conflict", nil)
		return
	}
	changed := o.DeepCopy()
	merge(changed.Object, asked.Object)
	if fmt.Sprint(changed.Object["spec"]) != fmt.Sprint(o.Object["spec"]) {
		changed.SetGeneration(o.GetGeneration() + 1)
	}
	m.writes, m.writer = append(m.writes, r.URL.Path), r.UserAgent()
	m.put(r.URL.Path, changed.Object)
	if m.lose {
		m.lose = false
		panic(http.ErrAbortHandler) // it has taken effect, and the answer is lost
	}
	write(w, http.StatusOK, m.objects[r.URL.Path].Object)
}

// merge is what a merge patch does to an object: https://www.rfc-editor.org/rfc/rfc7396
func merge(into, patch map[string]any) {
	for key, value := range patch {
		inner, object := value.(map[string]any)
		has, nested := into[key].(map[string]any)
		switch {
		case value == nil:
			delete(into, key)
		case object && nested:
			merge(has, inner)
		default:
			into[key] = value
		}
	}
}

func answer(w http.ResponseWriter, code int, reason string, details map[string]any) {
	write(w, code, map[string]any{
		"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": strings.Fields(reason)[0], "message": "it is " + reason, "details": details,
	})
}

func write(w http.ResponseWriter, code int, object map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(object) // who does not listen any more need not be told
}

// add declares a cluster over one of the backing's.
func (m *management) add(t *testing.T, name, version string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	of := map[string]any{"cluster.x-k8s.io/cluster-name": name}
	spec := map[string]any{"controlPlaneRef": map[string]any{"apiGroup": "controlplane.cluster.x-k8s.io", "kind": "KubeadmControlPlane", "name": name + "-control"}}
	owned := maps.Clone(of)
	if m.topology {
		spec["topology"] = map[string]any{"version": version}
		owned["topology.cluster.x-k8s.io/owned"] = ""
	}
	m.put(at(clusters, name, name), map[string]any{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "spec": spec})
	m.put(at(controlPlanes, name, name+"-control"), map[string]any{
		"apiVersion": "controlplane.cluster.x-k8s.io/v1beta2", "kind": "KubeadmControlPlane", "metadata": map[string]any{"labels": owned},
		"spec": map[string]any{"version": version, "replicas": int64(1)},
	})
	m.put(at(machines, name, name+"-control-1"), machineOf(name, version, controlPlaneLabel, "", name+"-control-1"))
	for pool, size := range map[string]int64{"a": 3, "b": 1} {
		m.put(at(machineDeployments, name, pool), map[string]any{
			"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "MachineDeployment", "metadata": map[string]any{"labels": owned},
			"spec": map[string]any{"clusterName": name, "replicas": size, "template": map[string]any{"spec": map[string]any{"version": version}}},
		})
	}
	config, err := m.backing.Connect(t.Context(), provider.Ref{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	m.put(at(secrets, name, name+"-kubeconfig"), map[string]any{
		"apiVersion": "v1", "kind": "Secret", "data": map[string]any{"value": encoded(t, entrance(t, config))},
	})
}

// entrance is where the API of a made-up cluster, which is in memory, listens.
func entrance(t *testing.T, config *rest.Config) *rest.Config {
	t.Helper()
	behind, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	proxy.Transport = transport
	server := httptest.NewTLSServer(proxy)
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL, BearerToken: "anybody", TLSClientConfig: rest.TLSClientConfig{CAData: pemOf(server.Certificate())}}
}

func machineOf(cluster, version, label, value, node string) map[string]any {
	return map[string]any{
		"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine",
		"metadata": map[string]any{"labels": map[string]any{"cluster.x-k8s.io/cluster-name": cluster, label: value}},
		"spec":     map[string]any{"clusterName": cluster, "version": version},
		"status":   map[string]any{"nodeRef": map[string]any{"name": node}},
	}
}

// tend is one round of the managers.
func (m *management) tend(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, path := range slices.Sorted(maps.Keys(m.objects)) {
		if o := m.objects[path]; o != nil && o.GetKind() == "Cluster" {
			r := round{management: m, name: o.GetName(), ref: provider.Ref{Name: o.GetName()}}
			if err := r.tend(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// round is what the managers do about one cluster.
type round struct {
	*management

	name string
	ref  provider.Ref
	seen provider.Observation
}

func (r round) tend(ctx context.Context) (err error) {
	if r.seen, err = r.backing.Observe(ctx, r.ref); err != nil {
		return err
	}
	if r.topology {
		r.propagate()
	}
	if err := r.tendControlPlane(ctx); err != nil {
		return err
	}
	for _, pool := range r.seen.Pools {
		if err := r.tendPool(ctx, pool); err != nil {
			return err
		}
	}
	return nil
}

// propagate writes the topology's version into the objects that follow from it:
// the workers' when the control plane is there.
func (r round) propagate() {
	cluster := r.objects[at(clusters, r.name, r.name)]
	version, _, _ := unstructured.NestedString(cluster.Object, "spec", "topology", "version")
	done := r.set(at(controlPlanes, r.name, r.name+"-control"), version, "spec", "version")
	if control := r.objects[at(controlPlanes, r.name, r.name+"-control")]; done && finished(control, version) {
		for _, pool := range r.seen.Pools {
			path := at(machineDeployments, r.name, pool.Name)
			done = r.set(path, version, "spec", "template", "spec", "version") && finished(r.objects[path], version) && done
		}
	} else {
		done = false
	}
	status := "False"
	if done {
		status = "True"
	}
	var conditions []any
	for _, name := range []string{"TopologyReconciled", "ControlPlaneMachinesUpToDate", "WorkerMachinesUpToDate"} {
		conditions = append(conditions, map[string]any{"type": name, "status": status, "message": "rolling", "observedGeneration": cluster.GetGeneration()})
	}
	r.status(cluster, map[string]any{"conditions": conditions})
}

// set writes a version, and tells whether it was there already.
func (r round) set(path, version string, field ...string) bool {
	o := r.objects[path]
	if is, _, _ := unstructured.NestedString(o.Object, field...); is == version {
		return true
	}
	_ = unstructured.SetNestedField(o.Object, version, field...) // it is a field of ours
	o.SetGeneration(o.GetGeneration() + 1)
	r.written++
	o.SetResourceVersion(fmt.Sprint(r.written))
	return false
}

func finished(o *unstructured.Unstructured, version string) bool {
	is, _, _ := unstructured.NestedString(o.Object, "status", "version")
	seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	return is == version && seen == o.GetGeneration()
}

// tendControlPlane adds a machine of the new version, takes the API server there
// and ends the old machine.
func (r round) tendControlPlane(ctx context.Context) error {
	o := r.objects[at(controlPlanes, r.name, r.name+"-control")]
	wanted := parsed(o, "spec", "version")
	if runs := r.seen.ControlPlane.Oldest; runs != wanted {
		machine := r.name + "-control-" + wanted.String()
		if path := at(machines, r.name, machine); r.objects[path] == nil {
			r.put(path, machineOf(r.name, wanted.String(), controlPlaneLabel, "", machine))
		}
		op, err := r.backing.Ensure(ctx, r.ref, provider.Change{
			Part: provider.Part{Kind: provider.PartControlPlane}, Token: "roll-" + wanted.String(), From: provider.State{Version: runs}, To: provider.State{Version: wanted},
		})
		if err != nil {
			return err
		}
		if op.Phase == provider.Succeeded {
			r.forget(controlPlaneLabel, "", wanted)
		}
	} else {
		r.forget(controlPlaneLabel, "", wanted)
	}
	r.report(o, controlPlaneLabel, "", wanted)
	return nil
}

// forget deletes machines of other versions.
func (r round) forget(label, value string, version fleet.Version) {
	for path, o := range r.of(label, value) {
		if parsed(o, "spec", "version") != version {
			delete(r.objects, path)
		}
	}
}

// of are the cluster's machines with a label.
func (r round) of(label, value string) map[string]*unstructured.Unstructured {
	found := map[string]*unstructured.Unstructured{}
	for path, o := range r.objects {
		labels := o.GetLabels()
		if is, labelled := labels[label]; o.GetKind() == "Machine" && labelled && is == value && o.GetNamespace() == r.name {
			found[path] = o
		}
	}
	return found
}

// report writes the status that follows from the machines.
func (r round) report(o *unstructured.Unstructured, label, value string, wanted fleet.Version) {
	counts, upToDate, oldest := map[string]int64{}, int64(0), fleet.Version{}
	all := r.of(label, value)
	for _, machine := range all {
		v := parsed(machine, "spec", "version")
		counts[v.String()]++
		if v == wanted {
			upToDate++
		}
		if oldest.IsZero() || v.Less(oldest) {
			oldest = v
		}
	}
	var versions []any
	for _, v := range slices.Sorted(maps.Keys(counts)) {
		versions = append(versions, map[string]any{"version": v, "replicas": counts[v]})
	}
	r.status(o, map[string]any{
		"observedGeneration": o.GetGeneration(), "version": oldest.String(), "versions": versions,
		"replicas": int64(len(all)), "upToDateReplicas": upToDate, "readyReplicas": int64(len(all)),
		"conditions": []any{map[string]any{"type": "Available", "status": "True", "observedGeneration": o.GetGeneration()}},
	})
}

// tendPool adds a machine of the new version and ends an old one, as long as there
// is one.
func (r round) tendPool(ctx context.Context, pool provider.Pool) error {
	o := r.objects[at(machineDeployments, r.name, pool.Name)]
	wanted := parsed(o, "spec", "template", "spec", "version")
	if err := r.roll(ctx, pool, wanted); err != nil {
		return err
	}
	there := map[string]bool{}
	for _, i := range pool.Instances {
		path := at(machines, r.name, i.ID)
		there[path] = true
		if r.objects[path] == nil {
			r.put(path, machineOf(r.name, i.State.Version.String(), deploymentLabel, pool.Name, i.Node))
		}
	}
	for path := range r.of(deploymentLabel, pool.Name) {
		if !there[path] {
			delete(r.objects, path)
		}
	}
	r.report(o, deploymentLabel, pool.Name, wanted)
	return nil
}

func (r round) roll(ctx context.Context, pool provider.Pool, wanted fleet.Version) error {
	i := slices.IndexFunc(pool.Instances, func(i provider.Instance) bool { return i.State.Version != wanted })
	switch {
	case i < 0:
		return nil
	case pool.Template.Version != wanted:
		_, err := r.backing.Ensure(ctx, r.ref, provider.Change{
			Part: provider.Part{Kind: provider.PartPool, Pool: pool.Name}, Token: "template-" + pool.Name + wanted.String(), From: pool.Template, To: provider.State{Version: wanted},
		})
		return err
	case len(pool.Instances) <= pool.Size:
		old := pool.Instances[i]
		return r.backing.AddNode(ctx, r.ref, provider.NodeAddition{Pool: pool.Name, Replaces: old.ID, Token: "for-" + old.ID + wanted.String()})
	default:
		return r.backing.RemoveNode(ctx, r.ref, provider.NodeRemoval{Pool: pool.Name, Instance: pool.Instances[i].ID})
	}
}

func parsed(o *unstructured.Unstructured, field ...string) fleet.Version {
	text, _, _ := unstructured.NestedString(o.Object, field...)
	v, _ := fleet.ParseVersion(text)
	return v
}

func (m *management) do(what func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	what()
}

// ask is what somebody else does.
func (m *management) ask(name, version string) {
	m.do(func() {
		r := round{management: m, name: name}
		if m.topology {
			r.set(at(clusters, name, name), version, "spec", "topology", "version")
		} else {
			r.set(at(controlPlanes, name, name+"-control"), version, "spec", "version")
		}
	})
}

// touch is a write of somebody that changes nothing.
func (m *management) touch(path string) {
	m.written++
	m.objects[path].SetResourceVersion(fmt.Sprint(m.written))
}
