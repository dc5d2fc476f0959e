package main

import (
	"bytes"
	"encoding/pem"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	// user is nobody's on any machine; a number, because an image without /etc/passwd has no names, and because
	// Kubernetes' runAsNonRoot believes numbers only.
	user = "65532:65532"
	// certificates is where Go and others look first (crypto/x509/root_linux.go).
	certificates = "etc/ssl/certs/ca-certificates.crt"
	// scratch is where a container has to have a volume that can be written: Helm's library unpacks charts there.
	scratch = "/tmp"
	licence = "Apache-2.0"
)

// files are all that there is in the image.
func (r request) files(binary string) []file {
	return []file{
		{name: "LICENSE", path: filepath.Join(r.root, "LICENSE"), mode: 0o644},
		{name: "NOTICE", path: filepath.Join(r.root, "NOTICE"), mode: 0o644},
		{name: certificates, data: roots(), mode: 0o644},
		{name: r.name(), path: binary, mode: 0o755},
	}
}

// roots are the certificate authorities that Mozilla trusts, as PEM. Those that it trusts only on a condition are left
// out, because a file cannot tell the condition.
func roots() []byte {
	var text bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return text.Bytes()
}

// image is one layer and how it is run.
func (r request) image(layer, processor string) (v1.Image, error) {
	files, err := tarball.LayerFromFile(layer, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	created := v1.Time{Time: r.at}
	image, err = mutate.Append(image, mutate.Addendum{Layer: files, History: v1.History{Created: created, CreatedBy: "tools/image"}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", processor, created
	config.Config = v1.Config{
		Entrypoint: []string{"/" + r.name()}, User: user, WorkingDir: "/", Env: []string{"HOME=" + scratch}, Labels: r.labels(),
	}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, err
	}
	return mutate.Annotations(image, r.labels()).(v1.Image), nil
}

// labels are those of https://github.com/opencontainers/image-spec/blob/main/annotations.md.
func (r request) labels() map[string]string {
	const prefix = "org.opencontainers.image."
	labels := map[string]string{
		prefix + "title": r.name(), prefix + "version": r.version, prefix + "licenses": licence,
		prefix + "created":     r.at.Format("2006-01-02T15:04:05Z07:00"),
		prefix + "description": "Keeps fleets of Kubernetes clusters at the release you declare",
	}
	if r.revision != "" {
		labels[prefix+"revision"] = r.revision
	}
	return labels
}

// writeLayout writes a folder of an image that has a version for a tag, as far as tags may have its characters.
func (r request) writeLayout(folder string, image v1.Image, processor string) error {
	_, err := layout.Write(folder, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add: image,
		Descriptor: v1.Descriptor{
			Platform:    &v1.Platform{OS: "linux", Architecture: processor},
			Annotations: map[string]string{"org.opencontainers.image.ref.name": strings.ReplaceAll(r.version, "+", "_")},
		},
	}))
	return err
}
