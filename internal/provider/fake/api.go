package fake

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	versioninfo "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
)

// connect gives a config whose requests end in this process. It has no limit of
// rate: that would be of the real time, and the cluster's is another.
func (c *Cluster) connect() (*rest.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.outage(); err != nil {
		return nil, err
	}
	if err := c.script.draw(Connect).answer(); err != nil {
		return nil, err
	}
	way := wire{cluster: c}
	if c.mode.Credentials > 0 {
		way.until = c.clock.Now().Add(c.mode.Credentials)
	}
	return &rest.Config{Host: "https://" + c.name + ".fake", Transport: way, RateLimiter: flowcontrol.NewFakeAlwaysRateLimiter()}, nil
}

var errRefused = errors.New("connection refused")

// resource is one kind of object that the API serves.
type resource struct {
	schema.GroupVersionKind

	name string
	list func(*Cluster) []object
}

type object interface {
	runtime.Object
	metav1.Object
}

func (r resource) group() schema.GroupResource {
	return schema.GroupResource{Group: r.Group, Resource: r.name}
}

func resources() map[string]resource {
	return map[string]resource{
		"nodes": {corev1.SchemeGroupVersion.WithKind("Node"), "nodes", (*Cluster).nodes},
		"pods":  {corev1.SchemeGroupVersion.WithKind("Pod"), "pods", (*Cluster).pods},
		"poddisruptionbudgets": {
			policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"), "poddisruptionbudgets", (*Cluster).budgets,
		},
		"leases": {coordinationv1.SchemeGroupVersion.WithKind("Lease"), "leases", (*Cluster).allLeases},
	}
}

// routes are what the API has: as much as Refit uses.
func (c *Cluster) routes() *http.ServeMux {
	all := resources()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", c.serveReadyz)
	mux.HandleFunc("GET /version", c.serveVersion)
	for path, r := range map[string]resource{
		"/api/v1/nodes":                        all["nodes"],
		"/api/v1/pods":                         all["pods"],
		"/api/v1/namespaces/{namespace}/pods":  all["pods"],
		"/apis/policy/v1/poddisruptionbudgets": all["poddisruptionbudgets"],
		"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets": all["poddisruptionbudgets"],
		"/apis/coordination.k8s.io/v1/leases":                         all["leases"],
		"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases":  all["leases"],
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, request *http.Request) { c.serveList(w, request, r) })
		mux.HandleFunc("GET "+path+"/{name}", func(w http.ResponseWriter, request *http.Request) { c.serveGet(w, request, r) })
	}
	mux.HandleFunc("PATCH /api/v1/nodes/{name}", c.servePatch)
	mux.HandleFunc("POST /api/v1/namespaces/{namespace}/pods/{name}/eviction", c.serveEviction)
	mux.HandleFunc("DELETE /api/v1/namespaces/{namespace}/pods/{name}", c.servePodDeletion)
	const leases = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
	mux.HandleFunc("POST "+leases, c.serveLease((*Cluster).createLease))
	mux.HandleFunc("PUT "+leases+"/{name}", c.serveLease((*Cluster).updateLease))
	mux.HandleFunc("DELETE "+leases+"/{name}", c.serveLeaseDeletion)
	mux.HandleFunc("/", func(w http.ResponseWriter, request *http.Request) {
		writeError(w, apierrors.NewGenericServerResponse(http.StatusNotFound, request.Method, schema.GroupResource{}, "", "a made-up API server has no "+request.URL.Path, 0, true))
	})
	return mux
}

// serveReadyz names what is not passed as API servers do
// (https://kubernetes.io/docs/reference/using-api/health-checks/).
func (c *Cluster) serveReadyz(w http.ResponseWriter, _ *http.Request) {
	open := c.Look().OpenChecks
	if len(open) == 0 {
		_, _ = io.WriteString(w, "ok")
		return
	}
	w.WriteHeader(http.StatusInternalServerError)
	for _, check := range open {
		_, _ = fmt.Fprintf(w, "[-]%s failed: reason withheld\n", check)
	}
	_, _ = io.WriteString(w, "readyz check failed\n")
}

func (c *Cluster) serveVersion(w http.ResponseWriter, _ *http.Request) {
	version := c.Look().Version
	writeJSON(w, http.StatusOK, versioninfo.Info{
		Major: strconv.Itoa(version.Major), Minor: strconv.Itoa(version.Minor), GitVersion: version.String(),
	})
}

// found are the objects of a request's namespace and name.
func (c *Cluster) found(request *http.Request, r resource) []object {
	namespace, name := request.PathValue("namespace"), request.PathValue("name")
	return slices.DeleteFunc(r.list(c), func(o object) bool {
		return namespace != "" && o.GetNamespace() != namespace || name != "" && o.GetName() != name
	})
}

func (c *Cluster) serveList(w http.ResponseWriter, request *http.Request, r resource) {
	selector, err := labels.Parse(request.URL.Query().Get("labelSelector"))
	if err != nil {
		writeError(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	c.mu.Lock()
	c.pass()
	objects, revision := c.found(request, r), strconv.Itoa(c.revision)
	c.mu.Unlock()
	objects = slices.DeleteFunc(objects, func(o object) bool { return !selector.Matches(labels.Set(o.GetLabels())) })
	writeList(w, request, r, objects, revision)
}

func (c *Cluster) serveGet(w http.ResponseWriter, request *http.Request, r resource) {
	c.mu.Lock()
	c.pass()
	objects := c.found(request, r)
	c.mu.Unlock()
	if len(objects) == 0 {
		writeError(w, apierrors.NewNotFound(r.group(), request.PathValue("name")))
		return
	}
	writeObject(w, request, http.StatusOK, objects[0])
}

func (c *Cluster) servePatch(w http.ResponseWriter, request *http.Request) {
	name := request.PathValue("name")
	body, err := io.ReadAll(request.Body)
	var node *corev1.Node
	if err == nil {
		err = c.serve(Call{Verb: PatchNode, What: name}, func(Mishap) (err error) {
			node, err = c.patchNode(name, types.PatchType(request.Header.Get("Content-Type")), body)
			return err
		})
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeObject(w, request, http.StatusOK, node)
}

func (c *Cluster) serveEviction(w http.ResponseWriter, request *http.Request) {
	eviction := &policyv1.Eviction{}
	err := readObject(request, eviction)
	if err == nil {
		eviction.Namespace, eviction.Name = request.PathValue("namespace"), request.PathValue("name")
		err = c.serve(Call{Verb: EvictPod, What: eviction.Name}, func(Mishap) error { return c.evict(eviction) })
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusCreated, success())
}

// servePodDeletion asks no budget: it is for who forces a pod out.
func (c *Cluster) servePodDeletion(w http.ResponseWriter, request *http.Request) {
	name := request.PathValue("name")
	only, err := readPreconditions(request)
	if err == nil {
		err = c.serve(Call{Verb: DeletePod, What: name}, func(Mishap) error { return c.deletePod(name, only) })
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, success())
}

func (c *Cluster) serveLease(write func(*Cluster, *coordinationv1.Lease) error) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		lease := &coordinationv1.Lease{}
		err := readObject(request, lease)
		if err == nil {
			lease.Namespace = request.PathValue("namespace")
			err = c.serve(Call{Verb: WriteLease, What: lease.Namespace + "/" + lease.Name}, func(Mishap) error { return write(c, lease) })
		}
		if err != nil {
			writeError(w, err)
			return
		}
		status := http.StatusOK
		if request.Method == http.MethodPost {
			status = http.StatusCreated
		}
		writeObject(w, request, status, lease)
	}
}

func (c *Cluster) serveLeaseDeletion(w http.ResponseWriter, request *http.Request) {
	key := request.PathValue("namespace") + "/" + request.PathValue("name")
	only, err := readPreconditions(request)
	if err == nil {
		err = c.serve(Call{Verb: DeleteLease, What: key}, func(Mishap) error { return c.deleteLease(key, only) })
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, success())
}

func success() metav1.Status {
	return metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess}
}

func readObject(request *http.Request, into runtime.Object) error {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	return decode(body, into)
}

// decode reads JSON or protobuf: it shows in the first bytes.
func decode(body []byte, into runtime.Object) error {
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, into); err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("read the request's body: %v", err))
	}
	return nil
}

// wire is the way from a client to a cluster's API: a call of a function. It is
// cut while the API server is silent.
type wire struct {
	cluster *Cluster
	until   time.Time // which its credentials are good; zero is for ever
}

// RoundTrip answers a request.
func (w wire) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		defer request.Body.Close()
	}
	if err := request.Context().Err(); err != nil {
		return nil, err
	}
	c := w.cluster
	c.mu.Lock()
	c.pass()
	silent, expired := c.isSilent(), !w.until.IsZero() && !c.clock.Now().Before(w.until)
	c.mu.Unlock()
	answer := &reply{header: http.Header{}, status: http.StatusOK}
	switch {
	case silent:
		return nil, errRefused
	case expired:
		writeError(answer, apierrors.NewUnauthorized("credentials have expired"))
	case request.URL.Query().Get("watch") != "":
		return c.watch(request)
	default:
		c.mux.ServeHTTP(answer, request)
	}
	return answer.response(request)
}

// reply is a response that is written in memory; broken stands for a connection
// that ended before it.
type reply struct {
	header http.Header
	status int
	body   strings.Builder
	broken error
}

func (r *reply) Header() http.Header            { return r.header }
func (r *reply) WriteHeader(status int)         { r.status = status }
func (r *reply) Write(text []byte) (int, error) { return r.body.Write(text) }

func (r *reply) response(request *http.Request) (*http.Response, error) {
	if r.broken != nil {
		return nil, r.broken
	}
	return &http.Response{
		Status: http.StatusText(r.status), StatusCode: r.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header, Body: io.NopCloser(strings.NewReader(r.body.String())), ContentLength: int64(r.body.Len()), Request: request,
	}, nil
}
