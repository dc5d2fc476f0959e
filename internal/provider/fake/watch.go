package fake

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// lookAgain is how often a watch looks for what came by time alone.
const lookAgain = time.Second

// watch answers with a stream of events, which ends with the request, or when
// the API server falls silent.
func (c *Cluster) watch(request *http.Request) (*http.Response, error) {
	answer := &reply{header: http.Header{}, status: http.StatusOK}
	path := strings.Split(request.URL.Path, "/")
	watched, ok := resources()[path[len(path)-1]]
	since, _ := strconv.Atoi(request.URL.Query().Get("resourceVersion")) // none is 0: from the beginning
	c.mu.Lock()
	c.pass()
	tooOld := since > 0 && since < c.deleted
	var begin []object
	if ok && !tooOld {
		c.watches++
		begin = watched.list(c)
	}
	revision := c.revision
	c.mu.Unlock()
	switch {
	case !ok:
		writeError(answer, apierrors.NewBadRequest("a made-up API server does not watch "+request.URL.Path))
		return answer.response(request)
	case tooOld: // what was deleted since would never be told
		writeError(answer, apierrors.NewResourceExpired(fmt.Sprintf("resource version %d is too old", since)))
		return answer.response(request)
	}
	reader, writer := io.Pipe()
	answer.header.Set("Content-Type", runtime.ContentTypeJSON)
	response, err := answer.response(request)
	if err != nil {
		return nil, err
	}
	response.Body, response.ContentLength = reader, -1
	w := &watcher{cluster: c, request: request, resource: watched, since: since, told: map[string]told{}, to: json.NewEncoder(writer)}
	closed := context.AfterFunc(request.Context(), func() { _ = reader.Close() }) // so that nothing is written to nobody
	go func() {
		defer closed()
		_ = writer.CloseWithError(w.run(begin, revision))
		c.mu.Lock()
		defer c.mu.Unlock()
		c.watches--
	}()
	return response, nil
}

// watcher tells one client of the changes of one resource.
type watcher struct {
	cluster  *Cluster
	request  *http.Request
	resource resource
	since    int
	told     map[string]told
	to       *json.Encoder
}

// told is what a client knows of an object.
type told struct {
	revision string
	object   object
}

// run begins with the objects that were there when the watch was asked for, as of
// a revision.
func (w *watcher) run(begin []object, revision int) error {
	if err := w.tell(begin); err != nil {
		return err
	}
	if w.request.URL.Query().Get("sendInitialEvents") == "true" {
		if err := w.mark(revision); err != nil {
			return err
		}
	}
	ticker := w.cluster.clock.NewTicker(lookAgain)
	defer ticker.Stop()
	for {
		c := w.cluster
		c.mu.Lock()
		c.pass()
		objects, changed, silent := w.resource.list(c), c.changed, c.isSilent()
		c.mu.Unlock()
		if silent {
			return nil // the end of a connection
		}
		if err := w.tell(objects); err != nil {
			return err
		}
		select {
		case <-w.request.Context().Done():
			return w.request.Context().Err()
		case <-changed:
		case <-ticker.C():
		}
	}
}

// tell says what is different from what was told.
func (w *watcher) tell(objects []object) error {
	there := map[string]bool{}
	for _, o := range objects {
		key, revision := o.GetNamespace()+"/"+o.GetName(), o.GetResourceVersion()
		there[key] = true
		before, known := w.told[key]
		w.told[key] = told{revision, o}
		number, _ := strconv.Atoi(revision) // all of them are numbers
		event := watch.Modified
		switch {
		case before.revision == revision, !known && number <= w.since:
			continue
		case !known:
			event = watch.Added
		}
		if err := w.send(event, o); err != nil {
			return err
		}
	}
	for key, last := range w.told {
		if there[key] {
			continue
		}
		delete(w.told, key)
		if err := w.send(watch.Deleted, last.object); err != nil {
			return err
		}
	}
	return nil
}

// mark says that all there was has been told.
func (w *watcher) mark(revision int) error {
	mark := &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: w.resource.GroupVersion().String(), Kind: w.resource.Kind},
		ObjectMeta: metav1.ObjectMeta{
			ResourceVersion: strconv.Itoa(revision), Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
		},
	}
	if metadataOnly(w.request) {
		mark.APIVersion, mark.Kind = metav1.SchemeGroupVersion.String(), "PartialObjectMetadata"
	}
	text, err := json.Marshal(mark)
	if err != nil {
		return err
	}
	return w.to.Encode(metav1.WatchEvent{Type: string(watch.Bookmark), Object: runtime.RawExtension{Raw: text}})
}

func (w *watcher) send(event watch.EventType, o object) (err error) {
	var text []byte
	if metadataOnly(w.request) {
		text, err = json.Marshal(metadataOf(o))
	} else {
		text, err = encode(o, runtime.ContentTypeJSON)
	}
	if err != nil {
		return err
	}
	return w.to.Encode(metav1.WatchEvent{Type: string(event), Object: runtime.RawExtension{Raw: text}})
}
