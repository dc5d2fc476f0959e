package fakepart

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes/scheme"
)

// nodeAPI is an API server with nodes only. It is its own kubelet: a node is
// Ready as soon as it is made.
type nodeAPI struct {
	mu    sync.Mutex
	nodes map[string]corev1.Node
}

func newNodeAPI(served string) http.Handler {
	api := &nodeAPI{nodes: map[string]corev1.Node{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { reply(w, version.Info{GitVersion: served}) })
	mux.HandleFunc("DELETE /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, metav1.Status{Status: metav1.StatusSuccess})
	})
	mux.HandleFunc("GET /api/v1/nodes", api.list)
	mux.HandleFunc("POST /api/v1/nodes", api.create)
	mux.HandleFunc("DELETE /api/v1/nodes/{name}", api.delete)
	return mux
}

func (a *nodeAPI) list(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := corev1.NodeList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}}
	for _, node := range a.nodes {
		list.Items = append(list.Items, node)
	}
	reply(w, list)
}

func (a *nodeAPI) create(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	node := corev1.Node{}
	// Clients write JSON or protobuf; it shows in the first bytes.
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, &node); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	node.UID = types.UID(uuid.NewString())
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nodes[node.Name] = node
	reply(w, node)
}

func (a *nodeAPI) delete(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.nodes, r.PathValue("name"))
	reply(w, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess})
}

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}
