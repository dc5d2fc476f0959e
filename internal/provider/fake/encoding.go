package fake

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// metadataOnly tells whether a client wants no more than objects' metadata.
func metadataOnly(request *http.Request) bool {
	return strings.Contains(request.Header.Get("Accept"), "as=PartialObjectMetadata")
}

// metadataOf is what such a client gets of an object.
func metadataOf(o object) *metav1.PartialObjectMetadata {
	partial := meta.AsPartialObjectMetadata(o)
	partial.APIVersion, partial.Kind = metav1.SchemeGroupVersion.String(), "PartialObjectMetadata"
	return partial
}

func writeList(w http.ResponseWriter, request *http.Request, r resource, objects []object, revision string) {
	if metadataOnly(request) {
		list := metav1.PartialObjectMetadataList{
			TypeMeta: metav1.TypeMeta{APIVersion: metav1.SchemeGroupVersion.String(), Kind: "PartialObjectMetadataList"},
			ListMeta: metav1.ListMeta{ResourceVersion: revision},
		}
		for _, o := range objects {
			list.Items = append(list.Items, *metadataOf(o))
		}
		writeJSON(w, http.StatusOK, list)
		return
	}
	list, err := scheme.Scheme.New(schema.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind + "List"})
	if err == nil {
		items := make([]runtime.Object, 0, len(objects))
		for _, o := range objects {
			items = append(items, o)
		}
		err = meta.SetList(list, items)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	if about, ok := list.(metav1.ListInterface); ok {
		about.SetResourceVersion(revision)
	}
	writeObject(w, request, http.StatusOK, list)
}

// writeObject writes protobuf to who understands it, as API servers do.
func writeObject(w http.ResponseWriter, request *http.Request, status int, o runtime.Object) {
	if whole, ok := o.(object); ok && metadataOnly(request) {
		writeJSON(w, status, metadataOf(whole))
		return
	}
	mediaType := runtime.ContentTypeJSON
	if strings.Contains(request.Header.Get("Accept"), runtime.ContentTypeProtobuf) {
		mediaType = runtime.ContentTypeProtobuf
	}
	text, err := encode(o, mediaType)
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	_, _ = w.Write(text) // a reply in memory takes everything
}

// encode writes an object with its kind and version.
func encode(o runtime.Object, mediaType string) ([]byte, error) {
	kinds, _, err := scheme.Scheme.ObjectKinds(o)
	if err != nil {
		return nil, err
	}
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), mediaType)
	return runtime.Encode(scheme.Codecs.EncoderForVersion(info.Serializer, kinds[0].GroupVersion()), o)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a reply in memory takes everything
}

// writeError writes a Status. What is no answer of an API server stands for a
// connection that ended without one.
func writeError(w http.ResponseWriter, err error) {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		if r, ok := w.(*reply); ok {
			r.broken = err
		}
		return
	}
	status := answer.Status()
	status.APIVersion, status.Kind = "v1", "Status"
	writeJSON(w, int(status.Code), status)
}
